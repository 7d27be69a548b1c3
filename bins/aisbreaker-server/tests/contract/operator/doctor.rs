//! `aisbreaker-server doctor`: what it finds, and that it changes nothing and shows no secret.

use std::{env, fs, path::PathBuf, process};

use serde_json::Value;

use crate::{
    redis_server::RedisServer,
    support::{ConfigFile, KEY, Provider, Server, closed_url, run},
};

const SECRET: &str = "dr-canary-5Tz9rWk2LpXc7Nf5";
const ALLOW: (&str, &str) = ("AISBREAKER_EGRESS_ALLOW", "127.0.0.0/8");
const FREE: (&str, &str) = ("AISBREAKER_LISTEN", "127.0.0.1:0");
const SEALING: (&str, &str) = ("AUTH_ENCRYPTION_KEYPHRASE", KEY);

/// A finding: the check, the status, and a part of its message.
type Found<'a> = (&'a str, &'a str, &'a str);

/// Arguments, the environment, and what is found.
type Row<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], Found<'a>);

/// Runs `doctor --json`. Returns its exit code, its findings and its errors.
fn doctor(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, Vec<Value>, String) {
    let output = run(&[&["doctor", "--json"], arguments].concat(), environment);
    let errors = String::from_utf8(output.stderr).unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(!shown.contains(SECRET) && !shown.contains(KEY), "{shown}");
    let findings = serde_json::from_str(&shown).expect("a JSON array");
    (output.status.code(), findings, errors)
}

#[track_caller]
fn assert_found(findings: &[Value], (check, status, message): Found<'_>) {
    let is_it = |finding: &&Value| {
        finding["check"] == check
            && finding["status"] == status
            && finding["message"].as_str().unwrap().contains(message)
    };
    let Some(finding) = findings.iter().find(is_it) else {
        panic!("no {check} {status} {message} in {findings:#?}");
    };
    // Whatever is not well has one line of advice.
    let advice = finding["advice"].as_str();
    let needs_advice = ["warn", "fail"].contains(&status);
    assert_eq!(advice.is_some(), needs_advice, "{finding}");
    assert!(advice.is_none_or(|text| !text.is_empty() && !text.contains('\n')));
}

/// A provider that answers with this date.
fn provider_at(date: &'static str) -> Provider {
    Provider::start(move |_, wire| {
        wire.respond(404, &[("Date", date), ("Content-Length", "0")], "");
    })
}

fn provider_row(url: &str) -> ConfigFile {
    ConfigFile::new(&format!(
        "[[provider]]\nid = \"llm.example\"\nurl = \"{url}\"\nopenai = \"/v1\"\n"
    ))
}

/// A path for one test, where nothing is.
fn scratch(name: &str) -> PathBuf {
    let path = env::temp_dir().join(format!("aisbreaker-doctor-{}-{name}", process::id()));
    let _absent = fs::remove_file(&path);
    path
}

#[test]
fn a_sound_machine_passes_all_checks() {
    let now = httpdate_now();
    let provider = Provider::start(move |_, wire| {
        wire.respond(404, &[("Date", &now), ("Content-Length", "0")], "");
    });
    let config = provider_row(&provider.url());
    let (state, revoked) = (scratch("state"), scratch("revoked"));
    let (state, revoked) = (state.display().to_string(), revoked.display().to_string());
    let environment = [
        SEALING,
        ALLOW,
        FREE,
        ("AISBREAKER_CONFIG", config.path()),
        ("AISBREAKER_PUBLIC_HOSTS", "localhost"),
        ("AISBREAKER_STATE_FILE", &state),
        ("AISBREAKER_REVOKED_FILE", &revoked),
        ("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0"),
    ];

    let (code, findings, errors) = doctor(&[], &environment);

    assert_eq!(code, Some(0), "{errors} {findings:#?}");
    for found in [
        ("settings", "ok", "can be used"),
        ("files", "ok", "AISBREAKER_STATE_FILE has 0"),
        ("files", "ok", "AISBREAKER_REVOKED_FILE has 0"),
        ("port", "ok", "listen: 127.0.0.1:0"),
        ("port", "ok", "metrics.listen: "),
        ("names", "ok", "localhost is "),
        ("provider", "ok", &provider.url()),
        ("clock", "ok", "agrees"),
        ("redis", "skip", "no store"),
    ] {
        assert_found(&findings, found);
    }
    assert_eq!(findings.len(), 9, "{findings:#?}");
    // Called once, without a credential, and no file was made.
    let request = provider.only_request();
    assert_eq!((&*request.method, &*request.target), ("GET", "/"));
    assert_eq!(request.header("authorization"), None);
    assert!(!fs::exists(&state).unwrap() && !fs::exists(&revoked).unwrap());

    let text = run(&["doctor"], &environment);
    let text = String::from_utf8(text.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 9, "{text}");
    let is_well = |line: &str| line.starts_with("ok ") || line.starts_with("skip ");
    assert!(lines.iter().all(|line| is_well(line)), "{text}");
}

