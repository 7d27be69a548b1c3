//! Dollars, exactly.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

use crate::error::UsdError;

/// Nano-dollars in a dollar.
const NANOS: u64 = 1_000_000_000;
/// The digits of a nano-dollar after the point.
const DECIMALS: usize = 9;
/// The most dollars that a text may name. Their nano-dollars are below 2^53.
const MAX_DOLLARS: u64 = 9_000_000;

/// An amount of US dollars, counted in whole nano-dollars.
///
/// Its text is a plain decimal, such as `2.5` or `20`: at most nine digits after the point, and at
/// most 9 000 000 dollars. Reading one never rounds.
///
/// In JSON, it is written as such a text, and read from a text or a number. A number is read as it
/// is spelled, so `serde_json` is the only format that can be read from.
///
/// # Examples
///
/// ```
/// use aisbreaker_token::{Usd, UsdError};
///
/// let usd: Usd = "2.50".parse()?;
/// assert_eq!(usd.nanos(), 2_500_000_000);
/// assert_eq!(usd.to_string(), "2.5");
/// assert_eq!("1e3".parse::<Usd>(), Err(UsdError::Exponent));
/// # Ok::<(), UsdError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Usd(u64);

impl Usd {
    /// The largest amount that can be read: 9 000 000 dollars.
    pub const MAX: Self = Self(MAX_DOLLARS.saturating_mul(NANOS));

    /// Creates an amount of nano-dollars. One above [`MAX`](Self::MAX) can be shown but not read.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the amount in nano-dollars.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }
}

impl FromStr for Usd {
    type Err = UsdError;

