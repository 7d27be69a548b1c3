//! Budgets in a store.

use std::{fmt, fmt::Display, sync::Arc, time::Duration, time::Instant};

use redis::{Cmd, Value};

use super::{error::StoreError, reply, round_trip::RoundTrip};
use crate::{
    ledger::{
        Account, Balance, Budget, BudgetRefusal, Period, Reservation, balances_of, needed,
        refusal_of, too_large,
    },
    slots::Moment,
    snapshot::Cursor,
};

/// Budgets in a store that other processes use as well.
///
/// It gives the guarantees of [`Ledger`](crate::ledger::Ledger), by the clock of the store and for
/// all processes together. A decision takes one round trip, a settlement another one. Clones are
/// cheap and share the connection.
#[derive(Clone)]
pub struct SharedLedger {
    store: Arc<RoundTrip>,
}

/// Proof that amounts are reserved in the store. [`SharedLedger::settle`] consumes it.
#[derive(Debug, Eq, PartialEq)]
#[must_use = "what is not settled stays reserved"]
pub struct SharedReceipt {
    /// The accounts by their names in the store.
    names: Vec<String>,
    entries: Vec<Entry>,
}

#[derive(Debug, Eq, PartialEq)]
struct Entry {
    /// The index of the account.
    position: usize,
    budget: Budget,
    amount: u64,
    /// Microseconds since the store's epoch.
    at: u64,
}

