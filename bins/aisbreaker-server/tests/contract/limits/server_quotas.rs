//! Contract section 5: the server's own limits, and the default limits of keys without quotas.

use serde_json::json;

use super::exchange;
use super::ratelimit_headers::{
    PLENTY, WINDOWS, assert_refused, call_from, key_with, parse_list, plenty_except, remaining,
};
use crate::support::{Request, Server, ample_quotas, dummy_call, quotas};

#[test]
fn server_limits_apply_on_top_of_key_limits() {
    for (window, (name, _)) in WINDOWS.into_iter().enumerate() {
        for (scope, per_client, global) in [
            ("client", plenty_except(3, window), PLENTY),
            ("global", PLENTY, plenty_except(3, window)),
        ] {
            let row = format!("{scope} per {name}");
            let limits = quotas(per_client, global).to_string();
            let server = Server::start(&[("AISBREAKER_SERVER_QUOTAS", &limits)]);
            // Minting is the first of three requests.
            let key = server.mint_with_secrets(&json!([]));
            assert_eq!(server.process(&key, &dummy_call()).status, 200, "{row}");
            assert_eq!(server.process("", &dummy_call()).status, 200, "{row}");
            let message =
                format!("API request quota exceeded: {scope} requests per {name} limit exceeded");
            let minting = Request::mint(&json!({"requestAuthAndQuotas": {}}));
            for (caller, response) in [
                ("key", server.process(&key, &dummy_call())),
                ("no key", server.process("", &dummy_call())),
                ("own secret", server.process("sk-own", &dummy_call())),
                ("minting", server.send(&minting)),
            ] {
                assert_refused(&format!("{row}, {caller}"), &response, &message);
            }
        }
    }
}

#[test]
fn server_refusal_does_not_charge_the_key() {
    let limits = quotas([2, 900, 900], PLENTY).to_string();
    let server = Server::start(&[("AISBREAKER_SERVER_QUOTAS", &limits)]);
    let key = key_with(&server, [50, 60, 70], PLENTY);
    assert_eq!(server.process(&key, &dummy_call()).status, 200);

    for _ in 0..3 {
        let refused = server.process(&key, &dummy_call());
        assert_refused(
            "server",
            &refused,
            "API request quota exceeded: client requests per minute",
        );
        assert_eq!(remaining(&refused, 50, 60), 49);
    }
}

#[test]
fn callers_without_a_key_share_the_default_limits() {
    let limits = quotas([3, 100, 100], PLENTY).to_string();
    let server = Server::start(&[("AISBREAKER_DEFAULT_QUOTAS", &limits)]);
    let key = key_with(&server, PLENTY, PLENTY);

    for (left, bearer) in [(2, ""), (1, "sk-one"), (0, "sk-two")] {
        let response = server.process(bearer, &dummy_call());
        assert_eq!(remaining(&response, 3, 60), left, "{bearer}");
    }

    let message = "Request quota exceeded: client requests per minute limit exceeded";
    for bearer in ["", "sk-three"] {
        assert_refused(bearer, &server.process(bearer, &dummy_call()), message);
    }
    // A key with its own quotas is not affected.
    assert_eq!(server.process(&key, &dummy_call()).status, 200);
}

#[test]
fn refusals_by_default_quotas_say_how_to_get_larger_ones() {
    let once = quotas([1, 100, 100], PLENTY).to_string();
    let server = Server::start(&[("AISBREAKER_DEFAULT_QUOTAS", &once)]);
    let bare = server.mint(&json!({"requestAuthAndQuotas": {}}));
    let child = |quotas| {
        let response = server.send(&exchange(&bare, quotas));
        response.json()["access_token"].as_str().unwrap().to_owned()
    };
    let narrowed = child(None);
    let narrowed_with_quotas = child(Some(&ample_quotas()));
    let with_quotas = key_with(&server, [1, 100, 100], PLENTY);
    assert_eq!(server.process("", &dummy_call()).status, 200);
    assert_eq!(server.process(&bare, &dummy_call()).status, 200);
    assert_eq!(server.process(&with_quotas, &dummy_call()).status, 200);
    let advice = "with requestQuotas (POST /api/v1/oauth/token)";
    let rows = [
        (
            "no key",
            "",
            Some("Requests without an aisbreaker key share"),
        ),
        (
            "own secret",
            "sk-own",
            Some("Requests without an aisbreaker key share"),
        ),
        ("key", &bare, Some("The key has no quotas of its own")),
        (
            "made from it",
            &narrowed,
            Some("That key has no quotas of its own"),
        ),
        (
            "made from it, with quotas",
            &narrowed_with_quotas,
            Some("That key has no quotas of its own"),
        ),
        ("key with quotas", &with_quotas, None),
    ];

    for (row, bearer, cause) in rows {
        let refused = server.process(bearer, &dummy_call());
        let message = "Request quota exceeded: client requests per minute limit exceeded";
        assert_refused(row, &refused, message);
        let message = refused.message();
        match cause {
            Some(cause) => assert!(
                message.contains(cause) && message.contains(advice),
                "{row}: {message}"
            ),
            None => assert!(message.ends_with(" s)"), "{row}: {message}"),
        }
    }
}

