//! The response headers that report the state of the quotas.
//!
//! Source: draft-ietf-httpapi-ratelimit-headers-11, and the `x-ratelimit-*` fields of OpenAI's API.

mod provider_limit;

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use aisbreaker_quota::{Standing, Window};
use http::{HeaderMap, HeaderName, HeaderValue};

use self::provider_limit::{ANTHROPIC, OPENAI};
use super::quota_state::{self, CountedRequests, QuotaState};
use crate::clock::ceil_seconds;

/// The fields of the draft.
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The limits of the key that are reported, with the texts of their minute, hour and day.
const REPORTED: [(CountedRequests, [LimitTexts; 3]); 2] = [
    (
        CountedRequests::OfClient,
        [
            LimitTexts("\"client-minute\";q=", ";w=60", "\"client-minute\";r="),
            LimitTexts("\"client-hour\";q=", ";w=3600", "\"client-hour\";r="),
            LimitTexts("\"client-day\";q=", ";w=86400", "\"client-day\";r="),
        ],
    ),
    (
        CountedRequests::OfAllClients,
        [
            LimitTexts("\"global-minute\";q=", ";w=60", "\"global-minute\";r="),
            LimitTexts("\"global-hour\";q=", ";w=3600", "\"global-hour\";r="),
            LimitTexts("\"global-day\";q=", ";w=86400", "\"global-day\";r="),
        ],
    ),
];
/// Capacity for the text of six limits.
const SIX_LIMITS_BYTES: usize = 224;
/// Capacity for the seconds of a day and more.
const SECONDS_BYTES: usize = 8;

/// What surrounds the numbers of a limit: before its quota, after it, and before what remains.
/// Written out, since every response has all of them.
#[derive(Clone, Copy)]
struct LimitTexts(&'static str, &'static str, &'static str);

/// The limit that refused a request: the index of its counter, and its window.
pub(super) type RefusingLimit = (usize, Window);

/// Writes the fields of the draft and those of OpenAI's API.
pub(super) fn write(state: &QuotaState, refusing: Option<RefusingLimit>, to: &mut HeaderMap) {
    write_policies(state, to);
    write_tightest(state, refusing, to);
}

/// Writes the fields of the draft unless the provider sent any of its own, and those of the
/// providers' APIs unless the provider reports a limit that is as tight.
///
/// Fields of Anthropic's API are only replaced, since no other client reads them. `now` is the time
/// of the charge.
pub(super) fn write_beside_provider(state: &QuotaState, now: SystemTime, to: &mut HeaderMap) {
    let has_draft = [RATELIMIT_POLICY, RATELIMIT]
        .iter()
        .any(|name| to.contains_key(name));
    if !has_draft {
        write_policies(state, to);
    }
    let Some(own) = tightest(state) else {
        return;
    };
    if !OPENAI.is_as_tight(to, own.remaining).unwrap_or(false) {
        write_openai(&own, to);
    }
    if ANTHROPIC.is_reported(to) && ANTHROPIC.is_as_tight(to, own.remaining) == Some(false) {
        write_anthropic(&own, now, to);
    }
}

/// Writes all six limits of the key as the draft defines; of a chain of keys, the tightest ones.
fn write_policies(state: &QuotaState, to: &mut HeaderMap) {
    let mut policies = String::with_capacity(SIX_LIMITS_BYTES);
    let mut limits = String::with_capacity(SIX_LIMITS_BYTES);
    for (counted, texts) in REPORTED {
        for (window, texts) in Window::ALL.into_iter().zip(texts) {
            let Some(standing) = state.of_key(counted, window) else {
                continue;
            };
            let LimitTexts(before_quota, after_quota, before_remaining) = texts;
            if !policies.is_empty() {
                policies.push_str(", ");
                limits.push_str(", ");
            }
            push(&mut policies, before_quota, standing.limit.get().into());
            policies.push_str(after_quota);
            push(&mut limits, before_remaining, standing.remaining.into());
            push(&mut limits, ";t=", ceil_seconds(standing.reset));
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
fn write_tightest(state: &QuotaState, refusing: Option<RefusingLimit>, to: &mut HeaderMap) {
    let refusing = match refusing {
        Some((counter, window)) => state.of(counter, window),
        None => None,
    };
    if let Some(standing) = refusing.or_else(|| tightest(state)) {
        write_openai(&standing, to);
    }
}

fn write_openai(standing: &Standing, to: &mut HeaderMap) {
    let mut reset = String::with_capacity(SECONDS_BYTES);
    push(&mut reset, "", ceil_seconds(standing.reset));
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

/// Returns the tightest of the reported limits.
fn tightest(state: &QuotaState) -> Option<Standing> {
    let reported = REPORTED.into_iter().flat_map(|(counted, _)| {
        Window::ALL
            .into_iter()
            .filter_map(move |window| state.of_key(counted, window))
    });
    quota_state::tightest(reported)
}

/// Appends a text and a number, without the formatting machinery.
fn push(to: &mut String, text: &str, number: u64) {
    to.push_str(text);
    to.push_str(itoa::Buffer::new().format(number));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_their_counter_and_window() {
        for ((counted, texts), scope) in REPORTED.into_iter().zip(["client", "global"]) {
            assert_eq!(counted == CountedRequests::OfClient, scope == "client");
            for (LimitTexts(quota, after, remaining), window) in texts.into_iter().zip(Window::ALL)
            {
                let name = format!("\"{scope}-{}\"", window.name());
                assert_eq!(quota, format!("{name};q="));
                assert_eq!(after, format!(";w={}", window.length().as_secs()));
                assert_eq!(remaining, format!("{name};r="));
            }
        }
    }
}
