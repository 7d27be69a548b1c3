//! Requests for keys: an accepted grant can be sealed and opens unchanged, budgets are those of the
//! body, and a refusal never repeats a secret.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use aisbreaker_gateway::fuzzing;
use aisbreaker_token::{BudgetLimits, Grant, Host, KeyRing, SealError, ServerKey, Usd};
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
    check_budgets(&grant, data);

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

/// Budgets are those of the body, exactly and with no limit left out.
fn check_budgets(grant: &Grant, data: &[u8]) {
    let data = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let body: Value = serde_json::from_slice(data).unwrap_or_default();
    let inside = &body["requestAuthAndQuotas"]["budgets"];
    let sent = if inside.is_null() {
        &body["budgets"]
    } else {
        inside
    };
    let budgets = grant.budgets.as_deref().cloned().unwrap_or_default();
    check_limits(&budgets.per_client, &sent["perClient"]);
    check_limits(&budgets.global, &sent["global"]);
    let output_reserve = sent["outputReserve"].as_f64();
    assert_eq!(budgets.output_reserve.map(f64::from), output_reserve);
    assert_eq!(grant.budgets.is_some(), budgets != Default::default());
}

fn check_limits(limits: &BudgetLimits, sent: &Value) {
    let tokens = [
        (limits.tokens_per_minute, "tokensPerMinute"),
        (limits.tokens_per_hour, "tokensPerHour"),
        (limits.tokens_per_day, "tokensPerDay"),
    ];
    for (limit, member) in tokens {
        #[expect(
            clippy::cast_precision_loss,
            reason = "limits are at most 2^53, up to which this is exact"
        )]
        let limit = limit.map(|limit| limit as f64);
        assert_eq!(limit, sent[member].as_f64(), "{member}");
    }
    for (limit, member) in [
        (limits.usd_per_day, "usdPerDay"),
        (limits.usd_per_month, "usdPerMonth"),
        (limits.usd_total, "usdTotal"),
    ] {
        let sent = &sent[member];
        assert_eq!(limit.is_none(), sent.is_null(), "{member}");
        if sent.is_null() {
            continue;
        }
        if sent.is_f64() {
            // It was rounded, so that only about how large it is can be checked.
            let dollars = sent.as_f64().unwrap_or_default();
            let read = limit.unwrap_or_default().to_string();
            let read: f64 = read.parse().unwrap_or_default();
            assert!(
                (read - dollars).abs() <= dollars * 1e-15,
                "{read} {dollars}"
            );
            continue;
        }
        let text = match sent.as_str() {
            Some(text) => text.to_owned(),
            None => sent.to_string(),
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let nanos: u64 = format!("{whole}{fraction:0<9}").parse().unwrap_or_default();
        assert_eq!(limit.map(Usd::nanos), Some(nanos), "{text}");
    }
}
