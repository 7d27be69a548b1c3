//! `GET /api/v1/quota`: a holder asks how the quotas of its key stand.

use std::{
    fmt::Write as _,
    num::NonZeroU32,
    time::{Instant, SystemTime},
};

use aisbreaker_quota::{Refusal, Standing, Standings};
use http::{HeaderValue, Response, StatusCode, header::CACHE_CONTROL};
use serde::Serialize;

use crate::{
    admit::{self, whole_seconds},
    answer::{self, Failure},
    authenticate::Key,
    body::ResponseBody,
    config::Config,
    identity::ClientId,
    quotas::Quotas,
    status,
};

/// Questions per minute of one client, and of all.
const PER_CLIENT: NonZeroU32 = NonZeroU32::new(60).unwrap();
const GLOBAL: NonZeroU32 = NonZeroU32::new(600).unwrap();

/// What is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// The id of the key, as in the server's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    /// When the key expires (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_seconds: Option<u64>,
    /// Whether the limits are the server's own for whoever brings none.
    are_default_quotas: bool,
    /// Whether they are this server's share of the limits, since the servers cannot count together
    /// at the moment.
    are_shares: bool,
    limits: Vec<Limit>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Limit {
    scope: &'static str,
    window: &'static str,
    limit: NonZeroU32,
    remaining: u32,
    /// Until the oldest request that counts no longer does, rounded up; 0 if none counts.
    reset_seconds: u64,
}

/// Charges a question to the small limit that it has to itself; it is this server's own, however
/// requests are counted.
pub(crate) fn charge(quotas: &Quotas, client: ClientId, now: Instant) -> Result<(), Failure> {
    let charges = admit::asking_charges(client, PER_CLIENT, GLOBAL);
    match quotas.local.charge(&charges, NonZeroU32::MIN, now) {
        Ok(_) => Ok(()),
        Err(Refusal::Exceeded {
            charge,
            limit,
            retry_after,
            ..
        }) => {
            let counted = if charge == 0 { " and client" } else { "" };
            let seconds = whole_seconds(retry_after).max(1);
            let message = format!(
                "quotas were asked for too often: no more than {limit} per minute{counted}; try again in {seconds} s"
            );
            Err(status::spent(message, Some(retry_after)))
        }
        Err(Refusal::TooHeavy { .. }) => Err(status::spent("quotas cannot be asked for", None)),
    }
}

/// Tells how the quotas of this key stand for this client, or without one those that are charged
/// then.
pub(crate) async fn tell(
    quotas: &Quotas,
    key: Option<Key>,
    client: ClientId,
    config: &Config,
    (wall, now): (SystemTime, impl Fn() -> Instant),
) -> Result<Response<ResponseBody>, Failure> {
    let charges = admit::own_charges(key, client, config);
    let told = quotas.peek(&charges, now).await;
    let (standings, are_shares) = told.map_err(|cause| {
        status::overloaded("this server cannot tell at the moment how quotas stand; try again")
            .because(cause.to_string())
    })?;
    let answer = Answer {
        key_id: key.map(|key| key.id.to_string()),
        expires_at: key.and_then(|key| rfc3339(key.expires_at)),
        expires_in_seconds: key.map(|key| {
            key.expires_at
                .duration_since(wall)
                .unwrap_or_default()
                .as_secs()
        }),
        are_default_quotas: key.and_then(|key| key.quotas).is_none(),
        are_shares,
        limits: limits(&standings),
    };
    let mut response = answer::json(StatusCode::OK, &answer);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `None` from the year 10000 on, which has no such form.
fn rfc3339(time: SystemTime) -> Option<String> {
    let mut text = String::new();
    write!(text, "{}", humantime::format_rfc3339_seconds(time)).ok()?;
    Some(text)
}

fn limits(standings: &Standings<2>) -> Vec<Limit> {
    let limit = |(charge, standing): (usize, Standing)| Limit {
        scope: if charge == 0 { "client" } else { "global" },
        window: standing.window.name(),
        limit: standing.limit,
        remaining: standing.remaining,
        reset_seconds: whole_seconds(standing.reset),
    };
    standings.iter().map(limit).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_expiry_that_has_no_form_is_left_out() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(
            rfc3339(at(1_795_396_968)).as_deref(),
            Some("2026-11-23T01:22:48Z")
        );
        assert_eq!(
            rfc3339(at(253_402_300_799)).as_deref(),
            Some("9999-12-31T23:59:59Z")
        );
        assert_eq!(rfc3339(at(253_402_300_800)), None);
    }
}
