//! One cell per key and grid, in bounded memory, behind striped locks.
//!
//! A stripe is a lock and the tables behind it. Individual counters ([`Charge::new`]) are spread by
//! shard over many stripes of one table each. All shared counters ([`Charge::shared`]) are in the
//! last stripe, in many tables. Locks are taken in the order of the stripes, so the stripe that
//! every decision needs comes last. In a full engine a table holds some 1600 keys, which keeps
//! growing or sweeping one short. The number of tables need not be a power of two, so they are well
//! filled by then.

mod locked;

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::{RwLock, RwLockWriteGuard};
use foldhash::quality::RandomState;
use hashbrown::HashTable;

pub(crate) use self::locked::Locked;
use crate::charge::Charge;
use crate::policy::{CounterCell, Counting, Policy, Tick};

/// Keys per table when the engine is full: 78 % of 2048 buckets.
const KEYS_PER_TABLE: usize = 1_600;

/// The least number of stripes for individual counters, so that threads seldom meet at a lock.
const MIN_STRIPES: usize = 64;

/// Tables with less capacity than this are not worth shrinking.
const SMALL_TABLE: usize = 64;

/// How long a thread that finds a lock taken pauses before it retries, in hints to the processor:
/// about as long as a decision takes.
const FIRST_PAUSES: u32 = 2;

/// The longest that it pauses between two retries.
const MOST_PAUSES: u32 = 64;

/// How often it retries before it sleeps.
const RETRIES_BEFORE_SLEEP: u32 = 12;

/// Keys and their cells.
type Keys<K, L> = HashTable<(K, <L as Counting<<L as Policy>::Window>>::Cell)>;

/// A lock on a pair of cache lines of its own, and the tables behind it.
#[repr(align(128))]
struct Stripe<K, L: Policy>(RwLock<Box<[Keys<K, L>]>>);

type Guard<'a, K, L> = RwLockWriteGuard<'a, Box<[Keys<K, L>]>>;

/// All tracked keys.
pub(crate) struct Table<K, L: Policy> {
    /// The stripes of individual counters, then the one of shared counters.
    stripes: Box<[Stripe<K, L>]>,
    /// How many stripes individual counters have, and how many tables shared ones have.
    spread: u32,
    hasher: RandomState,
    shard_by: Option<fn(&K) -> u64>,
    /// A secret odd number that shards are multiplied with.
    shard_factor: u64,
    capacity: usize,
    /// Keys in the tables, plus those that have room reserved.
    tracked: AtomicUsize,
    /// The latest tick at which a cell was freed. A new cell must not start before it.
    freed_at: AtomicU64,
    next_to_sweep: AtomicUsize,
}

/// Where the cell of a key is, if the key is tracked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Location {
    hash: u64,
    /// The index of the stripe in the upper half, and that of the table in it in the lower half.
    stripe_and_table: u64,
}

impl Location {
    #[inline]
    fn stripe(&self) -> u64 {
        self.stripe_and_table >> 32
    }

    #[inline]
    fn table(&self) -> usize {
        usize::try_from(self.stripe_and_table & 0xFFFF_FFFF).unwrap_or(usize::MAX)
    }
}

impl<K: Eq + Hash, L: Policy> Table<K, L> {
    /// Creates a table for at most `capacity` keys.
    pub(crate) fn new(capacity: usize, shard_by: Option<fn(&K) -> u64>) -> Self {
        let spread = capacity
            .div_ceil(KEYS_PER_TABLE)
            .clamp(MIN_STRIPES, 1 << 30);
        let stripe =
            |tables: usize| Stripe(RwLock::new((0..tables).map(|_| HashTable::new()).collect()));
        let mut stripes: Vec<_> = (0..spread).map(|_| stripe(1)).collect();
        stripes.push(stripe(spread));
        let hasher = RandomState::default();
        Self {
            stripes: stripes.into_boxed_slice(),
            spread: u32::try_from(spread).unwrap_or(u32::MAX),
            shard_factor: hasher.hash_one(0) | 1,
            hasher,
            shard_by,
            capacity,
            tracked: AtomicUsize::new(0),
            freed_at: AtomicU64::new(0),
            next_to_sweep: AtomicUsize::new(0),
        }
    }

    /// Returns the number of tracked keys.
    pub(crate) fn len(&self) -> usize {
        self.tracked.load(Ordering::Relaxed)
    }

    /// Returns the number of tables over all stripes.
    pub(crate) fn tables(&self) -> usize {
        self.stripes.len().saturating_sub(1).saturating_mul(2)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    /// Reserves room for one more key; `false` if the table is full.
    pub(crate) fn reserve(&self) -> bool {
        let one_more =
            |tracked: usize| (tracked < self.capacity).then(|| tracked.saturating_add(1));
        self.tracked
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
    }

    /// Gives up the room of `keys` keys.
    pub(crate) fn release(&self, keys: usize) {
        self.tracked.fetch_sub(keys, Ordering::Relaxed);
    }

    /// Returns the tick at which a new cell starts when the clock says `now`.
    pub(crate) fn first_tick(&self, now: L::Tick) -> L::Tick {
        now.max(self.freed_at())
    }

    /// Locates the cells of all charges, without locking anything yet.
    #[inline]
    pub(crate) fn locate<const N: usize>(
        &self,
        charges: &[Charge<K, L>; N],
    ) -> Locked<'_, K, L, N> {
        Locked::new(
            self,
            charges.each_ref().map(
                |Charge {
                     key,
                     limits,
                     shared,
                 }| self.location(key, limits.grid(), *shared),
            ),
        )
    }

