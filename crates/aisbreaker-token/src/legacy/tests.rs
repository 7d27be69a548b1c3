//! Legacy keys that the original server seals for unusual requests, and forgeries that it never
//! seals.

use std::time::{Duration, SystemTime};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use cbc::cipher::BlockModeEncrypt as _;
use serde_json::{Value, json};

use super::*;
use crate::{ClaimsFault, Grant, Host, KeyRing, Opened, PREFIX, ServerKey};

const PHRASE: &str = "abc";
const NOW: u64 = 1_000_000;

fn header() -> &'static str {
    str::from_utf8(HEADER).unwrap()
}

/// Seals as the original server does, with any header.
fn seal(header: &str, claims: &str) -> String {
    let key = LegacyKey::from_phrase(PHRASE);
    let iv = [5; IV_BYTES];
    let mut buffer = [claims.as_bytes(), &[0; 16]].concat();
    let ciphertext = cbc::Encryptor::<Aes128>::new((&*key.encryption).into(), &iv.into())
        .encrypt_padded::<Pkcs7>(&mut buffer, claims.len())
        .unwrap();
    seal_parts(&key, header, iv, ciphertext)
}

fn seal_parts(key: &LegacyKey, header: &str, iv: [u8; IV_BYTES], ciphertext: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key.mac.as_slice()).unwrap();
    let header_bits = header.len() as u64 * 8;
    let digest = mac
        .chain_update(header)
        .chain_update(iv)
        .chain_update(ciphertext)
        .chain_update(header_bits.to_be_bytes())
        .finalize()
        .into_bytes();
    let [iv, ciphertext, tag] =
        [&iv, ciphertext, &digest[..16]].map(Base64UrlUnpadded::encode_string);
    format!("{PREFIX}{header}..{iv}.{ciphertext}.{tag}")
}

fn open(key: &str) -> Result<Opened<Grant>, OpenError> {
    KeyRing::new(ServerKey::from_bytes([1; 32]))
        .with_opening_key(ServerKey::parse_for_opening(PHRASE).unwrap())
        .unwrap()
        .open(
            key,
            &Host::parse("h.example").unwrap(),
            SystemTime::UNIX_EPOCH + Duration::from_secs(NOW),
        )
}

fn open_claims(claims: &str) -> Result<Opened<Grant>, OpenError> {
    open(&seal(header(), claims))
}

