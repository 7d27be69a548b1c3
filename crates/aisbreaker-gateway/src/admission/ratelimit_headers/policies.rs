//! The value of `ratelimit-policy`, which is the same for all requests with the same limits.

use std::cell::RefCell;

use http::HeaderValue;

use super::ReportedLimits;

/// What surrounds the quota of each limit, in the order of the reported limits.
pub(super) const TEXTS: [(&str, &str); 6] = [
    ("\"client-minute\";q=", ";w=60"),
    ("\"client-hour\";q=", ";w=3600"),
    ("\"client-day\";q=", ";w=86400"),
    ("\"global-minute\";q=", ";w=60"),
    ("\"global-hour\";q=", ";w=3600"),
    ("\"global-day\";q=", ";w=86400"),
];
/// How many values a thread keeps. Most requests have a key with limits that many keys have, or the
/// default ones.
const KEPT: usize = 16;
/// Capacity for the text of six limits.
const SIX_LIMITS_BYTES: usize = 224;

/// The quotas of six limits; 0 for one that is not reported.
type Quotas = [u32; TEXTS.len()];

/// Returns the value for these limits. It is shared with other responses.
pub(super) fn header_value(limits: &ReportedLimits) -> Option<HeaderValue> {
    thread_local! {
        static VALUES: RefCell<[Option<(Quotas, HeaderValue)>; KEPT]> =
            const { RefCell::new([const { None }; KEPT]) };
    }
    let quotas = limits.map(|limit| limit.map_or(0, |limit| limit.limit.get()));
    VALUES.with_borrow_mut(|values| {
        let place = values.get_mut(place(&quotas))?;
        if let Some((known, value)) = place
            && *known == quotas
        {
            return Some(value.clone());
        }
        let value = HeaderValue::try_from(text(&quotas)).ok()?;
        *place = Some((quotas, value.clone()));
        Some(value)
    })
}

/// Returns the only place where the value for these quotas may be.
fn place(quotas: &Quotas) -> usize {
    let mixed = quotas.iter().fold(0_u32, |mixed, quota| {
        (mixed ^ quota).wrapping_mul(0x9e37_79b1)
    });
    mixed as usize / (u32::MAX as usize / KEPT + 1)
}

fn text(quotas: &Quotas) -> String {
    let mut text = String::with_capacity(SIX_LIMITS_BYTES);
    for ((before, after), quota) in TEXTS.into_iter().zip(quotas) {
        if *quota == 0 {
            continue;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(before);
        text.push_str(itoa::Buffer::new().format(*quota));
        text.push_str(after);
    }
    text
}
