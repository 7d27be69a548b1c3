//! Authentic keys with claims that this crate never writes. Only a holder of the server key can
//! seal them.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::*;
use crate::{ServerKey, sealing};

const NOW: u64 = 1_000_000;
const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

fn open_claims<P: DeserializeOwned>(claims: &[u8]) -> Result<Opened<P>, OpenError> {
    let ring = KeyRing::new(ServerKey::from_bytes([1; 32]));
    let key = sealing::seal_claims(&ring, claims);
    ring.open(
        &key,
        &Host::parse("h.example").unwrap(),
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW),
    )
}

fn id() -> KeyId {
    KeyId::from_jti(ID).unwrap()
}

fn invalid(fault: ClaimsFault) -> OpenError {
    let server_key = Some(ServerKey::from_bytes([1; 32]).id());
    OpenError::InvalidClaims { server_key, fault }
}

/// Returns valid claims with one replacement.
fn claims(from: &str, to: &str) -> String {
    let valid =
        r#"{"aud":"h.example","iat":1000000,"exp":1000001,"jti":"AAAAAAAAAAAAAAAAAAAAAA","a":1}"#;
    assert!(valid.contains(from), "{from}");
    valid.replacen(from, to, 1)
}

#[test]
fn valid_claims_open_in_any_json_spelling() {
    for (name, claims) in [
        ("as sealed", claims("", "")),
        ("spaces", claims(",", " ,\n ")),
        ("escaped name", claims("exp", "\\u0065xp")),
        ("escaped value", claims("h.example", "\\u0068.example")),
        ("iat a minute ahead", claims("1000000", "1000060")),
        ("nbf now", claims("{", r#"{"nbf":1000000,"#)),
        (
            "iss and sub of any type",
            claims("{", r#"{"iss":[1],"sub":{"exp":1},"#),
        ),
    ] {
        let opened = open_claims::<Value>(claims.as_bytes()).unwrap();

        assert_eq!(opened.id(), id(), "{name}");
        assert_eq!(*opened.payload(), serde_json::json!({"a": 1}), "{name}");
    }
}

#[test]
fn invalid_claims_are_refused_by_name() {
    use ClaimsFault::{Duplicate, Invalid, Missing, NotAnObject};
    for (name, claims, fault) in [
        (
            "no aud",
            claims(r#""aud":"h.example","#, ""),
            Missing("aud"),
        ),
        ("no iat", claims(r#""iat":1000000,"#, ""), Missing("iat")),
        ("no exp", claims(r#""exp":1000001,"#, ""), Missing("exp")),
        (
            "no jti",
            claims(r#""jti":"AAAAAAAAAAAAAAAAAAAAAA","#, ""),
            Missing("jti"),
        ),
        ("empty", "{}".to_owned(), Missing("jti")),
        (
            "aud a list",
            claims(r#""h.example""#, r#"["h.example"]"#),
            Invalid("aud"),
        ),
        ("aud null", claims(r#""h.example""#, "null"), Invalid("aud")),
        (
            "exp a text",
            claims("1000001", r#""1000001""#),
            Invalid("exp"),
        ),
        (
            "exp a fraction",
            claims("1000001", "1000001.5"),
            Invalid("exp"),
        ),
        (
            "exp a float",
            claims("1000001", "1000001.0"),
            Invalid("exp"),
        ),
        ("exp negative", claims("1000001", "-1"), Invalid("exp")),
        (
            "exp beyond time",
            claims("1000001", "18446744073709551615"),
            Invalid("exp"),
        ),
        (
            "exp beyond integers",
            claims("1000001", "18446744073709551616"),
            Invalid("exp"),
        ),
        ("exp null", claims("1000001", "null"), Invalid("exp")),
        (
            "iat a text",
            claims("1000000", r#""1000000""#),
            Invalid("iat"),
        ),
        ("iat negative", claims("1000000", "-5"), Invalid("iat")),
        ("nbf null", claims("{", r#"{"nbf":null,"#), Invalid("nbf")),
        (
            "nbf a fraction",
            claims("{", r#"{"nbf":0.5,"#),
            Invalid("nbf"),
        ),
        (
            "jti a number",
            claims(r#""AAAAAAAAAAAAAAAAAAAAAA""#, "1"),
            Invalid("jti"),
        ),
        ("jti empty", claims(ID, ""), Invalid("jti")),
        (
            "aud twice",
            claims("{", r#"{"aud":"h.example","#),
            Duplicate("aud"),
        ),
        ("exp twice", claims("{", r#"{"exp":9,"#), Duplicate("exp")),
        (
            "exp twice, once with an escape",
            claims("{", r#"{"\u0065xp":9,"#),
            Duplicate("exp"),
        ),
        (
            "iss twice",
            claims("{", r#"{"iss":1,"iss":1,"#),
            Duplicate("iss"),
        ),
        ("list", "[]".to_owned(), NotAnObject),
        ("text", r#""{}""#.to_owned(), NotAnObject),
        ("null", "null".to_owned(), NotAnObject),
        ("nothing", String::new(), NotAnObject),
        ("cut short", claims("}", ""), NotAnObject),
        ("more after", claims("}", "}{}"), NotAnObject),
        (
            "too deep",
            claims("1}", &format!("{}1}}", "[".repeat(5000))),
            NotAnObject,
        ),
    ] {
        let refused = open_claims::<Value>(claims.as_bytes()).unwrap_err();

        assert_eq!(refused, invalid(fault), "{name}");
    }
    assert_eq!(
        open_claims::<Value>(b"{\"\xff\":1}").unwrap_err(),
        invalid(NotAnObject)
    );
}

#[test]
fn checks_run_in_documented_order() {
    #[derive(Debug, Deserialize)]
    struct Other {
        #[expect(dead_code, reason = "only its absence matters")]
        missing: bool,
    }

    let ago = Duration::ZERO;
    let second = Duration::from_secs(1);
    let all_bad = claims("{", r#"{"nbf":1000001,"#)
        .replace("h.", "x.")
        .replace("1000000,", "1000061,");
    let expired = all_bad.replace(r#""exp":1000001"#, r#""exp":1000000"#);
    let not_yet = all_bad.replace("1000061", "1000060");
    let other_host = not_yet.replace(r#""nbf":1000001"#, r#""nbf":1000000"#);
    for (name, claims, expected) in [
        ("exp first", expired, OpenError::Expired { id: id(), ago }),
        (
            "then iat",
            all_bad,
            OpenError::IssuedInFuture {
                id: id(),
                ahead: 61 * second,
            },
        ),
        (
            "then nbf",
            not_yet,
            OpenError::NotYetValid {
                id: id(),
                wait: second,
            },
        ),
        ("then aud", other_host, OpenError::WrongHost { id: id() }),
        (
            "then the payload",
            claims("", ""),
            OpenError::Payload { id: id() },
        ),
        (
            "claims before all",
            claims("1000001", "{}"),
            invalid(ClaimsFault::Invalid("exp")),
        ),
    ] {
        assert_eq!(
            open_claims::<Other>(claims.as_bytes()).unwrap_err(),
            expected,
            "{name}"
        );
    }
}

#[test]
fn claims_are_checked_for_payload_that_reads_nothing() {
    #[derive(Debug)]
    struct Lazy;

    impl<'de> Deserialize<'de> for Lazy {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Ok(Self)
        }
    }

    assert!(open_claims::<Lazy>(claims("", "").as_bytes()).is_err());
    assert!(open_claims::<IgnoredAny>(claims("", "").as_bytes()).is_ok());
    assert!(open_claims::<IgnoredAny>(claims("h.", "x.").as_bytes()).is_err());
}

#[test]
fn jti_of_another_form_identifies_the_key() {
    let claims =
        |jti: &str| format!(r#"{{"aud":"h.example","iat":1000000,"exp":1000001,"jti":"{jti}"}}"#);
    let id = |jti: &str| open_claims::<Value>(claims(jti).as_bytes()).unwrap().id();

    let ids = [
        "0b5d6b3e-8d5f-4a3c-9f0e-2f6b6f1d7c11",
        "key 1",
        "key 2",
        "AAAAAAAAAAAAAAAAAAAAAB",
    ]
    .map(id);

    for (i, one) in ids.iter().enumerate() {
        assert!(!ids[..i].contains(one), "two keys have the id {one}");
        assert_eq!(one.as_bytes().len(), 32);
    }
}
