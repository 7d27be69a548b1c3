//! Contract section 1: settings, where they come from, and the command line.

use serde_json::{Value, json};

use crate::support::{
    ConfigFile, KEY, Provider, Server, assert_error, call, refused_start, run, service,
};

fn dummy() -> Value {
    call(service("chat:dummy"), "Hi")
}

#[test]
fn all_faults_of_the_settings_are_told_at_once_and_without_values() {
    let rows = [
        ("AUTH_ENCRYPTION_KEYPHRASE", "canary"),
        ("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", ""),
        ("DEFAULT_AISBREAKER_API_KEY", "canary-key"),
        ("AISBREAKER_LISTEN", "canary"),
        ("AISBREAKER_PUBLIC_HOSTS", "api.example.com,canary host"),
        ("AISBREAKER_TRUSTED_PROXIES", "10.0.0.0/8,canary"),
        ("AISBREAKER_EGRESS_ALLOW", "http://localhost:1,canary://x"),
        ("AISBREAKER_SERVER_QUOTAS", "{\"canary\":1}"),
        ("AISBREAKER_DEFAULT_QUOTAS", "canary"),
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

    let told = refused_start(&[], &rows);

    for (variable, value) in rows {
        if !value.is_empty() {
            assert!(told.contains(variable), "{variable} is not in:\n{told}");
        }
    }
    assert!(!told.contains("canary"), "a value is repeated:\n{told}");
    assert!(!told.contains("panicked"), "{told}");
}

#[test]
fn each_fault_alone_keeps_the_server_from_starting() {
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
        let told = refused_start(
            &[],
            &[("AUTH_ENCRYPTION_KEYPHRASE", KEY), (variable, value)],
        );
        let name = if variable == "AISBREAKER_CONFIG" {
            "configuration file"
        } else {
            variable
        };
        assert!(told.contains(name), "{variable}={value}:\n{told}");
    }
    let told = refused_start(
        &["--listen", "nowhere"],
        &[("AUTH_ENCRYPTION_KEYPHRASE", KEY)],
    );
    assert!(told.contains("--listen"), "{told}");
}

#[test]
fn a_phrase_of_ten_characters_is_the_shortest() {
    let told = refused_start(&[], &[("AUTH_ENCRYPTION_KEYPHRASE", "123456789")]);
    assert!(
        told.contains("AUTH_ENCRYPTION_KEYPHRASE") && !told.contains("123456789"),
        "{told}"
    );

    // An empty phrase is a mistake, not a wish for a random key.
    let told = refused_start(&[], &[("AUTH_ENCRYPTION_KEYPHRASE", "")]);
    assert!(told.contains("AUTH_ENCRYPTION_KEYPHRASE"), "{told}");

    let server = Server::start(&[("AUTH_ENCRYPTION_KEYPHRASE", "1234567890")]);
    let key = server.mint_secrets(&json!([]));
    assert_eq!(server.process(&key, &dummy()).status, 200);
}

#[test]
fn unknown_keys_and_unusable_values_of_the_file_are_told_at_once() {
    let file = ConfigFile::new(
        "listen = \"canary\"\nmax_body_bytes = \"canary\"\nmystery = \"canary\"\n\
         [keys]\nsealing = \"canary\"\nsecret = \"canary\"\n\
         [egress]\nallow = [\"canary\"]\nforbid = [\"canary\"]\n\
         [canary]\nx = 1\n",
    );

    for told in [
        refused_start(&["--config", file.path()], &[]),
        refused_start(&[], &[("AISBREAKER_CONFIG", file.path())]),
    ] {
        for name in [
            "listen",
            "max_body_bytes",
            "mystery",
            "keys.sealing",
            "keys.secret",
            "egress.allow",
            "egress.forbid",
        ] {
            assert!(told.contains(name), "{name} is not in:\n{told}");
        }
        let values = told.matches("canary").count();
        // The name of the unknown table is the one thing that may be told.
        assert!(values <= 1, "a value is repeated:\n{told}");
    }
}

