//! `aisbreaker-server demo`: what it prints works when it is pasted, and nothing is left of it.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};

use crate::support::{Connection, KEY, Request, Response, call, dummy_call, run, service_at};

/// The last line before those of the log.
const LAST_LINE: &str = "Each call has a line below.";

/// A demo that runs, in an empty directory of its own.
struct Demo {
    child: Child,
    stdout: BufReader<ChildStdout>,
    directory: PathBuf,
    printed: String,
}

impl Demo {
    fn start(environment: &[(&str, &str)]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("aisbreaker-demo-{}-{number}", std::process::id());
        let directory = env::temp_dir().join(name);
        fs::create_dir(&directory).expect("a directory");
        let mut child = Command::new(env!("CARGO_BIN_EXE_aisbreaker-server"))
            .args(["demo", "--listen", "127.0.0.1:0"])
            .env_clear()
            .envs(environment.iter().copied())
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("its standard output"));
        let mut printed = String::new();
        while !printed.contains(LAST_LINE) {
            let read = stdout.read_line(&mut printed).expect("a line");
            assert!(read > 0, "it ended: {printed}");
        }
        Self {
            child,
            stdout,
            directory,
            printed,
        }
    }

    /// Returns the lines to paste.
    fn lines(&self) -> Vec<&str> {
        let (_, after) = self.printed.split_once("another terminal:").unwrap();
        let (lines, _) = after.split_once(LAST_LINE).unwrap();
        lines.trim().lines().collect()
    }

    /// Returns the word after this label.
    fn word_after(&self, label: &str) -> &str {
        let lines = self.printed.lines().map(str::trim);
        let mut found = lines.filter_map(|line| line.strip_prefix(label));
        found.next().expect("the label").trim()
    }

    fn key(&self) -> &str {
        self.word_after("Key ")
    }

    /// Sends a request to what is printed after this label, by the name and the port of its URL.
    fn send_to(&self, label: &str, request: Request) -> Response {
        let url = self.word_after(label);
        let authority = url.strip_prefix("http://").unwrap();
        let authority = authority.strip_suffix("/console/").unwrap();
        let (host, port) = authority.split_once(':').unwrap();
        assert_eq!(host, "localhost");
        let address = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
        Connection::open(address).send(&request.set("Host", authority))
    }

    fn send(&self, request: Request) -> Response {
        self.send_to("Console ", request)
    }

    /// Sends the signal of Ctrl-C. Returns what is printed at the end, and the log.
    fn interrupt(mut self) -> (String, String) {
        let script = format!("kill -INT {}", self.child.id());
        let status = Command::new("sh").args(["-c", &script]).status();
        assert!(status.unwrap().success());
        let (mut last, mut log) = (String::new(), String::new());
        self.stdout.read_to_string(&mut last).unwrap();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut log).unwrap();
        assert!(self.child.wait().unwrap().success(), "{log}");
        let left: Vec<_> = fs::read_dir(&self.directory).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        (last, log)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ended_or_killed = self.child.kill();
        let _waited = self.child.wait();
        let _removed = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn the_printed_lines_work_when_they_are_pasted() {
    let demo = Demo::start(&[]);
    let lines = demo.lines();
    assert_eq!(lines.len(), 3, "{lines:#?}");

    let output = Command::new("sh")
        .args(["-euc", &lines.join("\n")])
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap())
        .output()
        .unwrap();

    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let (stream, quota) = printed.split_once("data: [DONE]").expect("a whole stream");
    let chunks = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    let chunks: Vec<Value> = chunks
        .map(|chunk| serde_json::from_str(chunk).unwrap())
        .collect();
    assert!(chunks.len() > 3, "{chunks:?}");
    let pieces = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    let answer: String = pieces.collect();
    assert!(answer.contains("What is a gateway?"), "{answer}");
    // The call was made with the key, and counted.
    let quota: Value = serde_json::from_str(quota.trim()).unwrap();
    let limits = quota["limits"].as_array().unwrap();
    let minute = limits.iter().find(|limit| limit["window"] == "minute");
    assert_eq!(minute.unwrap()["limit"], 60, "{quota}");
    assert_eq!(minute.unwrap()["remaining"], 59, "{quota}");
    let (_, log) = demo.interrupt();
    assert!(log.contains("chat/completions"), "{log}");
}

#[test]
fn the_pages_are_where_it_says() {
    let demo = Demo::start(&[]);
    let console = demo.send(Request::get("/console/"));
    let live = demo.send_to("Metrics ", Request::get("/console/"));
    for response in [&console, &live] {
        assert_eq!(response.status, 200, "{response:?}");
        super::assert_is_secured("demo", response);
    }
    assert_ne!(console.body, live.body);
    let metrics = demo.send_to("Metrics ", Request::get("/metrics"));
    let minted = "aisbreaker_keys_minted_total{outcome=\"minted\"} 1";
    assert!(metrics.text().contains(minted), "{}", metrics.text());
}

