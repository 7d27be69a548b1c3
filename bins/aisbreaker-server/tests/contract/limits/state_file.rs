//! Counters that outlive the process: what a restart keeps, what a kill loses, and unusable files.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use serde_json::{Value, json};

use crate::support::{
    Canaries, KEY, Request, Response, Server, dummy_call, grant, quotas, refused_start,
};

/// A directory that is removed on drop.
struct TempDirectory(PathBuf);

impl TempDirectory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "state-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("counters")
    }

    /// The names of all files in it, except for the lock.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.0)
            .unwrap()
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

/// Starts a server that admits five requests per day without a key.
fn start(file: &Path, environment: &[(&str, &str)]) -> Server {
    let limits = quotas([1_000, 1_000, 5], [1_000; 3]).to_string();
    let defaults = [
        ("AISBREAKER_STATE_FILE", file.to_str().unwrap()),
        ("AISBREAKER_DEFAULT_QUOTAS", &*limits),
    ];
    Server::start(&[&defaults, environment].concat())
}

/// Calls the server without a key.
fn call_without_key(server: &Server) -> Response {
    server.process("", &dummy_call())
}

/// Returns what remains of the daily limit of the client.
fn remaining_today(response: &Response) -> u64 {
    let value = response.header("ratelimit").unwrap();
    let parameters = value
        .split(", ")
        .find_map(|member| member.strip_prefix("\"client-day\";r="))
        .unwrap();
    parameters.split(';').next().unwrap().parse().unwrap()
}

/// Stops a server, and returns its log.
fn stop(mut server: Server) -> String {
    server.signal("TERM");
    let (status, log) = server.wait_for_exit();
    assert!(status.success(), "{log}");
    log
}

/// Waits for a log line whose message contains this text.
fn wait_for_message(server: &Server, message: &str) -> Value {
    server.wait_for_log(message, |line| {
        let text = line["message"].as_str().unwrap_or_default();
        text.contains(message)
    })
}

/// Starts a server that writes its file all the time, and logs each write.
fn start_writing_often(file: &Path) -> Server {
    start(
        file,
        &[
            ("AISBREAKER_STATE_INTERVAL", "10ms"),
            ("AISBREAKER_LOG", "debug"),
        ],
    )
}

/// Waits until the server has written its file.
fn wait_for_write(server: &Server) {
    server.wait_for_log("the first write", |line| {
        line["message"] == "the state file is written"
    });
}

/// Files of variables end their lines with it; a script on Unix keeps the first half of Windows'.
#[test]
fn line_end_is_not_part_of_the_file_name() {
    for line_end in ["\n", "\r\n", "\r"] {
        let directory = TempDirectory::new();
        let path = format!("{}{line_end}", directory.file().to_str().unwrap());
        let mut server = start(Path::new(&path), &[]);
        assert_eq!(server.process("", &dummy_call()).status, 200);
        server.signal("TERM");
        server.wait_for_exit();
        assert_eq!(directory.names(), ["counters"], "{line_end:?}");
    }
}

#[test]
fn restart_keeps_the_charges_of_minting() {
    let directory = TempDirectory::new();
    let limits = quotas([1_000, 1_000, 2], [1_000; 3]).to_string();
    let environment = [("AISBREAKER_MINT_QUOTAS", &*limits)];
    let minting = Request::mint(&json!({"requestAuthAndQuotas": {}}));
    let server = start(&directory.file(), &environment);
    assert_eq!(remaining_today(&server.send(&minting)), 1);
    stop(server);

    let server = start(&directory.file(), &environment);

    assert_eq!(remaining_today(&server.send(&minting)), 0);
    assert_eq!(server.send(&minting).status, 429);
    assert_eq!(call_without_key(&server).status, 200);
}

