//! The price of a request: of what it may need, and of what its provider reported.

use aisbreaker_services::{
    Tokens,
    prices::{Price, PricedReservation},
};

use super::demand::{Demand, NeededTokens};

/// What a request may need, and at which prices.
#[derive(Clone, Debug)]
pub(crate) struct Charge {
    pub(super) demand: Demand,
    pub(super) needed: NeededTokens,
    /// Those of the services that may answer. Which of them does is not known, so the dearest counts.
    pub(super) prices: Vec<Price>,
}

impl Charge {
    /// Returns the most that these tokens cost, in nano-dollars; `None` if no price is known.
    pub(super) fn reservation(&self, needed: NeededTokens) -> Option<u64> {
        let cost = |price: &Price| self.reservation_at(price, needed);
        self.prices.iter().map(cost).max()
    }

    /// Returns what a call cost that wrote so many tokens, in nano-dollars; `None` if no price is
    /// known.
    pub(super) fn cost(&self, told: &Tokens, output: u64) -> Option<u64> {
        let cost = |price: &Price| self.cost_at(price, told, output);
        self.prices.iter().map(cost).max()
    }

    /// Returns the most that can be written, as far as that is known.
    pub(super) fn most_output(&self) -> u64 {
        if self.demand.is_capped() {
            return self.needed.output;
        }
        let most = self
            .prices
            .iter()
            .map(|price| price.max_output().unwrap_or(u64::MAX));
        most.max()
            .unwrap_or(u64::MAX)
            .saturating_mul(self.demand.choices())
    }

    fn reservation_at(&self, price: &Price, needed: NeededTokens) -> u64 {
        let tokens = price.reservation(PricedReservation {
            input: needed.input,
            output: needed.output,
            reads_audio: self.demand.has_media(),
            writes_cache: self.demand.writes_cache,
            tier: self.demand.tier,
        });
        tokens.saturating_add(self.further_answers(price))
    }

    /// What was not reported is at the dearest rate that can apply.
    fn cost_at(&self, price: &Price, told: &Tokens, output: u64) -> u64 {
        if told.input.is_none() {
            let needed = NeededTokens {
                output,
                ..self.needed
            };
            return self.reservation_at(price, needed);
        }
        let mut tokens = *told;
        (tokens.output, tokens.cost) = (Some(output), None);
        let mut cost = price.cost(&tokens);
        if tokens.tier.is_none() {
            // The provider did not report whether it served the tier that was asked for.
            tokens.tier = self.demand.tier;
            cost = cost.max(price.cost(&tokens));
        }
        cost.saturating_add(self.further_answers(price))
    }

    /// Returns the price of the answers after the first one, where each has one of its own.
    fn further_answers(&self, price: &Price) -> u64 {
        let further = self.demand.choices().saturating_sub(1);
        price.per_request().unwrap_or(0).saturating_mul(further)
    }
}
