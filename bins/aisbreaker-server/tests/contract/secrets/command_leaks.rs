//! No subcommand shows a secret, whether it succeeds or not.

use std::{collections::BTreeSet, env, fs, process};

use crate::support::{Canaries, ConfigFile, KEY, Server, closed_url, dummy_call, run};

/// The secrets of the settings, by their variables.
const SECRETS: [(&str, &str); 7] = [
    (
        "AUTH_ENCRYPTION_KEYPHRASE",
        "cmd-seal-Xv4kRz8mTq2wNb7pJc9yHd5g",
    ),
    (
        "AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES",
        "cmd-open-Gy6nWt3xKp9vZm2bQr8cJh4d",
    ),
    (
        "DEFAULT_AISBREAKER_API_KEY",
        "aisbreaker_cmdPz7tBk4xMv9qWn2rLc6yGh8j",
    ),
    (
        "AISBREAKER_MINT_SECRET",
        "cmd-mint-Lw5jTf2sVb8nYq4mCx7rKz9d",
    ),
    (
        "AISBREAKER_ADMIN_SECRET",
        "cmd-admin-Ht3vQp6wNs9bRk2yMf5xJg8",
    ),
    (
        "AISBREAKER_REDIS_URL",
        "redis://:cmdredisZq8kWm3tXv6nBr9yLc2p@127.0.0.1:1/",
    ),
    ("THE_SECRET", "sk-cmd-Vd7gSj4hPf2kZb6nTy9wRm3x"),
];

/// What of a variable's value is secret.
fn secret_part(value: &str) -> &str {
    let value = value.trim_start_matches("redis://:");
    let value = value.trim_start_matches("aisbreaker_");
    value.split('@').next().unwrap()
}