#[test]
fn anyone_may_mint_any_key_and_budgets_last_as_long_as_it_does() {
    let demo = Demo::start(&[]);
    let grant = json!({
        "serviceSecrets": [{"serviceId": "chat:openai.com", "authSecret": "sk-example"}],
        "budgets": {"global": {"usdTotal": "5"}},
    });
    let body = json!({"requestAuthAndQuotas": grant});

    let minted = demo.send(Request::mint(&body));

    assert_eq!(minted.status, 200, "{minted:?}");
    assert_eq!(minted.json()["warnings"], Value::Null, "{minted:?}");
    let key = minted.json()["access_token"].as_str().unwrap().to_owned();
    let quota = demo.send(Request::get("/api/v1/quota").bearer(&key));
    assert_eq!(quota.status, 200, "{quota:?}");
    assert!(quota.text().contains("lifetime"), "{quota:?}");
}

#[test]
fn it_ends_with_the_signal_and_its_keys_with_it() {
    let demo = Demo::start(&[]);
    let key = demo.key().to_owned();
    let quota = |demo: &Demo| demo.send(Request::get("/api/v1/quota").bearer(&key)).status;
    assert_eq!(quota(&demo), 200);

    let (last, log) = demo.interrupt();

    assert!(last.contains("has ended"), "{last}");
    assert!(!log.contains(&key), "{log}");
    assert_eq!(quota(&Demo::start(&[])), 401);
}

#[test]
fn settings_of_the_environment_are_named_and_ignored() {
    let environment = [
        ("AISBREAKER_ADMIN_SECRET_FILE", "/no/such/secret-file"),
        ("AISBREAKER_CONFIG", "/no/such/config-file"),
        ("AISBREAKER_CONSOLE", "off"),
        ("AISBREAKER_EGRESS_ALLOW", "127.0.0.0/8"),
        ("AISBREAKER_MINT_SECRET", "canary-of-the-mint"),
        ("AISBREAKER_REQUIRE_KEY", "true"),
        ("AISBREAKER_REVOKED_FILE", "revoked"),
        ("AISBREAKER_STATE_FILE", "state"),
        ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
        ("DEFAULT_AISBREAKER_API_KEY", "aisbreaker_canary"),
        ("PORT", "canary-of-the-port"),
    ];
    let other = [
        ("HOME", "/no/such/home"),
        ("CREDENTIALS_DIRECTORY", "/no/such/credentials"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.invalid"),
    ];
    let demo = Demo::start(&[&environment[..], &other].concat());

    let names = environment.map(|(name, _)| name).join(", ");
    let sentence = format!("The demo ignores {names}.\n");
    assert!(demo.printed.starts_with(&sentence), "{}", demo.printed);
    assert_eq!(demo.send(Request::get("/console/")).status, 200);
    let dummy = Request::process(&dummy_call());
    assert_eq!(demo.send(dummy).status, 200, "no key is required");
    let local = service_at("chat:openai.com", "http://127.0.0.1:9");
    let refused = demo.send(Request::process(&call(local, "Hi")).bearer("sk-example"));
    assert_eq!(refused.status, 403, "{refused:?}");
    let printed = demo.printed.clone();
    let (last, log) = demo.interrupt();
    let all = [printed, last, log].concat();
    for (name, value) in environment.into_iter().chain(other) {
        let is_word = ["off", "true", "state", "revoked"].contains(&value);
        assert!(is_word || !all.contains(value), "the value of {name}");
    }
}

#[test]
fn it_takes_no_setting_but_the_address() {
    for (arguments, flag) in [
        (&["demo", "--config", "file"][..], "--config"),
        (&["--strict", "demo"][..], "--strict"),
        (&["demo", "--console", "off"][..], "--console"),
    ] {
        let output = run(arguments, &[]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let expected = format!("the demo takes no {flag}");
        assert!(errors.contains(&expected), "{errors}");
        assert!(output.stdout.is_empty());
    }
    let help = run(&["--help"], &[]).stdout;
    assert!(String::from_utf8(help).unwrap().contains("\n  demo "));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let demo = Demo::start(&[]);
    let (_, port) = demo.word_after("Console ").rsplit_once(':').unwrap();
    let address = format!("127.0.0.1:{}", port.trim_end_matches("/console/"));

    let output = run(&["demo", "--listen", &address], &[]);

    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("cannot listen on {address}");
    assert!(errors.contains(&expected), "{errors}");
}
