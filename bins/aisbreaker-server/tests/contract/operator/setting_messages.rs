//! What the server says of settings that it cannot use, and of those that it uses.

use serde_json::{Value, json};

use crate::support::{ConfigFile, KEY, Provider, Server, refused_start};

const SEALING: (&str, &str) = ("AUTH_ENCRYPTION_KEYPHRASE", KEY);
const SECRET: &str = "canary-Xv4kRz8mTq2wNb7p";

#[track_caller]
fn assert_says(errors: &str, expected: &[&str]) {
    for text in expected {
        assert!(errors.contains(text), "{text} is not in:\n{errors}");
    }
    assert!(!errors.contains("canary"), "a secret is shown:\n{errors}");
}

#[test]
fn broken_file_is_named_with_line_column_and_reason() {
    let rows = [
        (
            format!("# comment\nlisten = \"127.0.0.1:0\"\nkeys.sealing = {SECRET}\n"),
            "line 3, column 16: string values must be quoted",
        ),
        (
            format!("mint.secret = \"{SECRET}\"\nmint.secret = \"{SECRET}\"\n"),
            "line 2, column 6: duplicate key",
        ),
        (
            format!("\n\n[keys\nsealing = \"{SECRET}\"\n"),
            "line 3, column 6: unclosed table",
        ),
        (
            format!("listen = \"ü\"\nmint = {{ secret = \"{SECRET}\""),
            "line 2, column ",
        ),
        (
            format!("admin_secret = \"{SECRET}\nlisten = 1"),
            "line 1, column ",
        ),
    ];
    for (text, place) in rows {
        let file = ConfigFile::new(&text);

        let errors = refused_start(&["--config", file.path()], &[SEALING]);

        let expected = format!("configuration file {} is not valid TOML: ", file.path());
        assert_says(&errors, &[&expected, place]);
    }
}

#[test]
fn file_that_cannot_be_read_is_named_with_the_reason() {
    let folder = std::env::temp_dir();
    for (path, reason) in [
        ("/no/such/file.toml", "No such file or directory"),
        (folder.to_str().unwrap(), "Is a directory"),
        ("missing.toml", "No such file or directory"),
    ] {
        let errors = refused_start(&["--config", path], &[SEALING]);

        let expected = format!("configuration file cannot be read: {path}: {reason}");
        assert_says(&errors, &[&expected]);
    }
}

#[test]
fn bad_list_entry_is_named_by_position_and_value() {
    let file = ConfigFile::new(
        "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/99\"]\n\
         public_hosts = [\"https://a.example\"]\n\
         egress.allow = [\"http://localhost:1\", \"localhost:2\", \"x://\"]\n\
         mint.services = [\"chat:openai.com\", \"chat:\\u0007\"]\n\
         services.\"chat:openai.com\".origins = [\"ftp://a.example\"]\n",
    );
    let path = file.path();

    let errors = refused_start(&["--config", path], &[SEALING]);

    assert_says(
        &errors,
        &[
            &format!("trusted_proxies in {path} entry 2 \"10.0.0.0/99\" is not a network"),
            &format!("public_hosts in {path} entry 1 \"https://a.example\" is not a host name"),
            &format!("egress.allow in {path} entry 2 \"localhost:2\" must be an origin"),
            "; entry 3 \"x://\" must be an origin",
            &format!("mint.services in {path} entry 2 is not a service id"),
            &format!("origins in {path} entry 1 \"ftp://a.example\" is not an origin"),
        ],
    );
}

#[test]
fn bad_list_entry_that_may_be_secret_is_named_by_position() {
    let errors = refused_start(
        &[],
        &[
            SEALING,
            ("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", "'canary' canary\""),
            ("AISBREAKER_TRUSTED_PROXIES", &format!("::1,{SECRET}")),
            ("AISBREAKER_EGRESS_ALLOW", "http://canary:canary@localhost"),
        ],
    );

    assert_says(
        &errors,
        &[
            "AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES entry 1 must not begin or end",
            "; entry 2 must not begin or end",
            "AISBREAKER_TRUSTED_PROXIES entry 2 is not a network",
            "AISBREAKER_EGRESS_ALLOW entry 1 must be an origin",
        ],
    );
}

#[test]
fn unknown_keys_name_the_one_that_was_meant() {
    let file = ConfigFile::new(
        "public_host = [\"a.example\"]\nmystery = 1\n[log]\nlisten = \"x\"\n\
         [services.\"chat:openai.com\"]\norigin = \"x\"\n[services.\"chat:openai.con\"]\nengine = \"x\"\n",
    );
    let path = file.path();

    let errors = refused_start(&["--config", path], &[SEALING]);

    assert_says(
        &errors,
        &[
            &format!("public_host in {path} is not a setting; did you mean public_hosts?"),
            &format!("mystery in {path} is not a setting\n"),
            &format!("log.listen in {path} is not a setting; did you mean listen, above"),
            "is not a setting; did you mean origins?",
            "did you mean chat:openai.com?",
        ],
    );
}

#[test]
fn unknown_variables_are_faults_if_strict_and_warnings_otherwise() {
    let typo = ("AISBREAKER_PUBLIC_HOST", "canary.example");
    let expected = "AISBREAKER_PUBLIC_HOST is not a setting; did you mean AISBREAKER_PUBLIC_HOSTS?";
    let file = ConfigFile::new("strict = true\n");
    for (arguments, environment) in [
        (&["--strict"] as &[&str], &[SEALING, typo] as &[_]),
        (&[], &[SEALING, typo, ("AISBREAKER_STRICT", "true")]),
        (&["--config", file.path()], &[SEALING, typo]),
    ] {
        assert_says(&refused_start(arguments, environment), &[expected]);
    }

    let server = Server::start(&[typo]);
    let line = server.wait_for_log("the warning", |line| line["variable"] == typo.0);
    let message = line["message"].as_str().unwrap();
    assert_eq!(line["level"], "WARN");
    assert!(
        message.ends_with("did you mean AISBREAKER_PUBLIC_HOSTS?"),
        "{message}"
    );
    // A flag beats the file.
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--strict=false",
        "--config",
        file.path(),
    ];
    assert_eq!(
        Server::start_with(&arguments, &[SEALING, typo])
            .get("/healthz")
            .status,
        200
    );
}

