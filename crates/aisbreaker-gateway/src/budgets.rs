//! Budgets in tokens and dollars: reserved before a provider is called, settled when the response is
//! over.
//!
//! - `account` has the accounts of a key and of all that it was made from;
//! - `ceilings` keeps a killed server from forgetting what was spent in all;
//! - `charge` has the price of what a request may need and of what its provider reported;
//! - `demand` reads from a body what a request may cost;
//! - `headers` writes how budgets in tokens stand;
//! - `ledgers` counts, in memory or in a shared store;
//! - `hold` owns what is reserved, and settles it once;
//! - `refusal` says why a request is not admitted.

pub(crate) mod account;
pub(crate) mod ceilings;
mod charge;
pub(crate) mod demand;
pub(crate) mod headers;
pub(crate) mod hold;
pub(crate) mod ledgers;
pub(crate) mod refusal;

use std::{net::IpAddr, sync::Arc, time::Duration};

use aisbreaker_quota::ledger::{Balance, BudgetRefusal};
use aisbreaker_services::{
    Provider, ProviderCalls,
    prices::{Price, Prices},
};
use aisbreaker_token::ReservePolicy;

use self::{
    account::{Account, AccountTimes, Accounts, Unit},
    charge::Charge,
    demand::{Demand, ModelBounds, NeededTokens},
    hold::{BudgetHold, HoldTerms, Spent},
    ledgers::Ledgers,
    refusal::{BudgetError, BudgetExceeded},
};
use crate::{
    client_id::ClientId,
    clock::Clock,
    opened_key::Key,
    shared_store::{NotReserved, StoreError},
    telemetry::metrics::budgets::BudgetMetrics,
};

/// The most accounts in the memory of a server.
pub(crate) const MAX_ACCOUNTS: usize = 100_000;

/// Reserves and settles what requests cost.
#[derive(Clone, Debug)]
pub(crate) struct Budgets {
    pub(crate) ledgers: Ledgers,
    pub(crate) prices: Prices,
    /// The longest lifetime of a key.
    pub(crate) max_lifetime: Duration,
    /// Whether counts outlive the process, or need not.
    pub(crate) may_last: bool,
    /// Whether requests are admitted uncounted while the shared store does not answer.
    pub(crate) may_be_uncounted: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: BudgetMetrics,
}

/// A model that a request may be sent to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CalledModel<'a> {
    pub(crate) service: CalledService<'a>,
    pub(crate) name: &'a str,
}

/// Whose a model is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CalledService<'a> {
    Provider(&'a Provider),
    /// Another service, whose price is not known.
    Other(&'a str),
}

impl CalledService<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Provider(provider) => &provider.id,
            Self::Other(name) => name,
        }
    }
}

/// What a request is about to spend.
#[derive(Clone, Debug)]
pub(crate) struct Spending<'a> {
    pub(crate) demand: Demand,
    /// Whether tokens are written: an embedding writes none.
    pub(crate) writes: bool,
    /// The models that may be called, one after the other.
    pub(crate) models: Vec<CalledModel<'a>>,
    /// The calls that it causes.
    pub(crate) calls: ProviderCalls,
}

/// What is reserved, and what is left then.
#[derive(Debug)]
pub(crate) struct Reserved {
    pub(crate) hold: Box<BudgetHold>,
    /// The balance of the tightest budget in tokens that slides.
    pub(crate) tokens: Option<Balance>,
}

impl Budgets {
    /// Returns the accounts of a request; `None` if nothing limits what it may cost.
    pub(crate) fn accounts(&self, key: Option<&Key>, client: IpAddr) -> Option<Accounts> {
        Accounts::of(key?, ClientId::of(client), || AccountTimes {
            now: self.clock.monotonic(),
            wall: self.clock.wall(),
            max_lifetime: self.max_lifetime,
        })
    }

    /// Returns the price of a model, if it is known.
    pub(crate) fn price(&self, model: &CalledModel<'_>) -> Option<Price> {
        match model.service {
            CalledService::Provider(provider) => self.prices.find(provider, model.name),
            CalledService::Other(_) => None,
        }
    }

