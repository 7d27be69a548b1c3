//! Saving and restoring an engine, so that its counters survive a restart of the process.

mod cursor;
mod format;
mod frame;

use std::fmt;
use std::hash::Hash;
use std::time::{Duration, Instant, SystemTime};

use crc32fast::Hasher;

use self::format::{EntryWriter, Header, Kind, Trailer, VERSION, read_entries};
pub(crate) use self::{cursor::Cursor, frame::Frame};
use crate::engine::Engine;
use crate::overflow::Overflow;
use crate::policy::Policy;
use crate::slots::{Epoch, Moment};
use crate::table::Table;

/// Why [`Engine::restore`] refused some bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The bytes do not begin like a snapshot.
    #[error("not a snapshot of counters")]
    NotASnapshot,
    /// The snapshot has the format of another version of this library.
    #[error("snapshot is in format {0}, but only format {VERSION} is supported")]
    Version(u32),
    /// The snapshot is truncated, or was changed after it was written.
    #[error("snapshot is truncated or damaged")]
    Damaged,
    /// The snapshot is whole, but holds something that no engine with keys of this kind writes.
    #[error("snapshot holds something other than counters of this kind")]
    Invalid,
}

/// How [`Engine::restore`] sets up the restored engine.
#[expect(
    clippy::exhaustive_structs,
    reason = "callers must decide on every field"
)]
pub struct RestoreOptions<K> {
    /// The moment at which the engine starts; an earlier `now` counts as this one.
    pub now: Instant,
    /// The wall clock at that moment.
    pub wall: SystemTime,
    /// The capacity, as in [`Engine::new`].
    pub capacity: usize,
    /// The shards, as in [`Engine::with_shard_by`]. They may differ from those of the saved engine.
    pub shard_by: Option<fn(&K) -> u64>,
}

