//! The response fields about budgets in tokens.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Reserved;
use crate::clock::ceil_seconds;

/// The fields of OpenAI's API about tokens.
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-tokens");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-tokens");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-tokens");

/// Writes how the tightest budget in tokens stands, unless the provider reported a limit of its own.
pub(crate) fn write_budget_headers(reserved: &Reserved, to: &mut HeaderMap) {
    let Some(balance) = &reserved.tokens else {
        return;
    };
    if [&LIMIT, &REMAINING, &RESET]
        .iter()
        .any(|name| to.contains_key(*name))
    {
        return;
    }
    to.insert(LIMIT, HeaderValue::from(balance.limit));
    to.insert(REMAINING, HeaderValue::from(balance.remaining));
    if let Some(reset) = balance.reset {
        let seconds = format!("{}s", ceil_seconds(reset));
        if let Ok(value) = HeaderValue::from_str(&seconds) {
            to.insert(RESET, value);
        }
    }
}
