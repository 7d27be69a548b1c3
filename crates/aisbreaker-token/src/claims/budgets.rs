//! Budgets: how many tokens and dollars a key may use.

use serde::{Deserialize, Deserializer, Serialize, de};

use super::usd::Usd;

/// How much a key may use, for each client and for all clients together.
///
/// A limit that is absent does not limit. Members that are not known are refused wherever they are,
/// so that a misspelled limit is never none.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Budgets {
    /// The limits for each client. It has none per month and none in total.
    #[serde(
        default,
        skip_serializing_if = "BudgetLimits::is_unlimited",
        deserialize_with = "deserialize_per_client"
    )]
    pub per_client: BudgetLimits,
    /// The limits for all clients together.
    #[serde(default, skip_serializing_if = "BudgetLimits::is_unlimited")]
    pub global: BudgetLimits,
    /// How much is reserved for a request before it is sent.
    #[serde(default, skip_serializing_if = "ReservePolicy::is_estimate")]
    pub reserve: ReservePolicy,
    /// The output tokens to reserve for a request that sets no maximum, from 1 on. `None`: the
    /// server's default.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "deserialize_output_reserve"
    )]
    pub output_reserve: Option<u32>,
}

impl Budgets {
    /// Returns whether nothing is limited.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.per_client.is_unlimited() && self.global.is_unlimited()
    }
}

/// The most tokens and dollars in any minute, hour, day and month, and in the life of a key.
///
/// Limits of tokens are from 1 to 2^53, and limits of dollars from one nano-dollar to
/// [`Usd::MAX`]; a key with any other does not open. A month has 30 days.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct BudgetLimits {
    /// The most tokens in any minute.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "deserialize_tokens"
    )]
    pub tokens_per_minute: Option<u64>,
    /// The most tokens in any hour.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "deserialize_tokens"
    )]
    pub tokens_per_hour: Option<u64>,
    /// The most tokens in any day.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "deserialize_tokens"
    )]
    pub tokens_per_day: Option<u64>,
    /// The most dollars in any day.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "deserialize_usd"
    )]
    pub usd_per_day: Option<Usd>,
    /// The most dollars in any 30 days. Only for all clients together.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "deserialize_usd"
    )]
    pub usd_per_month: Option<Usd>,
    /// The most dollars from the first use of the key to its end. Only for all clients together.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "deserialize_usd"
    )]
    pub usd_total: Option<Usd>,
}

impl BudgetLimits {
    /// The largest limit of tokens: 2^53, up to which a double-precision number is exact too.
    pub const MAX_TOKENS: u64 = 1 << 53;

    /// Returns whether nothing is limited.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// How much is reserved for a request before it is sent.
#[expect(
    clippy::exhaustive_enums,
    reason = "code that reserves must know every policy"
)]
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ReservePolicy {
    /// What requests of its size need as a rule.
    #[default]
    Estimate,
    /// The most that the request can need. One whose bound is not known is refused.
    Strict,
}

impl ReservePolicy {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_estimate(&self) -> bool {
        *self == Self::Estimate
    }
}

fn deserialize_per_client<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BudgetLimits, D::Error> {
    let limits = BudgetLimits::deserialize(deserializer)?;
    if limits.usd_per_month.is_some() || limits.usd_total.is_some() {
        let problem =
            "usdPerMonth and usdTotal are for all clients together: they belong in global";
        return Err(de::Error::custom(problem));
    }
    Ok(limits)
}

fn deserialize_output_reserve<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u32>, D::Error> {
    match Option::deserialize(deserializer)? {
        Some(0) => Err(de::Error::custom("outputReserve must be above 0")),
        tokens => Ok(tokens),
    }
}

fn deserialize_tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match Option::deserialize(deserializer)? {
        Some(tokens) if !(1..=BudgetLimits::MAX_TOKENS).contains(&tokens) => Err(
            de::Error::custom("a limit of tokens must be a whole number from 1 to 2^53"),
        ),
        tokens => Ok(tokens),
    }
}

fn deserialize_usd<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Usd>, D::Error> {
    match Option::<Usd>::deserialize(deserializer)? {
        Some(limit) if limit.nanos() == 0 => {
            Err(de::Error::custom("a limit of dollars must be above 0"))
        }
        limit => Ok(limit),
    }
}
