//! Secrets in files of their own (`NAME_FILE`), and as credentials of systemd.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};

use crate::support::{ConfigFile, KEY, Request, Server, base64, dummy_call, refused_start};

const SECRET: &str = "canary-minting-secret";
const ADMIN: &str = "canary-admin-secret";
const SEALING: (&str, &str) = ("AUTH_ENCRYPTION_KEYPHRASE", KEY);

/// A folder of files that only this user can read, removed on drop.
struct Secrets(PathBuf);

impl Secrets {
    fn new(files: &[(&str, &str)]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("aisbreaker-secrets-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).expect("a temporary folder");
        let secrets = Self(folder);
        for (name, text) in files {
            fs::write(secrets.0.join(name), text).expect("a file");
            set_mode(&secrets.0.join(name), 0o600);
        }
        secrets
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        let _removed = fs::remove_dir_all(&self.0);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its permissions");
}

/// Returns the status of minting with this secret.
fn mint_status(server: &Server, secret: &str) -> u16 {
    let body = json!({"requestAuthAndQuotas": {}, "clientSecret": secret});
    server.send(&Request::mint(&body)).status
}

/// Returns the status of introspection by the operator with this secret.
fn introspection_status(server: &Server, key: &str, secret: &str) -> u16 {
    let credentials = base64::encode(format!("operator:{secret}").as_bytes());
    let request = Request::post("/api/v1/oauth/introspect", format!("token={key}"))
        .set("Content-Type", "application/x-www-form-urlencoded")
        .header("Authorization", format!("Basic {credentials}"));
    server.send(&request).status
}

#[track_caller]
fn assert_refused(arguments: &[&str], environment: &[(&str, &str)], expected: &str) {
    let errors = refused_start(arguments, environment);
    assert!(errors.contains(expected), "{expected} is not in:\n{errors}");
    assert!(!errors.contains("canary"), "a secret is shown:\n{errors}");
}

#[test]
fn every_secret_may_be_in_a_file() {
    let key = Server::start(&[]).mint_with_secrets(&json!([]));
    let secrets = Secrets::new(&[
        ("mint", &format!("{SECRET}\r\n")),
        ("admin", &format!("{ADMIN}\n")),
        ("default", &format!("{key}\n")),
        ("redis", "redis://:canary-password@127.0.0.1:1"),
    ]);
    let configured = ConfigFile::new(&format!(
        "mint.secret_file = \"{}\"\nadmin_secret_file = \"{}\"\ndefault_api_key_file = \"{}\"\n\
         redis.url_file = \"{}\"\n",
        secrets.path("mint"),
        secrets.path("admin"),
        secrets.path("default"),
        secrets.path("redis"),
    ));
    let variables = [
        ("AISBREAKER_MINT_SECRET_FILE", &*secrets.path("mint")),
        ("AISBREAKER_ADMIN_SECRET_FILE", &secrets.path("admin")),
        ("DEFAULT_AISBREAKER_API_KEY_FILE", &secrets.path("default")),
        ("AISBREAKER_REDIS_URL_FILE", &secrets.path("redis")),
    ];
    for environment in [&variables[..], &[("AISBREAKER_CONFIG", configured.path())]] {
        let others = [
            ("AISBREAKER_STRICT", "true"),
            // Refused without an address of Redis.
            ("AISBREAKER_REPLICAS", "2"),
            SEALING,
        ];
        let strict = [environment, &others].concat();
        let server = Server::start(&strict);

        assert_eq!(mint_status(&server, SECRET), 200);
        assert_eq!(mint_status(&server, "another-secret"), 401);
        assert_eq!(introspection_status(&server, &key, ADMIN), 200);
        assert_eq!(introspection_status(&server, &key, SECRET), 401);
        assert_eq!(server.process("", &dummy_call()).status, 200);
        assert!(!server.log().contains("canary"), "{}", server.log());
    }
}

#[test]
fn secret_that_is_given_twice_is_a_fault() {
    let secrets = Secrets::new(&[
        ("mint", SECRET),
        ("aisbreaker.mint.secret", SECRET),
        ("aisbreaker.keys.sealing", "canary-phrase-that-seals"),
    ]);
    let in_file = ConfigFile::new(&format!("mint.secret = \"{SECRET}\"\n"));
    let path = ("AISBREAKER_MINT_SECRET_FILE", &*secrets.path("mint"));
    let other = Secrets::new(&[("aisbreaker.mint.secret", SECRET)]);
    let credentials = ("CREDENTIALS_DIRECTORY", other.0.to_str().unwrap());

    let twice = "AISBREAKER_MINT_SECRET_FILE must not be set together with";
    let value = ("AISBREAKER_MINT_SECRET", SECRET);
    assert_refused(
        &[],
        &[SEALING, path, value],
        &format!("{twice} AISBREAKER_MINT_SECRET:"),
    );
    let by_key = format!("{twice} mint.secret in {}:", in_file.path());
    assert_refused(&["--config", in_file.path()], &[SEALING, path], &by_key);
    let credential = "credential aisbreaker.mint.secret must not be set together with \
                      AISBREAKER_MINT_SECRET_FILE (";
    assert_refused(&[], &[SEALING, path, credentials], credential);
    let credentials = ("CREDENTIALS_DIRECTORY", secrets.0.to_str().unwrap());
    assert_refused(
        &[],
        &[SEALING, credentials],
        "credential aisbreaker.keys.sealing must not be set together with AUTH_ENCRYPTION_KEYPHRASE:",
    );
}

#[test]
fn file_that_cannot_be_used_is_named() {
    let secrets = Secrets::new(&[("short", "canary"), ("framed", " canary-with-spaces ")]);
    let row = |path: &str, expected: &str| {
        let environment = [SEALING, ("AISBREAKER_MINT_SECRET_FILE", path)];
        let expected = format!("AISBREAKER_MINT_SECRET_FILE {expected}");
        assert_refused(&[], &environment, &expected);
    };
    let missing = secrets.path("missing");
    row(
        &missing,
        &format!("cannot be read: {missing}: No such file"),
    );
    row("", "must be the path of a file");
    // The secret in place of its path.
    for secret in [
        "canarysecret",
        "canary.with/dots",
        "/canary+slash==",
        "redis://:canary@redis:6379/0",
        "aisbreaker_eyJhbGciOiJkaXIi.canary.x.y",
    ] {
        row(secret, "cannot be read: No such file");
    }
    row(
        &secrets.path("short"),
        &format!("({}) is shorter than 10", secrets.path("short")),
    );
    row(
        &secrets.path("framed"),
        &format!("({}) must not begin", secrets.path("framed")),
    );
    let sealing = [("AUTH_ENCRYPTION_KEYPHRASE_FILE", &*missing)];
    assert_refused(
        &[],
        &sealing,
        &format!("AUTH_ENCRYPTION_KEYPHRASE_FILE cannot be read: {missing}: No"),
    );
}

#[test]
fn credentials_of_systemd_are_taken_by_key() {
    let key = Server::start(&[]).mint_with_secrets(&json!([]));
    let secrets = Secrets::new(&[
        ("aisbreaker.keys.sealing", "a phrase of this server\n"),
        (
            "aisbreaker.keys.opening",
            &format!("{KEY}\nanother-phrase\n"),
        ),
        ("aisbreaker.mint.secret", &format!("{SECRET}\n")),
        ("unrelated", "x"),
    ]);
    let environment = [("CREDENTIALS_DIRECTORY", secrets.0.to_str().unwrap())];

    let server = Server::start_with(&["--listen", "127.0.0.1:0"], &environment);

    assert_eq!(server.process(&key, &dummy_call()).status, 200);
    assert_eq!(mint_status(&server, SECRET), 200);
    assert_eq!(mint_status(&server, "another-secret"), 401);
    assert!(!server.log().contains("END WITH THIS PROCESS"));
    // A changed credential is taken at a reload.
    fs::write(
        secrets.0.join("aisbreaker.mint.secret"),
        "a-new-minting-secret",
    )
    .unwrap();
    server.signal("HUP");
    server.wait_for_log("the reload", |line| {
        line["message"] == "SIGHUP: the settings are reloaded"
    });
    assert_eq!(mint_status(&server, "a-new-minting-secret"), 200);
    assert_eq!(mint_status(&server, SECRET), 401);
}

#[test]
fn file_that_everybody_can_read_is_warned_about() {
    let secrets = Secrets::new(&[("mint", SECRET), ("admin", ADMIN)]);
    set_mode(&secrets.0.join("mint"), 0o644);
    let server = Server::start(&[
        ("AISBREAKER_MINT_SECRET_FILE", &secrets.path("mint")),
        ("AISBREAKER_ADMIN_SECRET_FILE", &secrets.path("admin")),
    ]);

    let is_warning = |line: &Value| line["level"] == "WARN" && line["file"].is_string();
    let line = server.wait_for_log("the warning", is_warning);

    assert_eq!(line["file"], secrets.path("mint"));
    assert!(
        line["message"]
            .as_str()
            .unwrap()
            .contains("everybody on this machine can read")
    );
    assert!(!server.log().contains(&secrets.path("admin")));
}

#[test]
fn key_is_read_once_so_that_it_may_come_from_a_pipe() {
    for variable in [
        "AUTH_ENCRYPTION_KEYPHRASE_FILE",
        "AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES_FILE",
    ] {
        let output = std::process::Command::new("sh")
            .args(["-c", "printf %s \"$PIPED\" | \"$0\" check"])
            .arg(env!("CARGO_BIN_EXE_aisbreaker-server"))
            .env_clear()
            .env("PIPED", KEY)
            .env(variable, "/dev/stdin")
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{variable}: {errors}");
    }
}
