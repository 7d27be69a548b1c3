//! Keys of version 2 through the public API: a sealed key opens with the same server key, for its
//! host and within its lifetime.

mod shared;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use aisbreaker_token::{
    Grant, Host, KeyId, KeyRing, OpenError, RingError, SealError, ServerKey, ValidityPeriod,
    Version,
};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};

use shared::{HOUR, Note, host, note, now, refusal, ring, seal};

#[test]
fn opens_what_it_sealed() {
    let ring = ring(1);

    let sealed = ring
        .seal(&note(), &host(), now(), HOUR + Duration::from_millis(999))
        .unwrap();
    let opened = ring.open::<Note>(sealed.expose(), &host(), now()).unwrap();

    assert!(sealed.expose().starts_with("aisbreaker_eyJ2ZXIi"));
    assert_eq!(sealed.expires_in(), HOUR);
    assert_eq!(opened.id(), sealed.id());
    assert_eq!(opened.id().to_string().len(), 22);
    assert_eq!(opened.version(), Version::V2);
    assert_eq!(opened.issued_at(), Some(now()));
    assert_eq!(opened.expires_at(), now() + HOUR);
    assert_eq!(*opened.payload(), note());
    assert_eq!(opened.into_payload(), note());
}

#[test]
fn keys_of_one_payload_differ_in_id_and_text() {
    let ring = ring(1);

    let [one, other] = [(); 2].map(|()| ring.seal(&note(), &host(), now(), HOUR).unwrap());

    assert_ne!(one.id(), other.id());
    assert_ne!(one.expose(), other.expose());
}

#[test]
fn grant_round_trips() {
    let json = json!({
        "requestQuotas": {
            "perClientRequestLimits":
                {"requestsPerMinute": 60, "requestsPerHour": 600, "requestsPerDay": 600},
            "globalRequestLimits":
                {"requestsPerMinute": 1, "requestsPerHour": 2, "requestsPerDay": u32::MAX},
        },
        "serviceSecrets": [
            {"serviceId": "aisbreaker:network", "authSecret": "{{secret}}"},
            {"serviceId": "chat:", "authSecret": "ünï \" \\ 🔑", "url": "https://one.example"},
            {
                "serviceId": "",
                "authSecret": "",
                "url": ["https://one.example", "https://two.example"],
            },
        ],
    });
    let ring = ring(1);
    let grant: Grant = serde_json::from_value(json.clone()).unwrap();

    let sealed = ring.seal(&grant, &host(), now(), HOUR).unwrap();
    let opened = ring
        .open::<Grant>(sealed.expose(), &host(), now())
        .unwrap()
        .into_payload();

    assert_eq!(serde_json::to_value(&opened).unwrap(), json);
    assert_eq!(
        opened.service_secrets[1].auth_secret.expose_secret(),
        "ünï \" \\ 🔑"
    );
    assert_eq!(opened.service_secrets[1].url, ["https://one.example"]);
    assert_eq!(opened.service_secrets[2].url.len(), 2);
}

#[test]
fn refuses_grants_with_invalid_quotas() {
    let ring = ring(1);
    let limits = |per_day: Value| json!({"requestsPerMinute": 1, "requestsPerHour": 1, "requestsPerDay": per_day});
    for value in [
        json!(0),
        json!(-1),
        json!(1.5),
        json!("1"),
        json!(null),
        json!(1u64 << 32),
        json!([]),
    ] {
        let quotas = json!({
            "perClientRequestLimits": limits(value.clone()),
            "globalRequestLimits": limits(json!(1)),
        });
        let sealed = ring
            .seal(&json!({"requestQuotas": quotas}), &host(), now(), HOUR)
            .unwrap();

        let opened = ring.open::<Grant>(sealed.expose(), &host(), now());

        assert_eq!(
            opened.unwrap_err(),
            OpenError::Payload { id: sealed.id() },
            "{value}"
        );
    }
}

#[test]
fn any_json_object_round_trips() {
    let ring = ring(1);
    let round_trip = |payload: Value| {
        let sealed = ring.seal(&payload, &host(), now(), HOUR).unwrap();
        ring.open::<Value>(sealed.expose(), &host(), now())
            .unwrap()
            .into_payload()
    };

    for payload in [
        json!({}),
        json!({"": null}),
        json!({"a": {"exp": 1}, "b\n": [1, "}"]}),
        json!({"ex": 1}),
    ] {
        assert_eq!(round_trip(payload.clone()), payload);
    }
    let map = BTreeMap::from([("key".to_owned(), 1)]);
    let sealed = ring.seal(&map, &host(), now(), HOUR).unwrap();
    assert_eq!(
        *ring
            .open::<BTreeMap<String, i32>>(sealed.expose(), &host(), now())
            .unwrap()
            .payload(),
        map
    );
    let sealed = ring.seal(&Some(note()), &host(), now(), HOUR).unwrap();
    assert_eq!(
        *ring
            .open::<Option<Note>>(sealed.expose(), &host(), now())
            .unwrap()
            .payload(),
        Some(note())
    );
}

