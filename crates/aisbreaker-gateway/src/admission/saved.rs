//! The counters and budgets as bytes, which outlive the process.
//!
//! Counters are written as they are. Budgets, if there are any, come before them, behind a magic and
//! their length.

use std::{
    io,
    time::{Instant, SystemTime},
};

use aisbreaker_quota::{Engine, RestoreOptions, SnapshotError, ledger::Ledger};

use super::counters::{CounterId, Counters, Scope, shard_by};
use crate::{
    budgets::{MAX_ACCOUNTS, account::AccountId, ledgers::Ledgers},
    client_id::ClientId,
    clock::Clock,
};

/// What budgets begin with.
const BUDGETS_MAGIC: [u8; 8] = *b"aisbbud\x1a";

/// Counters that [`Gateway::write_counters`](crate::Gateway::write_counters) wrote, for a gateway to
/// resume.
#[derive(Debug)]
pub struct SavedCounters {
    counters: Counters,
    budgets: Option<Ledger<AccountId>>,
}

impl SavedCounters {
    /// Reads counters, which continue on the clock of the new gateway.
    ///
    /// `max_counters` is that of the new configuration; it does not bound what is read. The time
    /// since the counters were written is measured by the wall clock; if that was set back, no time
    /// has passed.
    ///
    /// # Errors
    /// [`SnapshotError`] if the bytes are incomplete, altered, or not from a gateway.
    pub fn read(
        bytes: &[u8],
        max_counters: usize,
        clock: &impl Clock,
    ) -> Result<Self, SnapshotError> {
        // Wall time first: time between the two readings must not age the counters.
        let wall = clock.wall();
        let options = RestoreOptions {
            now: clock.monotonic(),
            wall,
            capacity: max_counters,
            shard_by: Some(shard_by),
        };
        let (budgets, counters) = split(bytes)?;
        let budgets = match budgets {
            Some(bytes) => Some(Ledger::restore(
                bytes,
                (options.now, wall),
                MAX_ACCOUNTS,
                AccountId::decode,
            )?),
            None => None,
        };
        Ok(Self {
            counters: Engine::restore(counters, &options, decode)?,
            budgets,
        })
    }

    /// Returns the number of counters.
    #[must_use]
    pub fn count(&self) -> usize {
        self.counters.len()
    }

    pub(crate) fn into_parts(self) -> (Counters, Option<Ledger<AccountId>>) {
        (self.counters, self.budgets)
    }
}

/// Splits the bytes of the budgets, if there are any, from those of the counters.
fn split(bytes: &[u8]) -> Result<(Option<&[u8]>, &[u8]), SnapshotError> {
    let Some(rest) = bytes.strip_prefix(&BUDGETS_MAGIC) else {
        return Ok((None, bytes));
    };
    let read = || {
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        rest.split_at_checked(length)
    };
    let (budgets, counters) = read().ok_or(SnapshotError::Damaged)?;
    Ok((Some(budgets), counters))
}

/// Writes all budgets that are in memory.
pub(crate) fn write_budgets(
    ledgers: &Ledgers,
    now: (Instant, SystemTime),
    to: &mut impl io::Write,
) -> io::Result<()> {
    if ledgers.account_count() == 0 {
        return Ok(());
    }
    let mut bytes = Vec::new();
    ledgers.write(now, &mut bytes);
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    to.write_all(&BUDGETS_MAGIC)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&bytes)
}

/// Writes all counters.
pub(crate) fn write_counters(
    counters: &Counters,
    (now, wall): (Instant, SystemTime),
    to: &mut impl io::Write,
) -> io::Result<()> {
    counters.snapshot(now, wall, encode, |bytes| to.write_all(bytes))?;
    to.flush()
}

/// Encodes the scope in one byte, the name of the key in 16, and the client, if any, in eight.
fn encode(counter: &CounterId, to: &mut Vec<u8>) {
    to.push(match counter.scope {
        Scope::Server => 0,
        Scope::Default => 1,
        Scope::Key => 2,
        Scope::QuotaQuery => 3,
        Scope::OfflineFailure => 4,
        Scope::Revocation => 5,
        Scope::Minting => 6,
    });
    to.extend_from_slice(&counter.key);
    ClientId::encode(counter.client, to);
}

fn decode(bytes: &[u8]) -> Option<CounterId> {
    let (scope, rest) = bytes.split_first()?;
    let scope = match scope {
        0 => Scope::Server,
        1 => Scope::Default,
        2 => Scope::Key,
        3 => Scope::QuotaQuery,
        4 => Scope::OfflineFailure,
        5 => Scope::Revocation,
        6 => Scope::Minting,
        _ => return None,
    };
    let (key, rest) = rest.split_first_chunk()?;
    Some(CounterId {
        scope,
        key: *key,
        client: ClientId::decode(rest)?,
    })
}
