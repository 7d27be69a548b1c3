//! The engine as its users see it. How a decision is taken is in `decision`.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Instant;

use crate::answer::{Admitted, CellState, Refusal, Standings};
use crate::decision::{Decision, lock_and_charge, refuse};
use crate::limits::{Charge, Window};
use crate::overflow::Overflow;
use crate::slots::{Epoch, Moment};
use crate::table::Table;

/// Counts charges per key and decides what is admitted.
///
/// Shared between threads by reference; every method takes `&self`. A decision holds the locks of
/// its own counters, a few of the engine's many, and never waits for anything else.
#[derive(Debug)]
pub struct Engine<K> {
    pub(crate) epoch: Epoch,
    pub(crate) table: Table<K>,
    pub(crate) overflow: Overflow,
}

impl<K: Clone + Eq + Hash> Engine<K> {
    /// An engine that tracks at most `capacity` keys.
    ///
    /// `epoch` is where the grid of slots begins: any moment that is not after the first `now`. The
    /// engine counts time for 81 years from there; a `now` before it counts as `epoch`.
    ///
    /// Keys that come when `capacity` is reached share counters, by their limits, until
    /// [`sweep`](Self::sweep) makes room; those that are tracked are not affected. Memory grows
    /// with the keys, not in advance.
    #[must_use]
    pub fn new(epoch: Instant, capacity: usize) -> Self {
        Self::made(epoch, Table::new(capacity, None))
    }

    /// Like [`new`](Self::new), for keys of which several are charged together: those with one
    /// `home` share a lock, so that a decision on all of them takes one lock instead of one for
    /// each.
    ///
    /// A home is some number that follows from the key, such as the address of the client in it; it
    /// need not be well mixed. There should be many homes with few keys each. Shared counters
    /// ([`Charge::shared`]) need none.
    #[must_use]
    pub fn with_homes(epoch: Instant, capacity: usize, home: fn(&K) -> u64) -> Self {
        Self::made(epoch, Table::new(capacity, Some(home)))
    }

    fn made(start: Instant, table: Table<K>) -> Self {
        Self {
            epoch: Epoch::new(start, Moment::ZERO),
            table,
            overflow: Overflow::new(),
        }
    }

    /// Charges `weight` to every counter in `charges`, or to none.
    ///
    /// Two charges with one key are two charges to one counter: it must have room for twice the
    /// weight. A `now` behind the latest one that a counter has seen counts as that one. A refusal
    /// leaves no trace.
    ///
    /// # Errors
    /// [`Refusal::TooHeavy`] if the weight is above a limit, [`Refusal::Exceeded`] if a limit has
    /// not enough left.
    pub fn charge<const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        now: Instant,
    ) -> Result<Admitted<N>, Refusal<N>> {
        if let Some(refusal) = too_heavy(charges, weight) {
            return Err(refusal);
        }
        let now = self.epoch.moment(now);
        let mut locked = self.table.places(charges);
        let mut states = [CellState::UNUSED; N];
        if !lock_and_charge(&mut locked, charges, weight.get(), now, &mut states) {
            if let Some(refusal) = refuse(&mut locked, charges, weight.get(), now) {
                return Err(refusal);
            }
            return Decision::new(locked, &self.table, &self.overflow, charges, now)
                .charge(weight.get());
        }
        drop(locked);
        Ok(Admitted {
            standings: Standings::new(now, charges, states),
        })
    }

    /// Counts `weight` in every counter in `charges`, whatever their limits say: it was admitted
    /// elsewhere, and is to count here as well.
    ///
    /// When the capacity is reached, limits tell which counter keys that are not tracked share:
    /// give those that the key is charged with here.
    pub fn record<const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        now: Instant,
    ) {
        let now = self.epoch.moment(now);
        let mut locked = self.table.places(charges);
        locked.lock(charges, &mut [(); N], |_, _, ()| false);
        Decision::new(locked, &self.table, &self.overflow, charges, now).record(weight.get());
    }

    /// Tells every limit of `charges` as it stands, charging nothing and tracking no new key.
    pub fn peek<const N: usize>(&self, charges: &[Charge<K>; N], now: Instant) -> Standings<N> {
        let now = self.epoch.moment(now);
        let mut locked = self.table.places(charges);
        locked.lock(charges, &mut [(); N], |_, _, ()| false);
        Decision::new(locked, &self.table, &self.overflow, charges, now).peek()
    }

    /// Frees the counters that stand as if never charged, in one part of the engine, and returns
    /// how many those were.
    ///
    /// A step takes the locks of some 1600 keys at a time for well under a millisecond. Call it at
    /// an even pace; [`sweep_steps`](Self::sweep_steps) calls visit every counter once. A counter
    /// is freed a day after its last use.
    pub fn sweep(&self, now: Instant) -> usize {
        self.table.sweep(self.epoch.moment(now).slot())
    }

    /// How many calls of [`sweep`](Self::sweep) visit every counter once; fixed by the capacity.
    #[must_use]
    pub fn sweep_steps(&self) -> usize {
        self.table.tables()
    }

    /// How many keys are tracked; never more than the capacity, but for those that a snapshot
    /// brought.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no key is tracked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The first limit that is below `weight`; none is below one.
#[inline]
fn too_heavy<K, const N: usize>(
    charges: &[Charge<K>; N],
    weight: NonZeroU32,
) -> Option<Refusal<N>> {
    if weight == NonZeroU32::MIN {
        return None;
    }
    charges.iter().enumerate().find_map(|(charge, asked)| {
        let window = Window::ALL
            .into_iter()
            .find(|&window| weight > asked.limits.of(window))?;
        Some(Refusal::TooHeavy {
            charge,
            window,
            limit: asked.limits.of(window),
        })
    })
}
