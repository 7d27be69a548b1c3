//! The price of one model, and what calls cost by it.

use std::{cmp::Reverse, sync::Arc};

use crate::{ServiceTier, Tokens};

/// Rates are nano-dollars per so many tokens.
const TOKENS_PER_RATE: u128 = 1_000_000;
/// How much dearer priority is where its price is not known, in thousandths: the largest surcharge in
/// the lists of prices.
const UNKNOWN_PRIORITY: u64 = 2_500;

/// The price of a model; cheap to clone.
#[derive(Clone, Debug)]
pub struct Price(pub(super) Arc<Row>);

/// All that is known of the price of a model.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) standard: Tariff,
    pub(super) priority: Option<TierTariff>,
    pub(super) flex: Option<TierTariff>,
    pub(super) batch: Option<TierTariff>,
    pub(super) max_output: Option<u64>,
    pub(super) context: Option<u64>,
    pub(super) per_request: Option<u64>,
}

/// The rates of a service tier.
#[derive(Clone, Debug)]
pub(super) enum TierTariff {
    /// The standard ones times so many thousandths.
    Factor(u64),
    Rates(Box<Tariff>),
}

/// The rates of a call, which its input decides.
#[derive(Clone, Debug, Default)]
pub(super) struct Tariff {
    pub(super) base: Rates,
    pub(super) above: Option<Box<Above>>,
}

/// The rates of a call whose input has more tokens than this. They hold for all of its tokens.
#[derive(Clone, Debug)]
pub(super) struct Above {
    pub(super) tokens: u64,
    pub(super) rates: Rates,
}

/// Nano-dollars per million tokens.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Rates {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cached: u64,
    pub(super) cache_write: u64,
    pub(super) cache_write_1h: u64,
    pub(super) input_audio: u64,
    pub(super) output_audio: u64,
}

/// Rates as they are written; those that are not known are missing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WrittenRates {
    pub(super) input: u64,
    pub(super) output: Option<u64>,
    pub(super) cached: Option<u64>,
    pub(super) cache_write: Option<u64>,
    pub(super) cache_write_1h: Option<u64>,
    pub(super) input_audio: Option<u64>,
    pub(super) output_audio: Option<u64>,
}

impl WrittenRates {
    /// Completes the rates so that a missing one makes no call cheaper than it is: it is that of
    /// input or output. Written to a cache, tokens cost a quarter more, or twice as much for an
    /// hour: what every provider that charges for it asks.
    pub(super) fn complete(self) -> Rates {
        let output = self.output.unwrap_or(self.input);
        let cache_write = self.cache_write.unwrap_or_else(|| times(self.input, 1_250));
        let an_hour = times(self.input, 2_000).max(cache_write);
        Rates {
            input: self.input,
            output,
            cached: self.cached.unwrap_or(self.input),
            cache_write,
            cache_write_1h: self.cache_write_1h.unwrap_or(an_hour),
            input_audio: self.input_audio.unwrap_or(self.input),
            output_audio: self.output_audio.unwrap_or(output),
        }
    }
}

/// What a call may need, for [`Price::reservation`].
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "callers decide about every member"
)]
pub struct PricedReservation {
    /// The most tokens that it reads.
    pub input: u64,
    /// The most tokens that it writes.
    pub output: u64,
    /// Whether what it reads may have audio.
    pub reads_audio: bool,
    /// Whether it may write to a cache.
    pub writes_cache: bool,
    /// The service tier that it asks for.
    pub tier: Option<ServiceTier>,
}

impl Price {
    /// Returns the price of a model that costs nothing, and writes no more tokens than this.
    pub(super) fn free(max_output: u64) -> Self {
        Self(Arc::new(Row {
            max_output: Some(max_output),
            ..Row::default()
        }))
    }

    /// Returns what a call with these counts costs, in nano-dollars, rounded up once.
    ///
    /// The provider's own cost wins where it was reported. Otherwise tokens from a cache or written
    /// to one, and those of audio, are parts of the input and output at rates of their own, where
    /// these are known, and the rest is at the rate of input or output. If the parts are more than
    /// the whole, the dearest count. The number of tokens read decides about the rates of the whole
    /// call. A count that was not reported costs nothing: ask [`Tokens::total`] whether any was.
    /// Saturates.
    #[must_use]
    pub fn cost(&self, tokens: &Tokens) -> u64 {
        if let Some(cost) = tokens.cost {
            return cost;
        }
        let input = tokens.input.unwrap_or(0);
        let rates = self.0.tariff(tokens.tier).rates_for(input);
        let written = tokens.cache_write.unwrap_or(0);
        let an_hour = tokens.cache_write_1h.unwrap_or(0);
        let parts = [
            (an_hour, rates.cache_write_1h),
            (written.saturating_sub(an_hour), rates.cache_write),
            (tokens.input_audio.unwrap_or(0), rates.input_audio),
            (tokens.cached.unwrap_or(0), rates.cached),
        ];
        let output = tokens.output.unwrap_or(0);
        let of_output = [(tokens.output_audio.unwrap_or(0), rates.output_audio)];
        let sum = sum_of(input, rates.input, parts) + sum_of(output, rates.output, of_output);
        self.with_request(sum)
    }