#[test]
fn a_file_that_is_no_toml_is_refused_without_showing_it() {
    for text in [
        "keys = { sealing = \"canary-secret\"",
        "canary-secret",
        "a = 1\na = \"canary-secret\"",
        "\0",
    ] {
        let file = ConfigFile::new(text);
        let told = refused_start(&["--config", file.path()], &[]);
        assert!(told.contains("configuration file"), "{told}");
        assert!(
            !told.contains("canary-secret"),
            "the file is repeated:\n{told}"
        );
    }
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let limit = |server: &Server| {
        let over =
            |length: usize| server.process("", &call(service("chat:dummy"), &"x".repeat(length)));
        [1_000, 2_000].map(|length| over(length).status)
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
    assert_eq!(limit(&by_default), [200, 200], "default");
    assert_eq!(
        limit(&Server::start_with(&arguments, &[])),
        [413, 413],
        "file"
    );
    assert_eq!(
        limit(&Server::start_with(&arguments, &[nowhere])),
        [413, 413],
        "the flag names the file"
    );
    let environment = [
        ("AISBREAKER_MAX_BODY_BYTES", "1500"),
        ("AISBREAKER_LISTEN", "127.0.0.1:2"),
    ];
    assert_eq!(
        limit(&Server::start_with(&arguments, &environment)),
        [200, 413],
        "environment"
    );
    let listening = Server::start_with(
        &["--config", file.path()],
        &[("AISBREAKER_LISTEN", "127.0.0.1:0")],
    );
    assert_eq!(limit(&listening), [413, 413], "environment beats file");
}

#[test]
fn every_setting_can_stand_in_the_file() {
    let file = ConfigFile::new(&format!(
        r#"
            listen = "127.0.0.1:0"
            public_hosts = ["localhost"]
            trusted_proxies = ["10.0.0.0/8"]
            max_expiration = "30d"
            max_body_bytes = 1000000
            header_timeout = "30s"
            body_timeout = "60s"
            connect_timeout = "10s"
            provider_timeout = "180s"
            stream_idle_timeout = "300s"
            stream_keep_alive = "15s"
            max_connections = 100
            drain_timeout = "30s"
            default_api_key = "aisbreaker_nonsense"
            [keys]
            sealing = "{KEY}"
            opening = ["another phrase"]
            [egress]
            allow = ["127.0.0.0/8", "http://localhost:11434"]
            [quotas.server]
            perClientRequestLimits = {{requestsPerMinute = 7, requestsPerHour = 8, requestsPerDay = 9}}
            globalRequestLimits = {{requestsPerMinute = 70, requestsPerHour = 80, requestsPerDay = 90}}
            [quotas.default]
            perClientRequestLimits = {{requestsPerMinute = 4, requestsPerHour = 5, requestsPerDay = 6}}
            globalRequestLimits = {{requestsPerMinute = 40, requestsPerHour = 50, requestsPerDay = 60}}
            [log]
            filter = "info"
            format = "json"
            [services."chat:openai.com"]
            origins = ["https://llm.example.com"]
            engine = "house-model"
            [services."chat:llm.example.com"]
            engine = "house-model"
            [[provider]]
            id = "llm.example.com"
            aliases = ["house"]
            url = "https://llm.example.com"
            openai = "/v1"
            anthropic = ""
            auth = "x-api-key"
            secret = "optional"
            engine = "small"
            headers = {{ x-team = "a" }}
            usage = "house"
            stream_usage = true
            [usage.house]
            input = ["read + cached", "read"]
            output = ["written"]
        "#
    ));
    let server = Server::start_with(&["--config", file.path()], &[]);

    let answer = server.process("sk-own", &dummy());

    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer.header("ratelimit-policy").unwrap().contains("q=4;"),
        "{answer:?}"
    );
    assert_error("the default key", &server.process("", &dummy()), 401, "");
}

