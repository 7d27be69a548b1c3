//! `aisbreaker-server revoke`: the operator's command, and what it says when it cannot.

use serde_json::json;

use super::{ADMIN, id_of, is_accepted};
use crate::support::{Server, closed_url, run};

/// A name, arguments, the environment, and what the error has.
type Row<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

/// Runs `revoke`. Returns its exit code and what it printed: as a result, and as an error.
fn revoke(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = run(&[&["revoke"], arguments].concat(), environment);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn keys_are_revoked_at_a_server_that_is_named_or_runs_here() {
    let secret = ("AISBREAKER_ADMIN_SECRET", ADMIN);
    let server = Server::start(&[secret]);
    let keys = [(); 3].map(|()| server.mint_with_secrets(&json!([])));
    let ids = keys.each_ref().map(|key| id_of(&server, key));

    let answer = revoke(&["--server", &server.url(), &ids[0], &ids[1]], &[secret]);
    let expected = format!("{} is revoked\n{} is revoked\n", ids[0], ids[1]);
    assert_eq!(answer, (Some(0), expected, String::new()));
    let accepted = keys.each_ref().map(|key| is_accepted(&server, key));
    assert_eq!(accepted, [false, false, true]);

    let address = server.address().to_string();
    let here = revoke(&[&ids[2]], &[secret, ("AISBREAKER_LISTEN", &address)]);
    assert_eq!(
        here,
        (Some(0), format!("{} is revoked\n", ids[2]), String::new())
    );
    assert!(!is_accepted(&server, &keys[2]));
    // An id may look like a flag, and the URL may end with a slash.
    let dash = "-AAAAAAAAAAAAAAAAAAAAA";
    let url = format!("{}/", server.url());
    let (code, printed, errors) = revoke(&["--server", &url, dash], &[secret]);
    assert_eq!(
        (code, printed),
        (Some(0), format!("{dash} is revoked\n")),
        "{errors}"
    );
}

#[test]
fn a_server_that_answers_to_its_names_only_is_found_here() {
    let secret = ("AISBREAKER_ADMIN_SECRET", ADMIN);
    let hosts = ("AISBREAKER_PUBLIC_HOSTS", "ai.example.com,localhost");
    let server = Server::start(&[secret, hosts]);
    let key = server.mint_with_secrets(&json!([]));
    let id = id_of(&server, &key);
    let address = server.address().to_string();
    let (code, _, errors) = revoke(&[&id], &[secret, hosts, ("AISBREAKER_LISTEN", &address)]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(!is_accepted(&server, &key));
}

#[test]
fn each_failure_has_a_message_and_repeats_no_secret() {
    let secret = ("AISBREAKER_ADMIN_SECRET", ADMIN);
    let server = Server::start(&[secret]);
    let without = Server::start(&[]);
    let key = server.mint_with_secrets(&json!([]));
    let id = id_of(&server, &key);
    let wrong = ("AISBREAKER_ADMIN_SECRET", "another-secret");
    let (url, other, closed) = (server.url(), without.url(), closed_url());
    let rows: [Row<'_>; 9] = [
        (
            "a server that answers to addresses only",
            &[&id],
            &[
                secret,
                ("AISBREAKER_PUBLIC_HOSTS", "192.0.2.1,[2001:db8::1]"),
            ],
            "--server URL",
        ),
        (
            "an option behind",
            &[&id, "--server", &url],
            &[secret],
            "--server must stand before",
        ),
        (
            "no secret",
            &["--server", &url, &id],
            &[],
            "AISBREAKER_ADMIN_SECRET",
        ),
        (
            "a wrong one",
            &["--server", &url, &id],
            &[wrong],
            "status 401",
        ),
        (
            "a server without one",
            &["--server", &other, &id],
            &[secret],
            "status 401",
        ),
        (
            "nobody there",
            &["--server", &closed, &id],
            &[secret],
            "aisbreaker-server: ",
        ),
        ("no URL", &["--server", "x", &id], &[secret], "--server"),
        (
            "no id",
            &["--server", &url, "x"],
            &[secret],
            "22 or 43 characters",
        ),
        (
            "a key",
            &["--server", &url, &key],
            &[secret],
            "instead of an id",
        ),
    ];
    for (row, arguments, environment, expected) in rows {
        let (code, printed, errors) = revoke(arguments, environment);
        assert_eq!((code, &*printed), (Some(1), ""), "{row}: {errors}");
        assert!(errors.contains(expected), "{row}: {errors}");
        let is_shown = |secret: &str| errors.contains(secret);
        assert!(
            ![ADMIN, "another-secret", &key[..60]]
                .into_iter()
                .any(is_shown),
            "{row}: {errors}"
        );
    }
    let (code, _, errors) = revoke(&[], &[secret]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(is_accepted(&server, &key));
}
