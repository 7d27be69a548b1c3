//! Contract section 1: the configuration file.

use crate::support::{ConfigFile, KEY, Server, assert_error, dummy_call, refused_start};

#[test]
fn all_faults_are_reported_at_once() {
    let file = ConfigFile::new(
        "listen = \"canary\"\nmax_body_bytes = \"canary\"\nmystery = \"canary\"\n\
         [keys]\nsealing = \"canary\"\nsecret = \"canary\"\n\
         [egress]\nallow = [\"canary canary\"]\nforbid = [\"canary\"]\n\
         [canary]\nx = 1\n",
    );

    for errors in [
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
            assert!(errors.contains(name), "{name} is not in:\n{errors}");
        }
        let values = errors.matches("canary").count();
        // Only the name of the unknown table may be repeated.
        assert!(values <= 1, "a value is repeated:\n{errors}");
    }
}

#[test]
fn invalid_toml_is_refused_without_quoting_it() {
    for text in [
        "keys = { sealing = \"canary-secret\"",
        "canary-secret",
        "a = 1\na = \"canary-secret\"",
        "\0",
    ] {
        let file = ConfigFile::new(text);
        let errors = refused_start(&["--config", file.path()], &[]);
        let path = format!("configuration file {}", file.path());
        assert!(errors.contains(&path), "{errors}");
        assert!(
            !errors.contains("canary-secret"),
            "the file is repeated:\n{errors}"
        );
    }
}

#[test]
fn every_setting_is_accepted() {
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
            [quotas.mint]
            perClientRequestLimits = {{requestsPerMinute = 3, requestsPerHour = 5, requestsPerDay = 6}}
            globalRequestLimits = {{requestsPerMinute = 30, requestsPerHour = 50, requestsPerDay = 60}}
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

    let response = server.process("sk-own", &dummy_call());

    assert_eq!(response.status, 200, "{response:?}");
    assert!(
        response
            .header("ratelimit-policy")
            .unwrap()
            .contains("q=4;"),
        "{response:?}"
    );
    assert_error(
        "the default key",
        &server.process("", &dummy_call()),
        401,
        "",
    );
}

#[test]
fn unusable_provider_rows_are_faults() {
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
        let errors = refused_start(&["--config", file.path()], &[]);
        assert!(errors.contains(expected), "{text}:\n{errors}");
        assert!(!errors.contains("canary"), "a value is repeated:\n{errors}");
    }
}
