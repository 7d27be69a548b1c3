//! The registered claims, each present at most once and with a value of the expected type.

use std::{borrow::Cow, fmt, time::Duration};

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::{error::ClaimsFault, format::Version, json_str::JsonStr};

/// A claim that RFC 7519 registers, or one of an offline key. The payload has no member of that
/// name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
pub(crate) enum Claim {
    Issuer = 1,
    Subject = 2,
    Audience = 4,
    Expiry = 8,
    NotBefore = 16,
    IssuedAt = 32,
    Id = 64,
    /// What proves that the sealer may seal keys. Only in offline keys.
    ClientSecret = 128,
    /// The whole key that this one narrows. Only in offline keys.
    Parent = 256,
    /// What only a server may seal, since quotas of other keys are charged by it. Refused in offline
    /// keys.
    Ancestors = 512,
}

impl Claim {
    /// Returns the claim of this name that keys of this version have.
    pub(crate) fn from_name(name: &str, version: Version) -> Option<Self> {
        match Self::from_registered_name(name) {
            None if version == Version::Offline => Self::from_offline_name(name),
            claim => claim,
        }
    }

    fn from_offline_name(name: &str) -> Option<Self> {
        Some(match name {
            "clientSecret" => Self::ClientSecret,
            "parent" => Self::Parent,
            "up" => Self::Ancestors,
            _ => return None,
        })
    }

    fn from_registered_name(name: &str) -> Option<Self> {
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
            Self::ClientSecret => "clientSecret",
            Self::Parent => "parent",
            Self::Ancestors => "up",
        }
    }
}

/// The registered claims of a key.
pub(crate) struct RegisteredClaims<'de> {
    pub(super) version: Version,
    /// The claims read so far, one bit each.
    seen: u16,
    pub(crate) subject: Option<Cow<'de, str>>,
    pub(crate) audience: Option<Cow<'de, str>>,
    pub(crate) expiry: Option<NumericDate>,
    pub(crate) not_before: Option<NumericDate>,
    pub(crate) issued_at: Option<NumericDate>,
    pub(crate) id: Option<Cow<'de, str>>,
    /// Those that only offline keys have. Boxed, so that others have no room for them.
    pub(crate) offline: Option<Box<OfflineTexts<'de>>>,
    pub(crate) fault: Option<ClaimsFault>,
}

/// The claims that only offline keys have.
#[derive(Default)]
pub(crate) struct OfflineTexts<'de> {
    pub(crate) client_secret: Option<Cow<'de, str>>,
    pub(crate) parent: Option<Cow<'de, str>>,
}

impl<'de> RegisteredClaims<'de> {
    pub(crate) fn new(version: Version) -> Self {
        Self {
            version,
            seen: 0,
            subject: None,
            audience: None,
            expiry: None,
            not_before: None,
            issued_at: None,
            id: None,
            offline: None,
            fault: None,
        }
    }

    #[cfg(feature = "ecdh-es")]
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Reads the value of a claim whose name was just read.
    ///
    /// A claim that this version of the format does not use may have a value of any type, but must
    /// not be present twice either.
    pub(super) fn read_value<A: MapAccess<'de>>(
        &mut self,
        claim: Claim,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let bit = claim as u16;
        if self.seen & bit != 0 {
            self.fault = Some(ClaimsFault::Duplicate(claim.name()));
            return Err(A::Error::custom("duplicate claim"));
        }
        self.seen |= bit;
        let outcome = self.read_used_value(claim, map);
        if outcome.is_err() {
            self.fault = Some(ClaimsFault::Invalid(claim.name()));
        }
        outcome
    }

    fn read_used_value<A: MapAccess<'de>>(
        &mut self,
        claim: Claim,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match (claim, self.version) {
            (Claim::Expiry, _) => self.expiry = Some(map.next_value()?),
            (Claim::NotBefore, _) => self.not_before = Some(map.next_value()?),
            (Claim::IssuedAt, _) => self.issued_at = Some(map.next_value()?),
            (Claim::Audience, Version::V2 | Version::Offline) => {
                let JsonStr(text) = map.next_value()?;
                self.audience = Some(text);
            }
            (Claim::Id, Version::V2) => {
                let JsonStr(text) = map.next_value()?;
                self.id = Some(text);
            }
            (Claim::Subject, Version::V1) => {
                let JsonStr(text) = map.next_value()?;
                self.subject = Some(text);
            }
            (Claim::ClientSecret, _) => {
                let JsonStr(text) = map.next_value()?;
                self.offline.get_or_insert_default().client_secret = Some(text);
            }
            (Claim::Parent, _) => {
                let JsonStr(text) = map.next_value()?;
                self.offline.get_or_insert_default().parent = Some(text);
            }
            (Claim::Ancestors, _) => return Err(A::Error::custom("only a server seals this")),
            (Claim::Issuer | Claim::Subject | Claim::Audience | Claim::Id, _) => {
                let IgnoredAny = map.next_value()?;
            }
        }
        Ok(())
    }
}

/// A `NumericDate` of RFC 7519: seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum NumericDate {
    Whole(u64),
    /// A negative or fractional number, which only the original server sealed.
    Other(f64),
}

impl NumericDate {
    /// Returns the time since 1970, or zero for a date before it.
    ///
    /// `None` is a number that is not a date in this version of the format.
    pub(crate) fn since_epoch(self, version: Version) -> Option<Duration> {
        match (self, version) {
            (Self::Whole(seconds), _) => Some(Duration::from_secs(seconds)),
            (Self::Other(_), Version::V2 | Version::Offline) => None,
            (Self::Other(seconds), Version::V1) => {
                Duration::try_from_secs_f64(seconds.max(0.0)).ok()
            }
        }
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DateVisitor;

        impl Visitor<'_> for DateVisitor {
            type Value = NumericDate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of seconds")
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<NumericDate, E> {
                Ok(NumericDate::Whole(seconds))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<NumericDate, E> {
                // serde_json calls this for negative numbers only, all of which count as 1970.
                Ok(NumericDate::Other(-1.0))
            }

            fn visit_f64<E: Error>(self, seconds: f64) -> Result<NumericDate, E> {
                Ok(NumericDate::Other(seconds))
            }
        }

        deserializer.deserialize_any(DateVisitor)
    }
}
