//! A header of an offline key is read exactly if a simple, slow reading accepts it. Of all texts, only
//! the keys that were sealed open.

use aisbreaker_token::{PREFIX, fuzzing};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::{Map, Value};

use super::{
    open_text::assert_only_sealed_opens,
    vectors::{OFFLINE_KEYS, OFFLINE_RING, edited},
};

/// Reads the data as the JSON of a header, as a header before the other parts of a key, and as
/// edits of a key, which the first byte selects.
pub fn check(data: &[u8]) {
    let parsed = fuzzing::parse_offline_header(data);
    let expected = read_slowly(data);
    let shown = String::from_utf8_lossy(data);
    assert_eq!(
        parsed.map(|(kid, x)| (kid.to_string(), x.to_vec())),
        expected,
        "{shown}"
    );

    for key in OFFLINE_KEYS.iter() {
        let (_, rest) = key.text.split_once('.').unwrap_or_default();
        let header = Base64UrlUnpadded::encode_string(data);
        let text = format!("{PREFIX}{header}.{rest}");
        assert_only_sealed_opens(&OFFLINE_RING, &OFFLINE_KEYS, &text);
    }
    if let Some((selector, edits)) = data.split_first() {
        let key = &OFFLINE_KEYS[usize::from(*selector) % OFFLINE_KEYS.len()];
        assert_only_sealed_opens(&OFFLINE_RING, &OFFLINE_KEYS, &edited(&key.text, edits));
    }
}

/// Returns the `kid` and the `x` of a header, read by `serde_json`.
fn read_slowly(json: &[u8]) -> Option<(String, Vec<u8>)> {
    // Refused in strings, and not JSON elsewhere.
    if json.iter().any(|byte| matches!(byte, b'\\' | 127..)) {
        return None;
    }
    let Members(members) = serde_json::from_slice(json).ok()?;
    let mut header = Map::new();
    for (name, value) in members {
        if header.insert(name, value).is_some() {
            return None;
        }
    }
    let mut take = |name: &str| header.remove(name);
    let is = |value: Option<Value>, expected: &str| value == Some(expected.into());
    let is_absent_or =
        |value: Option<Value>, expected: &str| value.is_none_or(|value| value == expected);
    if !is(take("alg"), "ECDH-ES")
        || !is(take("enc"), "A256GCM")
        || !is_absent_or(take("typ"), "JWT")
        || !is_absent_or(take("ver"), "aisbreaker.org/jwt/v2")
    {
        return None;
    }
    let kid = take("kid")?.as_str()?.to_owned();
    // As a list of members, in which none is lost.
    let Members(epk) = serde_json::from_str(take("epk")?.as_str()?).ok()?;
    if !header.is_empty() || kid.len() != 6 || !kid.bytes().all(is_base64url) {
        return None;
    }
    let mut x = None;
    let mut names: Vec<_> = epk.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if names != ["crv", "kty", "x"] {
        return None;
    }
    for (name, value) in epk {
        match name.as_str() {
            "crv" if value == "X25519" => {}
            "kty" if value == "OKP" => {}
            "x" => x = Some(Base64UrlUnpadded::decode_vec(value.as_str()?).ok()?),
            _ => return None,
        }
    }
    Some((kid, x.filter(|x| x.len() == 32)?))
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The members of an object, with duplicates. The value of `epk` is kept as its text.
struct Members(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> serde::de::Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = if name == "epk" {
                let text = map.next_value::<Box<serde_json::value::RawValue>>()?;
                Value::from(text.get())
            } else {
                map.next_value()?
            };
            members.push((name, value));
        }
        Ok(Members(members))
    }
}
