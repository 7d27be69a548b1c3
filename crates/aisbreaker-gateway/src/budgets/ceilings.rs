//! Ceilings of what keys may have spent in all, so that a killed server forgets none of it.
//!
//! A request that takes a total beyond its ceiling waits until a higher one is recorded durably. The
//! server that comes after a crash starts from the ceiling, which is never below what was spent. One
//! percent of the budget is recorded in advance, so that few requests wait.

mod record;

use std::{
    collections::HashMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use self::record::RECORD_LEN;
use super::account::AccountId;

/// How many records a budget takes that is spent in small amounts.
const STEPS: u64 = 100;

/// How long a record is kept after its account has ended, in seconds: clocks are set back.
const GRACE_SECONDS: u64 = 86_400;

/// Where ceilings of budgets outlive a crash. The gateway defines the content.
///
/// Both methods may block; they are called on a thread of their own, one call at a time.
pub trait CeilingLog: fmt::Debug + Send + Sync + 'static {
    /// Appends these bytes. Returns once they would survive a crash. What a call that failed, or did
    /// not return, leaves is all of them, a part, or nothing; the next ones follow what was appended
    /// before.
    ///
    /// # Errors
    /// The first error of the medium.
    fn append(&self, records: &[u8]) -> io::Result<()>;

    /// Replaces everything by these bytes, of which there may be none. Returns once they would
    /// survive a crash. After a call that failed, or did not return, either is there as a whole.
    ///
    /// # Errors
    /// The first error of the medium.
    fn replace(&self, records: &[u8]) -> io::Result<()>;
}

/// Ceilings that a [`CeilingLog`] has kept, for a gateway to start from.
#[derive(Debug, Default)]
pub struct SavedCeilings {
    ceilings: HashMap<AccountId, Ceiling>,
    unreadable: usize,
    readable_len: usize,
}

impl SavedCeilings {
    /// Reads what a [`CeilingLog`] has kept. What is torn or altered is left out.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let mut saved = Self::default();
        let (records, _torn) = bytes.as_chunks::<RECORD_LEN>();
        let mut unreadable: usize = 0;
        for (index, bytes) in records.iter().enumerate() {
            let Some((account, ceiling)) = record::read(bytes) else {
                unreadable = unreadable.saturating_add(1);
                continue;
            };
            raise(&mut saved.ceilings, account, ceiling);
            saved.readable_len = index.saturating_add(1).saturating_mul(RECORD_LEN);
            saved.unreadable = unreadable;
        }
        saved
    }

    /// Returns the number of accounts with a ceiling.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ceilings.len()
    }

    /// Returns the number of records that are unreadable and are followed by readable ones, which
    /// no crash leaves.
    #[must_use]
    pub const fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// Returns where the last readable record ends: whatever follows is what a crash left.
    #[must_use]
    pub const fn readable_len(&self) -> usize {
        self.readable_len
    }

    /// Iterates over the accounts, what each may have spent, and until when that counts.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&AccountId, u64, SystemTime)> {
        self.ceilings.iter().map(|(account, ceiling)| {
            let end = UNIX_EPOCH.checked_add(Duration::from_secs(ceiling.keep_until));
            (account, ceiling.total, end.unwrap_or(UNIX_EPOCH))
        })
    }
}

/// What an account may have spent, and until when that counts, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Ceiling {
    total: u64,
    keep_until: u64,
}

/// An account whose total must not be above its ceiling.
#[derive(Clone, Copy, Debug)]
pub(super) struct Total {
    pub(super) account: AccountId,
    pub(super) total: u64,
    /// The budget; 0 to record nothing in advance.
    pub(super) limit: u64,
    pub(super) keep_until: SystemTime,
}

/// Why a total may be above its ceiling.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRecorded {
    #[error("what budgets may spend cannot be recorded: {0}")]
    Failed(#[from] io::Error),
    /// What is reserved now would be missing in what was written last.
    #[error("the server is ending")]
    Closed,
}

/// The ceilings of a server's accounts.
#[derive(Debug)]
pub(crate) struct Ceilings {
    log: Arc<dyn CeilingLog>,
    known: Mutex<Known>,
    /// Held for the whole of a write, so that there is one at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Known {
    /// What the log has.
    recorded: HashMap<AccountId, Ceiling>,
    /// What the next write is to record, for all that wait for it.
    wanted: HashMap<AccountId, Ceiling>,
    /// Whether the log has more than it needs.
    is_compact: bool,
    has_failed: bool,
    is_closed: bool,
}

impl Ceilings {
    pub(super) fn new(log: Arc<dyn CeilingLog>, saved: SavedCeilings) -> Self {
        let known = Known {
            recorded: saved.ceilings,
            ..Known::default()
        };
        Self {
            log,
            known: Mutex::new(known),
            turn: Arc::default(),
        }
    }