    fn from_str(text: &str) -> Result<Self, UsdError> {
        if text.starts_with('-') {
            return Err(UsdError::Negative);
        }
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let is_whole = is_digits(whole) && (whole == "0" || !whole.starts_with('0'));
        if !is_whole || !fraction.is_none_or(is_digits) {
            let is_exponential = text.starts_with(|c: char| c.is_ascii_digit())
                && text.contains(['e', 'E'])
                && text
                    .chars()
                    .all(|c| matches!(c, '0'..='9' | '.' | 'e' | 'E' | '+' | '-'));
            return Err(if is_exponential {
                UsdError::Exponent
            } else {
                UsdError::NotDecimal
            });
        }
        let fraction = fraction.unwrap_or_default();
        if fraction.len() > DECIMALS {
            return Err(UsdError::TooPrecise);
        }
        // Only digits are left, so that a number that cannot be parsed is too large.
        let dollars: u64 = whole.parse().unwrap_or(u64::MAX);
        let nanos: u64 = format!("{fraction:0<DECIMALS$}")
            .parse()
            .map_err(|_never| UsdError::NotDecimal)?;
        match dollars
            .checked_mul(NANOS)
            .and_then(|whole| whole.checked_add(nanos))
        {
            Some(nanos) if nanos <= Self::MAX.0 => Ok(Self(nanos)),
            Some(_) | None => Err(UsdError::TooLarge),
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, nanos) = (self.0 / NANOS, self.0 % NANOS);
        if nanos == 0 {
            return write!(f, "{dollars}");
        }
        let fraction = format!("{nanos:0>DECIMALS$}");
        write!(f, "{dollars}.{}", fraction.trim_end_matches('0'))
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self > Self::MAX {
            return Err(ser::Error::custom(UsdError::TooLarge));
        }
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A visitor would get a number with a fraction rounded to a double.
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = match raw.get() {
            quoted if quoted.starts_with('"') => {
                serde_json::from_str(quoted).map_err(de::Error::custom)?
            }
            number => number.to_owned(),
        };
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_is_read_exactly_or_refused_with_the_reason() {
        let rows = [
            ("0", Ok(0)),
            ("0.0", Ok(0)),
            ("20", Ok(20_000_000_000)),
            ("2.50", Ok(2_500_000_000)),
            ("0.1", Ok(100_000_000)),
            ("0.000000001", Ok(1)),
            ("8999999.999999999", Ok(8_999_999_999_999_999)),
            ("9000000", Ok(9_000_000_000_000_000)),
            ("9000000.000000000", Ok(9_000_000_000_000_000)),
            ("9000000.000000001", Err(UsdError::TooLarge)),
            ("9000001", Err(UsdError::TooLarge)),
            ("18446744073.709551616", Err(UsdError::TooLarge)),
            ("99999999999999999999999999", Err(UsdError::TooLarge)),
            ("0.0000000001", Err(UsdError::TooPrecise)),
            ("1.0000000000", Err(UsdError::TooPrecise)),
            ("-1", Err(UsdError::Negative)),
            ("-0", Err(UsdError::Negative)),
            ("1e3", Err(UsdError::Exponent)),
            ("2.5E+0", Err(UsdError::Exponent)),
            ("1e-7", Err(UsdError::Exponent)),
            ("1e999999999999", Err(UsdError::Exponent)),
            ("", Err(UsdError::NotDecimal)),
            (".5", Err(UsdError::NotDecimal)),
            ("5.", Err(UsdError::NotDecimal)),
            ("05", Err(UsdError::NotDecimal)),
            ("+5", Err(UsdError::NotDecimal)),
            (" 5", Err(UsdError::NotDecimal)),
            ("1.2.3", Err(UsdError::NotDecimal)),
            ("1,5", Err(UsdError::NotDecimal)),
            ("1_000", Err(UsdError::NotDecimal)),
            ("$5", Err(UsdError::NotDecimal)),
            ("five", Err(UsdError::NotDecimal)),
            ("٣", Err(UsdError::NotDecimal)),
            ("Infinity", Err(UsdError::NotDecimal)),
            ("true", Err(UsdError::NotDecimal)),
        ];
        for (text, expected) in rows {
            assert_eq!(text.parse().map(Usd::nanos), expected, "{text}");
        }
    }

    #[test]
    fn a_number_is_read_as_it_is_spelled() {
        // As doubles, the last two of these are the same.
        for (json, nanos) in [
            ("2.5", 2_500_000_000),
            ("0.1", 100_000_000),
            ("7", 7_000_000_000),
            ("8999999.123456788", 8_999_999_123_456_788),
            ("8999999.123456789", 8_999_999_123_456_789),
            ("\"8999999.123456789\"", 8_999_999_123_456_789),
            ("\"\\u0032\"", 2_000_000_000),
        ] {
            let usd: Usd = serde_json::from_str(json).unwrap();
            assert_eq!(usd.nanos(), nanos, "{json}");
        }
        for json in [
            "2.4999999999999999999999999",
            "1e0",
            "-1",
            "null",
            "true",
            "[]",
            "{}",
            "\"\"",
            "9000000.000000001",
        ] {
            assert!(serde_json::from_str::<Usd>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn an_amount_that_could_not_be_read_again_is_not_written() {
        assert!(serde_json::to_string(&Usd::MAX).is_ok());
        assert!(serde_json::to_string(&Usd::from_nanos(Usd::MAX.nanos() + 1)).is_err());
        assert_eq!(
            Usd::from_nanos(u64::MAX).to_string(),
            "18446744073.709551615"
        );
    }

    proptest! {
        #[test]
        fn every_amount_survives_its_text_and_has_one(nanos in 0..=Usd::MAX.nanos()) {
            let usd = Usd::from_nanos(nanos);
            let text = usd.to_string();

            prop_assert_eq!(text.parse(), Ok(usd));
            let json = serde_json::to_value(usd).unwrap();
            prop_assert_eq!(&json, &json!(text));
            prop_assert_eq!(serde_json::from_value::<Usd>(json).unwrap(), usd);
            // As a number, and with zeros behind.
            prop_assert_eq!(serde_json::from_str::<Usd>(&text).unwrap(), usd);
            let padded = format!("{}.{:09}", nanos / NANOS, nanos % NANOS);
            prop_assert_eq!(serde_json::from_str::<Usd>(&padded).unwrap(), usd);
        }

        #[test]
        fn whatever_is_read_is_what_is_written(text in "[0-9]{1,8}(\\.[0-9]{1,11})?") {
            let Ok(usd) = text.parse::<Usd>() else {
                return Ok(());
            };
            // By hand: the digits without the point, filled up to nano-dollars.
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            let nanos: u128 = format!("{whole}{fraction:0<9}").parse().unwrap();
            prop_assert_eq!(u128::from(usd.nanos()), nanos);
        }
    }
}
