//! Public keys as text, and sealing with them.

use super::*;

#[test]
fn a_public_key_is_read_from_a_jwk_and_from_a_set() {
    let key = ServerKey::from_bytes([1; 32]).public_key();
    let jwk = key.to_jwk();
    let without = |member: &str| jwk.replacen(member, "", 1);
    let with = |from: &str, to: &str| jwk.replacen(from, to, 1);
    for (name, json, expected) in [
        ("as written", jwk.clone(), Ok(key)),
        ("without use", without(r#","use":"enc""#), Ok(key)),
        ("without alg", without(r#","alg":"ECDH-ES""#), Ok(key)),
        ("with more", with("{", r#"{"key_ops":[],"#), Ok(key)),
        (
            "for signatures",
            with("\"enc\"", "\"sig\""),
            Err(JwkError::Member("use")),
        ),
        (
            "another alg",
            with("ECDH-ES", "ECDH-ES+A128KW"),
            Err(JwkError::Member("alg")),
        ),
        (
            "another curve",
            with("X25519", "Ed25519"),
            Err(JwkError::Member("crv")),
        ),
        (
            "another type",
            with("OKP", "EC"),
            Err(JwkError::Member("kty")),
        ),
        (
            "short kid",
            with(key.id().as_str(), "a"),
            Err(JwkError::Member("kid")),
        ),
        (
            "kid no string",
            with(&format!("\"{}\"", key.id()), "1"),
            Err(JwkError::Member("kid")),
        ),
        (
            "short x",
            with(r#""x":""#, r#""x":"","y":""#),
            Err(JwkError::Member("x")),
        ),
        (
            "private",
            with("{", r#"{"d":"AA","#),
            Err(JwkError::Private),
        ),
        ("a list", format!("[{jwk}]"), Err(JwkError::NotAnObject)),
        ("no JSON", "x".to_owned(), Err(JwkError::NotAnObject)),
    ] {
        assert_eq!(SealingPublicKey::from_jwk(&json), expected, "{name}");
    }
    let other = ServerKey::from_bytes([2; 32]).public_key().to_jwk();
    let rsa = r#"{"kty":"RSA","n":"AA","e":"AQAB"}"#;
    for (name, json, expected) in [
        ("as written", key.to_jwk_set(), Ok(key)),
        (
            "beside another type",
            format!(r#"{{"keys":[{rsa},{jwk}]}}"#),
            Ok(key),
        ),
        (
            "empty",
            r#"{"keys":[]}"#.to_owned(),
            Err(JwkError::Count(0)),
        ),
        (
            "two",
            format!(r#"{{"keys":[{jwk},{other}]}}"#),
            Err(JwkError::Count(2)),
        ),
        ("a key alone", jwk.clone(), Err(JwkError::Member("keys"))),
    ] {
        assert_eq!(SealingPublicKey::from_jwk_set(&json), expected, "{name}");
    }
}

#[test]
fn sealing_has_the_bounds_of_the_servers_own_keys() {
    let key = ServerKey::from_bytes([1; 32]).public_key();
    let seal = |payload: &Value, lifetime| key.seal(payload, &host(), valid_for(lifetime));
    let long = serde_json::json!({"text": "x".repeat(6_000)});

    assert!(matches!(seal(&long, 1), Err(SealError::TooLong { .. })));
    assert!(matches!(seal(&Value::Null, 1), Err(SealError::NotAnObject)));
    assert!(matches!(
        seal(&serde_json::json!({"jti": "a"}), 1),
        Err(SealError::ReservedMember("jti"))
    ));
    assert!(matches!(
        seal(&serde_json::json!({}), 0),
        Err(SealError::Lifetime)
    ));
}
