//! Revocations that outlive the process in a file: over restarts and kills, shared by servers, and
//! where the file cannot be written or is none.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
};

use serde_json::json;

use super::{
    ADMIN, assert_oauth_error, id_of, is_accepted, operator_revocation, revocation, revoke,
};
use crate::support::{KEY, Request, Server, Ticker, offline_key, refused_start, run};

/// A directory that is removed on drop.
struct TempDirectory(PathBuf);

impl TempDirectory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("revoked-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("revoked")
    }

    /// The names of all files in it, except for the lock.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".lock"))
            .collect();
        names.sort();
        names
    }
}

impl Drop for TempDirectory {
    fn drop(&mut self) {
        let _removed = fs::remove_dir_all(&self.0);
    }
}

fn start(file: &Path, environment: &[(&str, &str)]) -> Server {
    let defaults = [
        ("AISBREAKER_REVOKED_FILE", file.to_str().unwrap()),
        ("AISBREAKER_ADMIN_SECRET", ADMIN),
        ("AISBREAKER_TRUSTED_PROXIES", "127.0.0.0/8"),
    ];
    Server::start(&[&defaults, environment].concat())
}

fn key(server: &Server) -> String {
    server.mint_with_secrets(&json!([]))
}

#[test]
fn a_key_that_breaks_a_rule_of_today_is_revoked_for_another_day() {
    let directory = TempDirectory::new();
    let strict = start(&directory.file(), &[("AISBREAKER_MINT_SECRET", ADMIN)]);
    let without_secret = offline_key::seal(&strict, &offline_key::claims(&json!({})));
    assert!(!is_accepted(&strict, &without_secret));
    assert_eq!(revoke(&strict, &without_secret).status, 200);
    // What anybody can seal, with the public key, does not fill the list for good.
    let endless = offline_key::claims(&json!({"exp": 250_000_000_000_u64}));
    let endless = offline_key::seal(&strict, &endless);
    assert_eq!(revoke(&strict, &endless).status, 200);
    drop(strict);
    let lines = fs::read_to_string(directory.file()).unwrap();
    let longest = offline_key::seconds_now() + 400 * 86_400 + 60;
    let ends: Vec<u64> = lines
        .lines()
        .filter_map(|line| line.split_once(' ')?.1.parse().ok())
        .collect();
    assert_eq!(ends.len(), 2, "{lines}");
    assert!(ends.iter().all(|end| *end <= longest + 1), "{lines}");

    let lenient = start(&directory.file(), &[]);
    let other = offline_key::seal(&lenient, &offline_key::claims(&json!({"name": "other"})));
    assert!(is_accepted(&lenient, &other));
    assert!(!is_accepted(&lenient, &without_secret));
}

/// Waits until the server refuses a key, which it is to learn from a file.
fn wait_until_refused(server: &Server, key: &str) {
    let mut ticker = Ticker::start(300);
    while is_accepted(server, key) {
        ticker.tick();
    }
}

#[test]
fn a_restart_keeps_what_was_revoked() {
    let directory = TempDirectory::new();
    let server = start(&directory.file(), &[]);
    let keys = [(); 3].map(|()| key(&server));
    let id = id_of(&server, &keys[1]);
    assert_eq!(revoke(&server, &keys[0]).status, 200);
    assert_eq!(revoke(&server, &keys[0]).status, 200);
    assert_eq!(
        server
            .send(&operator_revocation(&format!("id={id}")))
            .status,
        200
    );
    let line = server.wait_for_log("the revocation", |line| {
        line["message"] == "a key is revoked"
    });
    assert_eq!(line["kept_in"], "file");

    let text = fs::read_to_string(directory.file()).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines.len(), 2, "each once: {text}");
    assert_eq!(lines[1][0], id);
    let ends: Vec<u64> = lines.iter().map(|line| line[1].parse().unwrap()).collect();
    let now = crate::support::original_keys::unix_now();
    let day = 86_400;
    assert!(
        (now + 7_000..=now + 7_300).contains(&ends[0]),
        "the key's end: {text}"
    );
    assert!(
        (now + 399 * day..=now + 401 * day).contains(&ends[1]),
        "the latest end: {text}"
    );
    let mode = fs::metadata(directory.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!text.contains(&keys[0][30..40]), "{text}");
    drop(server);

    let server = start(&directory.file(), &[]);
    assert!(!is_accepted(&server, &keys[0]));
    assert!(!is_accepted(&server, &keys[1]));
    assert!(is_accepted(&server, &keys[2]));
    assert_eq!(directory.names(), ["revoked"]);
}

