//! The response headers that report the state of the quotas.
//!
//! Source: draft-ietf-httpapi-ratelimit-headers-11, and the `x-ratelimit-*` fields of OpenAI's API.

mod provider_limit;

use std::{
    cmp::Reverse,
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use aisbreaker_quota::{Standing, Standings, Window};
use http::{HeaderMap, HeaderName, HeaderValue};

use self::provider_limit::{ANTHROPIC, OPENAI};
use super::counters::{COUNTERS, KEY_CLIENT, KEY_GLOBAL};
use crate::clock::ceil_seconds;

/// The fields of the draft.
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
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

/// Writes the fields of the draft unless the provider sent any of its own, and those of the
/// providers' APIs unless the provider reports a limit that is as tight.
///
/// Fields of Anthropic's API are only replaced, since no other client reads them. `now` is the time
/// of the charge.
pub(super) fn write_beside_provider(
    standings: &Standings<COUNTERS>,
    now: SystemTime,
    to: &mut HeaderMap,
) {
    let has_draft = [RATELIMIT_POLICY, RATELIMIT]
        .iter()
        .any(|name| to.contains_key(name));
    if !has_draft {
        write_policies(standings, to);
    }
    let Some(own) = tightest(standings) else {
        return;
    };
    if !OPENAI.is_as_tight(to, own.remaining).unwrap_or(false) {
        write_openai(&own, to);
    }
    if ANTHROPIC.is_reported(to) && ANTHROPIC.is_as_tight(to, own.remaining) == Some(false) {
        write_anthropic(&own, now, to);
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
    if let Some(standing) = refusing.or_else(|| tightest(standings)) {
        write_openai(&standing, to);
    }
}

fn write_openai(standing: &Standing, to: &mut HeaderMap) {
    let mut reset = String::with_capacity(SECONDS_BYTES);
    push(&mut reset, [], [("", ceil_seconds(standing.reset))]);
    reset.push('s');
    OPENAI.write(standing, &reset, to);
}

/// Anthropic's API has the time of the reset, not the time until then.
fn write_anthropic(standing: &Standing, now: SystemTime, to: &mut HeaderMap) {
    let since_epoch = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let reset = ceil_seconds(since_epoch.saturating_add(standing.reset));
    let reset = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(reset));
    let mut text = String::new();
    // Fails for years that the format cannot write.
    if let Some(reset) = reset
        && write!(text, "{}", humantime::format_rfc3339_seconds(reset)).is_ok()
    {
        ANTHROPIC.write(standing, &text, to);
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
