//! `aisbreaker-server check`: its status, its faults, and the values in effect without secrets.

use std::collections::BTreeMap;

use crate::support::{Canaries, ConfigFile, KEY, run};

/// Runs `check`. Returns its exit code, its output and its errors.
fn check(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = run(&[&["check"], arguments].concat(), environment);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Returns the source and the value of each setting.
fn printed(output: &str) -> BTreeMap<&str, (&str, &str)> {
    let mut values = BTreeMap::new();
    for line in output.lines() {
        let (name, rest) = line.split_once(' ').expect("a name");
        let (source, value) = rest.trim_start().split_once(' ').expect("a source");
        values.insert(name, (source, value.trim()));
    }
    values
}

#[test]
fn status_says_whether_the_server_would_start() {
    let sealing = ("AUTH_ENCRYPTION_KEYPHRASE", KEY);

    assert_eq!(
        check(&[], &[sealing]),
        (Some(0), String::new(), String::new())
    );
    let (code, output, errors) = check(&[], &[]);
    assert_eq!((code, &*output), (Some(0), ""));
    assert!(
        errors.starts_with("warning: AUTH_ENCRYPTION_KEYPHRASE is not set"),
        "{errors}"
    );
    let faulty = [
        sealing,
        ("AISBREAKER_MAX_BODY_BYTES", "x"),
        ("AISBREAKER_DRAIN_TIMEOUT", "x"),
        ("AISBREAKER_LISTN", "x"),
    ];
    let (code, output, errors) = check(&["--print", "--strict"], &faulty);
    assert_eq!((code, &*output), (Some(1), ""));
    for (name, _) in &faulty[1..] {
        assert!(errors.contains(name), "{name} is not in:\n{errors}");
    }
}

#[test]
fn values_in_effect_are_printed_with_their_source() {
    let file = ConfigFile::new(
        "listen = \"127.0.0.2:1\"\nmax_body_bytes = 1000\npublic_hosts = [\"a.example\", \"b.example\"]\n\
         [log]\nfilter = \"debug\"\nformat = \"json\"\n[quotas.server]\n\
         perClientRequestLimits = {requestsPerMinute = 7, requestsPerHour = 8, requestsPerDay = 9}\n\
         globalRequestLimits = {requestsPerMinute = 70, requestsPerHour = 80, requestsPerDay = 90}\n\
         [services.\"chat:openai.com\"]\nengine = \"house\"\n",
    );
    let arguments = ["--print", "--strict", "--config", file.path()];
    let environment = [
        ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
        ("AISBREAKER_LOG", "warn"),
        ("AISBREAKER_METRICS_LISTEN", "localhost:9000"),
        ("PORT", "2"),
    ];

    let (code, output, errors) = check(&arguments, &environment);

    assert_eq!((code, &*errors), (Some(0), ""));
    let values = printed(&output);
    for (name, source, value) in [
        ("AISBREAKER_CONFIG", "flag", file.path()),
        ("strict", "flag", "true"),
        ("PORT", "environment", "2"),
        ("listen", "environment", "127.0.0.2:2"),
        ("metrics.listen", "environment", "127.0.0.1:9000"),
        ("keys.sealing", "environment", "set"),
        ("keys.opening", "default", "unset"),
        ("max_body_bytes", "file", "1000"),
        ("max_buffered_bytes", "default", "536870912"),
        ("public_hosts", "file", "a.example,b.example"),
        ("log.filter", "environment", "warn"),
        ("log.format", "file", "json"),
        ("drain_timeout", "default", "30s"),
        ("services.\"chat:openai.com\".engine", "file", "house"),
    ] {
        assert_eq!(
            values.get(name),
            Some(&(source, value)),
            "{name} in\n{output}"
        );
    }
    let (source, quotas) = values["quotas.server"];
    assert!(
        source == "file" && quotas.contains("\"requestsPerMinute\":7,"),
        "{quotas}"
    );
    let (source, quotas) = values["quotas.default"];
    assert!(
        source == "default" && quotas.contains("\"requestsPerMinute\":10,"),
        "{quotas}"
    );
    let by_flag = check(&["--print", "--listen", "127.0.0.3:3"], &environment).1;
    assert_eq!(printed(&by_flag)["listen"], ("flag", "127.0.0.3:3"));
}

#[test]
fn no_secret_is_printed() {
    let secrets: [(&str, &str); 9] = [
        ("sealing", "Xv4kRz8mTq2wNb7pJc9yHd5gLf3s"),
        ("opening", "Gy6nWt3xKp9vZm2bQr8cJh4dSl7f"),
        ("default key", "aisbreaker_Pz7tBk4xMv9qWn2rLc6yGh8jDf5s"),
        ("mint", "Rk8vMz4tQw2xLp7cNf5JhYb8DgSs"),
        ("admin", "Tq3wNb7pXv4kRz8mJc9yHd5gLf6a"),
        ("redis", "Lp7cNf5JhYbQmV4Tz9rWk2X8DgSs"),
        ("header", "Zm2bQr8cJh4dSl7fGy6nWt3xKp9v"),
        ("url", "Wn2rLc6yGh8jDf5sPz7tBk4xMv9q"),
        ("misplaced", "Hd5gLf3sXv4kRz8mTq2wNb7pJc9y"),
    ];
    let canaries = Canaries::verbatim(&secrets);
    let of = |name: &str| secrets.iter().find(|(n, _)| *n == name).unwrap().1;
    let text = |redis: &str, proxy: &str| {
        format!(
            "keys.sealing = \"{}\"\nkeys.opening = [\"{}\"]\ndefault_api_key = \"{}\"\nmint.secret = \"{}\"\n\
             admin_secret = \"{}\"\nredis.url = \"{redis}\"\ntrusted_proxies = [\"{proxy}\"]\n\
             [[provider]]\nid = \"a.example\"\nopenai = \"/v1\"\nurl = \"https://a.example\"\n\
             headers = {{ x-key = \"{}\" }}\n",
            of("sealing"),
            of("opening"),
            of("default key"),
            of("mint"),
            of("admin"),
            of("header"),
        )
    };
    let redis = format!("redis://user:{}@localhost:6379", of("redis"));

    let good = ConfigFile::new(&text(&redis, "::1"));
    let (code, output, errors) = check(&["--print", "--config", good.path()], &[]);
    assert_eq!(code, Some(0), "{errors}");
    let values = printed(&output);
    for name in [
        "keys.sealing",
        "keys.opening",
        "default_api_key",
        "mint.secret",
        "admin_secret",
        "redis.url",
    ] {
        assert_eq!(values[name], ("file", "set"), "{output}");
    }
    assert_eq!(
        values["provider.1.headers.x-key"],
        ("file", "set"),
        "{output}"
    );
    assert_eq!(
        values["provider.1.url"],
        ("file", "https://a.example"),
        "{output}"
    );
    canaries.assert_not_in("output", &output);
    canaries.assert_not_in("warnings", &errors);

    let bad = ConfigFile::new(&text(&redis.replace("redis:", "reddis:"), of("misplaced")));
    let (code, output, errors) = check(&["--print", "--config", bad.path()], &[]);
    assert_eq!((code, &*output), (Some(1), ""));
    for name in ["redis.url", "trusted_proxies"] {
        assert!(errors.contains(name), "{errors}");
    }
    canaries.assert_not_in("faults", &errors);
    let broken = format!(
        "{}url = \"https://a.example/?k={}\n",
        text("", ""),
        of("url")
    );
    let broken = ConfigFile::new(&broken);
    let (code, _, errors) = check(&["--config", broken.path()], &[]);
    assert_eq!(code, Some(1));
    canaries.assert_not_in("TOML faults", &errors);
}