#[test]
fn seals_only_json_objects() {
    for payload in [
        json!(null),
        json!([]),
        json!(["a"]),
        json!("{}"),
        json!(1),
        json!(true),
    ] {
        let sealed = ring(1).seal(&payload, &host(), now(), HOUR);

        assert!(matches!(sealed, Err(SealError::NotAnObject)), "{payload}");
    }
    assert!(matches!(
        ring(1).seal(&(), &host(), now(), HOUR),
        Err(SealError::NotAnObject)
    ));
}

#[test]
fn seals_no_payload_with_a_registered_claim() {
    for name in ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"] {
        let payload = BTreeMap::from([("a", 1), (name, 2), ("z", 3)]);

        let sealed = ring(1).seal(&payload, &host(), now(), HOUR);

        assert!(
            matches!(sealed, Err(SealError::ReservedMember(reserved)) if reserved == name),
            "{name}"
        );
    }
}

#[test]
fn seals_no_payload_that_serde_cannot_serialize() {
    let by_number_pair = BTreeMap::from([((1, 2), 3)]);

    let sealed = ring(1).seal(&by_number_pair, &host(), now(), HOUR);

    assert!(matches!(sealed, Err(SealError::Payload(_))));
}

#[test]
fn lifetime_has_bounds() {
    let year_9999 = Duration::from_secs(253_402_300_799);
    let epoch = SystemTime::UNIX_EPOCH;
    for (name, now, lifetime, seals) in [
        ("zero", now(), Duration::ZERO, false),
        ("under a second", now(), Duration::from_millis(999), false),
        ("a second", now(), Duration::from_secs(1), true),
        ("to the end of 9999", epoch, year_9999, true),
        (
            "past 9999",
            epoch + Duration::from_secs(1),
            year_9999,
            false,
        ),
        ("endless", now(), Duration::MAX, false),
        (
            "clock before 1970",
            epoch - Duration::from_secs(1),
            HOUR,
            false,
        ),
    ] {
        let sealed = ring(1).seal(&note(), &host(), now, lifetime);

        assert_eq!(sealed.is_ok(), seals, "{name}");
        assert!(
            seals || matches!(sealed, Err(SealError::Lifetime)),
            "{name}"
        );
    }
}

#[test]
fn opens_from_a_minute_before_issue_until_expiry() {
    let ring = ring(1);
    let key = seal(&ring);
    let id = ring.open::<Note>(&key, &host(), now()).unwrap().id();
    let nanosecond = Duration::from_nanos(1);
    let seconds = Duration::from_secs;

    for (name, now, refusal) in [
        ("a minute before", now() - seconds(60), None),
        (
            "61 s before",
            now() - seconds(61),
            Some(OpenError::IssuedInFuture {
                id,
                ahead: seconds(61),
            }),
        ),
        ("just before expiry", now() + HOUR - nanosecond, None),
        (
            "at expiry",
            now() + HOUR,
            Some(OpenError::Expired {
                id,
                ago: Duration::ZERO,
            }),
        ),
        (
            "after expiry",
            now() + HOUR + seconds(5),
            Some(OpenError::Expired {
                id,
                ago: seconds(5),
            }),
        ),
        (
            "clock at 1970",
            SystemTime::UNIX_EPOCH,
            Some(OpenError::IssuedInFuture {
                id,
                ahead: seconds(1_795_396_965),
            }),
        ),
        (
            "clock before 1970",
            SystemTime::UNIX_EPOCH - HOUR,
            Some(OpenError::IssuedInFuture {
                id,
                ahead: seconds(1_795_396_965),
            }),
        ),
    ] {
        assert_eq!(
            ring.open::<Note>(&key, &host(), now).err(),
            refusal,
            "{name}"
        );
    }
}

#[test]
fn opens_only_for_its_host() {
    let ring = ring(1);
    let sealed = ring
        .seal(
            &note(),
            &Host::parse("API.example.com:3000").unwrap(),
            now(),
            HOUR,
        )
        .unwrap();
    for (text, opens) in [
        ("api.example.com", true),
        ("api.example.com.:443", true),
        ("example.com", false),
        ("api.example.co", false),
        ("api-example.com", false),
        ("[::1]", false),
    ] {
        let opened = ring.open::<Note>(sealed.expose(), &Host::parse(text).unwrap(), now());

        let refusal = (!opens).then(|| OpenError::WrongHost { id: sealed.id() });
        assert_eq!(opened.err(), refusal, "{text}");
    }
}