/// Why a [`SharedLedger`] did not reserve.
#[expect(
    clippy::exhaustive_enums,
    reason = "callers choose a response for every variant"
)]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotReserved {
    /// A budget has too little left; nothing was reserved.
    #[error(transparent)]
    Refused(#[from] BudgetRefusal),
    /// The store did not decide. After [`StoreError::Timeout`] the amounts may be reserved, and then
    /// stay so.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SharedLedger {
    pub(super) const fn new(store: Arc<RoundTrip>) -> Self {
        Self { store }
    }

    /// Reserves every amount, or none.
    ///
    /// The `Display` output of an account names it in the store. `now` is the moment from which
    /// [`Reservation::kept_until`] is counted. Everything else is as in
    /// [`Ledger::reserve`](crate::ledger::Ledger::reserve).
    ///
    /// # Errors
    /// [`NotReserved`].
    ///
    /// # Cancel safety
    /// The amounts may be reserved if the future is dropped before it completes.
    pub async fn reserve<K: Display>(
        &self,
        reservations: &[Reservation<K>],
        now: Instant,
    ) -> Result<SharedReceipt, NotReserved> {
        self.reserve_when(reservations, now, None).await
    }

    /// Reserves like [`reserve`](Self::reserve), but `at` a time since the beginning of 2024 instead
    /// of the store's own.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    #[cfg(feature = "test-util")]
    pub async fn reserve_at<K: Display>(
        &self,
        reservations: &[Reservation<K>],
        now: Instant,
        at: Duration,
    ) -> Result<SharedReceipt, NotReserved> {
        self.reserve_when(reservations, now, Some(at)).await
    }

    async fn reserve_when<K: Display>(
        &self,
        reservations: &[Reservation<K>],
        now: Instant,
        at: Option<Duration>,
    ) -> Result<SharedReceipt, NotReserved> {
        let prefix = &self.store.options().prefix;
        let accounts = Accounts::new(prefix, reservations.iter().map(Reservation::account));
        // Accounts that display alike are one.
        let needed = needed(&accounts.positions, reservations);
        if let Some(refusal) = too_large(reservations, &needed) {
            return Err(refusal.into());
        }
        if reservations.is_empty() {
            return Ok(SharedReceipt {
                names: Vec::new(),
                entries: Vec::new(),
            });
        }
        let command = self.command(|function| {
            let packed = pack_reservations(reservations, (&accounts.positions, &needed), now);
            function.reserve(&accounts.names, packed, at)
        });
        let reply = self.store.call(&command).await?;
        let moments = read_reserve(&reply, &accounts, (reservations, &needed))?;
        let entries = reservations.iter().zip(&accounts.positions).zip(moments);
        let entries = entries.map(|((reservation, position), at)| Entry {
            position: *position,
            budget: *reservation.budget(),
            amount: reservation.amount(),
            at,
        });
        Ok(SharedReceipt {
            entries: entries.collect(),
            names: accounts.names,
        })
    }

    /// Replaces what was reserved by what was used, as
    /// [`Ledger::settle`](crate::ledger::Ledger::settle) does. It is tried once, for a second at least:
    /// whatever happens, nothing is released twice, and no request waits for it.
    ///
    /// # Errors
    /// [`StoreError`] if the store did not confirm it. The reservation stands then, or the settlement
    /// was made.
    ///
    /// # Cancel safety
    /// As after an error.
    pub async fn settle(&self, receipt: SharedReceipt, used: &[u64]) -> Result<(), StoreError> {
        self.settle_when(receipt, used, None).await
    }

    /// Settles like [`settle`](Self::settle), but `at` a time since the beginning of 2024.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    #[cfg(feature = "test-util")]
    pub async fn settle_at(
        &self,
        receipt: SharedReceipt,
        used: &[u64],
        at: Duration,
    ) -> Result<(), StoreError> {
        self.settle_when(receipt, used, Some(at)).await
    }

    async fn settle_when(
        &self,
        receipt: SharedReceipt,
        used: &[u64],
        at: Option<Duration>,
    ) -> Result<(), StoreError> {
        let packed = pack_settlement(&receipt.entries, used);
        if packed.is_empty() {
            return Ok(());
        }
        let command = self.command(|function| function.settle(&receipt.names, packed, at));
        let _ok = self.store.call_patiently(&command).await?;
        Ok(())
    }

    /// Returns the balance of every budget of an account, shortest period first.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn balances<K: Display>(
        &self,
        account: &K,
        budget: &Budget,
    ) -> Result<Vec<Balance>, StoreError> {
        self.balances_when(account, budget, None).await
    }

    /// Returns the balances like [`balances`](Self::balances), but `at` a time since the beginning of
    /// 2024.
    ///
    /// # Errors
    /// As [`balances`](Self::balances).
    #[cfg(feature = "test-util")]
    pub async fn balances_at<K: Display>(
        &self,
        account: &K,
        budget: &Budget,
        at: Duration,
    ) -> Result<Vec<Balance>, StoreError> {
        self.balances_when(account, budget, Some(at)).await
    }

    async fn balances_when<K: Display>(
        &self,
        account: &K,
        budget: &Budget,
        at: Option<Duration>,
    ) -> Result<Vec<Balance>, StoreError> {
        let name = name(&self.store.options().prefix, account);
        let command = self.command(|function| function.peek(&[name], at));
        let reply = self.store.call(&command).await?;
        let read = || {
            let (_, now, accounts) = read_accounts(&reply)?;
            let mut account = accounts.into_iter().next()?;
            if let Some(account) = &mut account {
                account.advance(now);
            }
            Some(balances_of(account.as_ref(), budget))
        };
        read().ok_or_else(reply::unreadable)
    }

    fn command(&self, create: impl FnOnce(&super::function::Function) -> Cmd) -> Cmd {
        create(self.store.function())
    }
}

impl fmt::Debug for SharedLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLedger")
            .field("options", self.store.options())
            .finish_non_exhaustive()
    }
}

/// The accounts of a decision by their names in the store, each once.
struct Accounts {
    names: Vec<String>,
    /// For each reservation, the index of its account.
    positions: Vec<usize>,
}

impl Accounts {
    fn new<'k, K: Display + 'k>(prefix: &str, accounts: impl Iterator<Item = &'k K>) -> Self {
        let (mut names, mut positions): (Vec<String>, _) = (Vec::new(), Vec::new());
        for account in accounts {
            let name = name(prefix, account);
            let position = names.iter().position(|known| *known == name);
            positions.push(position.unwrap_or(names.len()));
            if position.is_none() {
                names.push(name);
            }
        }
        Self { names, positions }
    }
}

fn name(prefix: &str, account: impl Display) -> String {
    format!("{{{prefix}}}:budget:{account}")
}

/// Packs the index of an account. Lua counts from one.
fn push_position(to: &mut Vec<u8>, position: usize) {
    let index = u16::try_from(position.saturating_add(1)).unwrap_or(u16::MAX);
    to.extend_from_slice(&index.to_le_bytes());
}