#[test]
fn restart_keeps_every_charge() {
    let directory = TempDirectory::new();
    let file = directory.file();
    let server = start(&file, &[]);
    wait_for_message(&server, "there is no state file yet");
    let key = server.mint(&grant(&quotas([900, 900, 3], [900; 3]), &json!([])));
    for left in [4, 3] {
        assert_eq!(remaining_today(&call_without_key(&server)), left);
    }
    assert_eq!(remaining_today(&server.process(&key, &dummy_call())), 2);
    stop(server);
    assert_eq!(directory.names(), ["counters"]);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let server = start(&file, &[]);
    let line = wait_for_message(&server, "counters go on from the state file");
    assert!(
        line["file"].as_str().unwrap().ends_with("counters"),
        "{line}"
    );
    assert_eq!(remaining_today(&call_without_key(&server)), 2);
    assert_eq!(remaining_today(&server.process(&key, &dummy_call())), 1);
    assert_eq!(
        (
            call_without_key(&server).status,
            remaining_today(&call_without_key(&server))
        ),
        (200, 0)
    );
    assert_eq!(call_without_key(&server).status, 429);
    stop(server);

    let server = start(&file, &[]);
    assert_eq!(call_without_key(&server).status, 429);
    assert_eq!(remaining_today(&server.process(&key, &dummy_call())), 0);
    assert_eq!(server.process(&key, &dummy_call()).status, 429);
}

#[test]
fn kill_loses_only_charges_since_the_last_write() {
    let directory = TempDirectory::new();
    let file = directory.file();
    let mut server = start_writing_often(&file);
    assert_eq!(remaining_today(&call_without_key(&server)), 4);
    wait_for_write(&server);
    server.signal("KILL");
    server.wait_for_exit();

    let mut server = start(&file, &[("AISBREAKER_STATE_INTERVAL", "1h")]);
    assert_eq!(
        [
            remaining_today(&call_without_key(&server)),
            remaining_today(&call_without_key(&server))
        ],
        [3, 2],
        "one charge was written"
    );
    server.signal("KILL");
    server.wait_for_exit();

    let server = start(&file, &[]);
    assert_eq!(
        remaining_today(&call_without_key(&server)),
        3,
        "two charges were lost"
    );
}

#[test]
fn second_signal_still_saves_the_counters() {
    let directory = TempDirectory::new();
    let file = directory.file();
    let mut server = start(&file, &[("AISBREAKER_DRAIN_TIMEOUT", "1h")]);
    assert_eq!(remaining_today(&call_without_key(&server)), 4);
    let mut open = server.connect();
    open.write(b"POST /api/v1/process HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n{");
    assert_eq!(server.get("/readyz").status, 200);
    server.signal("TERM");
    wait_for_message(&server, "draining");
    server.signal("TERM");
    server.wait_for_exit();

    assert_eq!(remaining_today(&call_without_key(&start(&file, &[]))), 3);
}

#[test]
fn unusable_state_file_is_set_aside_unchanged() {
    let directory = TempDirectory::new();
    let file = directory.file();
    let server = start(&file, &[]);
    assert_eq!(remaining_today(&call_without_key(&server)), 4);
    stop(server);
    let good = fs::read(&file).unwrap();
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let rows = [
        ("empty", Vec::new(), "not a snapshot"),
        ("a text", b"# my notes\n".to_vec(), "not a snapshot"),
        (
            "a picture",
            [b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec(), vec![7; 70_000]].concat(),
            "not a snapshot",
        ),
        ("another format", changed(8), "format 0"),
        ("only the head", good[..20].to_vec(), "damaged"),
        ("only half", good[..good.len() / 2].to_vec(), "damaged"),
        (
            "without the last byte",
            good[..good.len() - 1].to_vec(),
            "damaged",
        ),
        ("one bit flipped", changed(good.len() / 2), "damaged"),
        ("the last bit flipped", changed(good.len() - 1), "damaged"),
    ];

    for (row, bytes, reason) in rows {
        fs::write(&file, &bytes).unwrap();
        let server = start(&file, &[]);
        let line = wait_for_message(&server, "the state file was unusable and is set aside");
        assert_eq!(line["level"], "WARN", "{row}");
        assert!(
            line["reason"].as_str().unwrap().contains(reason),
            "{row}: {line}"
        );
        assert!(
            line["file"].as_str().unwrap().ends_with("/counters"),
            "{row}: {line}"
        );
        let aside = line["aside"].as_str().unwrap();
        assert!(aside.contains("/counters.unreadable-"), "{row}: {line}");
        assert_eq!(fs::read(aside).unwrap(), bytes, "{row}");
        assert_eq!(remaining_today(&call_without_key(&server)), 4, "{row}");
        stop(server);
    }
    assert_eq!(
        directory.names().len(),
        10,
        "none was overwritten: {:?}",
        directory.names()
    );
}