/// The first column of the table of subcommands in the help.
fn subcommands() -> Vec<String> {
    let help = String::from_utf8(run(&["-h"], &[]).stdout).unwrap();
    let (_, after) = help.split_once("Commands:\n").unwrap();
    let lines = after.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[test]
fn no_subcommand_shows_a_secret() {
    let mut canaries = Canaries::default();
    for (name, value) in SECRETS {
        canaries.plant(name, secret_part(value));
    }
    let mint = [
        "mint",
        "--host",
        "localhost",
        "--service",
        "chat:openai.com=env:THE_SECRET",
    ];
    let minted = run(&mint, &SECRETS);
    let key = String::from_utf8(minted.stdout)
        .unwrap()
        .trim_end()
        .to_owned();
    assert!(
        key.starts_with("aisbreaker_"),
        "{}",
        String::from_utf8_lossy(&minted.stderr)
    );
    let public = run(&["public-key"], &SECRETS);
    let public_file = env::temp_dir().join(format!("aisbreaker-command-leaks-{}", process::id()));
    fs::write(&public_file, &public.stdout).unwrap();
    let public_file = public_file.to_str().unwrap();
    let seal = [
        "seal",
        "--public-key",
        public_file,
        "--host",
        "localhost",
        "--service",
        "chat:openai.com=env:THE_SECRET",
    ];
    let id = "s3Y-yvLKqagdTljahkyR6g";
    let rows: &[&[&str]] = &[
        &["keygen"],
        &mint,
        &[
            "mint",
            "--json",
            "--host",
            "localhost",
            "--service",
            "chat:openai.com=env:THE_SECRET",
        ],
        &[
            "mint",
            "--host",
            "a b",
            "--service",
            "chat:openai.com=env:THE_SECRET",
        ],
        &[
            "mint",
            "--server",
            "http://127.0.0.1:1",
            "--service",
            "chat:openai.com=env:THE_SECRET",
        ],
        &["inspect", "--host", "localhost"],
        &["inspect", "--host", "other.example"],
        &["inspect", "env:THE_SECRET", "--host", "localhost"],
        &[
            "narrow",
            "--host",
            "localhost",
            "--restrict-service",
            "chat:openai.com",
        ],
        &["narrow", "--host", "localhost", "--expires", "soon"],
        &seal,
        &["public-key"],
        &["revoke", id],
        &["revoke", "--server", "http://127.0.0.1:1", id],
        &["ask", "Hi"],
        &[
            "ask",
            "Hi",
            "--server",
            "http://127.0.0.1:1",
            "--service",
            "chat:openai.com",
        ],
        &["check"],
        &["check", "--print"],
        &["check", "--strict"],
        &["check", "--example"],
        // It would run until a signal: what it prints then is in `console::demo`.
        &["demo", "--strict"],
        &["healthcheck"],
        &["doctor"],
        &["doctor", "--json"],
        &["completions", "bash"],
        &["man"],
        &["help", "mint"],
    ];
    let uncovered = subcommands()
        .into_iter()
        .find(|name| !rows.iter().any(|row| row[0] == *name));
    assert_eq!(uncovered, None, "a subcommand without a row");

    let environment = [&SECRETS[..], &[("AISBREAKER_API_KEY", &key)]].concat();
    let mut succeeded = BTreeSet::new();
    for row in rows {
        let output = run(row, &environment);
        if output.status.success() {
            succeeded.insert(row[0]);
        }
        for (stream, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            canaries.assert_not_in(&format!("{stream} of {row:?}"), bytes);
            let text = String::from_utf8_lossy(bytes);
            // Nor the caller's own key, except where a key is what is asked for.
            let makes_key = ["mint", "narrow", "seal"].contains(&row[0]);
            assert!(makes_key || !text.contains(&key), "{stream} of {row:?}");
            assert!(!text.contains("panicked"), "{row:?}: {text}");
        }
    }
    // Those that need no server have shown what they show when all is well.
    for name in [
        "check",
        "inspect",
        "keygen",
        "mint",
        "narrow",
        "public-key",
        "seal",
    ] {
        assert!(succeeded.contains(name), "{name} has always failed");
    }
    fs::remove_file(public_file).unwrap();
}

/// Texts of the forms that secrets have.
const MISPLACED: [&str; 5] = [
    "mis-phrase-Kp4vXz8mRq2wNt7b",
    "redis://:misredisTq3wNb7pXv4kRz8m@redis:6379/0",
    "aisbreaker_misJc9yHd5gLf.6aRk8vMz4tQw2x.Lp7cNf5JhYb8",
    "misbase64Wn2rLc6/yGh8jDf5s+Pz7tBk4xMv9q==",
    "/misrootZm2bQr8cJh4dSl7fGy6nWt3xKp9v==",
];

/// The keys of all settings that the configuration file can hold.
fn keys() -> Vec<String> {
    let output = run(&["check", "--print"], &[("AUTH_ENCRYPTION_KEYPHRASE", KEY)]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let names = printed.lines().filter_map(|line| line.split(' ').next());
    let keys: Vec<String> = names
        .filter(|name| name.chars().all(|c| !c.is_ascii_uppercase()))
        .map(str::to_owned)
        .collect();
    assert!(keys.len() > 50, "{printed}");
    keys
}

/// The variables of all settings but the path of the configuration file, which is always shown.
fn variables() -> Vec<String> {
    let help = String::from_utf8(run(&["--help"], &[]).stdout).unwrap();
    let (_, settings) = help.split_once("\nSettings:\n").unwrap();
    let names = settings
        .lines()
        .map(str::trim)
        .filter(|line| !line.contains(' ') && *line != "AISBREAKER_CONFIG");
    let variables: Vec<String> = names.map(str::to_owned).collect();
    assert!(variables.len() > 50, "{help}");
    variables
}

/// Asserts that the server and the commands that check its settings refuse them without a secret.
#[track_caller]
fn assert_refused_without_secrets(
    canaries: &Canaries,
    arguments: &[&str],
    environment: &[(&str, &str)],
) {
    let commands: [&[&str]; 4] = [
        &[],
        &["check", "--print"],
        &["doctor"],
        &["doctor", "--json"],
    ];
    for command in commands {
        let output = run(&[arguments, command].concat(), environment);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {errors}");
        canaries.assert_not_in(&format!("stdout of {command:?}"), &output.stdout);
        canaries.assert_not_in(&format!("stderr of {command:?}"), &output.stderr);
    }
}

#[test]
fn no_secret_in_the_place_of_another_setting_is_shown() {
    let (keys, variables) = (keys(), variables());
    let files = SECRETS.map(|(name, _)| format!("{name}_FILE"));
    for secret in MISPLACED {
        let mut canaries = Canaries::default();
        canaries.plant("misplaced", &secret[secret.find("mis").unwrap()..]);
        let everywhere: Vec<(&str, &str)> =
            variables.iter().map(|name| (&**name, secret)).collect();
        assert_refused_without_secrets(&canaries, &[], &everywhere);
        let in_place_of_paths: Vec<(&str, &str)> =
            files.iter().map(|name| (&**name, secret)).collect();
        assert_refused_without_secrets(&canaries, &[], &in_place_of_paths);
        let lines = keys.iter().map(|key| format!("{key} = \"{secret}\"\n"));
        let config = ConfigFile::new(&lines.collect::<String>());
        assert_refused_without_secrets(&canaries, &["--config", config.path()], &[]);
    }
}

#[test]
fn no_secret_of_a_file_is_shown() {
    let mut canaries = Canaries::default();
    let mut environment = Vec::new();
    let mut folder = Vec::new();
    let mut lines = String::new();
    for (name, value) in &SECRETS[..6] {
        canaries.plant(name, secret_part(value));
        let file = ConfigFile::new(value);
        environment.push((format!("{name}_FILE"), file.path().to_owned()));
        folder.push(file);
    }
    let keys = [
        "keys.sealing",
        "keys.opening",
        "default_api_key",
        "mint.secret",
        "admin_secret",
        "redis.url",
    ];
    for (key, (_, value)) in keys.iter().zip(SECRETS) {
        let value = match *key {
            "keys.opening" => format!("[\"{value}\"]"),
            _ => format!("\"{value}\""),
        };
        lines.push_str(&format!("{key} = {value}\n"));
    }
    let config = ConfigFile::new(&lines);
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, path)| (&**name, &**path))
        .collect();
    let in_file = [("AISBREAKER_CONFIG", config.path())];
    for environment in [&environment[..], &in_file] {
        for command in [
            &["check"][..],
            &["check", "--print"],
            &["doctor"],
            &["doctor", "--json"],
        ] {
            let output = run(command, environment);
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            let is_sound = output.status.success() || command[0] == "doctor";
            assert!(is_sound, "{command:?}: {errors}");
            canaries.assert_not_in(&format!("stdout of {command:?}"), &output.stdout);
            canaries.assert_not_in(&format!("stderr of {command:?}"), &output.stderr);
        }
    }
}

#[test]
fn no_credential_of_the_collector_is_logged() {
    const SECRET: &str = "otel-Lw5jTf2sVb8nYq4mCx7rKz9d";
    let mut canaries = Canaries::default();
    canaries.plant("OTEL_EXPORTER_OTLP_HEADERS", SECRET);
    let closed = closed_url();
    for headers in [
        &format!("authorization=Bearer%20{SECRET}"),
        SECRET,
        &format!("{SECRET}=%zz,=,\n"),
    ] {
        let mut server = Server::start(&[
            ("AISBREAKER_LOG", "debug"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &closed),
            ("OTEL_EXPORTER_OTLP_HEADERS", headers),
            ("OTEL_BSP_SCHEDULE_DELAY", "10"),
        ]);
        assert_eq!(server.process("", &dummy_call()).status, 200);
        server.signal("TERM");
        let (status, log) = server.wait_for_exit();
        assert!(status.success(), "{log}");
        canaries.assert_not_in("log", &log);
    }
}
