//! `Debug` and `Display` of public types that hold or derive from a secret show no part of it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fmt::Debug,
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use aisbreaker_token::{
    Grant, Host, KeyError, KeyRing, OpenError, PREFIX, RequestLimits, RequestQuotas, SealError,
    ServerKey, ServiceSecret,
};
use secrecy::SecretString;
use serde_json::json;

const HOUR: Duration = Duration::from_secs(3600);

// No 12 consecutive bytes of these occur anywhere else.
const SECRET: &str = "Rk5wTz8nXv2bLq7mGd4yJc9hPs3f";
const PHRASE: &str = "Wm3tKb9xQf6vNz2rHj8cYd5gLp7s";
const FORMER_PHRASE: &str = "Bt6yMn4kVx8jCq3wRz7fGh2dSp5l";
const SHORT_PHRASE: &str = "Zk7#q";
const RAW: &str = "QmV4Tz9rWk2LpXc7Nf5JhYb8DgSs3vUa6EoRtKi1Gqw";

/// Returns what no output may contain: parts of secrets, and of the bytes of a server key as
/// numbers.
fn pieces(key: &str) -> Vec<String> {
    let texts = [SECRET, PHRASE, FORMER_PHRASE, RAW, key];
    let windows = texts.iter().flat_map(|text| text.as_bytes().windows(12));
    let pieces = windows.map(|window| String::from_utf8(window.to_vec()).unwrap());
    // The first bytes of `RAW`, decoded.
    let bytes = [0x42, 0x65, 0x78, 0x4f, 0x3f, 0x6b];
    let numbers = bytes.windows(3).flat_map(|bytes: &[u8]| {
        [
            format!("{}, {}, {}", bytes[0], bytes[1], bytes[2]),
            format!("{:x}{:x}{:x}", bytes[0], bytes[1], bytes[2]),
        ]
    });
    pieces
        .chain(numbers)
        .chain([SHORT_PHRASE.to_owned()])
        .collect()
}

fn shown(value: &impl Debug) -> String {
    format!("{value:?}\n{value:#?}\n{value:x?}")
}

fn host() -> Host {
    Host::parse("api.example.com").unwrap()
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_396_965)
}

#[test]
fn debug_output_shows_no_part_of_a_secret() {
    assert!(
        ServerKey::parse(RAW).unwrap().expose_text().is_some(),
        "it is a key, not a phrase"
    );
    let limits = RequestLimits {
        requests_per_minute: NonZeroU32::MIN,
        requests_per_hour: NonZeroU32::MIN,
        requests_per_day: NonZeroU32::MIN,
    };
    let quotas = RequestQuotas {
        per_client_request_limits: limits,
        global_request_limits: limits,
    };
    let secret = || {
        ServiceSecret::new("chat:", SECRET.into()).with_url(vec!["https://one.example".to_owned()])
    };
    let grant = Grant::new(Some(quotas), vec![secret()]);
    let ring = KeyRing::new(ServerKey::parse(PHRASE).unwrap())
        .with_opening_key(ServerKey::parse_for_opening(FORMER_PHRASE).unwrap())
        .unwrap()
        .with_opening_key(ServerKey::parse(RAW).unwrap())
        .unwrap();
    let sealed = ring.seal(&grant, &host(), now(), HOUR).unwrap();
    let key = sealed.expose().to_owned();
    let opened = ring.open::<Grant>(&key, &host(), now()).unwrap();
    let refused = |key: &str, later| ring.open::<Grant>(key, &host(), now() + later).unwrap_err();
    let too_long = Grant::new(
        None,
        vec![ServiceSecret::new("", SECRET.repeat(1_000).into())],
    );
    let not_a_grant = json!({"serviceSecrets": [SECRET, {SECRET: SECRET}]});
    let sealed_not_a_grant = ring.seal(&not_a_grant, &host(), now(), HOUR).unwrap();
    let not_an_object = || ring.seal(SECRET, &host(), now(), HOUR).unwrap_err();
    let seal_errors: [SealError; 2] = [
        ring.seal(&too_long, &host(), now(), HOUR).unwrap_err(),
        not_an_object(),
    ];
    let open_errors: [OpenError; 4] = [
        refused(&key, HOUR),
        refused(&key.replace("..", "..A"), HOUR),
        refused(SECRET, HOUR),
        refused(sealed_not_a_grant.expose(), HOUR / 2),
    ];
    let key_error: KeyError = ServerKey::parse("Zk7#q").unwrap_err();
    let rows = [
        (
            "ServerKey of a phrase",
            shown(&ServerKey::from_phrase(PHRASE)),
        ),
        ("ServerKey of bytes", shown(&ServerKey::parse(RAW))),
        (
            "the text of a ServerKey",
            shown(&ServerKey::parse(RAW).unwrap().expose_text()),
        ),
        (
            "OpeningKey of a phrase",
            shown(&ServerKey::parse_for_opening(FORMER_PHRASE)),
        ),
        (
            "OpeningKey of bytes",
            shown(&ServerKey::parse_for_opening(RAW)),
        ),
        (
            "OpeningKey of a short phrase",
            shown(&ServerKey::parse_for_opening(SHORT_PHRASE)),
        ),
        ("KeyError", format!("{} {key_error}", shown(&key_error))),
        ("KeyRing", shown(&ring)),
        ("SealedKey", shown(&sealed)),
        (
            "SealedKey as a secret",
            shown(&SecretString::from(key.clone())),
        ),
        ("Opened", shown(&opened)),
        ("the payload of an Opened", shown(opened.payload())),
        ("Grant", shown(&grant)),
        ("ServiceSecret", shown(&secret())),
        (
            "SealError",
            format!(
                "{} {} {}",
                shown(&seal_errors),
                seal_errors[0],
                seal_errors[1]
            ),
        ),
        (
            "OpenError",
            open_errors
                .iter()
                .map(|error| format!("{} {error}", shown(error)))
                .collect(),
        ),
    ];

    for (row, shown) in rows {
        for piece in pieces(&key[PREFIX.len() + 112..]) {
            assert!(!shown.contains(&piece), "{row}: {piece} in {shown}");
        }
        assert!(!shown.is_empty(), "{row}");
    }
    assert!(shown(&ring).contains(ring.sealing_key_id().as_str()));
}