/// A service that is called like the program adds variables to all containers beside it.
#[test]
fn links_of_kubernetes_are_no_settings_and_no_faults() {
    let links = [
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
        ("AISBREAKER_SERVICE_HOST", "10.0.0.2"),
        ("AISBREAKER_SERVICE_PORT_HTTP", "3000"),
        ("AISBREAKER_PORT", "tcp://10.0.0.2:3000"),
        ("AISBREAKER_PORT_3000_TCP_ADDR", "10.0.0.2"),
        ("AISBREAKER_STRICT", "true"),
    ];

    let server = Server::start(&links);

    assert_eq!(server.get("/healthz").status, 200);
    assert!(!server.log().contains("not a setting"), "{}", server.log());
    let outside = refused_start(&[], &[SEALING, links[3], links[5]]);
    assert_says(
        &outside,
        &["AISBREAKER_PORT is not a setting; did you mean PORT?"],
    );
}

#[test]
fn setting_without_what_it_needs_is_named_as_it_was_given() {
    let file = ConfigFile::new("replicas = 2\n");
    let without =
        "has no effect without AISBREAKER_REDIS_URL, or redis.url in the configuration file";

    let errors = refused_start(&["--config", file.path()], &[SEALING]);
    assert_says(
        &errors,
        &[&format!("replicas in {} {without}", file.path())],
    );
    assert!(!errors.contains("AISBREAKER_REPLICAS"), "{errors}");
    let errors = refused_start(&[], &[SEALING, ("AISBREAKER_REPLICAS", "2")]);
    assert_says(&errors, &[&format!("AISBREAKER_REPLICAS {without}")]);
}

#[test]
fn names_to_listen_on_are_resolved_at_start() {
    for (listen, name) in [("localhost:0", "localhost"), ("LocalHost.:0", "LocalHost.")] {
        let server = Server::start_with(&["--listen", listen], &[SEALING]);

        assert!(server.address().ip().is_loopback());
        let line = server.wait_for_log("the address", |line| line["setting"] == "listen");
        assert_eq!(line["name"], name);
        assert_eq!(line["address"], "127.0.0.1");
    }
    for (listen, problem) in [
        (
            "localhost",
            "--listen must be an IP address or a host name, and a port",
        ),
        (
            "127.1:3000",
            "--listen must be an IP address or a host name, and a port",
        ),
        (
            "[localhost]:3000",
            "--listen must be an IP address or a host name, and a port",
        ),
        (
            "no-such-host.invalid:3000",
            "--listen has a host name that cannot be resolved",
        ),
    ] {
        let errors = refused_start(&["--listen", listen], &[SEALING]);
        assert_says(&errors, &[problem]);
    }
}

#[test]
fn address_in_use_is_reported_with_its_setting() {
    let occupied = Provider::trap().address().to_string();
    let environment = [SEALING, ("AISBREAKER_METRICS_LISTEN", &*occupied)];

    let errors = refused_start(&["--listen", "127.0.0.1:0"], &environment);
    let expected = format!("metrics.listen: cannot listen on {occupied}: Address");
    assert_says(&errors, &[&expected]);
    let errors = refused_start(&["--listen", &occupied], &[SEALING]);
    assert_says(
        &errors,
        &[&format!(" listen: cannot listen on {occupied}: Address")],
    );
}

#[test]
fn settings_in_effect_are_logged_once_at_start() {
    let in_effect = |environment: &[(&str, &str)]| -> (Value, String) {
        let server = Server::start(environment);
        let line = server.wait_for_log("the settings", |line| {
            line["message"] == "settings in effect"
        });
        assert_eq!(line["listen"], server.address().to_string());
        assert_eq!(server.log().matches("settings in effect").count(), 1);
        (line, server.log())
    };

    let (open, _) = in_effect(&[]);
    assert_eq!(open["minting"], "open to anyone");
    assert_eq!(open["key_required"], false);
    assert_eq!(open["opening_kids"], "");
    assert_eq!(open["metrics_listen"], Value::Null);

    let former = "c2VydmVyLWtleS1mb3ItdGhlLXRlc3RzLTMyLWJ5dGF";
    let (closed, log) = in_effect(&[
        ("AISBREAKER_MINT_SECRET", SECRET),
        ("AISBREAKER_REQUIRE_KEY", "true"),
        ("AISBREAKER_METRICS_LISTEN", "localhost:0"),
        ("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", former),
    ]);
    assert_eq!(closed["minting"], "with the minting secret only");
    assert_eq!(closed["key_required"], true);
    assert_eq!(closed["kid"], open["kid"]);
    let opening = closed["opening_kids"].as_str().unwrap();
    assert!(
        opening.len() == 6 && json!(opening) != closed["kid"],
        "{closed}"
    );
    let metrics = closed["metrics_listen"].as_str().unwrap();
    assert!(
        metrics.starts_with("127.0.0.1:") && !metrics.ends_with(":0"),
        "{metrics}"
    );
    for secret in [SECRET, former, KEY] {
        assert!(!log.contains(secret), "{log}");
    }
}
