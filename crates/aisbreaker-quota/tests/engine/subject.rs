//! The systems that histories are played to: the engine in memory, and others with the same
//! guarantees.

use std::{hash::Hash, time::Instant};

use aisbreaker_quota::{Charge, Engine, Refusal, Standings};

use crate::oracle::{at, number, some_instant};

/// A system under test, with numbers for keys. Times are in milliseconds since an epoch at which
/// slots of all windows begin.
pub(crate) trait Subject {
    /// Whether a refused request advances the counters it names, as an admitted one does.
    const REFUSALS_ADVANCE_COUNTERS: bool;

    /// Returns the most keys that are tracked.
    fn capacity(&self) -> usize;

    /// Charges all counters or none. Returns the standings right after a charge.
    fn charge<const N: usize>(
        &self,
        charges: &[Charge<usize>; N],
        weight: u32,
        now: u64,
    ) -> Result<Standings<N>, Refusal<N>>;

    /// Returns the standings without a charge.
    fn peek<const N: usize>(&self, charges: &[Charge<usize>; N], now: u64) -> Standings<N>;

    /// Frees every counter that is idle now. Returns `false` if the subject frees counters by
    /// itself instead.
    fn sweep(&self, now: u64) -> bool;

    /// Returns the number of tracked keys, if it is known.
    fn tracked(&self) -> Option<usize>;
}

/// The engine in memory.
#[derive(Debug)]
pub(crate) struct Memory {
    engine: Engine<usize>,
    epoch: Instant,
    capacity: usize,
}

impl Memory {
    pub(crate) fn new(capacity: usize) -> Self {
        let epoch = some_instant();
        Self {
            engine: Engine::new(epoch, capacity),
            epoch,
            capacity,
        }
    }

    /// Creates an engine with three shards, so that several keys share a lock.
    pub(crate) fn sharded(capacity: usize) -> Self {
        let epoch = some_instant();
        let shard_by = |key: &usize| u64::try_from(key % 3).unwrap();
        Self {
            engine: Engine::with_shard_by(epoch, capacity, shard_by),
            epoch,
            capacity,
        }
    }
}

impl Subject for Memory {
    const REFUSALS_ADVANCE_COUNTERS: bool = true;

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn charge<const N: usize>(
        &self,
        charges: &[Charge<usize>; N],
        weight: u32,
        now: u64,
    ) -> Result<Standings<N>, Refusal<N>> {
        let now = self.epoch + at(now);
        let admitted = self.engine.charge(charges, number(weight), now)?;
        Ok(*admitted.standings())
    }

    fn peek<const N: usize>(&self, charges: &[Charge<usize>; N], now: u64) -> Standings<N> {
        self.engine.peek(charges, self.epoch + at(now))
    }

    fn sweep(&self, now: u64) -> bool {
        sweep_all(&self.engine, self.epoch + at(now));
        true
    }

    fn tracked(&self) -> Option<usize> {
        Some(self.engine.len())
    }
}

/// Sweeps all of an engine and returns how many counters that freed.
pub(crate) fn sweep_all<K: Clone + Eq + Hash>(engine: &Engine<K>, now: Instant) -> usize {
    (0..engine.sweep_steps()).map(|_| engine.sweep(now)).sum()
}
