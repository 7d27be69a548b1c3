//! Why a request is not admitted by the budgets of its key.

use std::{fmt::Write as _, time::Duration};

use aisbreaker_quota::ledger::{BudgetRefusal, Period};

use super::{
    account::{Account, Unit},
    ceilings::NotRecorded,
    demand::Unbounded,
};
use crate::{clock::ceil_seconds, shared_store::StoreError};

/// Why a request is not admitted by the budgets of its key.
#[derive(Debug)]
pub(crate) enum BudgetError {
    /// A budget has too little left. Boxed, since it is large and rare.
    Exceeded(Box<BudgetExceeded>),
    /// A budget is in dollars, and the price of the model is not known.
    PriceUnknown { provider: String, model: String },
    /// What the request may cost is not known, though the key demands it.
    Unbounded(Unbounded),
    /// A budget lasts for longer than the counts of this server.
    Volatile,
    /// There are as many accounts as there may be.
    Full,
    /// A crash might make the server forget what the request spends.
    Unrecorded(NotRecorded),
    /// The shared store does not answer.
    Unavailable(StoreError),
}

/// The budget that a request would exceed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BudgetExceeded {
    pub(crate) unit: Unit,
    is_global: bool,
    /// 0 for the key of the request, more for one that it was made from.
    level: usize,
    period: Period,
    limit: u64,
    pub(crate) remaining: u64,
    requested: u64,
    /// Whether it could never fit.
    is_too_large: bool,
    /// Time until the same request would be admitted, at the latest; `None`: never.
    pub(crate) retry_after: Option<Duration>,
    /// The cap on what is written with which the request would be admitted now.
    pub(crate) fitting_output: Option<u64>,
}

impl BudgetExceeded {
    /// Describes the refusal of reservations of these accounts; `None` if no budget is exceeded.
    pub(super) fn of(refusal: BudgetRefusal, accounts: &[Account]) -> Option<Self> {
        let (index, period, limit, remaining, requested, retry_after, is_too_large) = match refusal
        {
            BudgetRefusal::Exceeded {
                reservation,
                period,
                limit,
                remaining,
                requested,
                retry_after,
            } => (
                reservation,
                period,
                limit,
                remaining,
                requested,
                retry_after,
                false,
            ),
            BudgetRefusal::TooLarge {
                reservation,
                period,
                limit,
                requested,
            } => (reservation, period, limit, limit, requested, None, true),
            BudgetRefusal::Full => return None,
        };
        let account = accounts.get(index)?;
        Some(Self {
            unit: account.id.unit,
            is_global: account.id.is_global(),
            level: account.level,
            period,
            limit,
            remaining,
            requested,
            is_too_large,
            retry_after,
            fitting_output: None,
        })
    }

    /// Returns whether the budget is spent for good.
    pub(crate) fn is_spent(&self) -> bool {
        self.period == Period::Lifetime && !self.is_too_large
    }

    /// Returns what is exceeded, what is left, and what to do.
    pub(crate) fn message(&self) -> String {
        let scope = if self.is_global { "global" } else { "client" };
        let (limit, left) = (self.amount(self.limit), self.amount(self.remaining));
        let requested = self.amount(self.requested);
        let period = match self.period {
            Period::Lifetime => "in all".to_owned(),
            Period::Month => "per 30 days".to_owned(),
            period @ (Period::Minute | Period::Hour | Period::Day) => {
                format!("per {}", period.name())
            }
        };
        let unit = if self.is_global { "" } else { " and client" };
        let mut text = format!("Budget exceeded: {scope} limit {limit} {period}{unit}");
        if self.level > 0 {
            text.push_str(" of a key that this one was made from");
        }
        let _written = if self.is_too_large {
            write!(text, ", requested {requested}")
        } else {
            write!(text, ", {left} left, requested {requested}")
        };
        if let Some(wait) = self.retry_after {
            let seconds = ceil_seconds(wait).max(1);
            let _written = write!(text, "; try again in {seconds} s");
        }
        if let Some(output) = self.fitting_output {
            let _written = write!(text, "; it fits now with max_tokens of up to {output}");
        } else if self.is_too_large {
            text.push_str("; send less, or lower max_tokens");
        }
        text
    }

    fn amount(&self, amount: u64) -> String {
        match self.unit {
            Unit::Tokens => format!("{amount} tokens"),
            Unit::Usd => format!("${}", aisbreaker_token::Usd::from_nanos(amount)),
        }
    }
}
