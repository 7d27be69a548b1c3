//! No subcommand shows a secret, whether it succeeds or not.

use std::{collections::BTreeSet, env, fs, process};

use crate::support::{Canaries, run};

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