/// Returns the members of a request with the claims that the original server adds.
fn claims(members: &str) -> String {
    format!(r#"{{{members}"sub":"h.example#aisbreaker","iat":1000000,"exp":1000001}}"#)
}

#[test]
fn accepts_claims_that_the_original_server_accepts() {
    for (name, claims) in [
        ("usual", claims("")),
        (
            "iat in the future",
            claims("").replace(r#""iat":1000000"#, r#""iat":9999999999"#),
        ),
        ("no iat", claims("").replace(r#""iat":1000000,"#, "")),
        (
            "host with trailing dot",
            claims("").replace("h.example", "h.example."),
        ),
        (
            "host in capitals",
            claims("").replace("h.example", "H.Example"),
        ),
        (
            "claims of the caller, of any type",
            claims(r#""aud":[1],"iss":null,"jti":{"exp":1},"#),
        ),
        ("nbf before 1970", claims(r#""nbf":-1.5,"#)),
        ("nbf a fraction", claims(r#""nbf":999999.5,"#)),
        (
            "nothing granted",
            claims(r#""requestQuotas":null,"serviceSecrets":[],"#),
        ),
    ] {
        assert!(
            open_claims(&claims).is_ok(),
            "{name}: {:?}",
            open_claims(&claims)
        );
    }
}

#[test]
fn invalid_claims_are_refused_by_name() {
    let invalid = |fault| OpenError::InvalidClaims {
        server_key: None,
        fault,
    };
    let exp = r#","exp":1000001"#;
    for (name, claims, fault) in [
        (
            "no exp",
            claims("").replace(exp, ""),
            ClaimsFault::Missing("exp"),
        ),
        (
            "exp a text",
            claims("").replace(exp, r#","exp":"1000001""#),
            ClaimsFault::Invalid("exp"),
        ),
        (
            "exp endless",
            claims("").replace(exp, r#","exp":1e300"#),
            ClaimsFault::Invalid("exp"),
        ),
        (
            "no sub",
            claims("").replace("sub", "bus"),
            ClaimsFault::Missing("sub"),
        ),
        (
            "nbf null",
            claims(r#""nbf":null,"#),
            ClaimsFault::Invalid("nbf"),
        ),
        (
            "sub twice",
            claims(r#""sub":"h.example#aisbreaker","#),
            ClaimsFault::Duplicate("sub"),
        ),
        ("not an object", "[]".to_owned(), ClaimsFault::NotAnObject),
    ] {
        assert_eq!(open_claims(&claims).unwrap_err(), invalid(fault), "{name}");
    }
}

#[test]
fn other_subjects_are_refused_as_other_hosts() {
    for subject in [
        "h.example",
        "h.example#other",
        "#aisbreaker",
        "x.h.example#aisbreaker",
        "h.example#aisbreaker#aisbreaker",
    ] {
        let refused =
            open_claims(&claims("").replace("h.example#aisbreaker", subject)).unwrap_err();

        assert!(matches!(refused, OpenError::WrongHost { .. }), "{subject}");
    }
}

#[test]
fn dates_are_compared_with_fractions_of_a_second() {
    let nbf = open_claims(&claims(r#""nbf":1000000.5,"#)).unwrap_err();
    let exp = open_claims(&claims("").replace("1000001", "999999.5")).unwrap_err();
    let negative = open_claims(&claims("").replace("1000001", "-1")).unwrap_err();

    let half = Duration::from_millis(500);
    assert!(matches!(nbf, OpenError::NotYetValid { wait, .. } if wait == half));
    assert!(matches!(exp, OpenError::Expired { ago, .. } if ago == half));
    assert!(matches!(negative, OpenError::Expired { .. }));
}

#[test]
fn refuses_grants_that_the_original_server_seals_but_cannot_use() {
    let quotas = |value: Value| {
        let limits = json!({"requestsPerMinute": value, "requestsPerHour": 1, "requestsPerDay": 1});
        format!(
            r#""requestQuotas":{},"#,
            json!({"perClientRequestLimits": limits, "globalRequestLimits": limits})
        )
    };
    for members in [
        quotas(json!(0)),
        quotas(json!(-1)),
        quotas(json!(0.5)),
        quotas(json!("60")),
        quotas(json!(null)),
        r#""requestQuotas":{},"#.to_owned(),
        r#""serviceSecrets":{},"#.to_owned(),
        r#""serviceSecrets":[{"serviceId":"a"}],"#.to_owned(),
        r#""serviceSecrets":[{"serviceId":"a","authSecret":1}],"#.to_owned(),
    ] {
        let refused = open_claims(&claims(&members)).unwrap_err();

        assert!(matches!(refused, OpenError::Payload { .. }), "{members}");
    }
    assert!(open_claims(&claims(&quotas(json!(60)))).is_ok());
}

#[test]
fn accepts_only_the_header_of_the_original_server() {
    let json = r#"{"ver":"aisbreaker.org/jwt/v1","typ":"JOSE","alg":"dir","enc":"A128CBC-HS256"}"#;
    let seal_under = |json: &str| {
        seal(
            &Base64UrlUnpadded::encode_string(json.as_bytes()),
            &claims(""),
        )
    };
    assert!(open(&seal_under(json)).is_ok());

    for (name, json) in [
        ("compressed", json.replace('}', r#","zip":"DEF"}"#)),
        ("other enc", json.replace("A128CBC-HS256", "A128GCM")),
        ("other alg", json.replace("dir", "A128KW")),
        (
            "other order",
            r#"{"alg":"dir","enc":"A128CBC-HS256"}"#.to_owned(),
        ),
        ("spaces", json.replace(',', ", ")),
        ("no header", String::new()),
    ] {
        let refused = open(&seal_under(&json)).unwrap_err();

        assert_eq!(refused, OpenError::UnsupportedHeader, "{name}");
    }
}

#[test]
fn refuses_authentic_ciphertext_with_bad_padding() {
    let key = LegacyKey::from_phrase(PHRASE);
    for bytes in [0, 1, 15, 16, 17, 32] {
        let refused =
            open(&seal_parts(&key, header(), [5; IV_BYTES], &vec![7; bytes])).unwrap_err();

        assert_eq!(
            refused,
            OpenError::NotAuthentic { server_key: None },
            "{bytes}"
        );
    }
}