    /// Returns the most that a call costs which needs no more than this, in nano-dollars: at the
    /// dearest rates that can apply. Saturates.
    #[must_use]
    pub fn reservation(&self, call: PricedReservation) -> u64 {
        let asked = self.0.tariff(call.tier).dearest_for(call.input);
        // Who asks for a cheaper tier may be served by the standard one.
        let standard = self.0.standard.dearest_for(call.input);
        let rates = asked.max(standard);
        let mut input = rates.input;
        if call.writes_cache {
            input = input.max(rates.cache_write).max(rates.cache_write_1h);
        }
        if call.reads_audio {
            input = input.max(rates.input_audio);
        }
        let output = rates.output.max(rates.output_audio);
        self.with_request(product(call.input, input) + product(call.output, output))
    }

    /// Returns the most tokens that the model writes in one answer.
    #[must_use]
    pub fn max_output(&self) -> Option<u64> {
        self.0.max_output
    }

    /// Returns the most tokens that the model reads in one call.
    #[must_use]
    pub fn context(&self) -> Option<u64> {
        self.0.context
    }

    /// Returns the nano-dollars of every request, whatever it reads and writes. They are part of
    /// [`cost`](Self::cost) and [`reservation`](Self::reservation).
    #[must_use]
    pub fn per_request(&self) -> Option<u64> {
        self.0.per_request
    }

    /// Returns the price of tokens, by nano-dollars per million, and of the request.
    fn with_request(&self, sum: u128) -> u64 {
        let nanos = u64::try_from(sum.div_ceil(TOKENS_PER_RATE)).unwrap_or(u64::MAX);
        nanos.saturating_add(self.0.per_request.unwrap_or(0))
    }
}

impl Row {
    /// Returns the rates of a service tier.
    fn tariff(&self, tier: Option<ServiceTier>) -> Tariff {
        let tier = match tier {
            Some(ServiceTier::Standard) | None => None,
            Some(ServiceTier::Priority) => {
                let unknown = &TierTariff::Factor(UNKNOWN_PRIORITY);
                Some(self.priority.as_ref().unwrap_or(unknown))
            }
            Some(ServiceTier::Flex) => self.flex.as_ref(),
            Some(ServiceTier::Batch) => self.batch.as_ref(),
        };
        match tier {
            None => self.standard.clone(),
            Some(TierTariff::Factor(thousandths)) => self.standard.times(*thousandths),
            Some(TierTariff::Rates(tariff)) => (**tariff).clone(),
        }
    }
}

impl Tariff {
    /// Returns the rates of a call that reads so many tokens.
    fn rates_for(&self, input: u64) -> Rates {
        match &self.above {
            Some(above) if input > above.tokens => above.rates,
            Some(_) | None => self.base,
        }
    }

    /// Returns the dearest rates of a call that reads at most so many tokens.
    fn dearest_for(&self, input: u64) -> Rates {
        self.rates_for(input).max(self.base)
    }

    fn times(&self, thousandths: u64) -> Self {
        let above = self.above.as_ref().map(|above| {
            Box::new(Above {
                tokens: above.tokens,
                rates: above.rates.each(|rate| times(rate, thousandths)),
            })
        });
        Self {
            base: self.base.each(|rate| times(rate, thousandths)),
            above,
        }
    }
}

impl Rates {
    fn each(self, change: impl Fn(u64) -> u64) -> Self {
        Self {
            input: change(self.input),
            output: change(self.output),
            cached: change(self.cached),
            cache_write: change(self.cache_write),
            cache_write_1h: change(self.cache_write_1h),
            input_audio: change(self.input_audio),
            output_audio: change(self.output_audio),
        }
    }

    /// Returns the dearer of two, rate by rate.
    fn max(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            output: self.output.max(other.output),
            cached: self.cached.max(other.cached),
            cache_write: self.cache_write.max(other.cache_write),
            cache_write_1h: self.cache_write_1h.max(other.cache_write_1h),
            input_audio: self.input_audio.max(other.input_audio),
            output_audio: self.output_audio.max(other.output_audio),
        }
    }
}

/// Returns a rate times so many thousandths, rounded up.
fn times(rate: u64, thousandths: u64) -> u64 {
    let product = u128::from(rate) * u128::from(thousandths);
    u64::try_from(product.div_ceil(1_000)).unwrap_or(u64::MAX)
}

/// Returns the sum of tokens times their rates. The parts are within the whole: where they are more,
/// the dearest of them count.
fn sum_of<const N: usize>(whole: u64, rate: u64, mut parts: [(u64, u64); N]) -> u128 {
    parts.sort_by_key(|&(_, rate)| Reverse(rate));
    let mut left = whole;
    let mut sum = 0;
    for (tokens, rate) in parts {
        let counted = tokens.min(left);
        left -= counted;
        sum += product(counted, rate);
    }
    sum + product(left, rate)
}

fn product(tokens: u64, rate: u64) -> u128 {
    u128::from(tokens) * u128::from(rate)
}