#[test]
fn a_provider_that_cannot_be_used_is_a_fault() {
    let row =
        |members: &str| format!("[[provider]]\nid = \"a.example\"\nopenai = \"/v1\"\n{members}");
    let rows = [
        (
            "[[provider]]\nopenai = \"/v1\"".to_owned(),
            "missing field `id`",
        ),
        (
            "[[provider]]\nid = \"a.example\"".to_owned(),
            "provider \"a.example\": must speak a dialect",
        ),
        (
            "[[provider]]\nid = \"a/b\"\nopenai = \"\"".to_owned(),
            "id and aliases must be 1 to 100 letters",
        ),
        (row("mystery = 1"), "unknown field `mystery`"),
        (
            row("url = \"canary\""),
            "url must be an absolute http or https URL",
        ),
        (row("url = 7"), "a member is not of its kind"),
        (row("auth = \"canary\""), "a member is not of its kind"),
        (row("secret = \"canary\""), "a member is not of its kind"),
        (
            row("anthropic = \"v1/\""),
            "a path such as '/v1', without a slash at its end",
        ),
        (
            row("anthropic = \"/v1/../x\""),
            "a path such as '/v1', without a slash at its end",
        ),
        (
            row("usage = \"canary\""),
            "usage names a rule that is not there",
        ),
        (
            row("headers = { authorization = \"canary\" }"),
            "headers must have usable names and values",
        ),
        (
            row("headers = { host = \"canary\" }"),
            "headers must have usable names and values",
        ),
        (
            row("headers = { x = \"canary\\n\" }"),
            "headers must have usable names and values",
        ),
        (
            "[usage.x]\nmystery = []".to_owned(),
            "unknown field `mystery`",
        ),
        ("provider = 1".to_owned(), "a member is not of its kind"),
        (
            format!(
                "{}\n[services.\"chat:a.example.other\"]\nengine = \"x\"",
                row("")
            ),
            "is not a service that calls a provider",
        ),
    ];
    for (text, expected) in rows {
        let file = ConfigFile::new(&text);
        let told = refused_start(&["--config", file.path()], &[]);
        assert!(told.contains(expected), "{text}:\n{told}");
        assert!(!told.contains("canary"), "a value is repeated:\n{told}");
    }
}

#[test]
fn port_alone_sets_the_port() {
    let server = Server::start_with(&[], &[("PORT", "0"), ("AUTH_ENCRYPTION_KEYPHRASE", KEY)]);

    assert!(server.address().ip().is_loopback());
    assert_eq!(server.get("/api/v1/ping").status, 200);
    // A listen address is the more exact wish.
    let taken = Provider::trap();
    let environment = [
        ("PORT", &*taken.port().to_string()),
        ("AISBREAKER_LISTEN", "127.0.0.1:0"),
    ];
    assert_eq!(
        Server::start_with(&[], &environment)
            .get("/api/v1/ping")
            .status,
        200
    );
}

#[test]
fn port_replaces_the_port_of_the_files_address_and_nothing_else() {
    let taken = Provider::trap();
    let file = ConfigFile::new(&format!("listen = \"127.0.0.1:{}\"\n", taken.port()));
    let environment = [("PORT", "0"), ("AUTH_ENCRYPTION_KEYPHRASE", KEY)];

    let server = Server::start_with(&["--config", file.path()], &environment);
    assert_ne!(server.address().port(), taken.port());
    assert_eq!(server.get("/api/v1/ping").status, 200);

    let elsewhere = ConfigFile::new("listen = \"127.0.0.2:1\"\n");
    let server = Server::start_with(&["--config", elsewhere.path()], &environment);
    assert_eq!(server.address().ip().to_string(), "127.0.0.2");
    assert_ne!(server.address().port(), 1);

    let environment = [
        ("PORT", &*taken.port().to_string()),
        ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
    ];
    let arguments = ["--config", elsewhere.path(), "--listen", "127.0.0.1:0"];
    assert_eq!(
        Server::start_with(&arguments, &environment)
            .address()
            .ip()
            .to_string(),
        "127.0.0.1"
    );
}

