//! Contract section 5: the limits of minting and of exchanging keys, apart from all others.

use serde_json::json;

use super::{
    exchange,
    ratelimit_headers::{PLENTY, assert_refused, parse_list, remaining},
};
use crate::support::{ConfigFile, KEY, Request, Server, ample_quotas, dummy_call, quotas};

fn minting() -> Request {
    Request::mint(&json!({"requestAuthAndQuotas": {}}))
}

#[test]
fn calls_without_a_key_leave_room_to_mint() {
    let server = Server::start_with_built_in_quotas(&[]);
    for _ in 0..10 {
        assert_eq!(server.process("", &dummy_call()).status, 200);
    }
    assert_eq!(server.process("", &dummy_call()).status, 429);

    let minted = server.send(&minting());

    assert_eq!(minted.status, 200, "{minted:?}");
    let mut reported: Vec<(u64, u64)> = parse_list(&minted, "ratelimit-policy")
        .values()
        .map(|policy| (policy["q"], policy["w"]))
        .collect();
    reported.sort_unstable();
    let expected = [
        (30, 60),
        (300, 60),
        (300, 3_600),
        (1_200, 86_400),
        (3_000, 3_600),
        (12_000, 86_400),
    ];
    assert_eq!(reported, expected, "the limits of minting");
}

#[test]
fn minting_leaves_room_for_calls_without_a_key() {
    let server = Server::start_with_built_in_quotas(&[]);

    let minted = (0..31)
        .take_while(|_| server.send(&minting()).status == 200)
        .count();

    assert_eq!(minted, 30);
    assert_eq!(server.process("", &dummy_call()).status, 200);
}

#[test]
fn minting_and_exchanges_share_the_limits() {
    let limits = quotas([3, 100, 100], PLENTY).to_string();
    let server = Server::start(&[("AISBREAKER_MINT_QUOTAS", &limits)]);
    let with_quotas =
        Request::mint(&json!({"requestAuthAndQuotas": {"requestQuotas": ample_quotas()}}));

    let minted = server.send(&with_quotas);
    assert_eq!(remaining(&minted, 3, 60), 2, "{minted:?}");
    let key = minted.json()["access_token"].as_str().unwrap().to_owned();
    let exchange = exchange(&key, None);
    assert_eq!(remaining(&server.send(&exchange), 3, 60), 1);
    assert_eq!(remaining(&server.send(&minting()), 3, 60), 0);

    for (row, request) in [("minting", minting()), ("exchange", exchange)] {
        let refused = server.send(&request);
        let message = "Request quota exceeded: client requests per minute limit exceeded \
                       (3 per minute and client for minting keys; try again in ";
        assert_refused(row, &refused, message);
        assert!(refused.message().ends_with(" s)"), "{refused:?}");
    }
    for bearer in ["", "sk-own", &key] {
        assert_eq!(server.process(bearer, &dummy_call()).status, 200);
    }
}

#[test]
fn settings_file_sets_them() {
    let file = ConfigFile::new(
        "[quotas.mint]\n\
         perClientRequestLimits = {requestsPerMinute = 1, requestsPerHour = 2, requestsPerDay = 3}\n\
         globalRequestLimits = {requestsPerMinute = 4, requestsPerHour = 5, requestsPerDay = 6}\n",
    );
    let server = Server::start_with(
        &["--listen", "127.0.0.1:0", "--config", file.path()],
        &[("AUTH_ENCRYPTION_KEYPHRASE", KEY)],
    );

    assert_eq!(server.send(&minting()).status, 200);
    assert_eq!(server.send(&minting()).status, 429);
}
