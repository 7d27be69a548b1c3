//! The response headers that report the state of the quotas.
//!
//! Source: draft-ietf-httpapi-ratelimit-headers-11, and the `x-ratelimit-*` fields of OpenAI's API.

mod limit_text;
mod policies;
mod provider_limit;

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use aisbreaker_quota::{Standing, Window};
use http::{HeaderMap, HeaderName};

use self::{
    limit_text::LimitText,
    provider_limit::{ANTHROPIC, OPENAI, ProviderFields},
};
use super::quota_state::{self, CountedRequests, QuotaState};
use crate::clock::ceil_seconds;

/// The fields of the draft.
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The limits of the key that are reported.
const REPORTED: [(CountedRequests, Window); 6] = [
    (CountedRequests::OfClient, Window::Minute),
    (CountedRequests::OfClient, Window::Hour),
    (CountedRequests::OfClient, Window::Day),
    (CountedRequests::OfAllClients, Window::Minute),
    (CountedRequests::OfAllClients, Window::Hour),
    (CountedRequests::OfAllClients, Window::Day),
];

/// The limits of the key in the order of [`REPORTED`]; of a chain of keys, the tightest ones.
type ReportedLimits = [Option<Standing>; REPORTED.len()];

/// The limit that refused a request: the index of its counter, and its window.
pub(super) type RefusingLimit = (usize, Window);

/// Writes the fields of the draft and those of OpenAI's API.
///
/// The latter have room for one limit: the refusing one, which may be the server's, or else the
/// tightest of the key's six. The reset of a refusing limit is the wait, since every request weighs
/// one.
pub(super) fn write(state: &QuotaState, refusing: Option<RefusingLimit>, to: &mut HeaderMap) {
    let limits = reported(state);
    let refusing = match refusing {
        Some((counter, window)) => state.of(counter, window),
        None => None,
    };
    let one = refusing.or_else(|| tightest(&limits));
    write_limits(Some(&limits), one.as_ref(), to);
}

/// Writes the fields of the draft unless the provider sent any of its own, and those of the
/// providers' APIs unless the provider reports a limit that is as tight.
///
/// Fields of Anthropic's API are only replaced, since no other client reads them. `now` is the time
/// of the charge.
pub(super) fn write_beside_provider(state: &QuotaState, now: SystemTime, to: &mut HeaderMap) {
    let sent = ProviderFields::of(to);
    let limits = reported(state);
    let own = tightest(&limits);
    let draft = (!sent.has_draft).then_some(&limits);
    let openai = own.filter(|own| {
        let is_as_tight = sent.has_openai && OPENAI.is_as_tight(to, own.remaining) == Some(true);
        !is_as_tight
    });
    write_limits(draft, openai.as_ref(), to);
    if sent.has_anthropic
        && let Some(own) = own
        && ANTHROPIC.is_reported(to)
        && ANTHROPIC.is_as_tight(to, own.remaining) == Some(false)
    {
        write_anthropic(&own, now, to);
    }
}

fn reported(state: &QuotaState) -> ReportedLimits {
    REPORTED.map(|(counted, window)| state.of_key(counted, window))
}

/// Returns the tightest of the reported limits.
fn tightest(limits: &ReportedLimits) -> Option<Standing> {
    quota_state::tightest(limits.iter().flatten().copied())
}

/// Writes all these limits as the draft defines, and one of them as OpenAI's API does.
///
/// All values that change from response to response are parts of one text.
fn write_limits(draft: Option<&ReportedLimits>, openai: Option<&Standing>, to: &mut HeaderMap) {
    let mut text = LimitText::new();
    if let Some(limits) = draft {
        text.push_limits(limits);
    }
    let limits_len = text.len();
    let one = openai.map(|standing| text.push_limit(standing));
    let mut values = text.into_values();
    if let Some(limits) = draft {
        let state = values.take(limits_len);
        for (name, value) in [
            (RATELIMIT_POLICY, policies::header_value(limits)),
            (RATELIMIT, state),
        ] {
            if let Some(value) = value {
                to.insert(name, value);
            }
        }
    }
    if let Some(lengths) = one
        && let [Some(limit), Some(remaining), Some(reset)] = lengths.map(|len| values.take(len))
    {
        OPENAI.write([limit, remaining, reset], to);
    }
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
        && let Ok(reset) = text.try_into()
    {
        let (limit, remaining) = (standing.limit.get(), standing.remaining);
        ANTHROPIC.write([limit.into(), remaining.into(), reset], to);
    }
}

#[cfg(test)]
mod tests;
