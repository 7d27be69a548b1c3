//! The subcommands that make and show keys, with this machine's server key or at a server.

use serde_json::{Value, json};

use crate::support::{KEY, Request, Server, dummy_call, run};

const HOST: &str = "localhost";
const PROVIDER_SECRET: &str = "sk-command-line-4711";

/// Runs a subcommand that must succeed, and returns what it printed.
fn printed(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(arguments, environment);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// Runs a subcommand that must fail, and returns its explanation.
fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(arguments, environment);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    errors
}

#[test]
fn a_key_minted_without_a_server_works_at_one() {
    let key_setting = ("AUTH_ENCRYPTION_KEYPHRASE", KEY);
    let server = Server::start(&[key_setting]);
    let secret = [key_setting, ("THE_SECRET", PROVIDER_SECRET)];
    let mint = [
        "mint",
        "--host",
        HOST,
        "--service",
        "chat:openai.com=env:THE_SECRET",
        "--service",
        "chat:dummy",
        "--alias",
        "fast=chat:openai.com/gpt-4o-mini",
        "--expires",
        "30d",
        "--name",
        "ana",
    ];

    let key = printed(&mint, &secret);
    let json = printed(&[&mint[..], &["--json"]].concat(), &secret);

    assert_eq!(server.process(&key, &dummy_call()).status, 200);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["name"], "ana");
    assert_eq!(json["expires_in"], 30 * 86_400);
    assert!(!json.to_string().contains(PROVIDER_SECRET));
}

#[test]
fn a_key_is_minted_at_a_server_with_the_mint_secret() {
    let mint_secret = ("AISBREAKER_MINT_SECRET", "open sesame 1");
    let server = Server::start(&[mint_secret]);
    let url = server.url();
    let mint = ["mint", "--server", &url, "--service", "chat:dummy"];

    let key = printed(&mint, &[mint_secret]);
    let problem = refused(&mint, &[]);

    let call = Request::process(&dummy_call())
        .bearer(&key)
        .header("Host", "127.0.0.1");
    assert_eq!(server.send(&call).status, 200);
    assert!(problem.contains("status 401"), "{problem}");
}

#[test]
fn a_subcommand_says_what_it_lacks() {
    let (with_key, without): (&[(&str, &str)], &[_]) = (&[("AUTH_ENCRYPTION_KEYPHRASE", KEY)], &[]);
    let empty: &[(&str, &str)] = &[("AUTH_ENCRYPTION_KEYPHRASE", KEY), ("EMPTY", "\r\n")];
    let rows: [(&[&str], _, _); 7] = [
        (
            &[
                "mint",
                "--host",
                HOST,
                "--service",
                "chat:openai.com=env:EMPTY",
            ],
            empty,
            "no secret in the variable EMPTY",
        ),
        (
            &["mint", "--host", HOST],
            without,
            "AUTH_ENCRYPTION_KEYPHRASE",
        ),
        (&["mint"], with_key, "--host"),
        (&["mint", "--host", "a b"], with_key, "--host"),
        (
            &[
                "mint",
                "--host",
                HOST,
                "--service",
                "chat:openai.com=sk-command-line-4711",
            ],
            with_key,
            "env:NAME",
        ),
        (
            &[
                "mint",
                "--host",
                HOST,
                "--service",
                "chat:openai.com=env:NOT_THERE",
            ],
            with_key,
            "NOT_THERE",
        ),
        (
            &["mint", "--host", HOST, "--expires", "soon"],
            with_key,
            "expirationTimeSpan",
        ),
    ];
    for (arguments, environment, named) in rows {
        let problem = refused(arguments, environment);
        assert!(problem.contains(named), "{arguments:?}: {problem}");
        assert!(
            !problem.contains(PROVIDER_SECRET),
            "{arguments:?}: {problem}"
        );
    }
}

#[test]
fn without_the_server_key_only_the_header_is_shown() {
    let server = Server::start(&[]);
    let key = server.mint(&json!({"requestAuthAndQuotas": {}}));

    let shown = printed(&["inspect", "env:THE_KEY"], &[("THE_KEY", &key)]);
    let shown_by_argument = printed(&["inspect", &key], &[]);

    let header: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(header["enc"], "XC20P");
    assert_eq!(header["kid"].as_str().map(str::len), Some(6));
    assert_eq!(shown, shown_by_argument);
    let problem = refused(&["inspect", "env:THE_KEY"], &[("THE_KEY", "sk-no-key")]);
    assert!(problem.contains("not a key"), "{problem}");
}
