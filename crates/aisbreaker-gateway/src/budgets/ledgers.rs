//! Where budgets are counted: in the memory of this server, or in a store that several servers share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Instant, SystemTime},
};

use aisbreaker_quota::ledger::{Balance, Ledger, Period, Receipt, Reservation};

use super::{
    account::{Account, AccountId},
    ceilings::{CeilingLog, Ceilings, NotRecorded, SavedCeilings, Total},
};
use crate::shared_store::{NotReserved, SharedLedger, SharedReceipt, StoreError};

/// The accounts of a gateway.
#[derive(Clone, Debug)]
pub(crate) enum Ledgers {
    Memory(Arc<MemoryLedger>),
    Store(SharedLedger),
}

/// Accounts in the memory of this server.
#[derive(Debug)]
pub(crate) struct MemoryLedger {
    ledger: Ledger<AccountId>,
    /// Whether anything changed since the accounts were last written.
    has_unwritten: AtomicBool,
    /// `None`: a crash forgets what changed since then.
    ceilings: Option<Arc<Ceilings>>,
}

impl MemoryLedger {
    pub(crate) fn new(ledger: Ledger<AccountId>) -> Self {
        Self {
            ledger,
            has_unwritten: AtomicBool::new(false),
            ceilings: None,
        }
    }

    /// Records ceilings in this log, and starts from those that it has.
    pub(crate) fn with_ceilings(
        self,
        log: Arc<dyn CeilingLog>,
        saved: SavedCeilings,
        (now, wall): (Instant, SystemTime),
    ) -> Self {
        for (account, total, end) in saved.iter() {
            // One that has ended is kept for no time.
            let left = end.duration_since(wall).unwrap_or_default();
            let end = now.checked_add(left).unwrap_or(now);
            self.ledger.raise_lifetime_total(account, total, now, end);
        }
        Self {
            // The last write has to have them.
            has_unwritten: AtomicBool::new(saved.count() > 0),
            ceilings: Some(Arc::new(Ceilings::new(log, saved))),
            ledger: self.ledger,
        }
    }

    /// Returns what may have to be recorded for an account, after this moment's reservation.
    fn total(&self, account: &Account, (now, wall): (Instant, SystemTime)) -> Option<Total> {
        let limit = account.budget.of(Period::Lifetime)?;
        let left = account.keep_until?.saturating_duration_since(now);
        Some(Total {
            account: account.id,
            total: self.ledger.lifetime_total(&account.id),
            limit,
            keep_until: wall.checked_add(left).unwrap_or(wall),
        })
    }

    /// Records in the background that accounts have spent more than was reserved.
    fn record_overruns(&self, accounts: Vec<AccountId>) {
        let Some(ceilings) = &self.ceilings else {
            return;
        };
        let total = |account: AccountId| Total {
            account,
            total: self.ledger.lifetime_total(&account),
            limit: 0,
            keep_until: SystemTime::UNIX_EPOCH,
        };
        let totals: Vec<_> = accounts.into_iter().map(total).collect();
        if let (false, Ok(runtime)) = (totals.is_empty(), tokio::runtime::Handle::try_current()) {
            let ceilings = Arc::clone(ceilings);
            // A failure is logged, and the next reservation tries again.
            runtime.spawn(async move { ceilings.cover(totals).await });
        }
    }
}

/// Proof that amounts are reserved.
#[derive(Debug)]
pub(crate) enum AnyReceipt {
    Memory(Receipt<AccountId>),
    Store(SharedReceipt),
}

impl Ledgers {
    /// Reserves every amount, or none.
    pub(crate) async fn reserve(
        &self,
        reservations: &[Reservation<AccountId>],
        now: Instant,
    ) -> Result<AnyReceipt, NotReserved> {
        match self {
            Self::Memory(memory) => {
                let receipt = memory.ledger.reserve(reservations, now)?;
                memory.has_unwritten.store(true, Ordering::Release);
                Ok(AnyReceipt::Memory(receipt))
            }
            Self::Store(ledger) => {
                let reserved = ledger.reserve(reservations, now).await;
                reserved.map(AnyReceipt::Store)
            }
        }
    }

