//! What the histories of `history` are played to: the engine in memory, and whatever else promises
//! the same.

use std::time::Instant;

use aisbreaker_quota::{Charge, Engine, Refusal, Standings};

use crate::oracle::{at, number, some_instant};

/// Counters by number, as the histories see them. Times are milliseconds from a beginning of the
/// subject's own, on which slots of all windows begin.
pub(crate) trait Subject {
    /// Whether counters learn the time from a request that was refused, and not only from those
    /// that were admitted.
    const REFUSALS_TELL_THE_TIME: bool;

    /// How many keys have a counter of their own at most.
    fn capacity(&self) -> usize;

    /// Charges all or none; the standings right after if all.
    fn charge<const N: usize>(
        &self,
        charges: &[Charge<usize>; N],
        weight: u32,
        now: u64,
    ) -> Result<Standings<N>, Refusal<N>>;

    /// The standings without a charge.
    fn peek<const N: usize>(&self, charges: &[Charge<usize>; N], now: u64) -> Standings<N>;

    /// Frees every counter that is idle now; whether it does: a subject may leave that to something
    /// else.
    fn sweep(&self, now: u64) -> bool;

    /// How many keys have a counter of their own; `None` if nobody knows.
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

    /// Keys of which several share a lock.
    pub(crate) fn with_homes(capacity: usize) -> Self {
        let epoch = some_instant();
        let home = |key: &usize| u64::try_from(key % 3).unwrap();
        Self {
            engine: Engine::with_homes(epoch, capacity, home),
            epoch,
            capacity,
        }
    }
}

impl Subject for Memory {
    const REFUSALS_TELL_THE_TIME: bool = true;

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn charge<const N: usize>(
        &self,
        charges: &[Charge<usize>; N],
        weight: u32,
        now: u64,
    ) -> Result<Standings<N>, Refusal<N>> {
        let admitted = self
            .engine
            .charge(charges, number(weight), self.epoch + at(now));
        admitted.map(|admitted| *admitted.standings())
    }

    fn peek<const N: usize>(&self, charges: &[Charge<usize>; N], now: u64) -> Standings<N> {
        self.engine.peek(charges, self.epoch + at(now))
    }

    fn sweep(&self, now: u64) -> bool {
        for _ in 0..self.engine.sweep_steps() {
            self.engine.sweep(self.epoch + at(now));
        }
        true
    }

    fn tracked(&self) -> Option<usize> {
        Some(self.engine.len())
    }
}
