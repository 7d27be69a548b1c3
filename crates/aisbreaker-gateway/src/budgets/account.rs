//! The accounts of a request: which there are, what they are called, and their budgets.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

use aisbreaker_quota::ledger::{Budget, Period, Reservation};
use aisbreaker_token::{BudgetLimits, Budgets, KeyId, ReservePolicy};
use base64ct::{Base64UrlUnpadded, Encoding as _};

use crate::{admission::counters::counter_name, client_id::ClientId, opened_key::Key};

/// The tokens of output to reserve for a request without a cap, unless the key says otherwise.
const OUTPUT_RESERVE: u32 = 4_096;

/// The name of one account.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct AccountId {
    key: [u8; 16],
    /// `None`: all clients together.
    client: Option<ClientId>,
    pub(crate) unit: Unit,
}

/// What an account counts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Unit {
    Tokens,
    /// Nano-dollars.
    Usd,
}

/// The name in a shared store: the unit, the id of the key as it is logged, and the client. Nothing
/// in it is secret.
impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 22];
        // 16 bytes encode to 22 characters.
        let id = Base64UrlUnpadded::encode(&self.key, &mut text).map_err(|_length| fmt::Error)?;
        write!(f, "{}:{id}", self.unit.name())?;
        match self.client {
            Some(client) => write!(f, ":{client}"),
            None => Ok(()),
        }
    }
}

impl AccountId {
    pub(crate) fn is_global(&self) -> bool {
        self.client.is_none()
    }

    /// Appends the unit in one byte, the name of the key in 16, and the client, if any, in eight.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        to.push(match self.unit {
            Unit::Tokens => 0,
            Unit::Usd => 1,
        });
        to.extend_from_slice(&self.key);
        ClientId::encode(self.client, to);
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (unit, rest) = bytes.split_first()?;
        let unit = match unit {
            0 => Unit::Tokens,
            1 => Unit::Usd,
            _ => return None,
        };
        let (key, rest) = rest.split_first_chunk()?;
        Some(Self {
            key: *key,
            client: ClientId::decode(rest)?,
            unit,
        })
    }
}

impl Unit {
    /// Returns the name in metrics, the quota endpoint and the store.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Usd => "usd",
        }
    }
}

/// One account of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub(crate) id: AccountId,
    pub(crate) budget: Budget,
    /// 0 for the key of the request, 1 for the one that it was made from, and so on.
    pub(crate) level: usize,
    /// When its key ends, if a budget holds until then.
    pub(super) keep_until: Option<Instant>,
}

impl Account {
    pub(super) fn reservation(&self, amount: u64) -> Reservation<AccountId> {
        let reservation = Reservation::new(self.id, self.budget, amount);
        match self.keep_until {
            Some(end) => reservation.kept_until(end),
            None => reservation,
        }
    }
}

/// The accounts of a request, and how they are reserved of.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) list: Vec<Account>,
    pub(crate) policy: ReservePolicy,
    pub(crate) output_reserve: u64,
}

/// A moment on both clocks, and the longest lifetime of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccountTimes {
    pub(crate) now: Instant,
    pub(crate) wall: SystemTime,
    pub(crate) max_lifetime: Duration,
}

impl Accounts {
    /// Returns the accounts of a key and of all that it was made from; `None` if none has a budget.
    pub(crate) fn of(
        key: &Key,
        client: ClientId,
        times: impl FnOnce() -> AccountTimes,
    ) -> Option<Self> {
        let is_without = |budgets: &Option<Box<Budgets>>| budgets.is_none();
        if is_without(&key.budgets) && key.ancestors.iter().all(|one| is_without(&one.budgets)) {
            return None;
        }
        let times = times();
        let mut accounts = Self {
            list: Vec::new(),
            policy: ReservePolicy::Estimate,
            output_reserve: 0,
        };
        let left = key.expires_at.duration_since(times.wall);
        let end = times.now.checked_add(left.unwrap_or_default());
        accounts.add((key.id, 0), key.budgets.as_deref(), client, end);
        // When they end is not known, only that they outlive this one.
        let end = times.now.checked_add(times.max_lifetime);
        for (index, ancestor) in key.ancestors.iter().rev().enumerate() {
            let owner = (ancestor.id, index.saturating_add(1));
            accounts.add(owner, ancestor.budgets.as_deref(), client, end);
        }
        Some(accounts)
    }

    fn add(
        &mut self,
        (key, level): (KeyId, usize),
        budgets: Option<&Budgets>,
        client: ClientId,
        end: Option<Instant>,
    ) {
        let Some(budgets) = budgets else { return };
        if budgets.reserve == ReservePolicy::Strict {
            self.policy = ReservePolicy::Strict;
        }
        let reserve = u64::from(budgets.output_reserve.unwrap_or(OUTPUT_RESERVE));
        self.output_reserve = self.output_reserve.max(reserve);
        let key = counter_name(key);
        for (limits, client) in [(&budgets.per_client, Some(client)), (&budgets.global, None)] {
            for (unit, budget) in [(Unit::Tokens, tokens(limits)), (Unit::Usd, usd(limits))] {
                if budget.iter().next().is_none() {
                    continue;
                }
                let is_kept = budget.of(Period::Lifetime).is_some();
                self.list.push(Account {
                    id: AccountId { key, client, unit },
                    budget,
                    level,
                    keep_until: end.filter(|_| is_kept),
                });
            }
        }
    }

    /// Returns whether a budget is in dollars.
    pub(crate) fn has_usd(&self) -> bool {
        self.list.iter().any(|account| account.id.unit == Unit::Usd)
    }

    /// Returns whether a budget lasts for longer than a server that forgets at its end.
    pub(crate) fn needs_durable_counts(&self) -> bool {
        self.list.iter().any(|account| is_long(&account.budget))
    }
}

/// Returns whether a budget lasts for longer than a day.
fn is_long(budget: &Budget) -> bool {
    [Period::Month, Period::Lifetime]
        .into_iter()
        .any(|period| budget.of(period).is_some())
}

fn tokens(limits: &BudgetLimits) -> Budget {
    let rows = [
        (Period::Minute, limits.tokens_per_minute),
        (Period::Hour, limits.tokens_per_hour),
        (Period::Day, limits.tokens_per_day),
    ];
    budget(rows)
}

fn usd(limits: &BudgetLimits) -> Budget {
    let nanos = |usd: Option<aisbreaker_token::Usd>| usd.map(aisbreaker_token::Usd::nanos);
    budget([
        (Period::Day, nanos(limits.usd_per_day)),
        (Period::Month, nanos(limits.usd_per_month)),
        (Period::Lifetime, nanos(limits.usd_total)),
    ])
}

fn budget(rows: [(Period, Option<u64>); 3]) -> Budget {
    let mut budget = Budget::unlimited();
    for (period, limit) in rows {
        if let Some(limit) = limit {
            budget = budget.with(period, limit);
        }
    }
    budget
}
