//! `GET /api/v1/quota`: reports the state of the quotas of a key.

use std::{
    fmt::Write as _,
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use aisbreaker_quota::{Refusal, Standing, Standings};
use aisbreaker_token::Usd;
use http::{Response, request::Parts};
use serde::Serialize;

use crate::{
    budgets::{
        Budgets,
        account::{Accounts, Unit},
    },
    clock::ceil_seconds,
    failure::Failure,
    opened_key::Key,
    pipeline::Pipeline,
    request::head::{Endpoints, Head, Surface},
    response::{self, ResponseBody},
    restrictions::KeyUse,
    shared_store::StoreError,
    telemetry::access_log::AccessLog,
};

/// The quota queries per minute of one client.
pub(crate) const PER_CLIENT: NonZeroU32 = NonZeroU32::new(60).unwrap();
/// The quota queries per minute of all clients.
pub(crate) const GLOBAL: NonZeroU32 = NonZeroU32::new(600).unwrap();

/// Why a quota query is not answered.
#[derive(Debug)]
pub(crate) enum QuotaError {
    /// There were too many queries.
    Exceeded {
        limit: NonZeroU32,
        /// What the limit counts besides the minute.
        unit: &'static str,
        retry_after: Duration,
    },
    /// The limit admits no query at all.
    TooHeavy,
    /// The shared store does not answer.
    Unavailable(StoreError),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QuotaResponse {
    /// The id of the key, as in the server's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    /// When the key expires (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_seconds: Option<u64>,
    /// Whether the limits are the server's default quotas.
    are_default_quotas: bool,
    /// Whether the limits are this server's share, since the shared store is down.
    are_shares: bool,
    /// Those of the key itself: none if it was made from another key and has no quotas of its own.
    limits: Vec<Limit>,
    /// The keys that this one was made from whose quotas its requests are charged to as well,
    /// nearest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ancestors: Vec<AncestorLimits>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AncestorLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    /// 1 for the key that the asking one was made from, 2 for the one that this was made from.
    level: usize,
    are_default_quotas: bool,
    limits: Vec<Limit>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Limit {
    unit: &'static str,
    scope: &'static str,
    window: &'static str,
    limit: Amount,
    /// What is reserved does not remain.
    remaining: Amount,
    /// Seconds until the oldest counted request leaves the window, rounded up; 0 if none counts, and
    /// nothing if it never leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    reset_seconds: Option<u64>,
}

/// Requests or tokens as a number, dollars as the text of a decimal, which is exact.
#[derive(Serialize)]
#[serde(untagged)]
enum Amount {
    Count(u64),
    Dollars(String),
}

/// Answers a quota query.
pub(crate) async fn serve(
    pipeline: &Pipeline,
    (parts, endpoints): (&Parts, Endpoints),
    log: &mut AccessLog,
) -> Result<Response<ResponseBody>, Failure> {
    if let Err(error) = endpoints.host {
        return Err(error.into());
    }
    charge(pipeline, &endpoints)?;
    log.mark_charged();
    let head = Head::read(parts, endpoints, Surface::Quota)?;
    let authenticated = pipeline.authenticate(head, log)?;
    let permitted = authenticated.permit(KeyUse::QUESTION)?;
    let key = permitted.caller().key.as_ref();
    let wall = pipeline.clock.wall();
    let now = || pipeline.clock.monotonic();
    let peeked = pipeline.admission.peek(key, permitted.client(), now);
    let (owners, are_shares) = peeked.await.map_err(QuotaError::Unavailable)?;
    let (mut own_limits, mut are_default_quotas) = (Vec::new(), false);
    let mut ancestors = Vec::new();
    for (owner, standings) in &owners {
        let limits = limits(standings);
        if owner.level == 0 {
            own_limits = limits;
            are_default_quotas = owner.are_default;
        } else {
            ancestors.push(AncestorLimits {
                key_id: owner.key.map(|id| id.to_string()),
                level: owner.level,
                are_default_quotas: owner.are_default,
                limits,
            });
        }
    }
    if let Some(accounts) = pipeline.budgets.accounts(key, permitted.client()) {
        for (level, limit) in budgets(&pipeline.budgets, &accounts).await? {
            if level == 0 {
                own_limits.push(limit);
                continue;
            }
            let known = ancestors.iter().position(|one| one.level == level);
            let place = known.unwrap_or_else(|| {
                ancestors.push(AncestorLimits {
                    key_id: key.and_then(|key| id_at(key, level)),
                    level,
                    are_default_quotas: false,
                    limits: Vec::new(),
                });
                ancestors.len() - 1
            });
            if let Some(ancestor) = ancestors.get_mut(place) {
                ancestor.limits.push(limit);
            }
        }
        ancestors.sort_by_key(|ancestor| ancestor.level);
    }
    let body = QuotaResponse {
        key_id: key.map(|key| key.id.to_string()),
        expires_at: key.and_then(|key| rfc3339(key.expires_at)),
        expires_in_seconds: key.map(|key| seconds_until(key.expires_at, wall)),
        are_default_quotas,
        are_shares,
        limits: own_limits,
        ancestors,
    };
    Ok(response::not_stored(&body))
}

/// Charges a question about a key, before anything of it is compared or opened.
pub(super) fn charge(pipeline: &Pipeline, endpoints: &Endpoints) -> Result<(), QuotaError> {
    let limits = (PER_CLIENT, GLOBAL);
    let now = pipeline.clock.monotonic();
    let charged = pipeline
        .admission
        .charge_quota_query(endpoints.client, limits, now);
    charged.map_err(QuotaError::of_refusal)
}

impl QuotaError {
    /// Describes why a query is refused.
    pub(crate) fn of_refusal(refusal: Refusal<2>) -> Self {
        match refusal {
            Refusal::Exceeded {
                charge,
                limit,
                retry_after,
                ..
            } => Self::Exceeded {
                limit,
                unit: if charge == 0 { " and client" } else { "" },
                retry_after,
            },
            Refusal::TooHeavy { .. } => Self::TooHeavy,
        }
    }
}

/// Returns the id of the key that this one was made from, so many steps away.
fn id_at(key: &Key, level: usize) -> Option<String> {
    let index = key.ancestors.len().checked_sub(level)?;
    Some(key.ancestors.get(index)?.id.to_string())
}

/// Returns whole seconds, 0 if the time is over.
fn seconds_until(time: SystemTime, now: SystemTime) -> u64 {
    time.duration_since(now).unwrap_or_default().as_secs()
}

/// Formats a time as RFC 3339 does. Returns `None` from the year 10000 on, which has no such form.
fn rfc3339(time: SystemTime) -> Option<String> {
    let mut text = String::new();
    write!(text, "{}", humantime::format_rfc3339_seconds(time)).ok()?;
    Some(text)
}

fn limits(standings: &Standings<2>) -> Vec<Limit> {
    let limit = |(charge, standing): (usize, Standing)| Limit {
        unit: "requests",
        scope: if charge == 0 { "client" } else { "global" },
        window: standing.window.name(),
        limit: Amount::Count(standing.limit.get().into()),
        remaining: Amount::Count(standing.remaining.into()),
        reset_seconds: Some(ceil_seconds(standing.reset)),
    };
    standings.iter().map(limit).collect()
}

/// Returns the budgets of a request's accounts, each with the level of its key.
async fn budgets(
    budgets: &Budgets,
    accounts: &Accounts,
) -> Result<Vec<(usize, Limit)>, QuotaError> {
    let mut limits = Vec::new();
    for account in &accounts.list {
        let balances = budgets.balances(account).await;
        for balance in balances.map_err(QuotaError::Unavailable)? {
            let amount = |amount| match account.id.unit {
                Unit::Tokens => Amount::Count(amount),
                Unit::Usd => Amount::Dollars(Usd::from_nanos(amount).to_string()),
            };
            let limit = Limit {
                unit: account.id.unit.name(),
                scope: if account.id.is_global() {
                    "global"
                } else {
                    "client"
                },
                window: balance.period.name(),
                limit: amount(balance.limit),
                remaining: amount(balance.remaining),
                reset_seconds: balance.reset.map(ceil_seconds),
            };
            limits.push((account.level, limit));
        }
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_after_the_year_9999_is_left_out() {
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