#[test]
fn rotated_server_keys_are_found_by_id() {
    let (old, new) = (ring(1), ring(2));
    let (old_key, new_key) = (seal(&old), seal(&new));
    let both = ring(2)
        .with_opening_key(ServerKey::from_bytes([1; 32]))
        .unwrap();

    assert!(both.open::<Note>(&old_key, &host(), now()).is_ok());
    assert!(both.open::<Note>(&new_key, &host(), now()).is_ok());
    assert_eq!(both.sealing_key_id(), new.sealing_key_id());
    assert!(new.open::<Note>(&seal(&both), &host(), now()).is_ok());
    assert_eq!(refusal(&new, &old_key), OpenError::UnknownServerKey);
    assert_eq!(refusal(&old, &new_key), OpenError::UnknownServerKey);
}

#[test]
fn ring_accepts_a_duplicate_key_and_refuses_a_colliding_id() {
    // Found by search: the ids of these two keys are equal in all 36 bits.
    let server_key = |number: u64| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        ServerKey::from_bytes(bytes)
    };
    let id = server_key(76852).id();
    assert_eq!(server_key(62051).id(), id);

    let duplicate = KeyRing::new(server_key(76852))
        .with_opening_key(server_key(76852))
        .unwrap();
    let collision = KeyRing::new(server_key(76852))
        .with_opening_key(server_key(62051))
        .unwrap_err();
    let claimed = seal(&KeyRing::new(server_key(62051)));

    assert_eq!(collision, RingError::SameId(id));
    assert_eq!(
        refusal(&duplicate, &claimed),
        OpenError::NotAuthentic {
            server_key: Some(id)
        }
    );
}

#[test]
fn frozen_keys_still_open() {
    #[derive(Deserialize)]
    struct Frozen {
        name: String,
        server_key: String,
        host: String,
        now: u64,
        id: String,
        expires_at: u64,
        payload: Value,
        key: String,
    }
    let file: Vec<Frozen> = serde_json::from_str(include_str!("vectors/v2-keys.json")).unwrap();
    assert!(!file.is_empty());

    for Frozen {
        name,
        server_key,
        host,
        now,
        id,
        expires_at,
        payload,
        key,
    } in file
    {
        let ring = KeyRing::new(ServerKey::parse(&server_key).unwrap());
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);

        let opened = ring
            .open::<Value>(&key, &Host::parse(&host).unwrap(), at(now))
            .unwrap();

        assert_eq!(opened.id().to_string(), id, "{name}");
        assert_eq!(opened.expires_at(), at(expires_at), "{name}");
        assert_eq!(*opened.payload(), payload, "{name}");
    }
}

#[test]
fn a_key_is_refused_before_its_period_begins() {
    let ring = ring(1);
    let begin = now() + HOUR / 2;
    let period = ValidityPeriod::new(now(), HOUR).with_not_before(begin - Duration::from_millis(1));

    let key = ring.seal_for(&note(), &host(), period).unwrap();

    assert_eq!(key.expires_in(), HOUR);
    let early = ring.open::<Note>(key.expose(), &host(), begin - Duration::from_secs(1));
    assert!(
        matches!(early, Err(OpenError::NotYetValid { .. })),
        "{early:?}"
    );
    let opened = ring.open::<Note>(key.expose(), &host(), begin).unwrap();
    assert_eq!(opened.not_before(), Some(begin));
    assert_eq!(opened.expires_at(), now() + HOUR);
    for empty in [now() + HOUR, now() + HOUR * 2, now() - HOUR * 24 * 365 * 60] {
        let period = ValidityPeriod::new(now(), HOUR).with_not_before(empty);
        let refused = ring.seal_for(&note(), &host(), period);
        assert!(matches!(refused, Err(SealError::Lifetime)), "{empty:?}");
    }
}

#[test]
fn ids_round_trip_as_text() {
    let sealed = ring(1).seal(&note(), &host(), now(), HOUR).unwrap();
    let random = sealed.id().to_string();
    let digest = "6rHI2bx7BKzdXAccu18lWCJOHRHCKhf8Aag8Z2TSxF4";

    assert_eq!(random.parse(), Ok(sealed.id()));
    assert_eq!(digest.parse::<KeyId>().unwrap().to_string(), digest);
    for text in [
        "",
        "AAAA",
        &random[1..],
        &digest[1..],
        &format!("{random}="),
    ] {
        assert!(text.parse::<KeyId>().is_err(), "{text}");
    }
}