#[test]
fn unusable_path_prevents_the_start() {
    let directory = TempDirectory::new();
    symlink(directory.0.join("nowhere"), directory.0.join("dangling")).unwrap();
    let dangling = directory.0.join("dangling");
    let rows = [
        (directory.0.to_str().unwrap(), "is a directory"),
        ("/dev/full", "is not a regular file"),
        ("/proc/counters", "cannot be locked"),
        (dangling.to_str().unwrap(), "is a link to nothing"),
        ("/nowhere/at/all/counters", "cannot be locked"),
    ];

    for (path, problem) in rows {
        let environment = [
            ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
            ("AISBREAKER_STATE_FILE", path),
        ];
        let errors = refused_start(&["--listen", "127.0.0.1:0"], &environment);
        assert!(
            errors.contains(&format!("AISBREAKER_STATE_FILE {problem}")),
            "{path}: {errors}"
        );
    }
    let environment = [
        ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
        ("AISBREAKER_STATE_INTERVAL", "5s"),
    ];
    let errors = refused_start(&[], &environment);
    assert!(
        errors.contains("AISBREAKER_STATE_INTERVAL has no effect without AISBREAKER_STATE_FILE"),
        "{errors}"
    );
}

#[test]
fn file_is_locked_against_a_second_server() {
    let directory = TempDirectory::new();
    let file = directory.file();
    let server = start(&file, &[]);
    let environment = [
        ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
        ("AISBREAKER_STATE_FILE", file.to_str().unwrap()),
    ];

    let errors = refused_start(&["--listen", "127.0.0.1:0"], &environment);

    assert!(
        errors.contains("AISBREAKER_STATE_FILE is in use by another server"),
        "{errors}"
    );
    assert_eq!(remaining_today(&call_without_key(&server)), 4);
    stop(server);
    assert_eq!(remaining_today(&call_without_key(&start(&file, &[]))), 3);
}

#[test]
fn symlink_is_kept_and_temporary_file_removed() {
    let directory = TempDirectory::new();
    let real = directory.0.join("real");
    fs::create_dir(&real).unwrap();
    let server = start(&real.join("counters"), &[]);
    call_without_key(&server);
    stop(server);
    symlink(real.join("counters"), directory.file()).unwrap();
    fs::write(real.join("counters.tmp"), "half").unwrap();

    let server = start(&directory.file(), &[]);
    assert!(!real.join("counters.tmp").exists());
    assert_eq!(remaining_today(&call_without_key(&server)), 3);
    stop(server);

    assert!(fs::symlink_metadata(directory.file()).unwrap().is_symlink());
    assert_eq!(
        remaining_today(&call_without_key(&start(&real.join("counters"), &[]))),
        2
    );
}

/// A directory at the path of the temporary file prevents the write, until it is removed.
#[test]
fn failed_write_keeps_the_old_file_and_warns_once() {
    let directory = TempDirectory::new();
    let file = directory.file();
    let server = start_writing_often(&file);
    call_without_key(&server);
    wait_for_write(&server);
    let old = fs::read(&file).unwrap();
    let obstacle = directory.0.join("counters.tmp");
    fs::create_dir(&obstacle).unwrap();
    assert_eq!(call_without_key(&server).status, 200);
    wait_for_message(&server, "the state file cannot be written");
    assert_eq!(
        remaining_today(&call_without_key(&server)),
        2,
        "requests are still served"
    );
    assert_eq!(fs::read(&file).unwrap(), old);

    fs::remove_dir(&obstacle).unwrap();
    wait_for_message(&server, "the state file is written again");
    let log = stop(server);

    assert_eq!(
        log.matches("the state file cannot be written").count(),
        1,
        "{log}"
    );
    assert_eq!(
        log.matches("the state file is written again").count(),
        1,
        "{log}"
    );
    assert_eq!(remaining_today(&call_without_key(&start(&file, &[]))), 1);
}