    /// Frees the idle cells of the next table in turn and returns how many it freed.
    pub(crate) fn sweep(&self, now: L::Tick) -> usize {
        let turn = self.next_to_sweep.fetch_add(1, Ordering::Relaxed);
        let (stripe, table, _) = self.position(turn.checked_rem(self.tables()).unwrap_or(0));
        let Some(Stripe(lock)) = self.stripes.get(stripe) else {
            return 0;
        };
        let mut tables = lock.write();
        let Some(keys) = tables.get_mut(table) else {
            return 0;
        };
        let len_before = keys.len();
        keys.retain(|(_, cell)| !cell.is_idle(now));
        let freed = len_before.saturating_sub(keys.len());
        if freed > 0 {
            self.freed_at.fetch_max(now.into(), Ordering::Relaxed);
            self.release(freed);
            if keys.capacity() >= SMALL_TABLE && keys.len() <= keys.capacity() / 4 {
                keys.shrink_to_fit(|(key, cell)| self.hasher.hash_one((key, cell.grid())));
            }
        }
        freed
    }

    /// Visits the cells of the table at `index` that are not idle, under its lock. The last
    /// argument of `visit` reports whether they are shared counters.
    pub(crate) fn visit_active(
        &self,
        index: usize,
        now: L::Tick,
        mut visit: impl FnMut(&K, &L::Cell, bool),
    ) {
        let (stripe, table, is_shared) = self.position(index);
        let Some(Stripe(lock)) = self.stripes.get(stripe) else {
            return;
        };
        let tables = lock.write();
        for (key, cell) in tables.get(table).into_iter().flatten() {
            if !cell.is_idle(now) {
                visit(key, cell, is_shared);
            }
        }
    }

    /// Tracks one more key, beyond the capacity if need be; `false` if it is tracked already.
    pub(crate) fn insert_unbounded(&mut self, key: K, cell: L::Cell, is_shared: bool) -> bool {
        let grid = cell.grid();
        let location = self.location(&key, grid, is_shared);
        let hash = location.hash;
        let hasher = &self.hasher;
        let Ok(stripe) = usize::try_from(location.stripe()) else {
            return false;
        };
        let Some(Stripe(lock)) = self.stripes.get_mut(stripe) else {
            return false;
        };
        let Some(keys) = lock.get_mut().get_mut(location.table()) else {
            return false;
        };
        let is_same = |(known, cell): &(K, L::Cell)| *known == key && cell.grid() == grid;
        if keys.find(hash, is_same).is_some() {
            return false;
        }
        keys.insert_unique(hash, (key, cell), |(key, cell)| {
            hasher.hash_one((key, cell.grid()))
        });
        self.tracked.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Returns the latest tick at which a cell was freed.
    pub(crate) fn freed_at(&self) -> L::Tick {
        L::Tick::from_u64(self.freed_at.load(Ordering::Relaxed))
    }

    /// Sets the latest tick at which a cell was freed.
    pub(crate) fn set_freed_at(&mut self, tick: L::Tick) {
        *self.freed_at.get_mut() = tick.into();
    }

    /// Returns the stripe of the table at `index`, the table's index in that stripe, and whether
    /// the stripe is the one of shared counters.
    fn position(&self, index: usize) -> (usize, usize, bool) {
        let shared = self.stripes.len().saturating_sub(1);
        if index < shared {
            (index, 0, false)
        } else {
            (shared, index.saturating_sub(shared), true)
        }
    }

    /// Stripe and table come from bits of the hash that a hash table does not use for its buckets:
    /// those are the lowest and the highest.
    #[inline]
    fn location(&self, key: &K, grid: L::Grid, is_shared: bool) -> Location {
        let hash = self.hasher.hash_one((key, grid));
        if is_shared {
            return Location {
                hash,
                stripe_and_table: (u64::from(self.spread) << 32) | self.scale(hash),
            };
        }
        let shard = self
            .shard_by
            .map_or(hash, |shard_by| self.mix_shard(shard_by(key)));
        Location {
            hash,
            stripe_and_table: self.scale(shard) << 32,
        }
    }

    /// Mixes a shard well enough to choose a stripe.
    #[inline]
    fn mix_shard(&self, shard: u64) -> u64 {
        shard.wrapping_mul(self.shard_factor) >> 8
    }

    /// Maps a hash to `0..spread`.
    #[inline]
    fn scale(&self, hash: u64) -> u64 {
        ((hash >> 24) & 0xFFFF_FFFF).wrapping_mul(u64::from(self.spread)) >> 32
    }

    #[inline]
    fn lock_stripe(&self, index: u64) -> Option<Guard<'_, K, L>> {
        let Stripe(lock) = self.stripes.get(usize::try_from(index).ok()?)?;
        lock.try_write().or_else(|| Some(spin_then_lock(lock)))
    }
}

/// Waits for a lock that another thread holds. A decision is shorter than putting a thread to sleep
/// and waking it, so this spins for as long as some decisions take before it sleeps.
///
/// Each pause is twice as long as the one before. Under contention the holder thus makes several
/// decisions with the counters in its caches, where every retry would take the lock's cache line
/// from it, and every decision of another thread all of them.
#[cold]
#[inline(never)]
fn spin_then_lock<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    let mut pauses = FIRST_PAUSES;
    for _ in 0..RETRIES_BEFORE_SLEEP {
        for _ in 0..pauses {
            spin_loop();
        }
        if let Some(guard) = lock.try_write() {
            return guard;
        }
        pauses = pauses.saturating_mul(2).min(MOST_PAUSES);
    }
    lock.write()
}

impl<K, L: Policy> fmt::Debug for Table<K, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("capacity", &self.capacity)
            .field("tracked", &self.tracked.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}
