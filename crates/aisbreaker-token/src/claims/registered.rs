//! The registered claims, each at most once, with its value of the type that its use asks for.

use std::{borrow::Cow, fmt, time::Duration};

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::{ClaimsFault, Version};

/// A claim name that RFC 7519 registers. Payloads must not use these names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Claim {
    Issuer = 1,
    Subject = 2,
    Audience = 4,
    Expiry = 8,
    NotBefore = 16,
    IssuedAt = 32,
    Id = 64,
}

impl Claim {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "iss" => Self::Issuer,
            "sub" => Self::Subject,
            "aud" => Self::Audience,
            "exp" => Self::Expiry,
            "nbf" => Self::NotBefore,
            "iat" => Self::IssuedAt,
            "jti" => Self::Id,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Issuer => "iss",
            Self::Subject => "sub",
            Self::Audience => "aud",
            Self::Expiry => "exp",
            Self::NotBefore => "nbf",
            Self::IssuedAt => "iat",
            Self::Id => "jti",
        }
    }
}

/// The registered claims of one key, as far as they have been read.
#[derive(Debug)]
pub(crate) struct Registered<'de> {
    pub(super) version: Version,
    /// One bit for each claim that has been met.
    met: u8,
    pub(crate) subject: Option<Cow<'de, str>>,
    pub(crate) audience: Option<Cow<'de, str>>,
    pub(crate) expiry: Option<Seconds>,
    pub(crate) not_before: Option<Seconds>,
    pub(crate) issued_at: Option<Seconds>,
    pub(crate) id: Option<Cow<'de, str>>,
    pub(crate) fault: Option<ClaimsFault>,
}

impl<'de> Registered<'de> {
    pub(crate) fn new(version: Version) -> Self {
        Self {
            version,
            met: 0,
            subject: None,
            audience: None,
            expiry: None,
            not_before: None,
            issued_at: None,
            id: None,
            fault: None,
        }
    }

    /// Takes the value that follows the name of this claim.
    ///
    /// Claims that are of no use to this version may have values of any type, but they too come
    /// only once.
    pub(super) fn take<A: MapAccess<'de>>(
        &mut self,
        claim: Claim,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let bit = claim as u8;
        if self.met & bit != 0 {
            self.fault = Some(ClaimsFault::Duplicate(claim.name()));
            return Err(A::Error::custom("duplicate claim"));
        }
        self.met |= bit;
        let outcome = match (claim, self.version) {
            (Claim::Expiry, _) => map.next_value().map(|value| self.expiry = Some(value)),
            (Claim::NotBefore, _) => map.next_value().map(|value| self.not_before = Some(value)),
            (Claim::IssuedAt, _) => map.next_value().map(|value| self.issued_at = Some(value)),
            (Claim::Audience, Version::V2) => map
                .next_value()
                .map(|Text(text)| self.audience = Some(text)),
            (Claim::Id, Version::V2) => map.next_value().map(|Text(text)| self.id = Some(text)),
            (Claim::Subject, Version::Original) => {
                map.next_value().map(|Text(text)| self.subject = Some(text))
            }
            (Claim::Issuer | Claim::Subject | Claim::Audience | Claim::Id, _) => {
                map.next_value().map(|IgnoredAny| ())
            }
        };
        if outcome.is_err() {
            self.fault = Some(ClaimsFault::Invalid(claim.name()));
        }
        outcome
    }
}

/// A NumericDate of RFC 7519: seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Seconds {
    Whole(u64),
    /// Negative or fractional. Only the original server let such a number into a key.
    Other(f64),
}

impl Seconds {
    /// The time since 1970; what lies before counts as 1970. `None` for a fraction in a key of
    /// version 2.
    pub(crate) fn since_epoch(self, version: Version) -> Option<Duration> {
        match (self, version) {
            (Self::Whole(seconds), _) => Some(Duration::from_secs(seconds)),
            (Self::Other(_), Version::V2) => None,
            (Self::Other(seconds), Version::Original) => {
                Duration::try_from_secs_f64(seconds.max(0.0)).ok()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SecondsVisitor;

        impl Visitor<'_> for SecondsVisitor {
            type Value = Seconds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of seconds")
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<Seconds, E> {
                Ok(Seconds::Whole(seconds))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Seconds, E> {
                // serde_json gives only negative numbers as `i64`, and how far before 1970 they lie
                // is of no use.
                Ok(Seconds::Other(-1.0))
            }

            fn visit_f64<E: Error>(self, seconds: f64) -> Result<Seconds, E> {
                Ok(Seconds::Other(seconds))
            }
        }

        deserializer.deserialize_any(SecondsVisitor)
    }
}

/// A string, borrowed unless it is written with escapes.
pub(super) struct Text<'de>(pub(super) Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}
