//! Texts that are almost keys, through the public API: each is refused with the right error.

mod shared;

use aisbreaker_token::{
    Grant, KeyRing, MAX_OPEN_CHARS, MAX_SEAL_CHARS, OpenError, PREFIX, SealError, ServerKey,
    ServiceSecret,
};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use proptest::prelude::*;
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use shared::{HOUR, Note, host, note, now, refusal, ring, seal};

#[test]
fn every_changed_character_is_refused() {
    let ring = ring(1);
    let key = seal(&ring);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ";

    for position in 0..key.len() {
        for replacement in alphabet.chars().chain(['é', '\0', '\n']) {
            let mut changed = key.clone();
            changed.replace_range(position..=position, replacement.encode_utf8(&mut [0; 4]));
            assert!(
                changed == key || ring.open::<Note>(&changed, &host(), now()).is_err(),
                "{replacement:?} at {position}"
            );
        }
    }
}

#[test]
fn every_truncation_and_every_addition_is_refused() {
    let ring = ring(1);
    let key = seal(&ring);

    for position in 0..key.len() {
        assert!(
            ring.open::<Note>(&key[..position], &host(), now()).is_err(),
            "cut at {position}"
        );
        for addition in ["A", ".", "=", "AA", "AAAA"] {
            let mut longer = key.clone();
            longer.insert_str(position, addition);
            assert!(
                ring.open::<Note>(&longer, &host(), now()).is_err(),
                "{addition} at {position}"
            );
        }
    }
    for addition in ["A", ".", "=", "==", "AAAA", ".AAAA", " ", "\n", "\0"] {
        assert!(
            ring.open::<Note>(&format!("{key}{addition}"), &host(), now())
                .is_err(),
            "{addition:?}"
        );
    }
}

#[test]
fn bad_texts_are_refused_with_the_right_error() {
    let ring = ring(1);
    let key = seal(&ring);
    let body = key.strip_prefix(PREFIX).unwrap();
    let (header, rest) = body.split_once('.').unwrap();
    let parts: Vec<&str> = body.split('.').collect();
    let [nonce, ciphertext, tag] = [parts[2], parts[3], parts[4]];
    let not_authentic = OpenError::NotAuthentic {
        server_key: Some(ring.sealing_key_id()),
    };

    for (name, text, expected) in [
        ("empty", String::new(), OpenError::NoPrefix),
        ("prefix only", PREFIX.to_owned(), OpenError::Malformed),
        (
            "part of the prefix",
            "aisbreaker".to_owned(),
            OpenError::NoPrefix,
        ),
        (
            "upper-case prefix",
            format!("AISBREAKER_{body}"),
            OpenError::NoPrefix,
        ),
        (
            "prefix twice",
            format!("{PREFIX}{key}"),
            OpenError::UnsupportedHeader,
        ),
        ("space before", format!(" {key}"), OpenError::NoPrefix),
        ("no prefix", body.to_owned(), OpenError::NoPrefix),
        (
            "other secret",
            "sk-0123456789".to_owned(),
            OpenError::NoPrefix,
        ),
        (
            "not ASCII",
            format!("{PREFIX}{}", "🔑".repeat(100)),
            OpenError::UnsupportedHeader,
        ),
        (
            "header only",
            format!("{PREFIX}{header}"),
            OpenError::Malformed,
        ),
        (
            "header and dots",
            format!("{PREFIX}{header}...."),
            OpenError::Malformed,
        ),
        (
            "three parts",
            format!("{PREFIX}{header}.{nonce}.{ciphertext}"),
            OpenError::Malformed,
        ),
        (
            "second part not empty",
            format!("{PREFIX}{header}.AAAA.{nonce}.{ciphertext}.{tag}"),
            OpenError::Malformed,
        ),
        ("six parts", format!("{key}."), OpenError::Malformed),
        (
            "empty parts after",
            format!("{key}.."),
            OpenError::Malformed,
        ),
        (
            "second part left out",
            format!("{PREFIX}{header}.{nonce}.{ciphertext}.{tag}"),
            OpenError::Malformed,
        ),
        (
            "ciphertext padded",
            format!("{PREFIX}{header}..{nonce}.{ciphertext}=.{tag}"),
            OpenError::Malformed,
        ),
        ("tag padded", format!("{key}=="), OpenError::Malformed),
        (
            "nonce cut",
            format!("{PREFIX}{header}..{}.{ciphertext}.{tag}", &nonce[4..]),
            OpenError::Malformed,
        ),
        (
            "no ciphertext",
            format!("{PREFIX}{header}..{nonce}..{tag}"),
            not_authentic,
        ),
        (
            "dot in the ciphertext",
            format!("{PREFIX}{header}..{nonce}.AAAA.AAAA.{tag}"),
            OpenError::Malformed,
        ),
        (
            "standard alphabet",
            format!("{PREFIX}{header}..{nonce}.{}.{tag}", "ab+/".repeat(50)),
            OpenError::Malformed,
        ),
        (
            "other nonce",
            format!("{PREFIX}{header}..{}.{ciphertext}.{tag}", "A".repeat(32)),
            not_authentic,
        ),
        (
            "other tag",
            format!("{PREFIX}{header}..{nonce}.{ciphertext}.{}", "A".repeat(22)),
            not_authentic,
        ),
        (
            "parts of another key",
            format!("{PREFIX}{header}..{nonce}.{}.{tag}", "A".repeat(200)),
            not_authentic,
        ),
        (
            "header twice",
            format!("{PREFIX}{header}.{header}.{rest}"),
            OpenError::Malformed,
        ),
        (
            "giant",
            format!("{key}{}", "A".repeat(1 << 20)),
            OpenError::TooLong,
        ),
    ] {
        assert_eq!(refusal(&ring, &text), expected, "{name}");
    }
}