/// Sends a request to a server that may be gone. Returns whether it answered with 200.
fn is_confirmed(address: SocketAddr, request: &Request) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    let request = request.clone().set("Connection", "close");
    let mut answer = Vec::new();
    let _complete_or_cut = stream
        .write_all(&request.to_bytes())
        .and_then(|()| stream.read_to_end(&mut answer));
    answer.starts_with(b"HTTP/1.1 200 ")
}

/// Kills servers while eight clients revoke keys. Whatever was answered with 200 holds.
#[test]
fn a_kill_loses_nothing_that_was_confirmed() {
    const CLIENTS: usize = 8;
    let directory = TempDirectory::new();
    let mut all_confirmed: Vec<String> = Vec::new();
    for round in 1..=4 {
        let server = start(&directory.file(), &[]);
        let keys: Vec<String> = (0..CLIENTS * 20).map(|_| key(&server)).collect();
        let (report, confirmed) = mpsc::channel();
        thread::scope(|scope| {
            for (client, keys) in keys.chunks(20).enumerate() {
                let (report, address) = (report.clone(), server.address());
                scope.spawn(move || {
                    for key in keys {
                        let request = revocation(&format!("token={key}"))
                            .header("X-Forwarded-For", format!("192.0.2.{client}"));
                        if !is_confirmed(address, &request) {
                            return;
                        }
                        report.send(key.clone()).unwrap();
                    }
                });
            }
            drop(report);
            let before_the_kill: Vec<String> = confirmed.iter().take(round * 20).collect();
            server.signal("KILL");
            all_confirmed.extend(before_the_kill);
            all_confirmed.extend(confirmed.iter());
        });
        drop(server);
        let server = start(&directory.file(), &[]);
        for key in &all_confirmed {
            assert!(!is_accepted(&server, key), "round {round}");
        }
    }
    assert!(all_confirmed.len() >= 200, "{}", all_confirmed.len());
}

#[test]
fn a_torn_or_foreign_file_is_set_aside_and_what_can_be_read_of_it_holds() {
    let directory = TempDirectory::new();
    let server = start(&directory.file(), &[]);
    let keys = [(); 3].map(|()| key(&server));
    for key in &keys {
        assert_eq!(revoke(&server, key).status, 200);
    }
    drop(server);
    let whole = fs::read_to_string(directory.file()).unwrap();

    // Torn in the middle of the last end: for good, so that it surely holds.
    fs::write(directory.file(), &whole[..whole.len() - 5]).unwrap();
    let server = start(&directory.file(), &[]);
    for key in &keys {
        assert!(!is_accepted(&server, key));
    }
    server.wait_for_log("the torn line", |line| {
        line["is_torn"] == true && line["level"] == "WARN"
    });
    drop(server);

    fs::write(directory.file(), format!("listen = \"::\"\n{whole}")).unwrap();
    let server = start(&directory.file(), &[]);
    for key in &keys {
        assert!(!is_accepted(&server, key));
    }
    let names = directory.names();
    assert_eq!(
        names.len(),
        3,
        "the file and two that were set aside: {names:?}"
    );
    drop(server);

    fs::write(directory.file(), b"\x7fELF\0\xff\n\0").unwrap();
    let server = start(&directory.file(), &[]);
    assert!(is_accepted(&server, &keys[0]));
    assert_eq!(revoke(&server, &keys[0]).status, 200);
    drop(server);
    assert!(!is_accepted(&start(&directory.file(), &[]), &keys[0]));
}