fn pack_reservations<K>(
    reservations: &[Reservation<K>],
    (positions, needed): (&[usize], &[u64]),
    now: Instant,
) -> Vec<u8> {
    let mut packed = Vec::new();
    for ((reservation, position), needed) in reservations.iter().zip(positions).zip(needed) {
        push_position(&mut packed, *position);
        let kept = reservation
            .keep_until()
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let kept = u64::try_from(kept.as_micros()).unwrap_or(u64::MAX);
        // What a double-precision number holds exactly.
        let kept = kept.min(Budget::MAX / 2);
        for number in [reservation.amount(), *needed, kept] {
            packed.extend_from_slice(&number.to_le_bytes());
        }
        for period in Period::ALL {
            let limit = reservation.budget().of(period).unwrap_or(u64::MAX);
            packed.extend_from_slice(&limit.to_le_bytes());
        }
    }
    packed
}

fn pack_settlement(entries: &[Entry], used: &[u64]) -> Vec<u8> {
    let mut packed = Vec::new();
    for (entry, used) in entries.iter().zip(used) {
        push_position(&mut packed, entry.position);
        for number in [entry.at, entry.amount, (*used).min(Budget::MAX)] {
            packed.extend_from_slice(&number.to_le_bytes());
        }
        let mut bits = 0_u8;
        for (bit, period) in [1, 2, 4, 8, 16].into_iter().zip(Period::ALL) {
            if entry.budget.of(period).is_some() {
                bits |= bit;
            }
        }
        packed.push(bits);
    }
    packed
}

/// Reads the reply to a reservation: the moment of each, in microseconds since the store's epoch.
fn read_reserve<K>(
    reply: &Value,
    accounts: &Accounts,
    (reservations, needed): (&[Reservation<K>], &[u64]),
) -> Result<Vec<u64>, NotReserved> {
    let Some((is_admitted, moments)) = read_admitted(reply) else {
        return Err(reply::unreadable().into());
    };
    if is_admitted {
        return match moments.len() == reservations.len() {
            true => Ok(moments),
            false => Err(reply::unreadable().into()),
        };
    }
    let Some((_, now, mut known)) = read_accounts(reply) else {
        return Err(reply::unreadable().into());
    };
    for account in known.iter_mut().flatten() {
        account.advance(now);
    }
    let of = |index: usize| {
        let position = accounts.positions.get(index)?;
        known.get(*position)?.as_ref()
    };
    match refusal_of(reservations, needed, of) {
        Some(refusal) => Err(refusal.into()),
        None => Err(reply::unreadable().into()),
    }
}

/// Reads whether a reservation was admitted, and then the moment of each.
fn read_admitted(reply: &Value) -> Option<(bool, Vec<u64>)> {
    let parts = reply::byte_strings(reply)?;
    let mut cursor = Cursor::new(parts.first()?);
    let is_admitted = cursor.u8()? == 1;
    let (_seconds, _micros) = (cursor.u32()?, cursor.u32()?);
    let mut moments = Vec::new();
    while !cursor.is_empty() {
        moments.push(cursor.u64()?);
    }
    Some((is_admitted, moments))
}

/// Reads a reply that has a flag, the time, and accounts as they are; `None` if it is malformed.
fn read_accounts(reply: &Value) -> Option<(u8, Moment, Vec<Option<Account>>)> {
    let parts = reply::byte_strings(reply)?;
    let (head, packed) = parts.split_first()?;
    let mut head = Cursor::new(head);
    let flag = head.u8()?;
    let seconds = Duration::from_secs(u64::from(head.u32()?));
    let since = seconds.saturating_add(Duration::from_micros(u64::from(head.u32()?)));
    let mut accounts = Vec::with_capacity(packed.len());
    for bytes in packed {
        accounts.push(match *bytes {
            [] => None,
            bytes => {
                let mut cursor = Cursor::new(bytes);
                let account = Account::unpack(&mut cursor)?;
                if !cursor.is_empty() {
                    return None;
                }
                Some(account)
            }
        });
    }
    Some((flag, Moment::at(since), accounts))
}