#[test]
fn key_without_quotas_gets_its_own_default_limits() {
    let limits = quotas([3, 100, 100], PLENTY).to_string();
    let server = Server::start(&[("AISBREAKER_DEFAULT_QUOTAS", &limits)]);
    let key = server.mint(&json!({"requestAuthAndQuotas": {}}));
    for status in [200, 200, 200, 429] {
        assert_eq!(server.process("", &dummy_call()).status, status);
    }

    let statuses: Vec<u16> = (0..4)
        .map(|_| server.process(&key, &dummy_call()).status)
        .collect();

    assert_eq!(statuses, [200, 200, 200, 429]);
}

#[test]
fn built_in_default_quotas_match_the_contract() {
    let server = Server::start_with_built_in_quotas(&[]);

    let response = server.process("", &dummy_call());
    let mut reported: Vec<(u64, u64)> = parse_list(&response, "ratelimit-policy")
        .values()
        .map(|policy| (policy["q"], policy["w"]))
        .collect();
    reported.sort_unstable();
    let expected = [
        (10, 60),
        (60, 3_600),
        (100, 60),
        (120, 86_400),
        (600, 3_600),
        (1_200, 86_400),
    ];
    assert_eq!(reported, expected, "default quotas");

    let statuses: Vec<u16> = (0..10)
        .map(|_| server.process("", &dummy_call()).status)
        .collect();
    assert_eq!(
        statuses,
        [200, 200, 200, 200, 200, 200, 200, 200, 200, 429],
        "ten per client and minute"
    );
}

#[test]
fn built_in_server_limit_is_sixty_per_client_and_minute() {
    let limits = ample_quotas().to_string();
    let server = Server::start_with_built_in_quotas(&[("AISBREAKER_DEFAULT_QUOTAS", &limits)]);

    let admitted = (0..61)
        .take_while(|_| server.process("", &dummy_call()).status == 200)
        .count();

    assert_eq!(admitted, 60);
    assert_refused(
        "the next",
        &server.process("", &dummy_call()),
        "API request quota exceeded: client requests per minute limit exceeded",
    );
}

#[test]
fn global_limits_count_all_clients_and_all_keys() {
    let proxies = ("AISBREAKER_TRUSTED_PROXIES", "127.0.0.1");
    let limits = quotas(PLENTY, [3, 900, 900]).to_string();
    let rows = [
        (
            "AISBREAKER_SERVER_QUOTAS",
            "API request quota exceeded: global requests per minute limit exceeded",
        ),
        (
            "AISBREAKER_DEFAULT_QUOTAS",
            "Request quota exceeded: global requests per minute limit exceeded",
        ),
    ];

    for (variable, message) in rows {
        let server = Server::start(&[proxies, (variable, &limits)]);
        for client in 1..=3 {
            let response = server.send(&call_from(
                &format!("192.0.2.{client}"),
                &format!("sk-{client}"),
            ));
            assert_eq!(response.status, 200, "{variable}: {response:?}");
        }
        let refused = server.send(&call_from("192.0.2.4", "sk-4"));
        assert_refused(variable, &refused, message);
    }
}

#[test]
fn server_client_limit_counts_all_keys_of_one_client() {
    let limits = quotas([4, 900, 900], PLENTY).to_string();
    let server = Server::start(&[
        ("AISBREAKER_TRUSTED_PROXIES", "127.0.0.1"),
        ("AISBREAKER_SERVER_QUOTAS", &limits),
    ]);
    let keys = [
        server.mint_with_secrets(&json!([])),
        server.mint_with_secrets(&json!([])),
    ];
    let client = "192.0.2.1";

    for bearer in [&*keys[0], &*keys[1], "sk-own", ""] {
        assert_eq!(
            server.send(&call_from(client, bearer)).status,
            200,
            "{bearer}"
        );
    }

    for bearer in [&*keys[0], &*keys[1], "sk-own", ""] {
        let message = "API request quota exceeded: client requests per minute limit exceeded";
        assert_refused(bearer, &server.send(&call_from(client, bearer)), message);
        assert_eq!(
            server.send(&call_from("192.0.2.2", bearer)).status,
            200,
            "{bearer} of another client"
        );
    }
}