#[test]
fn servers_that_share_a_file_learn_from_each_other() {
    let directory = TempDirectory::new();
    let servers = [start(&directory.file(), &[]), start(&directory.file(), &[])];
    let keys = [(); 3].map(|()| key(&servers[0]));
    assert_eq!(revoke(&servers[0], &keys[0]).status, 200);
    assert_eq!(revoke(&servers[1], &keys[1]).status, 200);
    wait_until_refused(&servers[1], &keys[0]);
    wait_until_refused(&servers[0], &keys[1]);

    // By hand, as the operator may do, and a third server that starts meanwhile.
    let by_hand = format!("{} 4000000000\n", id_of(&servers[0], &keys[2]));
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(directory.file())
        .unwrap();
    file.write_all(by_hand.as_bytes()).unwrap();
    let third = start(&directory.file(), &[]);
    for server in servers.iter().chain([&third]) {
        wait_until_refused(server, &keys[2]);
    }
}

#[test]
fn what_cannot_be_written_is_never_confirmed() {
    let directory = TempDirectory::new();
    let file = directory.file();
    fs::write(&file, format!("{} 4000000000\n", "A".repeat(22)).repeat(20)).unwrap();
    let ample = crate::support::ample_quotas().to_string();
    let server = Server::start_with_file_size_limit(
        1,
        &[
            ("AISBREAKER_REVOKED_FILE", file.to_str().unwrap()),
            ("AISBREAKER_SERVER_QUOTAS", &*ample),
            ("AISBREAKER_DEFAULT_QUOTAS", &*ample),
            ("AISBREAKER_MINT_QUOTAS", &*ample),
        ],
    );
    // The start has dropped what was doubled, so that there is room for a while.
    let mut refused = None;
    for _ in 0..40 {
        let key = key(&server);
        let answer = revoke(&server, &key);
        if answer.status == 200 {
            continue;
        }
        assert_oauth_error("full", &answer, 503, "temporarily_unavailable", "try again");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        assert!(!is_accepted(&server, &key), "it holds here all the same");
        refused = Some(key);
        break;
    }
    let refused = refused.expect("a full disk");
    let before = fs::read_to_string(&file).unwrap();
    assert!(
        before.ends_with('\n'),
        "no part of a line is left: {before}"
    );
    assert_eq!(revoke(&server, &refused).status, 503, "again");

    server.remove_file_size_limit();
    assert_eq!(revoke(&server, &refused).status, 200);
    drop(server);
    assert!(!is_accepted(&start(&file, &[]), &refused));
}

#[test]
fn unusable_files_prevent_the_start() {
    let directory = TempDirectory::new();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let rows = [
        (path(&directory.0), "AISBREAKER_REVOKED_FILE is a directory"),
        (
            path(&directory.0.join("no/file")),
            "AISBREAKER_REVOKED_FILE is in a directory where no",
        ),
        (
            "/dev/full".to_owned(),
            "AISBREAKER_REVOKED_FILE is not a regular file",
        ),
    ];
    for (file, expected) in rows {
        let fault = refused_start(&[], &[("AISBREAKER_REVOKED_FILE", &file)]);
        assert!(fault.contains(expected), "{fault}");
    }
}

#[test]
fn subcommands_that_open_keys_here_read_the_file() {
    let directory = TempDirectory::new();
    let file = directory.file();
    let server = start(&file, &[]);
    let (key, other) = (key(&server), key(&server));
    assert_eq!(revoke(&server, &key).status, 200);
    let environment = [
        ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
        ("AISBREAKER_REVOKED_FILE", file.to_str().unwrap()),
    ];
    for subcommand in ["inspect", "narrow"] {
        let succeeds = |key: &str| {
            let environment = [&environment[..], &[("THE_KEY", key)]].concat();
            let output = run(
                &[subcommand, "--host", "localhost", "env:THE_KEY"],
                &environment,
            );
            output.status.success()
        };
        assert!(!succeeds(&key), "{subcommand}");
        assert!(succeeds(&other), "{subcommand}");
    }
}