#[test]
fn full_disk_keeps_the_old_file_and_warns_once() {
    let directory = TempDirectory::new();
    let file = directory.file();
    let server = start(&file, &[]);
    assert_eq!(remaining_today(&call_without_key(&server)), 4);
    stop(server);
    let old = fs::read(&file).unwrap();
    let limits = quotas([1_000, 1_000, 5], [1_000; 3]).to_string();
    let server = Server::start_with_file_size_limit(
        2,
        &[
            ("AISBREAKER_STATE_FILE", file.to_str().unwrap()),
            ("AISBREAKER_DEFAULT_QUOTAS", &*limits),
            ("AISBREAKER_STATE_INTERVAL", "10ms"),
            ("AISBREAKER_LOG", "debug"),
        ],
    );

    assert_eq!(remaining_today(&call_without_key(&server)), 3);
    wait_for_message(&server, "the state file cannot be written");
    assert_eq!(
        remaining_today(&call_without_key(&server)),
        2,
        "requests are still served"
    );
    assert_eq!(fs::read(&file).unwrap(), old);
    server.remove_file_size_limit();
    wait_for_message(&server, "the state file is written again");
    assert_eq!(
        server
            .log()
            .matches("the state file cannot be written")
            .count(),
        1,
        "{}",
        server.log()
    );
    stop(server);

    assert_eq!(directory.names(), ["counters"]);
    assert_eq!(remaining_today(&call_without_key(&start(&file, &[]))), 1);
}

#[test]
fn file_contains_no_secret() {
    const SECRET: &str = "Kq8vZt3mXw6nRb2pLc9yHd5g";
    let directory = TempDirectory::new();
    let server = start(&directory.file(), &[]);
    let key = server.mint_with_secrets(&json!([{"serviceId": "chat:dummy", "authSecret": SECRET}]));
    server.process(&key, &dummy_call());
    server.process(SECRET, &dummy_call());
    stop(server);

    let mut canaries = Canaries::default();
    canaries.plant("the sealed secret", SECRET);
    canaries.plant("the key", &key);
    canaries.plant("the server's key", KEY);
    canaries.assert_not_in("the state file", fs::read(directory.file()).unwrap());
}

/// Asserts no time, which depends on the machine, but prints it.
#[test]
#[ignore = "a measurement: 100 000 requests"]
#[expect(clippy::disallowed_methods, reason = "it measures time")]
fn hundred_thousand_clients_are_restored() {
    let directory = TempDirectory::new();
    let file = directory.file();
    let ample = quotas([1_000; 3], [1_000_000; 3]).to_string();
    let environment = [
        ("AISBREAKER_TRUSTED_PROXIES", "127.0.0.1"),
        ("AISBREAKER_SERVER_QUOTAS", &*ample),
        ("AISBREAKER_DEFAULT_QUOTAS", &*ample),
    ];
    let server = start(&file, &environment);
    let mut connection = server.connect();
    for client in 0..100_000_u32 {
        let address = std::net::Ipv4Addr::from_bits((11 << 24) + client).to_string();
        let response =
            connection.send(&Request::process(&dummy_call()).header("X-Forwarded-For", &address));
        assert_eq!(response.status, 200);
    }
    drop(connection);
    let stopping = Instant::now();
    stop(server);
    let stop_time = stopping.elapsed();

    let starting = Instant::now();
    let restarted = start(&file, &environment);
    let start_time = starting.elapsed();

    let line = wait_for_message(&restarted, "counters go on from the state file");
    assert_eq!(line["counters"], 200_002);
    println!(
        "{} bytes, stop {stop_time:?}, start {start_time:?}",
        fs::metadata(&file).unwrap().len()
    );
}
