//! Requests for keys: an accepted grant can be sealed and opens unchanged, and a refusal never
//! repeats a secret.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use aisbreaker_gateway::fuzzing;
use aisbreaker_token::{Grant, Host, KeyRing, SealError, ServerKey};
use secrecy::ExposeSecret as _;
use serde_json::Value;

/// The secret in the seeds.
const SECRET: &str = "Q7zPrivate";
const MAXIMUM: Duration = Duration::from_secs(400 * 86_400);

static RING: LazyLock<KeyRing> = LazyLock::new(|| KeyRing::new(ServerKey::from_bytes([7; 32])));
static HOST: LazyLock<Option<Host>> = LazyLock::new(|| Host::parse("api.example.com").ok());

/// Parses the bytes as a body.
pub fn check(data: &[u8]) {
    let (grant, lifetime, warnings) = match fuzzing::mint(data, MAXIMUM) {
        Ok(read) => read,
        Err(error) => return assert!(!error.contains(SECRET) && error.len() < 300, "{error}"),
    };
    assert!(
        (1..=MAXIMUM.as_secs()).contains(&lifetime.as_secs()),
        "{lifetime:?}"
    );
    assert!(
        warnings.len() <= 20 && warnings.iter().all(|warning| warning.len() < 500),
        "{warnings:?}"
    );
    check_secrets(&grant, data);

    let (now, Some(host)) = (
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_396_965),
        &*HOST,
    ) else {
        return;
    };
    let key = match RING.seal(&grant, host, now, lifetime) {
        Ok(key) => key,
        Err(error) => return assert!(matches!(error, SealError::TooLong { .. }), "{error}"),
    };
    let opened = RING.open::<Grant>(key.expose(), host, now);
    let opened = opened.unwrap_or_else(|error| unreachable!("{error}"));
    let json = |grant: &Grant| serde_json::to_value(grant).unwrap_or_default();
    assert_eq!(json(opened.payload()), json(&grant));
}

/// The secrets are those of the body, complete and in its order.
fn check_secrets(grant: &Grant, data: &[u8]) {
    let data = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let body: Value = serde_json::from_slice(data).unwrap_or_default();
    let sent = &body["requestAuthAndQuotas"];
    let secrets = sent["serviceSecrets"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    assert_eq!(grant.service_secrets.len(), secrets.len());
    for (sealed, sent) in grant.service_secrets.iter().zip(secrets) {
        assert_eq!(Some(&*sealed.service_id), sent["serviceId"].as_str());
        assert_eq!(
            Some(sealed.auth_secret.expose_secret()),
            sent["authSecret"].as_str()
        );
        let url = &sent["url"];
        let one = Some(url).filter(|url| url.is_string());
        let urls = url
            .as_array()
            .map_or_else(|| one.into_iter().collect(), |urls| urls.iter().collect());
        let urls: Vec<_> = Vec::into_iter(urls).map(Value::as_str).collect();
        assert_eq!(
            sealed
                .url
                .iter()
                .map(|url| Some(&**url))
                .collect::<Vec<_>>(),
            urls
        );
    }
    assert_eq!(
        grant.request_quotas.is_some(),
        !sent["requestQuotas"].is_null()
    );
}
