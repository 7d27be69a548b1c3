//! What is reserved for a request, which is settled once when the request is over.

use std::{fmt, sync::Arc, time::Instant};

use aisbreaker_services::{ProviderCalls, ServiceError, Tokens, prices::Price};

use super::{
    account::Unit,
    demand::NeededTokens,
    ledgers::{AnyReceipt, Ledgers},
};
use crate::{clock::Clock, telemetry::metrics::budgets::BudgetMetrics};

/// The most tokens a second that a provider is taken to write, where nobody counted them.
const MAX_TOKENS_PER_SECOND: u64 = 1_000;

/// What is reserved for a request. Dropping it settles for a request that its client left.
pub(crate) struct BudgetHold {
    ledgers: Ledgers,
    /// `None` once it is settled, and if nothing is counted.
    receipt: Option<AnyReceipt>,
    /// The units of the accounts, in the order of the receipt.
    units: Vec<Unit>,
    reserved: Spent,
    needed: NeededTokens,
    /// How many answers are asked for.
    choices: u64,
    /// The price of the service that is called; `None` if no budget is in dollars and there is none.
    price: Option<Price>,
    /// When a provider was first called.
    called: Option<Instant>,
    /// The calls that the request caused.
    calls: ProviderCalls,
    clock: Arc<dyn Clock>,
    metrics: BudgetMetrics,
}

/// What a body settles when it is over, and what that came to.
#[derive(Debug, Default)]
pub(crate) struct BodyBudget {
    hold: Option<Box<BudgetHold>>,
    /// In nano-dollars.
    cost: Option<u64>,
}

impl BodyBudget {
    pub(crate) fn set(&mut self, hold: Box<BudgetHold>) {
        self.hold = Some(hold);
    }

    /// Settles what is reserved, unless that is done already.
    pub(crate) fn settle(&mut self, outcome: impl FnOnce() -> Outcome) {
        if let Some(mut hold) = self.hold.take() {
            let has_price = hold.price.is_some();
            let spent = hold.settle(outcome());
            self.cost = spent.map(|spent| spent.nanos).filter(|_| has_price);
        }
    }

    /// Returns what the request cost in nano-dollars, once that is settled and if it is known.
    pub(crate) fn cost(&self) -> Option<u64> {
        self.cost
    }
}

/// Tokens and nano-dollars.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Spent {
    pub(crate) tokens: u64,
    pub(crate) nanos: u64,
}

/// How a request ended, as far as that decides what it costs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// The provider answered, and told this.
    Answered(Tokens),
    /// The answer was cut, or nobody waited for its end. This was told before.
    Cut(Tokens),
    /// The provider refused the request or was not reached.
    Refused,
    /// Whether the provider worked for the request is not known.
    Unknown,
}

/// What is needed to settle, beside the receipt.
pub(super) struct HoldTerms {
    pub(super) units: Vec<Unit>,
    pub(super) reserved: Spent,
    pub(super) needed: NeededTokens,
    pub(super) choices: u64,
    pub(super) price: Option<Price>,
    pub(super) calls: ProviderCalls,
}

impl BudgetHold {
    pub(super) fn new(
        (ledgers, receipt): (Ledgers, Option<AnyReceipt>),
        terms: HoldTerms,
        clock: Arc<dyn Clock>,
        metrics: BudgetMetrics,
    ) -> Self {
        for (unit, amount) in terms.reserved.by_unit() {
            metrics.count_reserved(unit, amount);
        }
        Self {
            ledgers,
            receipt,
            units: terms.units,
            reserved: terms.reserved,
            needed: terms.needed,
            choices: terms.choices,
            price: terms.price,
            called: None,
            calls: terms.calls,
            clock,
            metrics,
        }
    }

    /// Notes that a provider is called, at this price.
    pub(crate) fn note_call(&mut self, price: Option<Price>) {
        self.called.get_or_insert_with(|| self.clock.monotonic());
        if price.is_some() {
            self.price = price;
        }
    }

    pub(crate) fn has_price(&self) -> bool {
        self.price.is_some()
    }

    /// Settles to what the request cost, and returns that; `None` if it was settled before. What is
    /// not known stays reserved.
    pub(crate) fn settle(&mut self, outcome: Outcome) -> Option<Spent> {
        let receipt = self.receipt.take()?;
        let spent = self.spent(outcome);
        let used = self.units.iter().map(|unit| spent.of(*unit)).collect();
        for (unit, amount) in spent.by_unit() {
            let reserved = self.reserved.of(unit);
            self.metrics.count_settled(unit, reserved, amount);
        }
        let (now, metrics) = (self.clock.monotonic(), self.metrics.clone());
        self.ledgers.settle(receipt, used, now, move |error| {
            metrics.count_lost();
            tracing::warn!(%error, "a settlement is lost, so that its reservation stands");
        });
        Some(spent)
    }

