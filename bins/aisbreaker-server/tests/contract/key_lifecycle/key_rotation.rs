//! Server keys that are replaced while the server runs: their files are read anew on SIGHUP.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::is_accepted;
use crate::support::{
    ConfigFile, Request, Server, ample_quotas, call, dummy_call, output_text, refused_start,
    streamed,
};

const KEYS: [&str; 3] = [
    "a-phrase-that-seals-at-first",
    "c2Vjb25kLWtleS1mb3ItdGhlLXRlc3RzLTMyLWJ5dGU",
    "dGhpcmQtLWtleS1mb3ItdGhlLXRlc3RzLTMyLWJ5dGU",
];
const READ: &str = "SIGHUP: the settings are reloaded";
const NOT_READ: &str = "SIGHUP: nothing is reloaded";

/// The files of server keys in a directory that is removed on drop.
struct KeyFiles(PathBuf);

impl KeyFiles {
    fn new(sealing: &str, opening: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("keys-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir(&path).unwrap();
        let files = Self(path);
        files.write(sealing, opening);
        files
    }

    fn sealing(&self) -> PathBuf {
        self.0.join("sealing")
    }

    fn opening(&self) -> PathBuf {
        self.0.join("opening")
    }

    fn write(&self, sealing: &str, opening: &str) {
        for (path, text) in [(self.sealing(), sealing), (self.opening(), opening)] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    /// Starts a server with these files and no other key.
    fn start(&self) -> Server {
        let ample = ample_quotas().to_string();
        Server::start_with(
            &["--listen", "127.0.0.1:0"],
            &[
                (
                    "AUTH_ENCRYPTION_KEYPHRASE_FILE",
                    self.sealing().to_str().unwrap(),
                ),
                (
                    "AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES_FILE",
                    self.opening().to_str().unwrap(),
                ),
                ("AISBREAKER_SERVER_QUOTAS", &ample),
                ("AISBREAKER_DEFAULT_QUOTAS", &ample),
                ("AISBREAKER_MINT_QUOTAS", &ample),
            ],
        )
    }
}

impl Drop for KeyFiles {
    fn drop(&mut self) {
        let _removed = fs::remove_dir_all(&self.0);
    }
}

/// Sends the signal, and waits until this was logged for the `count`th time.
fn hang_up(server: &Server, message: &str, count: usize) -> Value {
    server.signal("HUP");
    let mut found = 0;
    server.wait_for_log(message, |line| {
        let text = line["message"].as_str().unwrap_or_default();
        found += usize::from(text.contains(message));
        found == count
    })
}

fn key(server: &Server) -> String {
    server.mint_with_secrets(&json!([]))
}

/// The `kid` of the public key.
fn kid(server: &Server) -> String {
    let jwks = server.get("/.well-known/jwks.json");
    assert_eq!(jwks.status, 200, "{jwks:?}");
    jwks.json()["keys"][0]["kid"].as_str().unwrap().to_owned()
}

#[test]
fn a_server_key_is_replaced_step_by_step_without_a_restart() {
    let files = KeyFiles::new(&format!("{}\n", KEYS[0]), "");
    let server = files.start();
    let (first, first_kid) = (key(&server), kid(&server));

    // The next one opens, it seals, and the first one is dropped.
    files.write(KEYS[0], KEYS[1]);
    hang_up(&server, READ, 1);
    assert!(is_accepted(&server, &first));
    assert_eq!(kid(&server), first_kid);
    let elsewhere = Server::start(&[("AUTH_ENCRYPTION_KEYPHRASE", KEYS[1])]);
    let early = key(&elsewhere);
    assert!(
        is_accepted(&server, &early),
        "sealed where the next one seals already"
    );

    files.write(&format!("{}\r\n", KEYS[1]), &format!("{}\n", KEYS[2]));
    hang_up(&server, READ, 2);
    let second = key(&server);
    assert_ne!(kid(&server), first_kid, "the public key follows");
    assert!(is_accepted(&server, &second) && is_accepted(&server, &early));
    assert!(!is_accepted(&server, &first), "dropped");
    assert!(is_accepted(&elsewhere, &second));
    let sealed_by = |line: &Value| line["kid"].as_str().unwrap_or_default().to_owned();
    let line = hang_up(&server, READ, 3);
    let started = elsewhere.wait_for_log("its kid", |line| line["kid"].is_string());
    assert_eq!(sealed_by(&line), sealed_by(&started));
}

#[test]
fn a_file_that_cannot_be_used_changes_nothing() {
    let files = KeyFiles::new(KEYS[0], KEYS[1]);
    let server = files.start();
    let (first, kid_before) = (key(&server), kid(&server));
    let opened = key(&Server::start(&[("AUTH_ENCRYPTION_KEYPHRASE", KEYS[1])]));
    let canary = "Xv4kRz8mTq2wNb7pJc9y";
    let broken = [
        ("", KEYS[1]),
        ("short", KEYS[1]),
        (&*format!("{canary} "), KEYS[1]),
        (&*format!("{canary}\n\n"), KEYS[1]),
        (&*format!("\"{canary}\""), KEYS[1]),
        (KEYS[2], "\"quoted-phrase\""),
        (KEYS[2], "a-good-phrase 'another-one'"),
    ];
    for (count, (sealing, opening)) in (1..).zip(broken) {
        files.write(sealing, opening);
        let line = hang_up(&server, NOT_READ, count);
        assert_eq!(line["level"], "ERROR");
        assert!(
            is_accepted(&server, &first) && is_accepted(&server, &opened),
            "{sealing}"
        );
        assert_eq!(kid(&server), kid_before, "{sealing}");
    }
    fs::remove_file(files.opening()).unwrap();
    fs::write(files.sealing(), KEYS[2]).unwrap();
    hang_up(&server, NOT_READ, broken.len() + 1);
    fs::write(files.opening(), [0xff, 0xfe]).unwrap();
    hang_up(&server, NOT_READ, broken.len() + 2);
    assert!(is_accepted(&server, &first) && is_accepted(&server, &opened));
    assert!(!server.log().contains(canary), "{}", server.log());

    files.write(KEYS[2], KEYS[0]);
    hang_up(&server, READ, 1);
    assert!(is_accepted(&server, &first) && !is_accepted(&server, &opened));
}

#[test]
fn files_that_the_settings_file_names_have_one_key_each() {
    let phrase = "a phrase with spaces";
    let files = KeyFiles::new(KEYS[1], phrase);
    let (sealing, opening) = (files.sealing(), files.opening());
    let config = ConfigFile::new(&format!(
        "[keys]\nsealing_file = {sealing:?}\nopening_files = [{opening:?}]\n"
    ));
    let server = Server::start_with(&["--listen", "127.0.0.1:0", "--config", config.path()], &[]);
    let old = key(&Server::start(&[("AUTH_ENCRYPTION_KEYPHRASE", phrase)]));
    assert!(is_accepted(&server, &old));
    files.write(phrase, KEYS[1]);
    hang_up(&server, READ, 1);
    assert!(is_accepted(&server, &old) && is_accepted(&server, &key(&server)));
}

/// Keys are replaced fifty times while clients use keys that all rings open.
#[test]
fn no_request_fails_while_keys_are_replaced() {
    let files = KeyFiles::new(KEYS[1], KEYS[2]);
    let server = files.start();
    let key = key(&server);
    let (is_over, answered) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = server.connect();
                let request = Request::process(&dummy_call()).bearer(&key);
                let mint = Request::mint(&json!({"requestAuthAndQuotas": {}}));
                while !is_over.load(Ordering::Relaxed) {
                    for request in [&request, &mint] {
                        let answer = connection.send(request);
                        assert_eq!(answer.status, 200, "{answer:?}");
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for round in 1..=50 {
            let seals = 1 + round % 2;
            files.write(KEYS[seals], KEYS[3 - seals]);
            hang_up(&server, READ, round);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    println!(
        "{} requests over 50 reloads",
        answered.load(Ordering::Relaxed)
    );
    assert!(answered.load(Ordering::Relaxed) > 100);
}

#[test]
fn a_request_under_way_keeps_its_key() {
    let files = KeyFiles::new(KEYS[1], "");
    let server = files.start();
    let key = key(&server);
    let paced = json!({"serviceId": "chat:dummy", "delayMillis": 20});
    let body = streamed(call(paced, &"word ".repeat(30)));
    let mut stream = server.connect();
    stream.write(&Request::process(&body).bearer(&key).to_bytes());
    assert_eq!(stream.head().status, 200);
    stream.event().expect("its beginning");

    files.write(KEYS[2], "");
    hang_up(&server, READ, 1);

    assert!(!is_accepted(&server, &key));
    let mut last = None;
    while let Some(event) = stream.event() {
        last = Some(event);
    }
    let last = last.expect("its end");
    assert_eq!(last.name, "final");
    assert!(output_text(&last.data).contains("word"), "{last:?}");
}

#[test]
fn the_signal_ends_no_server() {
    let mut server = Server::start(&[]);
    let key = key(&server);
    for count in 1..=3 {
        hang_up(&server, READ, count);
        assert!(is_accepted(&server, &key));
    }
    server.signal("TERM");
    let (status, log) = server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_key_or_its_file_is_set_and_the_file_must_be_usable() {
    let files = KeyFiles::new(KEYS[0], KEYS[1]);
    let (sealing, opening) = (files.sealing(), files.opening());
    let (sealing, opening) = (sealing.to_str().unwrap(), opening.to_str().unwrap());
    let seals = ("AUTH_ENCRYPTION_KEYPHRASE", KEYS[0]);
    let seals_file = ("AUTH_ENCRYPTION_KEYPHRASE_FILE", sealing);
    let opens_file = "AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES_FILE";
    let rows = [
        (
            vec![seals, seals_file],
            "AUTH_ENCRYPTION_KEYPHRASE_FILE must not be set together",
        ),
        (
            vec![
                seals,
                ("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", KEYS[2]),
                (opens_file, opening),
            ],
            "AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES_FILE must not be set together",
        ),
        (
            vec![("AUTH_ENCRYPTION_KEYPHRASE_FILE", "/no/such/file")],
            "AUTH_ENCRYPTION_KEYPHRASE_FILE cannot be read",
        ),
        (
            vec![("AUTH_ENCRYPTION_KEYPHRASE_FILE", "")],
            "AUTH_ENCRYPTION_KEYPHRASE_FILE cannot be",
        ),
        (
            vec![seals, (opens_file, "/no/such/file")],
            "AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES_FILE cannot be read",
        ),
    ];
    for (environment, expected) in rows {
        let fault = refused_start(&[], &environment);
        assert!(fault.contains(expected), "{fault}");
        assert!(!fault.contains(KEYS[0]), "{fault}");
    }
}

#[test]
fn warns_of_readable_files_and_of_keys_that_nobody_needs() {
    let files = KeyFiles::new(KEYS[1], KEYS[2]);
    let long_ago = UNIX_EPOCH + Duration::from_secs(1_500_000_000);
    for path in [files.sealing(), files.opening()] {
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    fs::set_permissions(files.sealing(), fs::Permissions::from_mode(0o604)).unwrap();
    let server = files.start();
    let of = |path: &Path, line: &Value| line["file"] == path.to_str().unwrap();
    let stale = "no API key that was sealed before";
    server.wait_for_log("the key that nobody needs", |line| {
        let text = line["message"].as_str().unwrap_or_default();
        text.starts_with(stale) && of(&files.opening(), line)
    });
    server.wait_for_log("the readable file", |line| {
        let text = line["message"].as_str().unwrap_or_default();
        text.starts_with("everybody on this machine") && of(&files.sealing(), line)
    });
    assert_eq!(server.log().matches(stale).count(), 1);
    assert_eq!(server.log().matches("everybody on this machine").count(), 1);
    files.write(KEYS[1], KEYS[2]);
    fs::set_permissions(files.sealing(), fs::Permissions::from_mode(0o600)).unwrap();
    hang_up(&server, READ, 1);
    assert!(is_accepted(&server, &key(&server)));
    assert_eq!(server.log().matches(stale).count(), 1, "not of the new one");
}