    /// Reserves what a request may cost of all its accounts, or of none.
    pub(crate) async fn reserve(
        &self,
        accounts: &Accounts,
        spending: &Spending<'_>,
    ) -> Result<Reserved, BudgetError> {
        if accounts.needs_durable_counts() && !self.may_last {
            return Err(BudgetError::Volatile);
        }
        let prices = self.prices_of(spending, accounts.has_usd())?;
        let needed = needed(accounts, spending, &prices)?;
        let charge = Charge {
            demand: spending.demand,
            needed,
            // If one of them is not known, nothing is said of what the request costs.
            prices: prices
                .into_iter()
                .collect::<Option<_>>()
                .unwrap_or_default(),
        };
        let reserved = Spent {
            tokens: needed.total(),
            nanos: charge.reservation(needed).unwrap_or(0),
        };
        let list = accounts.list.iter();
        let reservations: Vec<_> = list
            .map(|account| account.reservation(reserved.of(account.id.unit)))
            .collect();
        let now = self.clock.monotonic();
        let receipt = match self.ledgers.reserve(&reservations, now).await {
            Ok(receipt) => Some(receipt),
            Err(NotReserved::Store(_gone)) if self.may_be_uncounted => None,
            Err(NotReserved::Store(gone)) => return Err(BudgetError::Unavailable(gone)),
            Err(NotReserved::Refused(refusal)) => {
                self.metrics.count_refusal();
                return Err(refused(refusal, accounts, &charge));
            }
        };
        let terms = HoldTerms {
            units: accounts.list.iter().map(|one| one.id.unit).collect(),
            reserved,
            charge,
            calls: spending.calls.clone(),
        };
        let (clock, metrics) = (Arc::clone(&self.clock), self.metrics.clone());
        let hold = BudgetHold::new((self.ledgers.clone(), receipt), terms, clock, metrics);
        // If that fails, or the client leaves, the hold frees what is reserved.
        let recorded = self
            .ledgers
            .record(&accounts.list, (now, self.clock.wall()));
        recorded.await.map_err(BudgetError::Unrecorded)?;
        Ok(Reserved {
            hold: Box::new(hold),
            tokens: self.tightest(accounts).await,
        })
    }

    /// Returns the price of each model.
    fn prices_of(
        &self,
        spending: &Spending<'_>,
        must_be_known: bool,
    ) -> Result<Vec<Option<Price>>, BudgetError> {
        let mut prices = Vec::with_capacity(spending.models.len());
        for model in &spending.models {
            let price = self.price(model);
            if price.is_none() && must_be_known {
                return Err(BudgetError::PriceUnknown {
                    provider: model.service.name().to_owned(),
                    model: model.name.to_owned(),
                });
            }
            prices.push(price);
        }
        Ok(prices)
    }

    /// Returns the balance of the budget in tokens of which least is left.
    async fn tightest(&self, accounts: &Accounts) -> Option<Balance> {
        let mut tightest: Option<Balance> = None;
        for account in &accounts.list {
            if account.id.unit != Unit::Tokens {
                continue;
            }
            // The response does not depend on it.
            let balances = self.balances(account).await.unwrap_or_default();
            for balance in balances {
                if tightest.is_none_or(|known| balance.remaining < known.remaining) {
                    tightest = Some(balance);
                }
            }
        }
        tightest
    }

    /// Returns the balance of every budget of an account, shortest period first.
    pub(crate) async fn balances(&self, account: &Account) -> Result<Vec<Balance>, StoreError> {
        self.ledgers.balances(account, self.clock.monotonic()).await
    }
}

/// Returns the tokens to reserve, which are enough for each of the models.
fn needed(
    accounts: &Accounts,
    spending: &Spending<'_>,
    prices: &[Option<Price>],
) -> Result<NeededTokens, BudgetError> {
    let mut most = NeededTokens::default();
    for price in prices {
        let bounds = match price {
            Some(price) => ModelBounds {
                max_output: price.max_output(),
                context: price.context(),
            },
            None => ModelBounds::default(),
        };
        let bounds = match spending.writes {
            true => bounds,
            false => ModelBounds {
                max_output: Some(0),
                ..bounds
            },
        };
        let demand = &spending.demand;
        let needed = match accounts.policy {
            ReservePolicy::Strict => demand.bound(bounds).map_err(BudgetError::Unbounded)?,
            ReservePolicy::Estimate => demand.estimate(accounts.output_reserve, bounds),
        };
        most.input = most.input.max(needed.input);
        most.output = most.output.max(needed.output);
    }
    if !spending.writes {
        most.output = 0;
    }
    Ok(most)
}

/// Describes a refusal.
fn refused(refusal: BudgetRefusal, accounts: &Accounts, charge: &Charge) -> BudgetError {
    let Some(mut exceeded) = BudgetExceeded::of(refusal, &accounts.list) else {
        return BudgetError::Full;
    };
    let fits = |output: u64| {
        let needed = NeededTokens {
            output,
            ..charge.needed
        };
        let amount = match exceeded.unit {
            Unit::Tokens => needed.total(),
            Unit::Usd => charge.reservation(needed).unwrap_or(0),
        };
        amount <= exceeded.remaining
    };
    let most = largest(charge.needed.output, fits);
    exceeded.fitting_output = most.map(|output| output / charge.demand.choices().max(1));
    exceeded.fitting_output = exceeded.fitting_output.filter(|output| *output > 0);
    BudgetError::Exceeded(Box::new(exceeded))
}

/// Returns the largest number below `end` that fits, where all smaller ones fit as well.
fn largest(end: u64, fits: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = (0, end);
    while low < high {
        let middle = low + (high - low) / 2;
        if fits(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low.checked_sub(1)
}

#[cfg(test)]
mod tests;
