//! The response headers that report the state of the quotas.
//!
//! Source: draft-ietf-httpapi-ratelimit-headers-11, and the `x-ratelimit-*` fields of OpenAI's API.

use std::cmp::Reverse;

use aisbreaker_quota::{Standing, Standings, Window};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::counters::{COUNTERS, KEY_CLIENT, KEY_GLOBAL};
use crate::clock::ceil_seconds;

/// The fields of the draft.
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The fields of OpenAI's API.
const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");
/// The counters that are reported, with the names of their scopes.
const REPORTED: [(usize, &str); 2] = [(KEY_CLIENT, "client"), (KEY_GLOBAL, "global")];
/// Capacity for the text of six limits.
const SIX_LIMITS_BYTES: usize = 224;
/// Capacity for the seconds of a day and more.
const SECONDS_BYTES: usize = 8;

/// The limit that refused a request: the index of its counter, and its window.
pub(super) type RefusingLimit = (usize, Window);

/// Writes the fields of the draft and those of OpenAI's API.
pub(super) fn write(
    standings: &Standings<COUNTERS>,
    refusing: Option<RefusingLimit>,
    to: &mut HeaderMap,
) {
    write_policies(standings, to);
    write_tightest(standings, refusing, to);
}

/// Writes the fields of the draft and those of OpenAI's API, each unless the provider sent any of
/// its own.
pub(super) fn write_where_absent(standings: &Standings<COUNTERS>, to: &mut HeaderMap) {
    let has_draft = [RATELIMIT_POLICY, RATELIMIT]
        .iter()
        .any(|name| to.contains_key(name));
    let has_openai = [X_RATELIMIT_LIMIT, X_RATELIMIT_REMAINING, X_RATELIMIT_RESET]
        .iter()
        .any(|name| to.contains_key(name));
    if !has_draft {
        write_policies(standings, to);
    }
    if !has_openai {
        write_tightest(standings, None, to);
    }
}

/// Writes all six limits of the key as the draft defines.
fn write_policies(standings: &Standings<COUNTERS>, to: &mut HeaderMap) {
    let mut policies = String::with_capacity(SIX_LIMITS_BYTES);
    let mut limits = String::with_capacity(SIX_LIMITS_BYTES);
    for (counter, scope) in REPORTED {
        for standing in standings.of_charge(counter) {
            let separator = if policies.is_empty() { "\"" } else { ", \"" };
            let name = [separator, scope, "-", standing.window.name()];
            let quota = u64::from(standing.limit.get());
            let window_seconds = standing.window.length().as_secs();
            push(
                &mut policies,
                name,
                [("\";q=", quota), (";w=", window_seconds)],
            );
            let remaining = u64::from(standing.remaining);
            let reset_seconds = ceil_seconds(standing.reset);
            push(
                &mut limits,
                name,
                [("\";r=", remaining), (";t=", reset_seconds)],
            );
        }
    }
    for (name, text) in [(RATELIMIT_POLICY, policies), (RATELIMIT, limits)] {
        // A copy of the exact length; the text has spare capacity.
        if let Ok(value) = HeaderValue::from_str(&text) {
            to.insert(name, value);
        }
    }
}

/// Writes the one limit that the providers' APIs have fields for: the refusing one, which may be
/// the server's, or else the tightest of the key's six.
///
/// The reset of a refusing limit is the wait, since every request weighs one.
fn write_tightest(
    standings: &Standings<COUNTERS>,
    refusing: Option<RefusingLimit>,
    to: &mut HeaderMap,
) {
    let refusing = match refusing {
        Some((counter, window)) => standings.of(counter, window),
        None => None,
    };
    let Some(standing) = refusing.or_else(|| tightest(standings)) else {
        return;
    };
    let mut reset = String::with_capacity(SECONDS_BYTES);
    push(&mut reset, [], [("", ceil_seconds(standing.reset))]);
    reset.push('s');
    to.insert(X_RATELIMIT_LIMIT, number(standing.limit.get()));
    to.insert(X_RATELIMIT_REMAINING, number(standing.remaining));
    if let Ok(value) = HeaderValue::from_str(&reset) {
        to.insert(X_RATELIMIT_RESET, value);
    }
}

/// Returns the reported limit with the least remaining. On a tie it is the one that resets last,
/// since that decides the wait.
fn tightest(standings: &Standings<COUNTERS>) -> Option<Standing> {
    REPORTED
        .into_iter()
        .flat_map(|(counter, _)| standings.of_charge(counter))
        .min_by_key(|standing| (standing.remaining, Reverse(standing.reset)))
}

/// Formats a number in one allocation; the conversion of the `http` crate makes two.
fn number(number: u32) -> HeaderValue {
    HeaderValue::from_str(itoa::Buffer::new().format(number)).unwrap_or_else(|_never| number.into())
}

/// Appends a name and numbers without the formatting machinery: every response has these.
fn push<const N: usize, const M: usize>(
    text: &mut String,
    name: [&str; N],
    numbers: [(&str, u64); M],
) {
    for piece in name {
        text.push_str(piece);
    }
    for (before, number) in numbers {
        text.push_str(before);
        text.push_str(itoa::Buffer::new().format(number));
    }
}
