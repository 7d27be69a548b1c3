//! A reload that is refused changes nothing, and says why in one line that repeats no value.

use std::{fs, path::Path};

use serde_json::json;

use crate::support::{ConfigFile, KEY, ReloadableServer, Request, dummy_call, tls::Certificate};

const CANARY: &str = "Xv4kRz8mTq2wNb7pJc9y";

/// Asserts that the server does not have `max_expiration = "1d"`, which all refused files have.
#[track_caller]
fn assert_unchanged(server: &ReloadableServer) {
    let request = json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": "30d"});
    let minted = server.send(&Request::mint(&request));
    assert_eq!(minted.status, 200, "{minted:?}");
    let key = minted.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(server.process(&key, &dummy_call()).status, 200);
}

#[test]
fn faults_are_named_in_one_line() {
    let server = ReloadableServer::start("");
    let rows: [(&str, &[&str]); 7] = [
        (
            "require_key = \"Xv4kRz8mTq2wNb7pJc9y\"",
            &["require_key in ", " must be true or false"],
        ),
        ("mystery = \"Xv4kRz8mTq2wNb7pJc9y\"", &["mystery"]),
        (
            "mint.secret = \"short\"\nlog.filter = \"a=b=c\"",
            &["mint.secret", "log.filter"],
        ),
        (
            "keys.opening = [\"Xv4kRz8mTq2wNb7pJc9y\", \"\"]\npublic_hosts = 1",
            &["public_hosts"],
        ),
        ("[[provider]]\nid = \"a/b\"\nopenai = \"\"", &["provider"]),
        (
            "trusted_proxies = [\"Xv4kRz8mTq2wNb7pJc9y\"]",
            &["trusted_proxies"],
        ),
        (
            "keys = { sealing = \"Xv4kRz8mTq2wNb7pJc9y\"",
            &["configuration file"],
        ),
    ];
    for (text, names) in rows {
        let cause = server.refuse(&format!("max_expiration = \"1d\"\n{text}"));
        for name in names {
            assert!(cause.contains(name), "{name}: {cause}");
        }
        assert!(!cause.contains('\n'), "{cause}");
        assert!(!cause.contains("cannot start"), "{cause}");
        assert_unchanged(&server);
    }
    server.file().remove();
    assert!(server.refuse_file().contains("configuration file"));
    assert_unchanged(&server);
    assert!(!server.log().contains(CANARY), "{}", server.log());

    server.reload("");
}

#[test]
fn settings_that_need_a_restart_are_named() {
    let server = ReloadableServer::start(
        "max_requests = 100\nredis.prefix = \"a\"\nredis.url = \"redis://127.0.0.1:1/\"\n",
    );
    let cause = server.refuse(&format!(
        "max_expiration = \"1d\"\nbody_timeout = \"59s\"\nconnect_timeout = \"1s\"\ndrain_delay = \"1s\"\n\
         drain_timeout = \"1s\"\nheader_timeout = \"1s\"\nidle_timeout = \"1s\"\nlog.format = \"text\"\n\
         log.max_per_second = 7\nmax_answer_bytes = 1000\nmax_body_bytes = 1000\n\
         max_buffered_bytes = 100000\nmax_connections = 9\nmax_counters = 9\n\
         max_provider_connections = 9\nmax_upload_bytes = 1000\nmetrics.listen = \"127.0.0.1:1\"\npool_idle_timeout = \"1s\"\n\
         pool_idle_timeout_https = \"1s\"\nprovider_timeout = \"1s\"\nquotas.lease = 5\n\
         quotas.on_store_failure = \"open\"\nredis.timeout = \"1s\"\n\
         redis.url = \"redis://u:{CANARY}@127.0.0.1:1/\"\nreplicas = 2\nrevoked_file = \"/tmp/x\"\n\
         state_file = \"/tmp/y\"\nstate_interval = \"1s\"\nstream_idle_timeout = \"1s\"\n\
         stream_keep_alive = \"1s\"\n"
    ));
    // `log.format`, `log.max_per_second` and `metrics.listen` are in the environment, which beats the
    // file.
    assert_eq!(
        cause,
        "only a restart can change body_timeout, connect_timeout, drain_delay, drain_timeout, \
         header_timeout, idle_timeout, max_answer_bytes, max_body_bytes, max_buffered_bytes, \
         max_connections, max_counters, max_provider_connections, max_requests, max_upload_bytes, \
         pool_idle_timeout, pool_idle_timeout_https, provider_timeout, quotas.lease, quotas.on_store_failure, \
         redis.prefix, redis.timeout, redis.url, replicas, revoked_file, state_file, state_interval, \
         stream_idle_timeout, stream_keep_alive"
    );
    assert_unchanged(&server);
    assert!(!server.log().contains(CANARY), "{}", server.log());
    // Written in another way, or as the default, a value is the same.
    server.reload(
        "max_requests = \"100\"\nbody_timeout = \"60s\"\nredis.prefix = \"a\"\n\
         redis.url = \"redis://127.0.0.1:1/\"\n",
    );
}

#[test]
fn another_authority_in_the_same_file_needs_a_restart() {
    let pem = || Certificate::new().x509.to_pem().unwrap();
    let authority = ConfigFile::new(&String::from_utf8(pem()).unwrap());
    let text = format!(
        "redis.url = \"rediss://127.0.0.1:1/\"\nredis.ca_file = \"{}\"\n",
        authority.path()
    );
    let server = ReloadableServer::start(&text);
    server.reload(&text);
    authority.replace(&String::from_utf8(pem()).unwrap());
    assert_eq!(
        server.refuse(&text),
        "only a restart can change redis.ca_file"
    );
}

#[test]
fn an_unreadable_file_of_revoked_keys_is_a_fault() {
    let name = format!("revoked-{}-reload", std::process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let [_file, _directory] = [fs::remove_file(&path), fs::remove_dir(&path)];
    let server = ReloadableServer::start(&format!("revoked_file = {path:?}"));
    fs::create_dir(&path).unwrap();
    let cause = server.refuse(&format!("max_expiration = \"1d\"\nrevoked_file = {path:?}"));
    assert!(cause.starts_with("revoked_file cannot be read"), "{cause}");
    assert_unchanged(&server);

    fs::remove_dir(&path).unwrap();
    server.reload(&format!("revoked_file = {path:?}"));
}

#[test]
fn flags_and_environment_are_those_of_the_start() {
    let environment = [
        ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
        ("AISBREAKER_REQUIRE_KEY", "true"),
    ];
    let server = ReloadableServer::start_with(&environment, "");
    assert_eq!(server.process("", &dummy_call()).status, 401);
    server.reload("require_key = false\nlisten = \"127.0.0.1:1\"");
    assert_eq!(server.process("", &dummy_call()).status, 401);
    assert_eq!(server.get("/readyz").status, 200);
}
