//! The systems that histories are played to: the engine in memory, and others with the same
//! guarantees.

use std::{hash::Hash, time::Instant};

use aisbreaker_quota::{Charge, Engine, Limits, Policy, Refusal, Standings};

use crate::oracle::{Kind, elapsed, number, some_instant};

/// A system under test, with numbers for keys. Times are in units since an epoch at which slots of
/// all windows begin.
pub(crate) trait Subject {
    type Limits: Kind;

    /// Whether a refused request advances the counters it names, as an admitted one does.
    const REFUSALS_ADVANCE_COUNTERS: bool;

    /// Returns the most keys that are tracked.
    fn capacity(&self) -> usize;

    /// Charges all counters or none. Returns the standings right after a charge.
    fn charge<const N: usize>(
        &self,
        charges: &[Charge<usize, Self::Limits>; N],
        weight: u32,
        now: u64,
    ) -> Result<Standings<N, Self::Limits>, Refusal<N, Self::Limits>>;

    /// Returns the standings without a charge.
    fn peek<const N: usize>(
        &self,
        charges: &[Charge<usize, Self::Limits>; N],
        now: u64,
    ) -> Standings<N, Self::Limits>;

    /// Frees every counter that is idle now. Returns `false` if the subject frees counters by
    /// itself instead.
    fn sweep(&self, now: u64) -> bool;

    /// Returns the number of tracked keys, if it is known.
    fn tracked(&self) -> Option<usize>;
}

/// The engine in memory.
#[derive(Debug)]
pub(crate) struct Memory<L: Policy = Limits> {
    engine: Engine<usize, L>,
    epoch: Instant,
    capacity: usize,
}

impl<L: Kind> Memory<L> {
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

    fn instant(&self, units: u64) -> Instant {
        self.epoch + elapsed::<L>(units)
    }
}

impl<L: Kind> Subject for Memory<L> {
    type Limits = L;

    const REFUSALS_ADVANCE_COUNTERS: bool = true;

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn charge<const N: usize>(
        &self,
        charges: &[Charge<usize, L>; N],
        weight: u32,
        now: u64,
    ) -> Result<Standings<N, L>, Refusal<N, L>> {
        let now = self.instant(now);
        let admitted = self.engine.charge(charges, number(weight), now)?;
        Ok(*admitted.standings())
    }

    fn peek<const N: usize>(&self, charges: &[Charge<usize, L>; N], now: u64) -> Standings<N, L> {
        self.engine.peek(charges, self.instant(now))
    }

    fn sweep(&self, now: u64) -> bool {
        sweep_all(&self.engine, self.instant(now));
        true
    }

    fn tracked(&self) -> Option<usize> {
        Some(self.engine.len())
    }
}

/// Sweeps all of an engine and returns how many counters that freed.
pub(crate) fn sweep_all<K: Clone + Eq + Hash, L: Policy>(
    engine: &Engine<K, L>,
    now: Instant,
) -> usize {
    (0..engine.sweep_steps()).map(|_| engine.sweep(now)).sum()
}