    fn spent(&self, outcome: Outcome) -> Spent {
        let mut spent = match outcome {
            Outcome::Refused => Spent::default(),
            Outcome::Unknown => self.reserved,
            Outcome::Answered(tokens) => self.answered(tokens),
            Outcome::Cut(tokens) => self.cut(tokens),
        };
        // What a call cost that had no answer is not known, though another service answered.
        let unanswered = self.calls.unanswered();
        let is_counted = usize::from(outcome == Outcome::Unknown);
        for _ in is_counted..unanswered {
            spent = spent.plus(self.reserved);
        }
        spent
    }

    fn answered(&self, tokens: Tokens) -> Spent {
        let flat = self.flat_price();
        match (tokens.total(), tokens.cost) {
            (None, None) => Spent {
                nanos: flat.unwrap_or(self.reserved.nanos),
                ..self.reserved
            },
            (total, cost) => Spent {
                tokens: total.unwrap_or(self.reserved.tokens),
                nanos: flat.or(cost).unwrap_or_else(|| self.cost(&tokens)),
            },
        }
    }

    /// Of an answer that was cut, the provider has read everything, and has written what it told or
    /// what it can have had the time for.
    fn cut(&self, told: Tokens) -> Spent {
        let waited = match self.called {
            Some(called) => self.clock.monotonic().saturating_duration_since(called),
            None => return Spent::default(),
        };
        let seconds = waited.as_secs().saturating_add(1);
        let written = seconds.saturating_mul(MAX_TOKENS_PER_SECOND);
        let output = told.output.unwrap_or(0).max(written);
        let output = output.min(self.needed.output.max(told.output.unwrap_or(0)));
        let mut tokens = told;
        tokens.input = Some(told.input.unwrap_or(self.needed.input));
        tokens.output = Some(output);
        tokens.cost = None;
        Spent {
            tokens: tokens.total().unwrap_or(self.reserved.tokens),
            nanos: self.flat_price().unwrap_or_else(|| self.cost(&tokens)),
        }
    }

    fn cost(&self, tokens: &Tokens) -> u64 {
        match &self.price {
            Some(price) => price.cost(tokens),
            None => self.reserved.nanos,
        }
    }

    /// Returns what the request costs, if that does not depend on tokens.
    fn flat_price(&self) -> Option<u64> {
        let price = self.price.as_ref()?.per_request()?;
        Some(price.saturating_mul(self.choices))
    }
}

impl Spent {
    pub(super) fn of(self, unit: Unit) -> u64 {
        match unit {
            Unit::Tokens => self.tokens,
            Unit::Usd => self.nanos,
        }
    }

    fn by_unit(self) -> [(Unit, u64); 2] {
        [(Unit::Tokens, self.tokens), (Unit::Usd, self.nanos)]
    }

    fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            nanos: self.nanos.saturating_add(other.nanos),
        }
    }
}

impl Drop for BudgetHold {
    fn drop(&mut self) {
        let _settled = self.settle(Outcome::Cut(Tokens::default()));
    }
}

/// Returns whether a call that failed has cost nothing.
fn cost_nothing(error: &ServiceError) -> bool {
    match error {
        ServiceError::BadRequest(_)
        | ServiceError::MissingSecret { .. }
        | ServiceError::Forbidden(_)
        | ServiceError::Restricted { .. }
        | ServiceError::UnknownService { .. }
        | ServiceError::Provider { .. }
        | ServiceError::Unreachable(_)
        | ServiceError::Overloaded(_) => true,
        ServiceError::NoAnswer(_)
        | ServiceError::BadAnswer(_)
        | ServiceError::Timeout(_)
        | ServiceError::Internal(_) => false,
    }
}

/// Settles for a call that failed before its response began.
pub(crate) fn settle_failure(hold: &mut BudgetHold, error: &ServiceError) {
    let outcome = if cost_nothing(error) {
        Outcome::Refused
    } else {
        Outcome::Unknown
    };
    let _settled = hold.settle(outcome);
}

impl fmt::Debug for BudgetHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BudgetHold")
            .field("reserved", &self.reserved)
            .field("is_settled", &self.receipt.is_none())
            .finish_non_exhaustive()
    }
}