impl<K> fmt::Debug for RestoreOptions<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestoreOptions")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl<K: Clone + Eq + Hash, L: Policy> Engine<K, L> {
    /// Writes all counters, calling `write` with one piece of the snapshot after the other.
    ///
    /// `encode` appends the bytes of a key: at most 65535 of them, different for different keys.
    ///
    /// Other threads may go on charging. The snapshot then has, for each counter, the charges up to
    /// some moment during the call. The lock of some 1600 keys is held at a time, while their
    /// counters are copied; no lock is held during `write`. Idle counters are left out.
    ///
    /// # Errors
    /// Returns the first error of `write`, and writes nothing after it.
    pub fn snapshot<E>(
        &self,
        now: Instant,
        wall: SystemTime,
        mut encode: impl FnMut(&K, &mut Vec<u8>),
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let moment = self.epoch.moment(now);
        let mut checksum = Hasher::new();
        let mut send = |bytes: &[u8]| {
            checksum.update(bytes);
            write(bytes)
        };
        let header = Header {
            clock_nanos: moment.nanos(),
            wall_nanos: nanos_since_1970(wall),
            overflow_seed: self.overflow.seed(),
        };
        send(&header.to_bytes(L::MAGIC))?;
        let mut entries = EntryWriter::default();
        for index in 0..self.table.tables() {
            entries.clear();
            self.table
                .visit_active(index, L::tick(moment), |key, cell, is_shared| {
                    let kind = if is_shared {
                        Kind::Shared
                    } else {
                        Kind::Individual
                    };
                    entries.push(kind, |to| encode(key, to), cell);
                });
            send(entries.bytes())?;
        }
        // The overflow cells come last. A key that moves to a cell of its own in the meantime
        // leaves behind what it counted in its overflow cell.
        entries.clear();
        let overflow_cells = self.overflow.lock();
        let overflow_used_until = self.overflow.used_until();
        for cell in overflow_cells.iter() {
            entries.push(Kind::Overflow, |_| {}, cell);
        }
        drop(overflow_cells);
        let trailer = Trailer {
            freed_at: self.table.freed_at(),
            overflow_used_until,
        };
        send(&entries.finish(&trailer))?;
        write(&checksum.finalize().to_le_bytes())
    }

    /// Creates an engine that continues from a [`snapshot`](Self::snapshot). It has forgotten what
    /// was charged after the snapshot, and nothing else. `decode` reads a key.
    ///
    /// The time between snapshot and restore is taken from the wall clock, the only clock that two
    /// processes share. If that was set back, no time has passed: counters last longer and nothing
    /// is admitted early. If it was set forward, that time counts as passed.
    ///
    /// All keys are tracked, even if they are more than the capacity. New keys then use overflow
    /// counters until enough of the restored keys are freed.
    ///
    /// # Errors
    /// [`SnapshotError`] if the bytes are anything but one whole snapshot. No bytes make this
    /// panic, or allocate more than a small multiple of their length.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use std::time::{Instant, SystemTime};
    ///
    /// use aisbreaker_quota::{Charge, Engine, Limits, RestoreOptions};
    ///
    /// let (now, wall) = (Instant::now(), SystemTime::now());
    /// let engine = Engine::new(now, 1_000);
    /// let charges = [Charge::new("ada".to_owned(), Limits::per_day(1))];
    /// engine.charge_one(&charges, now)?;
    /// let mut bytes = Vec::new();
    /// engine.snapshot(
    ///     now,
    ///     wall,
    ///     |key: &String, to| to.extend_from_slice(key.as_bytes()),
    ///     |piece| {
    ///         bytes.extend_from_slice(piece);
    ///         Ok::<(), Infallible>(())
    ///     },
    /// )?;
    ///
    /// // In another process, which has other clocks.
    /// let options = RestoreOptions { now, wall, capacity: 1_000, shard_by: None };
    /// let restored = Engine::restore(&bytes, &options, |key| String::from_utf8(key.to_vec()).ok())?;
    /// assert!(restored.charge_one(&charges, now).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn restore(
        bytes: &[u8],
        options: &RestoreOptions<K>,
        decode: impl FnMut(&[u8]) -> Option<K>,
    ) -> Result<Self, SnapshotError> {
        let (header, entries) = Header::read(L::MAGIC, bytes)?;
        let RestoreOptions {
            now,
            wall,
            capacity,
            shard_by,
        } = *options;
        let elapsed_nanos = nanos_since_1970(wall).saturating_sub(header.wall_nanos);
        let moment = Moment::at(Duration::from_nanos(header.clock_nanos))
            .after(Duration::from_nanos(elapsed_nanos));
        let mut table = Table::new(capacity, shard_by);
        let overflow = read_counters(entries, &mut table, header.overflow_seed, decode)
            .ok_or(SnapshotError::Invalid)?;
        Ok(Self::from_parts(Epoch::new(now, moment), table, overflow))
    }
}

/// Inserts all counters into `table` and returns the overflow; `None` if an entry is invalid.
fn read_counters<K: Clone + Eq + Hash, L: Policy>(
    entries: &[u8],
    table: &mut Table<K, L>,
    overflow_seed: u64,
    mut decode: impl FnMut(&[u8]) -> Option<K>,
) -> Option<Overflow<L>> {
    let mut overflow_cells = Vec::new();
    let trailer = read_entries(entries, |kind, key, cell| {
        let is_valid = match kind {
            Kind::Individual => table.insert_unbounded(decode(key)?, cell, false),
            Kind::Shared => table.insert_unbounded(decode(key)?, cell, true),
            Kind::Overflow => {
                let is_expected = key.is_empty() && overflow_cells.len() < Overflow::<L>::CELLS;
                overflow_cells.push(cell);
                is_expected
            }
        };
        is_valid.then_some(())
    })?;
    table.set_freed_at(trailer.freed_at);
    Some(Overflow::from_parts(
        overflow_seed,
        overflow_cells,
        trailer.overflow_used_until,
    ))
}

/// Returns the nanoseconds since 1970 on the wall clock, capped at the year 2554.
pub(crate) fn nanos_since_1970(wall: SystemTime) -> u64 {
    let since = wall
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