#[test]
fn a_store_that_answers_is_well() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let (code, findings, _) = doctor(&[], &[FREE, ("AISBREAKER_REDIS_URL", &redis.url())]);
    assert_eq!(code, Some(0), "{findings:#?}");
    assert_found(&findings, ("redis", "ok", "answers"));
}

/// The time of this machine as HTTP writes it.
fn httpdate_now() -> String {
    let output = process::Command::new("date")
        .args(["-u", "+%a, %d %b %Y %H:%M:%S GMT"])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn each_fault_is_found_and_fails_the_command() {
    let old = provider_at("Sun, 06 Nov 1994 08:49:37 GMT");
    let cut = Provider::start(|_, wire| wire.write("220 mail ready\r\n"));
    let closed = closed_url();
    let row = |url: &str| provider_row(url);
    let (late, refused, forbidden) = (row(&old.url()), row(&closed), row(&old.url()));
    let (no_http, no_name) = (row(&cut.url()), row("https://doctor.invalid"));
    let no_tls = row(&old.url().replace("http:", "https:"));
    let redis = closed.replace("http://", &format!("redis://:{SECRET}@"));
    let (garbage, nowhere) = (scratch("garbage"), "/nonexistent/aisbreaker/revoked");
    fs::write(&garbage, "no counters").unwrap();
    let garbage_path = garbage.display().to_string();
    let rows: [Row<'_>; 12] = [
        (
            &[],
            &[("AISBREAKER_MAX_REQUESTS", SECRET)],
            ("settings", "fail", "AISBREAKER_MAX_REQUESTS"),
        ),
        (
            &[],
            &[("AISBREAKER_LISTEN", "192.0.2.1:4711")],
            ("port", "fail", "192.0.2.1:4711"),
        ),
        (
            &[],
            &[("AISBREAKER_REVOKED_FILE", nowhere)],
            ("files", "fail", "/nonexistent/aisbreaker"),
        ),
        (
            &[],
            &[("AISBREAKER_STATE_FILE", &garbage_path)],
            ("files", "fail", "would be set aside"),
        ),
        (
            &[],
            &[ALLOW, ("AISBREAKER_CONFIG", late.path())],
            ("clock", "fail", "differs by"),
        ),
        (
            &[],
            &[ALLOW, ("AISBREAKER_CONFIG", refused.path())],
            ("provider", "fail", "refused"),
        ),
        (
            &[],
            &[("AISBREAKER_CONFIG", forbidden.path())],
            ("provider", "fail", "not allowed"),
        ),
        (
            &[],
            &[ALLOW, ("AISBREAKER_CONFIG", no_http.path())],
            ("provider", "fail", "not valid HTTP"),
        ),
        (
            &[],
            &[ALLOW, ("AISBREAKER_CONFIG", no_tls.path())],
            ("provider", "fail", "TLS"),
        ),
        (
            &[],
            &[("AISBREAKER_CONFIG", no_name.path())],
            ("provider", "fail", "doctor.invalid"),
        ),
        (
            &["--provider", "nobody"],
            &[],
            ("provider", "fail", "nobody is not in"),
        ),
        (
            &[],
            &[("AISBREAKER_REDIS_URL", &redis)],
            ("redis", "fail", ""),
        ),
    ];
    for (arguments, environment, found) in rows {
        let environment = [&[SEALING], environment].concat();
        let is_listening = environment
            .iter()
            .any(|(name, _)| *name == "AISBREAKER_LISTEN");
        let environment = match is_listening {
            true => environment,
            false => [&environment[..], &[FREE]].concat(),
        };
        let (code, findings, errors) = doctor(arguments, &environment);
        assert_found(&findings, found);
        assert_eq!(code, Some(1), "{found:?}: {findings:#?}");
        assert!(
            errors.contains("1 check failed"),
            "{found:?}: {errors} {findings:#?}"
        );
    }
    assert_eq!(fs::read_to_string(&garbage).unwrap(), "no counters");
    fs::remove_file(garbage).unwrap();
}

#[test]
fn what_may_be_a_mistake_is_a_warning() {
    let server = Server::start(&[]);
    let address = server.address().to_string();
    let environment = [
        ("AISBREAKER_LISTEN", &*address),
        ("AISBREAKER_PUBLIC_HOSTS", "doctor.invalid"),
        ("AISBREAKER_PUBLIC_HOST", SECRET),
        ("AISBREAKER_EGRESS_ALLOW", "10.0.0.0/8"),
        ("AISBREAKER_EGRESS_ALLOW_CALLERS", "true"),
    ];

    let (code, findings, errors) = doctor(&[], &environment);

    assert_eq!(code, Some(0), "{errors} {findings:#?}");
    for found in [
        (
            "settings",
            "warn",
            "AISBREAKER_PUBLIC_HOST is not a setting",
        ),
        ("settings", "warn", "AUTH_ENCRYPTION_KEYPHRASE is not set"),
        ("settings", "warn", "any client reaches"),
        ("port", "warn", "in use"),
        ("names", "warn", "doctor.invalid has no address"),
        ("provider", "skip", "none is configured"),
        ("clock", "skip", ""),
        ("redis", "skip", ""),
    ] {
        assert_found(&findings, found);
    }
}