    /// Returns once no total is above its ceiling, durably. At once, if none is.
    pub(super) async fn cover(self: &Arc<Self>, totals: Vec<Total>) -> Result<(), NotRecorded> {
        if self.covers(&totals)? {
            return Ok(());
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        // Those who waited together share one write.
        if self.covers(&totals)? {
            return Ok(());
        }
        let this = Arc::clone(self);
        let record = move || {
            // The write goes on if nobody waits for it any more.
            let _turn = turn;
            this.record()
        };
        match tokio::task::spawn_blocking(record).await {
            Ok(outcome) => Ok(outcome?),
            Err(panicked) => Err(io::Error::other(panicked).into()),
        }
    }

    /// Returns whether no total is above its ceiling; otherwise the next write raises it.
    fn covers(&self, totals: &[Total]) -> Result<bool, NotRecorded> {
        let mut known = self.known();
        if known.is_closed {
            return Err(NotRecorded::Closed);
        }
        let mut is_covered = true;
        for total in totals {
            let recorded = known.recorded.get(&total.account).copied();
            let recorded = recorded.unwrap_or_default();
            if total.total > recorded.total {
                raise(&mut known.wanted, total.account, next(recorded, total));
                is_covered = false;
            }
        }
        Ok(is_covered)
    }

    /// Records what is wanted. Requires the turn.
    fn record(&self) -> io::Result<()> {
        let wanted = std::mem::take(&mut self.known().wanted);
        let mut records = Vec::with_capacity(wanted.len().saturating_mul(RECORD_LEN));
        for (account, ceiling) in &wanted {
            record::push(&mut records, account, *ceiling);
        }
        let outcome = self.log.append(&records);
        let mut known = self.known();
        let had_failed = std::mem::replace(&mut known.has_failed, outcome.is_err());
        // Also what a failed write left.
        known.is_compact = false;
        match &outcome {
            Ok(()) => {
                for (account, ceiling) in wanted {
                    raise(&mut known.recorded, account, ceiling);
                }
                if had_failed {
                    tracing::info!("what budgets may spend is recorded again");
                }
            }
            Err(error) if !had_failed => tracing::warn!(
                %error,
                "what budgets may spend in all cannot be recorded: requests with such a budget are \
                 refused"
            ),
            Err(_) => {}
        }
        outcome
    }

    /// Rewrites the log with one record for each account that has not ended. Blocks.
    pub(crate) fn compact(&self, now: SystemTime) -> io::Result<()> {
        let _turn = self.turn.blocking_lock();
        let records = {
            let mut known = self.known();
            if known.is_compact || known.recorded.is_empty() {
                return Ok(());
            }
            let now = seconds(now);
            known
                .recorded
                .retain(|_, ceiling| ceiling.keep_until.saturating_add(GRACE_SECONDS) > now);
            let mut records = Vec::with_capacity(known.recorded.len().saturating_mul(RECORD_LEN));
            for (account, ceiling) in &known.recorded {
                record::push(&mut records, account, *ceiling);
            }
            records
        };
        self.log.replace(&records)?;
        self.known().is_compact = true;
        Ok(())
    }

    /// From now on, nothing is covered: what is written next has all totals.
    pub(crate) fn close(&self) {
        self.known().is_closed = true;
    }

    /// Empties the log, since all totals are written. Requires that it is closed. Blocks.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let _turn = self.turn.blocking_lock();
        let has_any = {
            let known = self.known();
            // A write that failed may have left something, too.
            !known.recorded.is_empty() || known.has_failed
        };
        if has_any {
            self.log.replace(&[])
        } else {
            Ok(())
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it holds the lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the ceiling to record for a total that is above this one.
fn next(recorded: Ceiling, total: &Total) -> Ceiling {
    let step = total.limit.div_ceil(STEPS);
    let in_advance = recorded.total.saturating_add(step).min(total.limit);
    Ceiling {
        total: total.total.max(in_advance),
        keep_until: recorded.keep_until.max(seconds(total.keep_until)),
    }
}

fn raise(ceilings: &mut HashMap<AccountId, Ceiling>, account: AccountId, to: Ceiling) {
    let ceiling = ceilings.entry(account).or_default();
    ceiling.total = ceiling.total.max(to.total);
    ceiling.keep_until = ceiling.keep_until.max(to.keep_until);
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since
        .as_secs()
        .saturating_add(u64::from(since.subsec_nanos() > 0))
}

/// Returns one record.
#[cfg(test)]
pub(super) fn record_of(account: &AccountId, total: u64, keep_until: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    record::push(&mut bytes, account, Ceiling { total, keep_until });
    bytes
}
