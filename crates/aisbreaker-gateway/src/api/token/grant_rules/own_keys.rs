//! Keys of this server where the secret of a service belongs: a provider would receive them, and
//! could use them.

use aisbreaker_api::InvalidRequest;
use aisbreaker_token::{Grant, KeyRing, MAX_OPEN_CHARS, PREFIX};
use secrecy::{ExposeSecret as _, zeroize::Zeroizing};

use crate::form_urlencoded;

const GRANT: &str = "requestAuthAndQuotas";
/// What a holder meant to do, and how it is done.
const PROBLEM: &str = "holds a key of this server, which a provider would receive; to make a \
                       narrower key of it, exchange it: POST /api/v1/oauth/token with the \
                       grant_type urn:ietf:params:oauth:grant-type:token-exchange and the key as \
                       subject_token";

/// Refuses a grant that holds one of the keys of this server, as it is or within another text.
pub(super) fn refuse(keys: &KeyRing, grant: &Grant) -> Result<(), InvalidRequest> {
    let texts = texts(grant);
    let bytes: usize = texts.iter().map(|(_, text)| text.len()).sum();
    // Such a grant fits into no key, so nobody need search it.
    if bytes > MAX_OPEN_CHARS {
        return Ok(());
    }
    let holds_key = |text: &str| holds_key(keys, text) || holds_key(keys, &decode(text));
    match texts.iter().find(|(_, text)| holds_key(text)) {
        Some((path, _)) => Err(InvalidRequest::new(path.clone(), PROBLEM)),
        None => Ok(()),
    }
}

/// Returns the texts of a grant that go to a provider, with their paths.
fn texts(grant: &Grant) -> Vec<(String, &str)> {
    let mut texts = Vec::new();
    for (index, entry) in grant.service_secrets.iter().enumerate() {
        let path = |member: &str| format!("{GRANT}.serviceSecrets[{index}].{member}");
        texts.push((path("authSecret"), entry.auth_secret.expose_secret()));
        texts.push((path("serviceId"), entry.service_id.as_str()));
        for url in &entry.url {
            texts.push((path("url"), url.as_str()));
        }
        for id in &entry.fallback {
            texts.push((path("fallback"), id.as_str()));
        }
    }
    for (name, alias) in &grant.model_aliases {
        let path = format!("{GRANT}.modelAliases");
        texts.push((path.clone(), name.as_str()));
        texts.push((path, alias.model.as_str()));
    }
    texts
}

/// Returns a text as a server decodes it that takes it out of a URL.
fn decode(text: &str) -> Zeroizing<String> {
    Zeroizing::new(form_urlencoded::decode(text))
}

/// Returns whether a text holds a key of this server: also in quotes, after `Bearer`, or in a query.
fn holds_key(keys: &KeyRing, text: &str) -> bool {
    let is_key_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.match_indices(PREFIX).any(|(start, _)| {
        let candidate = text.get(start..).unwrap_or_default();
        let end = candidate.find(|c| !is_key_char(c));
        let key = end.and_then(|end| candidate.get(..end));
        keys.recognizes(key.unwrap_or(candidate))
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aisbreaker_token::{Host, ServerKey, ServiceSecret, ValidityPeriod};

    use super::*;

    fn ring(byte: u8) -> KeyRing {
        KeyRing::new(ServerKey::from_bytes([byte; 32])).with_offline_keys()
    }

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn key_of(ring: &KeyRing, host: &str) -> String {
        let host = Host::parse(host).unwrap();
        let sealed = ring.seal(&Grant::default(), &host, NOW, Duration::from_secs(60));
        sealed.unwrap().expose().to_owned()
    }

    fn offline_key_of(ring: &KeyRing) -> String {
        let host = Host::parse("a.example").unwrap();
        let period = ValidityPeriod::new(NOW, Duration::from_secs(60));
        let sealed = ring.public_key().seal(&Grant::default(), &host, period);
        sealed.unwrap().expose().to_owned()
    }

    #[test]
    fn finds_keys_of_this_server_and_no_others() {
        let (own, other) = (ring(1), ring(2));
        let key = key_of(&own, "a.example");
        let rows = [
            (key.clone(), true),
            (key_of(&own, "b.example"), true),
            (format!("\"{key}\""), true),
            (format!("Bearer {key}"), true),
            (format!("sk-{key}"), true),
            (format!("https://a.example/?key={key}&x=1"), true),
            (format!("{key}x"), true),
            (key.replace("aisbreaker_", "%61isbreaker%5F"), true),
            (key.get(..key.len() / 2).unwrap().to_owned(), true),
            (
                format!("aisbreaker_x {} {key}", key_of(&other, "a.example")),
                true,
            ),
            (offline_key_of(&own), true),
            (offline_key_of(&other), false),
            (key_of(&other, "a.example"), false),
            (key.get(..100).unwrap().to_owned(), false),
            (key.to_uppercase(), false),
            ("aisbreaker_".to_owned(), false),
            ("{{secret}}".to_owned(), false),
            (String::new(), false),
        ];
        for (text, is_found) in rows {
            let secret = ServiceSecret::new("chat:openai.com", text.as_str().into());
            let refused = refuse(&own, &Grant::new(None, vec![secret]));
            assert_eq!(refused.is_err(), is_found, "{text}");
            if let Err(error) = refused {
                let message = error.to_string();
                assert!(message.contains("token-exchange"), "{message}");
                assert!(!message.contains(key.get(20..32).unwrap()), "{message}");
            }
        }
    }

    #[test]
    fn looks_at_every_text_that_goes_to_a_provider() {
        let ring = ring(1);
        let key = key_of(&ring, "a.example");
        let entry = || ServiceSecret::new("chat:openai.com", "sk".into());
        let url = format!("https://a.example/{key}#no-default-path");
        let aliases = [("m".to_owned(), format!("chat:openai.com/{key}"))];
        let entries = [
            entry().with_url(vec!["https://a.example".to_owned(), url]),
            entry().with_fallback(vec![format!("chat:groq.com/{key}")]),
            ServiceSecret::new(format!("chat:openai.com/{key}"), "sk".into()),
        ];
        for entry in entries {
            let text = format!("{entry:?}");
            assert!(
                refuse(&ring, &Grant::new(None, vec![entry])).is_err(),
                "{text}"
            );
        }
        let grant = Grant::default().with_model_aliases(aliases);
        assert!(refuse(&ring, &grant).is_err());
        assert!(refuse(&ring, &Grant::new(None, vec![entry()])).is_ok());
    }
}
