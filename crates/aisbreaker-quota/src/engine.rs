//! The engine in memory: its public interface.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Instant;

use crate::charge::Charge;
use crate::decision::{Decision, lock_and_charge, refuse_tracked};
use crate::limits::Limits;
use crate::outcome::{Admitted, Refusal};
use crate::overflow::Overflow;
use crate::policy::Policy;
use crate::slots::{Epoch, Moment};
use crate::standings::Standings;
use crate::table::Table;

/// Counts charges per key in memory and decides which requests are admitted.
///
/// `L` is the kind of limits that it applies: [`Limits`], or a [`Rate`](crate::Rate) for windows of
/// other lengths. The first charge tells the compiler which.
///
/// Threads share an engine by reference, since every method takes `&self`. A decision holds the
/// locks of its own counters, a few of the engine's many, and waits for nothing else.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use aisbreaker_quota::{Charge, Engine, Limits};
///
/// let start = Instant::now();
/// let engine = Engine::new(start, 100_000);
/// let charges = [Charge::new("ada", Limits::per_minute(2))];
///
/// assert!(engine.charge_one(&charges, start).is_ok());
/// assert!(engine.charge_one(&charges, start).is_ok());
/// assert!(engine.charge_one(&charges, start).is_err());
/// assert!(engine.charge_one(&charges, start + Duration::from_secs(61)).is_ok());
/// ```
#[derive(Debug)]
pub struct Engine<K, L: Policy = Limits> {
    pub(crate) epoch: Epoch,
    pub(crate) table: Table<K, L>,
    pub(crate) overflow: Overflow<L>,
}

impl<K: Clone + Eq + Hash, L: Policy> Engine<K, L> {
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

    pub(crate) const fn from_parts(
        epoch: Epoch,
        table: Table<K, L>,
        overflow: Overflow<L>,
    ) -> Self {
        Self {
            epoch,
            table,
            overflow,
        }
    }

    /// Charges `weight` to every counter in `charges`, or to none.
    ///
    /// Two charges with the same key charge one counter twice: it must have room for twice the
    /// weight. Rates with windows of different lengths have counters of their own. A `now` before the latest one that a counter has seen counts as that one. A refusal
    /// charges nothing and tracks no new key.
    ///
    /// # Errors
    /// [`Refusal::TooHeavy`] if the weight is above a limit, [`Refusal::Exceeded`] if a limit has
    /// too little left.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::num::NonZeroU32;
    /// use std::time::Instant;
    ///
    /// use aisbreaker_quota::{Charge, Engine, Limits, Refusal};
    ///
    /// let now = Instant::now();
    /// let engine = Engine::new(now, 100_000);
    /// // 1000 tokens per minute, and a request of 600.
    /// let charges = [Charge::new("ada", Limits::per_minute(1_000))];
    /// let weight = NonZeroU32::new(600).ok_or("no tokens")?;
    ///
    /// engine.charge(&charges, weight, now)?;
    /// let refusal = engine.charge(&charges, weight, now);
    /// assert!(matches!(refusal, Err(Refusal::Exceeded { remaining: 400, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn charge<const N: usize>(
        &self,
        charges: &[Charge<K, L>; N],
        weight: NonZeroU32,
        now: Instant,
    ) -> Result<Admitted<N, L>, Refusal<N, L>> {
        if let Some(refusal) = too_heavy(charges, weight) {
            return Err(refusal);
        }
        let moment = self.epoch.moment(now);
        let mut locked = self.table.locate(charges);
        let mut states = [L::UNUSED; N];
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

    /// Charges a weight of one, as [`charge`](Self::charge) does with any weight.
    ///
    /// # Errors
    /// [`Refusal::Exceeded`] if a limit has too little left.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Instant;
    ///
    /// use aisbreaker_quota::{Charge, Engine, Limits, Refusal};
    ///
    /// let now = Instant::now();
    /// let engine = Engine::new(now, 100_000);
    /// let charges = [Charge::new("ada", Limits::per_minute(1))];
    ///
    /// let admitted = engine.charge_one(&charges, now)?;
    /// assert_eq!(admitted.standings().tightest().map(|(_, limit)| limit.remaining), Some(0));
    /// assert!(matches!(engine.charge_one(&charges, now), Err(Refusal::Exceeded { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn charge_one<const N: usize>(
        &self,
        charges: &[Charge<K, L>; N],
        now: Instant,
    ) -> Result<Admitted<N, L>, Refusal<N, L>> {
        self.charge(charges, NonZeroU32::MIN, now)
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
        charges: &[Charge<K, L>; N],
        weight: NonZeroU32,
        now: Instant,
    ) {
        self.decision(charges, now).record(weight.get());
    }

    /// Returns the standing of every limit in `charges`, without charging anything or tracking a
    /// new key.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Instant;
    ///
    /// use aisbreaker_quota::{Charge, Engine, Limits, Window};
    ///
    /// let now = Instant::now();
    /// let engine = Engine::new(now, 100_000);
    /// let charges = [Charge::new("ada", Limits::per_minute(60))];
    /// engine.charge_one(&charges, now)?;
    ///
    /// let minute = engine.peek(&charges, now).of(0, Window::Minute).ok_or("there is one charge")?;
    /// assert_eq!((minute.remaining, minute.limit.get()), (59, 60));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn peek<const N: usize>(
        &self,
        charges: &[Charge<K, L>; N],
        now: Instant,
    ) -> Standings<N, L> {
        self.decision(charges, now).peek()
    }

    /// Locks the counters of `charges`.
    fn decision<'a, const N: usize>(
        &'a self,
        charges: &'a [Charge<K, L>; N],
        now: Instant,
    ) -> Decision<'a, K, L, N> {
        let mut locked = self.table.locate(charges);
        locked.lock(charges, &mut [(); N], |_, _, ()| false);
        let moment = self.epoch.moment(now);
        Decision::new(locked, &self.table, &self.overflow, charges, moment)
    }

    /// Frees the idle counters in the next part of the engine and returns how many it freed.
    ///
    /// A counter is idle once it stands as if never charged: a day after its last use, or the window
    /// of its [`Rate`](crate::Rate) after that. One call
    /// holds the lock of some 1600 keys for well under a millisecond. Call it at an even pace:
    /// every counter is visited once in 128 calls with a capacity up to 102 400, and once in
    /// `capacity / 800` calls above that.
    pub fn sweep(&self, now: Instant) -> usize {
        self.table.sweep(L::tick(self.epoch.moment(now)))
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
fn too_heavy<K, L: Policy, const N: usize>(
    charges: &[Charge<K, L>; N],
    weight: NonZeroU32,
) -> Option<Refusal<N, L>> {
    if weight == NonZeroU32::MIN {
        return None;
    }
    for (index, charge) in charges.iter().enumerate() {
        for window in charge.limits.windows() {
            let limit = charge.limits.limit(window);
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
