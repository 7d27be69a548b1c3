//! What a provider reports of one call: tokens, its tier, and its own cost. Every provider does so by
//! a rule of its own.

mod locate;
mod money;
mod parts;
mod reader;
mod rule;
#[cfg(test)]
mod tests;
mod tier;

use std::sync::{Arc, Mutex, PoisonError};

use aisbreaker_api::Usage;

pub(crate) use self::locate::MEMBERS_WITH_USAGE;
pub use self::{reader::UsageReader, rule::UsageRule, tier::ServiceTier};

/// The token counts of an answer, and what else its price depends on, as far as its provider reports
/// it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Tokens {
    /// Tokens read, including those read from a cache or written to one.
    pub input: Option<u64>,
    /// Tokens written, including those of reasoning.
    pub output: Option<u64>,
    /// How many of the tokens read came from a cache.
    pub cached: Option<u64>,
    /// How many of the tokens written were reasoning.
    pub reasoning: Option<u64>,
    /// How many of the tokens read were written to a cache, for however long.
    pub cache_write: Option<u64>,
    /// How many of [`cache_write`](Self::cache_write) were written to be kept for an hour.
    pub cache_write_1h: Option<u64>,
    /// How many of the tokens read were audio.
    pub input_audio: Option<u64>,
    /// How many of the tokens written were audio.
    pub output_audio: Option<u64>,
    /// The tier that the provider served the call in.
    pub tier: Option<ServiceTier>,
    /// What the provider itself charges for the call, in nano-dollars, rounded up. A zero is one that
    /// the provider reports.
    pub cost: Option<u64>,
}

impl Tokens {
    /// Returns the counts in a response of `/api/v1/process`.
    #[must_use]
    pub fn of(usage: &Usage) -> Self {
        Self {
            input: usage.input_tokens,
            output: usage.output_tokens,
            ..Self::default()
        }
    }

    /// Returns input and output together, if either is known.
    #[must_use]
    pub fn total(self) -> Option<u64> {
        match (self.input, self.output) {
            (Some(input), Some(output)) => Some(input.saturating_add(output)),
            (input, output) => input.or(output),
        }
    }

    /// Returns the larger of each count, and the tier of these counts if they have one. A stream
    /// reports counts as they grow, and not every report has all of them.
    #[must_use]
    pub fn merge(self, earlier: Self) -> Self {
        // A count that is missing is less than any.
        Self {
            input: self.input.max(earlier.input),
            output: self.output.max(earlier.output),
            cached: self.cached.max(earlier.cached),
            reasoning: self.reasoning.max(earlier.reasoning),
            cache_write: self.cache_write.max(earlier.cache_write),
            cache_write_1h: self.cache_write_1h.max(earlier.cache_write_1h),
            input_audio: self.input_audio.max(earlier.input_audio),
            output_audio: self.output_audio.max(earlier.output_audio),
            tier: self.tier.or(earlier.tier),
            cost: self.cost.max(earlier.cost),
        }
    }
}

/// The tokens that a provider has reported so far for one call. Clones share them, so that they are
/// known even of a stream that nobody reads to its end.
///
/// The default is for calls of which nobody asks; it keeps nothing.
#[derive(Clone, Debug, Default)]
pub struct ReportedTokens(Option<Arc<Mutex<Tokens>>>);

impl ReportedTokens {
    /// Creates counts that are kept.
    #[must_use]
    pub fn kept() -> Self {
        Self(Some(Arc::default()))
    }

    /// Replaces the counts.
    pub fn set(&self, tokens: Tokens) {
        if let Some(kept) = &self.0 {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = tokens;
        }
    }

    /// Returns the last counts.
    #[must_use]
    pub fn get(&self) -> Tokens {
        match &self.0 {
            Some(kept) => *kept.lock().unwrap_or_else(PoisonError::into_inner),
            None => Tokens::default(),
        }
    }
}