#[test]
fn stray_bits_at_the_end_of_a_part_are_refused() {
    let ring = ring(1);
    // Three lengths, so that the ciphertext ends with each possible number of stray bits.
    for text in ["a", "ab", "abc"] {
        let payload = Note {
            text: text.to_owned(),
        };
        let key = ring
            .seal(&payload, &host(), now(), HOUR)
            .unwrap()
            .expose()
            .to_owned();
        for end in key
            .match_indices('.')
            .map(|(dot, _)| dot)
            .chain([key.len()])
            .skip(2)
        {
            let part_chars = end - key[..end].rfind('.').unwrap() - 1;
            let last = key.as_bytes()[end - 1];
            for stray in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
                let mut bytes = key.clone().into_bytes();
                bytes[end - 1] = *stray;
                let changed = String::from_utf8(bytes).unwrap();
                let opened = ring.open::<Note>(&changed, &host(), now());
                assert_eq!(
                    opened.is_ok(),
                    *stray == last,
                    "part of {part_chars} characters"
                );
            }
        }
    }
}

#[test]
fn other_headers_are_refused_even_with_the_right_key_id() {
    let ring = ring(1);
    let key = seal(&ring);
    let kid = ring.sealing_key_id();
    let (_, rest) = key.split_once('.').unwrap();
    let with_header = |json: &str| {
        format!(
            "{PREFIX}{}.{rest}",
            Base64UrlUnpadded::encode_string(json.as_bytes())
        )
    };
    let unsupported = OpenError::UnsupportedHeader;

    let json = format!(
        r#"{{"ver":"aisbreaker.org/jwt/v2","typ":"JWT","alg":"dir","enc":"XC20P","kid":"{kid}"}}"#
    );
    assert_eq!(with_header(&json), key);
    for (name, json, expected) in [
        ("alg", json.replace("dir", "A128KW"), unsupported),
        ("alg none", json.replace("dir", "none"), unsupported),
        ("enc", json.replace("XC20P", "A256GCM"), unsupported),
        ("enc C20P", json.replace("XC20P", "C20P"), unsupported),
        ("typ", json.replace("JWT", "JOS"), unsupported),
        ("ver", json.replace("v2", "v3"), unsupported),
        ("lower case", json.replace("XC20P", "xc20p"), unsupported),
        ("space", json.replace(',', ", "), unsupported),
        ("zip", json.replace('}', r#","zip":"DEF"}"#), unsupported),
        (
            "order",
            json.replace(r#""typ":"JWT","alg":"dir""#, r#""alg":"dir","typ":"JWT""#),
            unsupported,
        ),
        (
            "kid first",
            json.replace(&format!(r#","kid":"{kid}""#), "")
                .replace('{', &format!(r#"{{"kid":"{kid}","#)),
            unsupported,
        ),
        (
            "other kid",
            json.replace(kid.as_str(), "AAAAAA"),
            OpenError::UnknownServerKey,
        ),
        (
            "kid not base64url",
            json.replace(kid.as_str(), "AAA\\\"A"),
            unsupported,
        ),
        ("empty kid", json.replace(kid.as_str(), ""), unsupported),
        ("not JSON", "x".repeat(json.len()), unsupported),
    ] {
        assert_eq!(refusal(&ring, &with_header(&json)), expected, "{name}");
    }
}

#[test]
fn key_length_is_bounded() {
    let ring = ring(1);
    let sealed = |length: usize| {
        ring.seal(
            &Note {
                text: "x".repeat(length),
            },
            &host(),
            now(),
            HOUR,
        )
    };
    let longest = (4000..5000)
        .take_while(|&length| sealed(length).is_ok())
        .last()
        .unwrap();

    let key = sealed(longest).unwrap().expose().to_owned();

    assert!(
        (MAX_SEAL_CHARS - 1..=MAX_SEAL_CHARS).contains(&key.len()),
        "{}",
        key.len()
    );
    assert_eq!(
        ring.open::<Note>(&key, &host(), now())
            .unwrap()
            .payload()
            .text
            .len(),
        longest
    );
    assert!(matches!(
        sealed(longest + 1),
        Err(SealError::TooLong {
            chars: 6145..=6146,
            maximum_chars: MAX_SEAL_CHARS
        })
    ));
    assert!(matches!(sealed(1 << 24), Err(SealError::TooLong { .. })));

    let padded = |chars: usize| format!("{key}{}", "A".repeat(chars - key.len()));
    assert_eq!(
        refusal(&ring, &padded(MAX_OPEN_CHARS)),
        OpenError::Malformed
    );
    assert_eq!(
        refusal(&ring, &padded(MAX_OPEN_CHARS + 1)),
        OpenError::TooLong
    );
}

#[test]
fn keys_of_one_server_never_open_on_another() {
    let rings: Vec<_> = (0..16).map(ring).collect();

    for (sealer, sealing) in rings.iter().enumerate() {
        let key = seal(sealing);
        for (opener, opening) in rings.iter().enumerate() {
            assert_eq!(
                opening.open::<Note>(&key, &host(), now()).is_ok(),
                sealer == opener
            );
        }
    }
}

#[test]
fn headers_of_two_keys_cannot_be_swapped() {
    let one = ring(1)
        .with_opening_key(ServerKey::from_bytes([2; 32]))
        .unwrap();
    let other = ring(2)
        .with_opening_key(ServerKey::from_bytes([1; 32]))
        .unwrap();
    let keys = [seal(&one), seal(&other)];
    let [(one_header, one_rest), (other_header, other_rest)] =
        [&keys[0], &keys[1]].map(|key| key.split_once('.').unwrap());
    let not_authentic = |ring: &KeyRing| OpenError::NotAuthentic {
        server_key: Some(ring.sealing_key_id()),
    };

    for opening in [&one, &other] {
        assert!(
            keys.iter()
                .all(|key| opening.open::<Note>(key, &host(), now()).is_ok())
        );
        assert_eq!(
            refusal(opening, &format!("{one_header}.{other_rest}")),
            not_authentic(&one)
        );
        assert_eq!(
            refusal(opening, &format!("{other_header}.{one_rest}")),
            not_authentic(&other)
        );
    }
}

/// Only a holder of the server key can seal such a payload, but it is refused all the same.
#[test]
fn payload_with_a_duplicate_member_is_refused() {
    struct Twice;
    impl Serialize for Twice {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            for id in ["chat:dummy", "chat:openai.com"] {
                map.serialize_entry("serviceSecrets", &[ServiceSecret::new(id, "sk".into())])?;
            }
            map.end()
        }
    }
    let ring = ring(1);
    let sealed = ring.seal(&Twice, &host(), now(), HOUR).unwrap();

    let opened = ring.open::<Grant>(sealed.expose(), &host(), now());

    assert_eq!(opened.unwrap_err(), OpenError::Payload { id: sealed.id() });
}

proptest! {
    #[test]
    fn random_text_never_opens(
        text in ".*",
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let ring = ring(1);
        let key = seal(&ring);
        let (header, _) = key.split_once('.').unwrap();
        let part = Base64UrlUnpadded::encode_string(&bytes);
        let nonce = "A".repeat(32);
        for text in [
            text.clone(),
            String::from_utf8_lossy(&bytes).into_owned(),
            format!("{PREFIX}{text}"),
            format!("{header}{text}"),
            format!("{PREFIX}{header}{text}"),
            format!("{PREFIX}{header}..{nonce}.{text}"),
            format!("{PREFIX}{header}..{part}"),
            format!("{PREFIX}{header}..{nonce}.{part}.AAAAAAAAAAAAAAAAAAAAAA"),
        ] {
            prop_assert!(ring.open::<Note>(&text, &host(), now()).is_err());
        }
    }

    #[test]
    fn any_text_round_trips(text in any::<String>(), server_key in any::<u8>()) {
        let ring = ring(server_key);
        let sealed = ring.seal(&Note { text: text.clone() }, &host(), now(), HOUR).unwrap();

        let opened = ring.open::<Note>(sealed.expose(), &host(), now()).unwrap();

        prop_assert_eq!(&opened.payload().text, &text);
    }
}

#[test]
fn payload_of_another_type_is_refused_with_its_id() {
    let ring = ring(1);
    let sealed = ring.seal(&note(), &host(), now(), HOUR).unwrap();

    let opened =
        ring.open::<std::collections::BTreeMap<String, u8>>(sealed.expose(), &host(), now());

    assert_eq!(opened.unwrap_err(), OpenError::Payload { id: sealed.id() });
}
