//! The engine in memory: its public interface.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Instant;

use crate::charge::Charge;
use crate::decision::{Decision, lock_and_charge, refuse_tracked};
use crate::outcome::{Admitted, Refusal};
use crate::overflow::Overflow;
use crate::slots::{Epoch, Moment};
use crate::standings::{CellState, Standings};
use crate::table::Table;
use crate::window::Window;

/// Counts charges per key in memory and decides which requests are admitted.
///
/// Threads share an engine by reference, since every method takes `&self`. A decision holds the
/// locks of its own counters, a few of the engine's many, and waits for nothing else.
///
/// # Examples
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::{Duration, Instant};
///
/// use aisbreaker_quota::{Charge, Engine, Limits};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let start = Instant::now();
/// let engine = Engine::new(start, 100_000);
/// let limits = Limits::per_minute(NonZeroU32::new(2).ok_or("zero")?);
/// let charges = [Charge::new("ada", limits)];
///
/// assert!(engine.charge(&charges, NonZeroU32::MIN, start).is_ok());
/// assert!(engine.charge(&charges, NonZeroU32::MIN, start).is_ok());
/// assert!(engine.charge(&charges, NonZeroU32::MIN, start).is_err());
/// assert!(engine.charge(&charges, NonZeroU32::MIN, start + Duration::from_secs(61)).is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Engine<K> {
    pub(crate) epoch: Epoch,
    pub(crate) table: Table<K>,
    pub(crate) overflow: Overflow,
}

impl<K: Clone + Eq + Hash> Engine<K> {
    /// Creates an engine that tracks at most `capacity` keys.
    ///
    /// `epoch` is where the grid of slots begins: any moment not after the first `now`. The engine
    /// counts time for 81 years from there; a `now` before it counts as `epoch`.
    ///
    /// Once `capacity` keys are tracked, new keys share overflow counters, chosen by their limits,
    /// until [`sweep`](Self::sweep) makes room. Tracked keys are not affected. Memory grows with
    /// the number of keys; it is not allocated up front.
    #[must_use]
    pub fn new(epoch: Instant, capacity: usize) -> Self {
        Self::from_parts(
            Epoch::new(epoch, Moment::ZERO),
            Table::new(capacity, None),
            Overflow::new(),
        )
    }

    /// Creates an engine like [`new`](Self::new), in which all keys of one shard share a lock.
    ///
    /// This is for keys that are often charged together: a decision on several keys of one shard
    /// takes one lock instead of one per key. `shard_by` derives the shard from a key, for instance
    /// from the client's address in it. The number need not be well mixed. There should be many
    /// shards with few keys each. Shared counters ([`Charge::shared`]) are not sharded.
    #[must_use]
    pub fn with_shard_by(epoch: Instant, capacity: usize, shard_by: fn(&K) -> u64) -> Self {
        Self::from_parts(
            Epoch::new(epoch, Moment::ZERO),
            Table::new(capacity, Some(shard_by)),
            Overflow::new(),
        )
    }

    pub(crate) const fn from_parts(epoch: Epoch, table: Table<K>, overflow: Overflow) -> Self {
        Self {
            epoch,
            table,
            overflow,
        }
    }

    /// Charges `weight` to every counter in `charges`, or to none.
    ///
    /// Two charges with the same key charge one counter twice: it must have room for twice the
    /// weight. A `now` before the latest one that a counter has seen counts as that one. A refusal
    /// charges nothing and tracks no new key.
    ///
    /// # Errors
    /// [`Refusal::TooHeavy`] if the weight is above a limit, [`Refusal::Exceeded`] if a limit has
    /// too little left.
    pub fn charge<const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        now: Instant,
    ) -> Result<Admitted<N>, Refusal<N>> {
        if let Some(refusal) = too_heavy(charges, weight) {
            return Err(refusal);
        }
        let moment = self.epoch.moment(now);
        let mut locked = self.table.locate(charges);
        let mut states = [CellState::UNUSED; N];
        if !lock_and_charge(&mut locked, charges, weight.get(), moment, &mut states) {
            if let Some(refusal) = refuse_tracked(&mut locked, charges, weight.get(), moment) {
                return Err(refusal);
            }
            return Decision::new(locked, &self.table, &self.overflow, charges, moment)
                .charge(weight.get());
        }
        drop(locked);
        Ok(Admitted {
            standings: Standings::new(moment, charges, states),
        })
    }

    /// Counts `weight` in every counter in `charges`, whatever their limits.
    ///
    /// This is for requests that were admitted elsewhere and must count here too. Nothing is
    /// counted if a counter would go past [`u32::MAX`].
    ///
    /// Beyond the capacity, the limits of an untracked key select its overflow counter. Pass the
    /// limits that the key is charged with in this engine.
    pub fn record<const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        now: Instant,
    ) {
        self.decision(charges, now).record(weight.get());
    }

    /// Returns the standing of every limit in `charges`, without charging anything or tracking a
    /// new key.
    pub fn peek<const N: usize>(&self, charges: &[Charge<K>; N], now: Instant) -> Standings<N> {
        self.decision(charges, now).peek()
    }

    /// Locks the counters of `charges`.
    fn decision<'a, const N: usize>(
        &'a self,
        charges: &'a [Charge<K>; N],
        now: Instant,
    ) -> Decision<'a, K, N> {
        let mut locked = self.table.locate(charges);
        locked.lock(charges, &mut [(); N], |_, _, ()| false);
        let moment = self.epoch.moment(now);
        Decision::new(locked, &self.table, &self.overflow, charges, moment)
    }

    /// Frees the idle counters in the next part of the engine and returns how many it freed.
    ///
    /// A counter is idle once it stands as if never charged, a day after its last use. One call
    /// holds the lock of some 1600 keys for well under a millisecond. Call it at an even pace:
    /// every counter is visited once in 128 calls with a capacity up to 102 400, and once in
    /// `capacity / 800` calls above that.
    pub fn sweep(&self, now: Instant) -> usize {
        self.table.sweep(self.epoch.moment(now).slot())
    }

    /// Returns how many calls of [`sweep`](Self::sweep) visit every counter once. The capacity
    /// fixes that number.
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn sweep_steps(&self) -> usize {
        self.table.tables()
    }

    /// Returns the number of tracked keys: at most the capacity, unless a snapshot held more.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Reports whether no key is tracked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Returns the refusal for the first limit below `weight`. No limit is below one.
#[inline]
fn too_heavy<K, const N: usize>(
    charges: &[Charge<K>; N],
    weight: NonZeroU32,
) -> Option<Refusal<N>> {
    if weight == NonZeroU32::MIN {
        return None;
    }
    for (index, charge) in charges.iter().enumerate() {
        for window in Window::ALL {
            let limit = charge.limits.of(window);
            if weight > limit {
                return Some(Refusal::TooHeavy {
                    charge: index,
                    window,
                    limit,
                });
            }
        }
    }
    None
}
