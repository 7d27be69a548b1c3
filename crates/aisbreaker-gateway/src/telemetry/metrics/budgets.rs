//! Metrics of budgets: what was reserved, and what became of it.

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::budgets::account;

type Labels = [(&'static str, &'static str); 1];

/// The metrics of budgets. Cheap to clone; clones share the counts. Dollars are counted in
/// nano-dollars, so that no sum is rounded.
#[derive(Clone, Debug, Default)]
pub(crate) struct BudgetMetrics {
    reserved: Family<Labels, Counter>,
    settled: Family<Labels, Counter>,
    overrun: Family<Labels, Counter>,
    refusals: Counter,
    lost: Counter,
    accounts: Gauge,
    prices_age: Gauge,
}

impl BudgetMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let reserved = "Tokens and nano-dollars that were reserved";
        registry.register("budget_reserved", reserved, metrics.reserved.clone());
        let settled = "Tokens and nano-dollars that reservations were settled to";
        registry.register("budget_settled", settled, metrics.settled.clone());
        let overrun = "Tokens and nano-dollars that were used beyond their reservations";
        registry.register("budget_overrun", overrun, metrics.overrun.clone());
        let refusals = "Requests that a budget refused";
        registry.register("budget_refusals", refusals, metrics.refusals.clone());
        let lost = "Settlements that the shared store did not take, whose reservations stand";
        registry.register("budget_settlements_lost", lost, metrics.lost.clone());
        let accounts = "Budgets that are counted in the memory of this server";
        registry.register("budget_accounts", accounts, metrics.accounts.clone());
        let age = "Time since the day of the built-in prices";
        let gauge = metrics.prices_age.clone();
        registry.register_with_unit("budget_prices_age", age, Unit::Seconds, gauge);
        metrics
    }

    /// Notes how many accounts there are, and how old the built-in prices are.
    pub(crate) fn observe(&self, accounts: usize, prices_age: Duration) {
        let accounts = i64::try_from(accounts);
        self.accounts.set(accounts.unwrap_or(i64::MAX));
        let seconds = i64::try_from(prices_age.as_secs());
        self.prices_age.set(seconds.unwrap_or(i64::MAX));
    }

    pub(crate) fn count_reserved(&self, unit: account::Unit, amount: u64) {
        add(&self.reserved, unit, amount);
    }

    /// Counts a settlement, and what is beyond the reservation.
    pub(crate) fn count_settled(&self, unit: account::Unit, reserved: u64, used: u64) {
        add(&self.settled, unit, used);
        add(&self.overrun, unit, used.saturating_sub(reserved));
    }

    pub(crate) fn count_refusal(&self) {
        self.refusals.inc();
    }

    pub(crate) fn count_lost(&self) {
        self.lost.inc();
    }
}

fn add(family: &Family<Labels, Counter>, unit: account::Unit, amount: u64) {
    if amount > 0 {
        family
            .get_or_create(&[("unit", unit.name())])
            .inc_by(amount);
    }
}
