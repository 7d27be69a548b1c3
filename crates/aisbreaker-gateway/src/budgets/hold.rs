//! What is reserved for a request, which is settled once when the request is over.

use std::{fmt, sync::Arc, time::Instant};

use aisbreaker_services::{CallOutcome, ProviderCalls, ServiceError, Tokens, prices::Price};

use super::{
    account::Unit,
    charge::Charge,
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
    charge: Charge,
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
            let has_price = hold.has_price();
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
    /// The provider answered, and reported this.
    Answered(Tokens),
    /// The provider answered in a stream, and reported this.
    Streamed(Tokens),
    /// The answer was cut, so that its call is over. This was reported before.
    Cut(Tokens),
    /// Nobody waited for the end of the answer, or it was an error. This was reported before.
    Left(Tokens),
    /// The provider refused the request or was not reached.
    Refused,
    /// Whether the provider worked for the request is not known.
    Unknown,
}

impl Outcome {
    /// Returns the end of a call that failed before its answer began.
    pub(crate) fn of_failure(error: &ServiceError) -> Self {
        if cost_nothing(error) {
            Self::Refused
        } else {
            Self::Unknown
        }
    }
}

/// What is needed to settle, beside the receipt.
pub(super) struct HoldTerms {
    pub(super) units: Vec<Unit>,
    pub(super) reserved: Spent,
    pub(super) charge: Charge,
    pub(super) calls: ProviderCalls,
}

impl BudgetHold {
    pub(super) fn new(
        (ledgers, receipt): (Ledgers, Option<AnyReceipt>),
        terms: HoldTerms,
        clock: Arc<dyn Clock>,
        metrics: BudgetMetrics,
    ) -> Self {
        // What is admitted uncounted is not reserved, and is never settled.
        if receipt.is_some() {
            for (unit, amount) in terms.reserved.by_unit() {
                metrics.count_reserved(unit, amount);
            }
        }
        Self {
            ledgers,
            receipt,
            units: terms.units,
            reserved: terms.reserved,
            charge: terms.charge,
            called: None,
            calls: terms.calls,
            clock,
            metrics,
        }
    }

    /// Notes that a provider is called, at this price.
    pub(crate) fn note_call_at(&mut self, price: Option<Price>) {
        self.note_call();
        self.charge.prices = price.into_iter().collect();
    }

    /// Notes that one of the services is called, at the price of any of them.
    pub(crate) fn note_call(&mut self) {
        self.called.get_or_insert_with(|| self.clock.monotonic());
    }

    pub(crate) fn has_price(&self) -> bool {
        !self.charge.prices.is_empty()
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
            Outcome::Answered(tokens) => self.answered(tokens, self.charge.needed.output),
            Outcome::Streamed(tokens) => self.answered(tokens, self.streamed()),
            Outcome::Cut(tokens) | Outcome::Left(tokens) => self.cut(tokens),
        };
        // What a call cost that had no answer is not known, though another service answered.
        let unanswered = self.calls.unanswered();
        let is_over = matches!(outcome, Outcome::Unknown | Outcome::Cut(_));
        let is_counted = is_over && self.calls.last_is_unanswered();
        for _ in usize::from(is_counted)..unanswered {
            spent = spent.plus(self.reserved);
        }
        spent
    }

    /// Of an answer, what the provider did not report stays reserved, or is so much output.
    fn answered(&self, told: Tokens, output: u64) -> Spent {
        let input = told.input.unwrap_or(self.charge.needed.input);
        let output = told.output.unwrap_or(output);
        Spent {
            tokens: input.saturating_add(output),
            nanos: match told.cost {
                Some(cost) => cost,
                None => self.nanos(&told, output),
            },
        }
    }

    /// Of an answer that was cut, the provider has read everything, and has written what it reported or
    /// what it can have had the time for.
    fn cut(&self, told: Tokens) -> Spent {
        let Some(written) = self.written_at_most() else {
            return Spent::default();
        };
        let needed = self.charge.needed;
        let output = needed.output.min(written).max(told.output.unwrap_or(0));
        Spent {
            tokens: told.input.unwrap_or(needed.input).saturating_add(output),
            // The cost that the provider reported may not have been all.
            nanos: self.nanos(&told, output).max(told.cost.unwrap_or(0)),
        }
    }

    /// Returns the output of a whole stream that nobody counted. Where only an estimate was reserved,
    /// it can have been more: as much as the time has room for, or the model writes.
    fn streamed(&self) -> u64 {
        let written = self.written_at_most().unwrap_or(0);
        let reserved = self.charge.needed.output;
        written.min(self.charge.most_output()).max(reserved)
    }

    /// Returns how many tokens can have been written since the first call; `None` without one.
    fn written_at_most(&self) -> Option<u64> {
        let waited = self
            .clock
            .monotonic()
            .saturating_duration_since(self.called?);
        let seconds = waited.as_secs().saturating_add(1);
        // Several answers are written at the same time.
        let a_second = MAX_TOKENS_PER_SECOND.saturating_mul(self.charge.demand.choices());
        Some(seconds.saturating_mul(a_second))
    }

    /// Returns the price of what the provider reported and of this output. Without a price, nothing of
    /// what is reserved becomes free.
    fn nanos(&self, told: &Tokens, output: u64) -> u64 {
        self.charge
            .cost(told, output)
            .unwrap_or(self.reserved.nanos)
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
        let _settled = self.settle(Outcome::Left(Tokens::default()));
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
        | ServiceError::Unreachable(_) => true,
        ServiceError::Provider { is_in_answer, .. } => !is_in_answer,
        // Only before the call: an answer that this server has no room for is paid for.
        ServiceError::Overloaded(_) => CallOutcome::of_error(error).is_none(),
        ServiceError::NoAnswer(_)
        | ServiceError::BadAnswer(_)
        | ServiceError::Timeout(_)
        | ServiceError::Internal(_) => false,
    }
}

/// Settles for a call that failed before its response began.
pub(crate) fn settle_failure(hold: &mut BudgetHold, error: &ServiceError) {
    let _settled = hold.settle(Outcome::of_failure(error));
}

impl fmt::Debug for BudgetHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BudgetHold")
            .field("reserved", &self.reserved)
            .field("is_settled", &self.receipt.is_none())
            .finish_non_exhaustive()
    }
}
