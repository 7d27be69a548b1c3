//! Contract section 1: settings, their sources, and the command line.

use serde_json::{Value, json};

use crate::support::{
    ConfigFile, KEY, Request, Server, call, dummy_call, refused_start, run, service,
};

#[test]
fn all_faults_are_reported_at_once_without_values() {
    // Entries of lists are repeated, but for those that look like secrets.
    let rows = [
        ("AUTH_ENCRYPTION_KEYPHRASE", "canary"),
        ("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", ""),
        ("DEFAULT_AISBREAKER_API_KEY", "canary-key"),
        ("AISBREAKER_LISTEN", "canary"),
        ("AISBREAKER_PUBLIC_HOSTS", "api.example.com,canary host"),
        (
            "AISBREAKER_TRUSTED_PROXIES",
            "10.0.0.0/8,canaryR4z8Tq2wNb7pJc9y",
        ),
        ("AISBREAKER_EGRESS_ALLOW", "http://localhost:1,canary://x@y"),
        ("AISBREAKER_SERVER_QUOTAS", "{\"canary\":1}"),
        ("AISBREAKER_DEFAULT_QUOTAS", "canary"),
        ("AISBREAKER_MINT_QUOTAS", "canary"),
        ("AISBREAKER_MAX_EXPIRATION", "canary"),
        ("AISBREAKER_MAX_BODY_BYTES", "canary"),
        ("AISBREAKER_MAX_BUFFERED_BYTES", "canary"),
        ("AISBREAKER_MAX_ANSWER_BYTES", "canary"),
        ("AISBREAKER_MAX_REQUESTS", "canary"),
        ("AISBREAKER_MAX_PROVIDER_CONNECTIONS", "0"),
        ("AISBREAKER_HEADER_TIMEOUT", "canary"),
        ("AISBREAKER_BODY_TIMEOUT", "0s"),
        ("AISBREAKER_CONNECT_TIMEOUT", "-1s"),
        ("AISBREAKER_PROVIDER_TIMEOUT", "canary"),
        ("AISBREAKER_STREAM_IDLE_TIMEOUT", "5"),
        ("AISBREAKER_STREAM_KEEP_ALIVE", "canary"),
        ("AISBREAKER_MAX_CONNECTIONS", "0"),
        ("AISBREAKER_DRAIN_TIMEOUT", "canary"),
        ("AISBREAKER_LOG", "canary=nonsense=x"),
        ("AISBREAKER_LOG_FORMAT", "canary"),
        ("PORT", "canary"),
    ];

    let errors = refused_start(&[], &rows);

    for (variable, value) in rows {
        if !value.is_empty() {
            assert!(errors.contains(variable), "{variable} is not in:\n{errors}");
        }
    }
    assert!(!errors.contains("canary"), "a value is repeated:\n{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}

#[test]
fn each_fault_alone_prevents_the_start() {
    let rows = [
        ("AUTH_ENCRYPTION_KEYPHRASE", "ninechars"),
        ("DEFAULT_AISBREAKER_API_KEY", "sk-no-key-of-ours"),
        ("AISBREAKER_LISTEN", "localhost"),
        ("AISBREAKER_PUBLIC_HOSTS", "https://api.example.com"),
        ("AISBREAKER_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("AISBREAKER_EGRESS_ALLOW", "localhost:11434"),
        ("AISBREAKER_EGRESS_ALLOW", "http://localhost:11434/v1"),
        ("AISBREAKER_EGRESS_ALLOW", "*"),
        ("AISBREAKER_SERVER_QUOTAS", "{}"),
        ("AISBREAKER_DEFAULT_QUOTAS", "[60, 360, 8640]"),
        ("AISBREAKER_MINT_QUOTAS", "30"),
        ("AISBREAKER_MAX_EXPIRATION", "forever"),
        ("AISBREAKER_MAX_BODY_BYTES", "0"),
        ("AISBREAKER_MAX_BODY_BYTES", "-1"),
        ("AISBREAKER_MAX_BODY_BYTES", "1e6"),
        ("AISBREAKER_MAX_CONNECTIONS", "many"),
        ("AISBREAKER_DRAIN_TIMEOUT", "30"),
        ("AISBREAKER_LOG_FORMAT", "xml"),
        ("AISBREAKER_CONFIG", "/no/such/file.toml"),
        ("PORT", "65536"),
        ("PORT", "http"),
    ];

    for (variable, value) in rows {
        let errors = refused_start(
            &[],
            &[("AUTH_ENCRYPTION_KEYPHRASE", KEY), (variable, value)],
        );
        let name = if variable == "AISBREAKER_CONFIG" {
            "configuration file"
        } else {
            variable
        };
        assert!(errors.contains(name), "{variable}={value}:\n{errors}");
    }
    let errors = refused_start(
        &["--listen", "nowhere"],
        &[("AUTH_ENCRYPTION_KEYPHRASE", KEY)],
    );
    assert!(errors.contains("--listen"), "{errors}");
}

#[test]
fn shortest_keyphrase_has_ten_characters() {
    // An empty phrase is a mistake, and does not ask for a random key.
    for phrase in ["123456789", ""] {
        let errors = refused_start(&[], &[("AUTH_ENCRYPTION_KEYPHRASE", phrase)]);
        assert!(errors.contains("AUTH_ENCRYPTION_KEYPHRASE"), "{errors}");
        assert!(!errors.contains("123456789"), "{errors}");
    }

    let server = Server::start(&[("AUTH_ENCRYPTION_KEYPHRASE", "1234567890")]);
    let key = server.mint_with_secrets(&json!([]));
    assert_eq!(server.process(&key, &dummy_call()).status, 200);
}

/// Files of variables end their lines with it, on Windows with two characters of which a shell
/// leaves the first.
#[test]
fn one_line_end_after_a_variable_is_dropped() {
    let key = Server::start(&[]).mint_with_secrets(&json!([]));
    for line_end in ["\n", "\r\n", "\r"] {
        let with_end = |text: &str| format!("{text}{line_end}");
        let server = Server::start(&[
            ("AUTH_ENCRYPTION_KEYPHRASE", &*with_end(KEY)),
            ("DEFAULT_AISBREAKER_API_KEY", &*with_end(&key)),
        ]);
        assert_eq!(server.process(&key, &dummy_call()).status, 200);
        assert_eq!(server.process("", &dummy_call()).status, 200);

        let rotated = Server::start(&[
            ("AUTH_ENCRYPTION_KEYPHRASE", "another phrase"),
            ("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", &*with_end(KEY)),
        ]);
        assert_eq!(rotated.process(&key, &dummy_call()).status, 200);

        let secret = with_end("minting-secret");
        let minting = Server::start(&[("AISBREAKER_MINT_SECRET", &*secret)]);
        let body = json!({"requestAuthAndQuotas": {}, "clientSecret": "minting-secret"});
        assert_eq!(minting.send(&Request::mint(&body)).status, 200);

        let file = ConfigFile::new("max_body_bytes = 1000\n");
        let configured = Server::start(&[("AISBREAKER_CONFIG", &*with_end(file.path()))]);
        let body = call(service("chat:dummy"), &"x".repeat(1000));
        assert_eq!(configured.process("", &body).status, 413);
    }
}

#[test]
fn secrets_surrounded_by_anything_else_prevent_the_start() {
    let api_key = Server::start(&[]).mint_with_secrets(&json!([]));
    let secrets = [
        ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
        ("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", KEY),
        ("DEFAULT_AISBREAKER_API_KEY", &*api_key),
        ("AISBREAKER_MINT_SECRET", "minting-secret"),
    ];
    let frames = [
        ("", "\n\n"),
        ("", "\r\r"),
        ("", " "),
        ("\t", ""),
        ("\n", ""),
        ("", "\u{a0}"),
        ("\u{feff}", ""),
        ("\"", "\""),
        ("'", "'"),
        ("\"", "\"\r\n"),
    ];
    for (before, after) in frames {
        let frame = format!("{before}x{after}");
        // White space separates the phrases that only open.
        let is_blank = frame
            .replace('x', "")
            .chars()
            .all(|c| c.is_ascii_whitespace())
            || after == "\u{a0}";
        let framed: Vec<_> = secrets
            .iter()
            .filter(|(name, _)| !(is_blank && name.starts_with("AUTH_ADDITIONAL")))
            .map(|(name, secret)| (*name, format!("{before}{secret}{after}")))
            .collect();
        let environment: Vec<_> = framed.iter().map(|(name, text)| (*name, &**text)).collect();
        let errors = refused_start(&[], &environment);
        for (name, _) in environment {
            assert!(
                errors.contains(name),
                "{frame:?}: {name} is not in:\n{errors}"
            );
        }
        for (_, secret) in secrets {
            assert!(
                !errors.contains(secret),
                "{frame:?}: a value is repeated:\n{errors}"
            );
        }
    }
}

#[test]
fn phrases_that_are_nearly_raw_keys_are_warned_about() {
    let shorter = &KEY[1..];
    let padded = format!("{KEY}=");
    let rows = [
        (KEY, "another phrase", vec![]),
        (shorter, KEY, vec!["AUTH_ENCRYPTION_KEYPHRASE"]),
        (&padded, KEY, vec!["AUTH_ENCRYPTION_KEYPHRASE"]),
        (KEY, shorter, vec!["AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES"]),
    ];
    for (sealing, opening, expected) in rows {
        let server = Server::start(&[
            ("AUTH_ENCRYPTION_KEYPHRASE", sealing),
            ("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", opening),
        ]);
        let log = server.log();
        let warned: Vec<_> = [
            "AUTH_ENCRYPTION_KEYPHRASE",
            "AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES",
        ]
        .into_iter()
        .filter(|name| log.contains(name))
        .collect();
        assert_eq!(warned, expected, "{log}");
        assert!(!log.contains(shorter), "a value is repeated:\n{log}");
    }
}

#[test]
fn phrases_that_can_be_guessed_are_warned_about() {
    let is_warning = |line: &Value| {
        let text = line["message"].as_str().unwrap_or_default();
        text.contains("under 10 characters")
    };
    for (opening, phrases) in [
        ("correct horse one battery", 4),
        ("one one long-phrase-10", 1),
    ] {
        let server = Server::start(&[("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", opening)]);
        let line = server.wait_for_log("the warning", is_warning);
        assert_eq!(line["phrases"], phrases, "{opening}");
        assert!(!server.log().contains("horse"), "a phrase is repeated");
    }
    let server = Server::start(&[("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", "another-phrase")]);
    server.wait_for_log("the start", |line| line["message"] == "listening");
    assert!(!server.log().contains("under 10 characters"));
}

#[test]
fn id_of_the_server_key_is_logged_at_start() {
    let kid_of = |server: &Server| {
        let line = server.wait_for_log("the id of the key", |line| line["kid"].is_string());
        line["kid"].as_str().unwrap().to_owned()
    };
    let kid = kid_of(&Server::start(&[]));
    assert_eq!(kid.len(), 6);
    assert_eq!(kid_of(&Server::start(&[])), kid);
    let other = Server::start(&[("AUTH_ENCRYPTION_KEYPHRASE", "another phrase")]);
    assert_ne!(kid_of(&other), kid);
}

#[test]
fn flag_overrides_environment_overrides_file_overrides_default() {
    let statuses = |server: &Server| {
        let call_with =
            |length: usize| server.process("", &call(service("chat:dummy"), &"x".repeat(length)));
        [1_000, 2_000].map(|length| call_with(length).status)
    };
    let file = ConfigFile::new(&format!(
        "listen = \"127.0.0.1:1\"\nmax_body_bytes = 1000\nkeys.sealing = \"{KEY}\"\nlog.filter = \"info\"\n"
    ));
    let arguments = ["--config", file.path(), "--listen", "127.0.0.1:0"];
    let nowhere = ("AISBREAKER_CONFIG", "/no/such/file.toml");

    let by_default = Server::start_with(
        &["--listen", "127.0.0.1:0"],
        &[("AISBREAKER_LISTEN", "127.0.0.1:1")],
    );
    assert_eq!(statuses(&by_default), [200, 200], "default");
    assert_eq!(
        statuses(&Server::start_with(&arguments, &[])),
        [413, 413],
        "file"
    );
    assert_eq!(
        statuses(&Server::start_with(&arguments, &[nowhere])),
        [413, 413],
        "a flag names the file"
    );
    let environment = [
        ("AISBREAKER_MAX_BODY_BYTES", "1500"),
        ("AISBREAKER_LISTEN", "127.0.0.1:2"),
    ];
    assert_eq!(
        statuses(&Server::start_with(&arguments, &environment)),
        [200, 413],
        "environment"
    );
    let listening = Server::start_with(
        &["--config", file.path()],
        &[("AISBREAKER_LISTEN", "127.0.0.1:0")],
    );
    assert_eq!(
        statuses(&listening),
        [413, 413],
        "environment overrides file"
    );
}

#[test]
fn out_of_range_numbers_and_durations_are_faults() {
    const COUNTS: [&str; 2] = ["AISBREAKER_MAX_CONNECTIONS", "AISBREAKER_MAX_BODY_BYTES"];
    const DURATIONS: [&str; 7] = [
        "AISBREAKER_MAX_EXPIRATION",
        "AISBREAKER_HEADER_TIMEOUT",
        "AISBREAKER_BODY_TIMEOUT",
        "AISBREAKER_CONNECT_TIMEOUT",
        "AISBREAKER_PROVIDER_TIMEOUT",
        "AISBREAKER_STREAM_IDLE_TIMEOUT",
        "AISBREAKER_DRAIN_TIMEOUT",
    ];
    let settings = |count: &'static str, duration: &'static str| {
        let counts = COUNTS.map(|variable| (variable, count));
        let durations = DURATIONS.map(|variable| (variable, duration));
        [
            &counts as &[_],
            &durations,
            &[("AUTH_ENCRYPTION_KEYPHRASE", KEY)],
        ]
        .concat()
    };

    for (count, duration) in [
        ("1000000001", "101years"),
        ("9223372036854775807", "100000years"),
        ("18446744073709551615", "18446744073709551615s"),
    ] {
        let errors = refused_start(&[], &settings(count, duration));
        for variable in COUNTS.iter().chain(&DURATIONS) {
            assert!(errors.contains(variable), "{variable} is not in:\n{errors}");
        }
        assert!(!errors.contains("panicked"), "{errors}");
    }
    let mut server = Server::start_with(
        &["--listen", "127.0.0.1:0"],
        &settings("1000000000", "100years"),
    );
    assert_eq!(server.process("", &dummy_call()).status, 200);
    server.signal("TERM");
    let (status, log) = server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn mapped_ipv4_networks_are_faults() {
    for networks in [
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.0/104",
        "::ffff:0:0/96",
        "10.0.0.0/8, ::ffff:7f00:1/128",
    ] {
        let environment = [
            ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
            ("AISBREAKER_TRUSTED_PROXIES", networks),
        ];
        let errors = refused_start(&[], &environment);
        assert!(
            errors.contains("AISBREAKER_TRUSTED_PROXIES"),
            "{networks}:\n{errors}"
        );
    }
    let plain = "127.0.0.1,10.0.0.0/8,::1,fd00::/8,::/0";
    assert_eq!(
        Server::start(&[("AISBREAKER_TRUSTED_PROXIES", plain)])
            .get("/api/v1/ping")
            .status,
        200
    );
}

#[test]
fn misspelt_variable_is_logged_as_a_warning() {
    let server = Server::start(&[("AISBREAKER_LISTN", "canary")]);

    let line = server.wait_for_log("a warning", |line| line["variable"] == "AISBREAKER_LISTN");

    assert_eq!(line["level"], "WARN");
    assert!(!server.log().contains("canary"));
}

#[test]
fn variables_of_the_original_clients_are_ignored() {
    let server = Server::start(&[
        ("AISBREAKER_SERVER_URL", "http://localhost:3000"),
        ("AISBREAKER_API_KEY", "aisbreaker_x"),
        ("OPENAI_API_KEY", "sk-x"),
    ]);

    assert_eq!(server.get("/api/v1/ping").status, 200);
}

#[test]
fn help_version_and_unknown_arguments() {
    let run_with = |arguments: &[&str]| {
        let output = run(arguments, &[]);
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };

    let (is_help_success, help, _) = run_with(&["--help"]);
    assert!(is_help_success);
    for text in [
        "--listen",
        "--config",
        "--version",
        "keygen",
        "AUTH_ENCRYPTION_KEYPHRASE",
    ] {
        assert!(help.contains(text), "{text} is not in:\n{help}");
    }
    let (is_version_success, version, errors) = run_with(&["--version"]);
    assert!(is_version_success);
    assert_eq!(errors, "", "an allocator complains about its settings here");
    assert_eq!(
        version,
        concat!("aisbreaker-server ", env!("CARGO_PKG_VERSION"), "\n")
    );
    for arguments in [&["--nonsense"] as &[&str], &["serve-it"], &["--listen"]] {
        let (is_success, _, errors) = run_with(arguments);
        assert!(!is_success && !errors.is_empty(), "{arguments:?}");
    }
}
