//! Headers that are read, and ones that no key may have.

use super::*;

const HEADER: &str = r#"{"typ":"JWT","alg":"ECDH-ES","enc":"A256GCM","kid":"pTest1","epk":{"x":"ZQjriVB4wipp_cX3CvJyctGnT3oUa9DbfO6Q8bwWA0Y","crv":"X25519","kty":"OKP"}}"#;

fn with_header(json: &str) -> String {
    let (_, rest) = SAMPLE.split_once('.').unwrap();
    format!("aisbreaker_{}.{rest}", base64url::encode(json.as_bytes()))
}

/// A header that is read is not that of the sample, so the tag no longer fits.
#[test]
fn headers_that_mean_the_same_are_read() {
    assert_eq!(with_header(HEADER), SAMPLE);
    for (name, json) in [
        (
            "another order",
            HEADER
                .replace(r#""typ":"JWT",""#, "\"")
                .replace("}}", r#"},"typ":"JWT"}"#),
        ),
        ("no typ", HEADER.replace(r#""typ":"JWT","#, "")),
        (
            "with ver",
            HEADER
                .replace('{', r#"{"ver":"aisbreaker.org/jwt/v2","#)
                .replacen(r#"epk":{"ver":"aisbreaker.org/jwt/v2","#, r#"epk":{"#, 1),
        ),
        (
            "spaces",
            HEADER.replace(':', " : ").replace(',', "\r\n\t, "),
        ),
        ("spaces around", format!(" {HEADER}\n")),
        (
            "as long as may be",
            HEADER.replacen('{', &format!("{{{}", " ".repeat(300 - HEADER.len())), 1),
        ),
    ] {
        assert_eq!(
            refusal(&with_header(&json)),
            not_authentic(),
            "{name}: {json}"
        );
    }
}

#[test]
fn all_other_headers_are_refused_before_any_key_agreement() {
    let epk = r#"{"x":"ZQjriVB4wipp_cX3CvJyctGnT3oUa9DbfO6Q8bwWA0Y","crv":"X25519","kty":"OKP"}"#;
    let replaced = |from: &str, to: &str| {
        assert!(HEADER.contains(from), "{from}");
        HEADER.replacen(from, to, 1)
    };
    let with_member = |member: &str| replaced("{", &format!("{{{member},"));
    let mut rows = vec![
        ("empty", String::new()),
        ("no object", "[]".to_owned()),
        ("empty object", "{}".to_owned()),
        ("no alg", replaced(r#""alg":"ECDH-ES","#, "")),
        ("no enc", replaced(r#""enc":"A256GCM","#, "")),
        ("no kid", replaced(r#""kid":"pTest1","#, "")),
        ("no epk", replaced(&format!(r#","epk":{epk}"#), "")),
        ("another typ", replaced("JWT", "JOSE")),
        ("typ in lower case", replaced("JWT", "jwt")),
        (
            "another ver",
            with_member(r#""ver":"aisbreaker.org/jwt/v1""#),
        ),
        ("alg dir", replaced("ECDH-ES", "dir")),
        ("alg none", replaced("ECDH-ES", "none")),
        ("key wrapping", replaced("ECDH-ES", "ECDH-ES+A256KW")),
        ("alg in lower case", replaced("ECDH-ES", "ecdh-es")),
        ("alg null", replaced(r#""ECDH-ES""#, "null")),
        ("alg a list", replaced(r#""ECDH-ES""#, r#"["ECDH-ES"]"#)),
        ("another enc", replaced("A256GCM", "A128GCM")),
        ("enc CBC", replaced("A256GCM", "A256CBC-HS512")),
        ("enc XC20P", replaced("A256GCM", "XC20P")),
        ("short kid", replaced("pTest1", "pTest")),
        ("long kid", replaced("pTest1", "pTest11")),
        ("kid no base64url", replaced("pTest1", "pTest+")),
        ("kid a number", replaced(r#""pTest1""#, "123456")),
        ("epk a string", replaced(epk, r#""X25519""#)),
        ("epk empty", replaced(epk, "{}")),
        ("epk without kty", replaced(r#","kty":"OKP""#, "")),
        ("epk without crv", replaced(r#""crv":"X25519","#, "")),
        ("another kty", replaced("OKP", "EC")),
        ("another crv", replaced("X25519", "X448")),
        ("a curve for signatures", replaced("X25519", "Ed25519")),
        (
            "epk with d",
            replaced(r#""kty":"OKP""#, r#""kty":"OKP","d":"AA""#),
        ),
        (
            "epk with kid",
            replaced(r#""kty":"OKP""#, r#""kty":"OKP","kid":"pTest1""#),
        ),
        (
            "epk with y",
            replaced(r#""kty":"OKP""#, r#""kty":"OKP","y":"AA""#),
        ),
        (
            "x twice",
            replaced(r#""kty":"OKP""#, r#""kty":"OKP","x":"AA""#),
        ),
        (
            "crv twice",
            replaced(r#""kty":"OKP""#, r#""kty":"OKP","crv":"X25519""#),
        ),
        (
            "kty twice",
            replaced(r#""kty":"OKP""#, r#""kty":"OKP","kty":"OKP""#),
        ),
        ("x padded", replaced("A0Y", "A0Y=")),
        ("x with stray bits", replaced("A0Y", "A0Z")),
        ("x short", replaced("A0Y", "A0")),
        ("x long", replaced("A0Y", "A0YA")),
        ("x in the standard alphabet", replaced("_cX", "/cX")),
        ("escaped name", replaced("\"alg\"", "\"\\u0061lg\"")),
        ("escaped value", replaced("ECDH-ES", "\\u0045CDH-ES")),
        (
            "escaped name of a refused member",
            with_member(r#""\u007aip":"DEF""#),
        ),
        ("name with a null", replaced("\"alg\"", "\"alg\0\"")),
        ("not ASCII", with_member("\"typé\":\"JWT\"")),
        ("comma after the last", replaced("}}", "},}")),
        ("comma before the first", replaced("{", "{,")),
        ("two commas", replaced(",", ",,")),
        ("no comma", replaced(",", "")),
        ("no colon", replaced(":", "")),
        ("single quotes", HEADER.replace('"', "'")),
        ("text after", format!("{HEADER}x")),
        ("two objects", format!("{HEADER}{HEADER}")),
        ("no end", HEADER[..HEADER.len() - 1].to_owned()),
        ("byte order mark", format!("\u{feff}{HEADER}")),
        ("vertical tab", format!("\u{b}{HEADER}")),
        ("comment", format!("/**/{HEADER}")),
        (
            "too long",
            replaced("{", &format!("{{{}", " ".repeat(301 - HEADER.len()))),
        ),
    ];
    for (name, member) in [
        ("alg twice", r#""alg":"ECDH-ES""#),
        ("alg twice, differently", r#""alg":"dir""#),
        ("enc twice", r#""enc":"A256GCM""#),
        ("kid twice", r#""kid":"pTest1""#),
        ("typ twice", r#""typ":"JWT""#),
        ("zip", r#""zip":"DEF""#),
        ("crit", r#""crit":["exp"]"#),
        ("crit and its member", r#""crit":["x"],"x":1"#),
        ("b64", r#""b64":false"#),
        ("apu", r#""apu":"QWxpY2U""#),
        ("apv", r#""apv":"Qm9i""#),
        ("empty apu", r#""apu":"""#),
        ("jku", r#""jku":"https://a.example/jwks.json""#),
        ("jwk", r#""jwk":{"kty":"OKP"}"#),
        ("x5u", r#""x5u":"https://a.example/""#),
        ("x5c", r#""x5c":["AA"]"#),
        ("x5t", r#""x5t":"AA""#),
        ("x5t#S256", r#""x5t#S256":"AA""#),
        ("cty", r#""cty":"JWT""#),
        ("iv", r#""iv":"AA""#),
        ("p2c", r#""p2c":1000000"#),
        ("exp", r#""exp":1"#),
        ("ALG", r#""ALG":"ECDH-ES""#),
        ("an empty name", r#""":"x""#),
    ] {
        rows.push((name, with_member(member)));
    }
    rows.push(("epk twice", with_member(&format!(r#""epk":{epk}"#))));
    for (name, json) in rows {
        let key = with_header(&json);
        assert_eq!(
            refusal(&key),
            OpenError::UnsupportedHeader,
            "{name}: {json}"
        );
        assert!(!sample_ring().takes_key_agreement(&key), "{name}");
    }
}

#[test]
fn a_kid_of_another_key_is_refused_before_any_key_agreement() {
    let native = sample_ring().sealing_key_id();
    for kid in ["pTest2", native.as_str()] {
        let key = with_header(&HEADER.replace("pTest1", kid));

        assert_eq!(refusal(&key), OpenError::UnknownServerKey, "{kid}");
        assert!(!sample_ring().takes_key_agreement(&key), "{kid}");
    }
}

/// Points of low order and their spellings, each as `epk`: a sealer who sends one knows the shared
/// secret without knowing any key.
#[test]
fn points_of_low_order_are_refused() {
    for hex in agreement::LOW_ORDER_POINTS {
        for top_bit in [0, 0x80] {
            let mut point = unhex(hex);
            point[31] |= top_bit;
            let x = base64url::encode(&point);
            let json = HEADER.replace("ZQjriVB4wipp_cX3CvJyctGnT3oUa9DbfO6Q8bwWA0Y", &x);
            let jwk = sample_ring().public_key().to_jwk();
            let known: Value = serde_json::from_str(&jwk).unwrap();

            assert_eq!(refusal(&with_header(&json)), not_authentic(), "{hex}");
            assert_eq!(
                SealingPublicKey::from_jwk(&jwk.replace(known["x"].as_str().unwrap(), &x)),
                Err(JwkError::LowOrder),
                "{hex}"
            );
        }
    }
}
