//! Counters as bytes: what outlives the process.

use std::{
    io,
    time::{Instant, SystemTime},
};

use aisbreaker_quota::{Engine, RestoreOptions, SnapshotError};

use super::{CounterId, Counters, Scope, home};
use crate::{clock::Clock, identity::ClientId};

/// Counters that [`Gateway::write_counters`](crate::Gateway::write_counters) wrote, for a gateway
/// to go on from.
#[derive(Debug)]
pub struct SavedCounters(Counters);

impl SavedCounters {
    /// Reads counters. They go on by the clock of the new gateway; `max_counters` is that of its
    /// configuration, and does not bound what is read.
    ///
    /// The time since they were written is that of the wall clock; if it was set back, none.
    ///
    /// # Errors
    /// [`SnapshotError`] if these are not all bytes of what was written, or not by a gateway.
    pub fn read(
        bytes: &[u8],
        max_counters: usize,
        clock: &impl Clock,
    ) -> Result<Self, SnapshotError> {
        // In this order: what passes between the two readings must not pass for the counters.
        let wall = clock.wall();
        let options = RestoreOptions {
            now: clock.monotonic(),
            wall,
            capacity: max_counters,
            shard_by: Some(home),
        };
        Engine::restore(bytes, &options, decode).map(Self)
    }

    /// How many counters there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn into_counters(self) -> Counters {
        self.0
    }
}

/// Writes down all counters.
pub(crate) fn write_counters(
    counters: &Counters,
    (now, wall): (Instant, SystemTime),
    to: &mut impl io::Write,
) -> io::Result<()> {
    counters.snapshot(now, wall, encode, |bytes| to.write_all(bytes))?;
    to.flush()
}

/// The scope in one byte, the key's name in 16, and if there is one the client's number in eight.
fn encode(counter: &CounterId, to: &mut Vec<u8>) {
    to.push(match counter.scope {
        Scope::Server => 0,
        Scope::Default => 1,
        Scope::Key => 2,
        Scope::Asking => 3,
    });
    to.extend_from_slice(&counter.key);
    if let Some(client) = counter.client {
        to.extend_from_slice(&client.number().to_le_bytes());
    }
}

fn decode(bytes: &[u8]) -> Option<CounterId> {
    let (scope, rest) = bytes.split_first()?;
    let scope = match scope {
        0 => Scope::Server,
        1 => Scope::Default,
        2 => Scope::Key,
        3 => Scope::Asking,
        _ => return None,
    };
    let (key, rest) = rest.split_first_chunk()?;
    let client = match rest {
        [] => None,
        rest => Some(ClientId::numbered(u64::from_le_bytes(
            rest.try_into().ok()?,
        ))),
    };
    Some(CounterId {
        scope,
        key: *key,
        client,
    })
}