    /// Returns once a crash cannot make the accounts forget what is reserved of their totals. A store
    /// keeps them itself.
    pub(crate) async fn record(
        &self,
        accounts: &[Account],
        now: (Instant, SystemTime),
    ) -> Result<(), NotRecorded> {
        let Self::Memory(memory) = self else {
            return Ok(());
        };
        let Some(ceilings) = &memory.ceilings else {
            return Ok(());
        };
        let totals = accounts
            .iter()
            .filter_map(|account| memory.total(account, now));
        let totals: Vec<_> = totals.collect();
        if totals.is_empty() {
            return Ok(());
        }
        ceilings.cover(totals).await
    }

    /// Replaces what was reserved by what was used. With a store, that is done in the background and
    /// tried once; `lost` is called if it fails.
    pub(crate) fn settle(
        &self,
        receipt: AnyReceipt,
        used: Vec<u64>,
        now: Instant,
        lost: impl FnOnce(StoreError) + Send + 'static,
    ) {
        match (self, receipt) {
            (Self::Memory(memory), AnyReceipt::Memory(receipt)) => {
                let pairs = receipt.iter().zip(&used);
                let overruns = pairs.filter(|((_, reserved), used)| *used > reserved);
                let overruns = overruns.map(|((account, _), _)| *account).collect();
                memory.ledger.settle(receipt, &used, now);
                memory.has_unwritten.store(true, Ordering::Release);
                memory.record_overruns(overruns);
            }
            (Self::Store(ledger), AnyReceipt::Store(receipt)) => {
                let ledger = ledger.clone();
                // Without a runtime the process is ending, and the reservation stands.
                if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    runtime.spawn(async move {
                        if let Err(error) = ledger.settle(receipt, &used).await {
                            lost(error);
                        }
                    });
                }
            }
            // Not expected: a receipt belongs to the ledger that gave it.
            (Self::Memory(_), AnyReceipt::Store(_)) | (Self::Store(_), AnyReceipt::Memory(_)) => {}
        }
    }

    /// Returns the balance of every budget of an account, shortest period first.
    pub(crate) async fn balances(
        &self,
        account: &Account,
        now: Instant,
    ) -> Result<Vec<Balance>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.ledger.balances(&account.id, &account.budget, now)),
            Self::Store(ledger) => ledger.balances(&account.id, &account.budget).await,
        }
    }

    /// Frees a part of the idle accounts.
    pub(crate) fn sweep(&self, now: Instant) {
        if let Self::Memory(memory) = self {
            let _freed = memory.ledger.sweep(now);
        }
    }

    /// Returns the number of accounts in memory.
    pub(crate) fn account_count(&self) -> usize {
        match self {
            Self::Memory(memory) => memory.ledger.len(),
            Self::Store(_) => 0,
        }
    }

    /// Writes all accounts that are in memory.
    pub(crate) fn write(&self, now: (Instant, SystemTime), to: &mut Vec<u8>) {
        if let Self::Memory(memory) = self {
            // Reset first: a change from here on may be missing in what is written.
            memory.has_unwritten.store(false, Ordering::Release);
            let (now, wall) = now;
            let push = |bytes: &[u8]| {
                to.extend_from_slice(bytes);
                Ok::<_, std::convert::Infallible>(())
            };
            // Writing to memory does not fail.
            let _written = memory.ledger.snapshot(now, wall, AccountId::encode, push);
        }
    }

    pub(crate) fn has_unwritten(&self) -> bool {
        match self {
            Self::Memory(memory) => memory.has_unwritten.load(Ordering::Acquire),
            Self::Store(_) => false,
        }
    }

    /// Notes that what was written is lost.
    pub(crate) fn mark_unwritten(&self) {
        if let Self::Memory(memory) = self {
            memory.has_unwritten.store(true, Ordering::Release);
        }
    }

    /// Returns the ceilings of the accounts in memory, if they are recorded.
    pub(crate) fn ceilings(&self) -> Option<&Ceilings> {
        match self {
            Self::Memory(memory) => memory.ceilings.as_deref(),
            Self::Store(_) => None,
        }
    }
}