#[test]
fn numbers_and_spans_beyond_what_clocks_and_counters_hold_are_faults() {
    const COUNTS: [&str; 2] = ["AISBREAKER_MAX_CONNECTIONS", "AISBREAKER_MAX_BODY_BYTES"];
    const SPANS: [&str; 7] = [
        "AISBREAKER_MAX_EXPIRATION",
        "AISBREAKER_HEADER_TIMEOUT",
        "AISBREAKER_BODY_TIMEOUT",
        "AISBREAKER_CONNECT_TIMEOUT",
        "AISBREAKER_PROVIDER_TIMEOUT",
        "AISBREAKER_STREAM_IDLE_TIMEOUT",
        "AISBREAKER_DRAIN_TIMEOUT",
    ];
    let settings = |count: &'static str, span: &'static str| {
        let counts = COUNTS.map(|variable| (variable, count));
        let spans = SPANS.map(|variable| (variable, span));
        [
            &counts as &[_],
            &spans,
            &[("AUTH_ENCRYPTION_KEYPHRASE", KEY)],
        ]
        .concat()
    };

    for (count, span) in [
        ("1000000001", "101years"),
        ("9223372036854775807", "100000years"),
        ("18446744073709551615", "18446744073709551615s"),
    ] {
        let told = refused_start(&[], &settings(count, span));
        for variable in COUNTS.iter().chain(&SPANS) {
            assert!(told.contains(variable), "{variable} is not in:\n{told}");
        }
        assert!(!told.contains("panicked"), "{told}");
    }
    let mut server = Server::start_with(
        &["--listen", "127.0.0.1:0"],
        &settings("1000000000", "100years"),
    );
    assert_eq!(server.process("", &dummy()).status, 200);
    server.signal("TERM");
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_network_that_would_never_match_is_a_fault() {
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
        let told = refused_start(&[], &environment);
        assert!(
            told.contains("AISBREAKER_TRUSTED_PROXIES"),
            "{networks}:\n{told}"
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
fn a_port_that_is_taken_is_told() {
    let taken = Provider::trap();

    let told = refused_start(
        &["--listen", &taken.address().to_string()],
        &[("AUTH_ENCRYPTION_KEYPHRASE", KEY)],
    );

    assert!(
        told.contains(&taken.address().to_string()) && !told.contains("panicked"),
        "{told}"
    );
}

#[test]
fn a_variable_that_looks_like_a_setting_but_is_none_is_told() {
    let server = Server::start(&[("AISBREAKER_LISTN", "canary")]);

    let line = server.wait_for_log("a warning", |line| line["variable"] == "AISBREAKER_LISTN");

    assert_eq!(line["level"], "WARN");
    assert!(!server.log().contains("canary"));
}

#[test]
fn variables_of_the_originals_clients_do_no_harm() {
    let server = Server::start(&[
        ("AISBREAKER_SERVER_URL", "http://localhost:3000"),
        ("AISBREAKER_API_KEY", "aisbreaker_x"),
        ("OPENAI_API_KEY", "sk-x"),
    ]);

    assert_eq!(server.get("/api/v1/ping").status, 200);
}

#[test]
fn help_version_and_unknown_words() {
    let text = |arguments: &[&str]| {
        let output = run(arguments, &[]);
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };

    let (is_good, help, _) = text(&["--help"]);
    assert!(is_good);
    for word in [
        "--listen",
        "--config",
        "--version",
        "keygen",
        "AUTH_ENCRYPTION_KEYPHRASE",
    ] {
        assert!(help.contains(word), "{word} is not in:\n{help}");
    }
    let (is_good, version, _) = text(&["--version"]);
    assert!(is_good);
    assert_eq!(
        version,
        concat!("aisbreaker-server ", env!("CARGO_PKG_VERSION"), "\n")
    );
    for arguments in [&["--nonsense"] as &[&str], &["serve-it"], &["--listen"]] {
        let (is_good, _, told) = text(arguments);
        assert!(!is_good && !told.is_empty(), "{arguments:?}");
    }
}
