//! The fields in which providers report a limit on requests, and ours in their place.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The fields of OpenAI's API.
pub(super) const OPENAI: LimitFields = LimitFields {
    limit: HeaderName::from_static("x-ratelimit-limit-requests"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
    reset: HeaderName::from_static("x-ratelimit-reset-requests"),
};
/// The fields of Anthropic's API.
pub(super) const ANTHROPIC: LimitFields = LimitFields {
    limit: HeaderName::from_static("anthropic-ratelimit-requests-limit"),
    remaining: HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
    reset: HeaderName::from_static("anthropic-ratelimit-requests-reset"),
};
/// The longest reset that makes sense: a date, or a duration such as `1h2m3.004s`.
const MAX_RESET_LEN: usize = 40;

/// The names of the three fields that report one limit. They are only used together.
pub(super) struct LimitFields {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

/// Which fields of limits a provider sent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct ProviderFields {
    /// Any field of the draft.
    pub(super) has_draft: bool,
    /// Any field of OpenAI's API, of whatever limit.
    pub(super) has_openai: bool,
    /// Any field of Anthropic's API, of whatever limit.
    pub(super) has_anthropic: bool,
}

impl LimitFields {
    /// Returns whether the provider reports how much remains.
    pub(super) fn is_reported(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(&self.remaining)
    }

    /// Returns whether the provider reports a limit with at most this much remaining; `None` if it
    /// reports no limit.
    ///
    /// A malformed limit is not as tight. One that leaves out how much remains cannot be compared,
    /// and stays.
    pub(super) fn is_as_tight(&self, headers: &HeaderMap, own_remaining: u32) -> Option<bool> {
        let limit = Value::of(headers, &self.limit);
        let remaining = Value::of(headers, &self.remaining);
        let reset = Value::of(headers, &self.reset);
        if let (Value::Absent, Value::Absent, Value::Absent) = (limit, remaining, reset) {
            return None;
        }
        let is_well_formed = match (limit, reset) {
            (Value::Invalid, _) | (_, Value::Invalid) => false,
            (limit, Value::Text(reset)) => limit.is_number_or_absent() && is_reset(reset),
            (limit, Value::Absent) => limit.is_number_or_absent(),
        };
        let is_tight = match remaining {
            Value::Absent => true,
            Value::Invalid => false,
            Value::Text(text) => number(text).is_some_and(|left| left <= own_remaining.into()),
        };
        Some(is_well_formed && is_tight)
    }

    /// Writes a limit of ours: its quota, what remains of it, and when it resets.
    pub(super) fn write(&self, [limit, remaining, reset]: [HeaderValue; 3], to: &mut HeaderMap) {
        to.insert(self.limit.clone(), limit);
        to.insert(self.remaining.clone(), remaining);
        to.insert(self.reset.clone(), reset);
    }
}

impl ProviderFields {
    /// Finds the fields in one pass, since most responses have none.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut fields = Self::default();
        for name in headers.keys() {
            match name.as_str() {
                "ratelimit" | "ratelimit-policy" => fields.has_draft = true,
                name if name.starts_with("x-ratelimit-") => fields.has_openai = true,
                name if name.starts_with("anthropic-ratelimit-") => fields.has_anthropic = true,
                _ => {}
            }
        }
        fields
    }
}

/// The value of a field.
#[derive(Clone, Copy)]
enum Value<'a> {
    Absent,
    /// Repeated, or not text.
    Invalid,
    Text(&'a str),
}

impl<'a> Value<'a> {
    fn of(headers: &'a HeaderMap, name: &HeaderName) -> Self {
        let Some(value) = headers.get(name) else {
            return Self::Absent;
        };
        let is_repeated = headers.get_all(name).iter().nth(1).is_some();
        match value.to_str() {
            Ok(text) if !is_repeated => Self::Text(text),
            Ok(_) | Err(_) => Self::Invalid,
        }
    }

    fn is_number_or_absent(self) -> bool {
        match self {
            Self::Absent => true,
            Self::Invalid => false,
            Self::Text(text) => number(text).is_some(),
        }
    }
}

/// Parses a number without a sign.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

/// Returns whether this may be a duration or a time. Each provider has a format of its own.
fn is_reset(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.: ".contains(&byte);
    text.len() <= MAX_RESET_LEN
        && text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_limit_is_as_tight() {
        let rows = [
            ([None, None, None], None),
            ([Some("100"), Some("5"), Some("6m0s")], Some(true)),
            ([Some("100"), Some("6"), Some("6m0s")], Some(false)),
            ([Some("100"), Some("0"), Some("20ms")], Some(true)),
            ([None, Some("5"), None], Some(true)),
            ([None, Some("7"), None], Some(false)),
            // What remains is not known.
            ([Some("100"), None, None], Some(true)),
            ([Some("many"), None, None], Some(false)),
            (
                [Some("100"), Some("4"), Some("2025-01-02T03:04:05Z")],
                Some(true),
            ),
            ([Some("100"), Some("4"), Some("1735787045")], Some(true)),
            ([Some("100"), Some("4"), Some("2m59.56s")], Some(true)),
            ([Some("100"), Some("-1"), Some("1s")], Some(false)),
            ([Some("100"), Some("+1"), Some("1s")], Some(false)),
            ([Some("100"), Some("1.5"), Some("1s")], Some(false)),
            ([Some("100"), Some(""), Some("1s")], Some(false)),
            ([Some("100"), Some("none"), Some("1s")], Some(false)),
            ([Some("100"), Some("1, 2"), Some("1s")], Some(false)),
            (
                [Some("100"), Some("99999999999999999999"), Some("1s")],
                Some(false),
            ),
            ([Some("-1"), Some("1"), Some("1s")], Some(false)),
            ([Some("100"), Some("1"), Some("")], Some(false)),
            ([Some("100"), Some("1"), Some("soon")], Some(false)),
            ([Some("100"), Some("1"), Some("-1s")], Some(false)),
        ];
        for fields in [OPENAI, ANTHROPIC] {
            let names = [&fields.limit, &fields.remaining, &fields.reset];
            for (values, expected) in rows {
                let mut headers = HeaderMap::new();
                for (name, value) in names.into_iter().zip(values) {
                    if let Some(value) = value {
                        headers.insert(name, HeaderValue::from_static(value));
                    }
                }
                assert_eq!(fields.is_as_tight(&headers, 5), expected, "{values:?}");
            }
        }
    }

    #[test]
    fn a_repeated_limit_is_malformed() {
        let mut headers = HeaderMap::new();
        for value in ["1", "2"] {
            headers.append(OPENAI.remaining, HeaderValue::from_static(value));
        }

        assert_eq!(OPENAI.is_as_tight(&headers, 5), Some(false));
    }
}
