//! One cell per key, in bounded memory, behind many locks.
//!
//! A stripe is a lock and the tables behind it. Counters of their own are spread over many stripes
//! by their home, one table each; all shared counters are in the last stripe, in many tables. Locks
//! are taken in the order of the stripes, so the one that everybody needs is taken last. No table
//! holds more than some 1600 keys when the engine is full, so that growing or sweeping one is
//! short; their number need not be a power of two, so that they are well filled then.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use dashmap::{RwLock, RwLockWriteGuard};
use foldhash::quality::RandomState;
use hashbrown::HashTable;

use crate::cell::Cell;
use crate::limits::{Charge, Limits};

/// Keys per table when the engine is full: 78 % of 2048 buckets.
const KEYS_PER_TABLE: usize = 1_600;

/// Stripes of own counters at least, so that threads seldom meet at a lock.
const MIN_STRIPES: usize = 64;

/// Tables with less room than this are not worth shrinking.
const SMALL_TABLE: usize = 64;

/// How often a thread looks at a lock that is held before it sleeps.
const LOOKS_BEFORE_SLEEP: u32 = 100;

/// Keys and their cells.
type Keys<K> = HashTable<(K, Cell)>;

/// A lock on a pair of cache lines of its own, and the tables behind it.
#[repr(align(128))]
struct Stripe<K>(RwLock<Box<[Keys<K>]>>);

type Guard<'a, K> = RwLockWriteGuard<'a, Box<[Keys<K>]>>;

/// All tracked keys.
pub(crate) struct Table<K> {
    /// The own counters, and last the shared ones.
    stripes: Box<[Stripe<K>]>,
    /// How many stripes of own counters, and also how many tables of shared ones.
    spread: u32,
    hasher: RandomState,
    home: Option<fn(&K) -> u64>,
    factor: u64,
    capacity: usize,
    /// Keys in the tables, plus those about to be.
    tracked: AtomicUsize,
    /// The latest fine slot at which a cell was freed: no new cell may believe the clock is behind
    /// it.
    freed_at: AtomicU32,
    next_to_sweep: AtomicUsize,
}

/// Where the cell of a key is, if there is one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Place {
    hash: u64,
    /// The index of the stripe in the upper half, and in the lower one that of the table in it.
    spot: u64,
}

/// The places of one decision, and the guards of their stripes once [`Locked::lock`] has been
/// called.
pub(crate) struct Locked<'a, K, const N: usize> {
    table: &'a Table<K>,
    places: [Place; N],
    /// The stripes of the places in lock order, see [`in_lock_order`].
    order: [u64; N],
    /// In that order, the guards; `None` where the stripe is the same as before.
    guards: [Option<Guard<'a, K>>; N],
}

impl<K: Eq + Hash> Table<K> {
    pub(crate) fn new(capacity: usize, home: Option<fn(&K) -> u64>) -> Self {
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
            factor: hasher.hash_one(0) | 1,
            hasher,
            home,
            capacity,
            tracked: AtomicUsize::new(0),
            freed_at: AtomicU32::new(0),
            next_to_sweep: AtomicUsize::new(0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.tracked.load(Ordering::Relaxed)
    }

    pub(crate) fn tables(&self) -> usize {
        self.stripes.len().saturating_sub(1).saturating_mul(2)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    /// Takes room for one more key, if there is any.
    pub(crate) fn reserve(&self) -> bool {
        let fits = |tracked: usize| (tracked < self.capacity).then(|| tracked.saturating_add(1));
        self.tracked
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_ok()
    }

    /// Gives back room for `keys` keys.
    pub(crate) fn release(&self, keys: usize) {
        self.tracked.fetch_sub(keys, Ordering::Relaxed);
    }

    /// The earliest slot that a new cell may be charged in when the clock says `now`.
    pub(crate) fn not_before(&self, now: u32) -> u32 {
        now.max(self.freed_at.load(Ordering::Relaxed))
    }

    /// Finds the places of all charges; nothing is locked yet.
    #[inline]
    pub(crate) fn places<const N: usize>(&self, charges: &[Charge<K>; N]) -> Locked<'_, K, N> {
        let places = charges.each_ref().map(|charge| self.place(charge));
        let order = in_lock_order(&places);
        Locked {
            table: self,
            places,
            order,
            guards: [const { None }; N],
        }
    }

    /// Frees the idle cells of the next table in turn and returns how many those were.
    pub(crate) fn sweep(&self, now: u32) -> usize {
        let turn = self.next_to_sweep.fetch_add(1, Ordering::Relaxed);
        let (stripe, table, _) = self.spot(turn.checked_rem(self.tables()).unwrap_or(0));
        let Some(mut tables) = self.stripes.get(stripe).map(|stripe| stripe.0.write()) else {
            return 0;
        };
        let Some(keys) = tables.get_mut(table) else {
            return 0;
        };
        let before = keys.len();
        keys.retain(|(_, cell)| !cell.is_idle(now));
        let freed = before.saturating_sub(keys.len());
        if freed > 0 {
            self.freed_at.fetch_max(now, Ordering::Relaxed);
            self.release(freed);
            if keys.capacity() >= SMALL_TABLE && keys.len() <= keys.capacity() / 4 {
                keys.shrink_to_fit(|(key, _)| self.hasher.hash_one(key));
            }
        }
        freed
    }

    /// Visits the cells of the table at this turn that count anything, under its lock; says whether
    /// they are shared ones.
    pub(crate) fn each_of(&self, turn: usize, now: u32, mut visit: impl FnMut(&K, &Cell, bool)) {
        let (stripe, table, is_shared) = self.spot(turn);
        let tables = self.stripes.get(stripe).map(|stripe| stripe.0.write());
        for (key, cell) in tables
            .iter()
            .filter_map(|tables| tables.get(table))
            .flatten()
        {
            if !cell.is_idle(now) {
                visit(key, cell, is_shared);
            }
        }
    }

    /// Tracks one more key, beyond the capacity if need be, unless it already is: then `false`.
    pub(crate) fn put(&mut self, charge: Charge<K>, cell: Cell) -> bool {
        let place = self.place(&charge);
        let hash = place.hash;
        let hasher = &self.hasher;
        let stripe = usize::try_from(place.stripe())
            .ok()
            .and_then(|at| self.stripes.get_mut(at));
        let Some(keys) = stripe.and_then(|stripe| stripe.0.get_mut().get_mut(place.table())) else {
            return false;
        };
        if keys.find(hash, |(known, _)| *known == charge.key).is_some() {
            return false;
        }
        keys.insert_unique(hash, (charge.key, cell), |(key, _)| hasher.hash_one(key));
        self.tracked.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// The latest fine slot at which a cell was freed.
    pub(crate) fn freed_at(&self) -> u32 {
        self.freed_at.load(Ordering::Relaxed)
    }

    /// From now on no new cell believes the clock to be behind this slot.
    pub(crate) fn set_freed_at(&mut self, slot: u32) {
        *self.freed_at.get_mut() = slot;
    }

    /// The stripe and the table in it that have this turn, and whether they are those of shared
    /// counters.
    fn spot(&self, turn: usize) -> (usize, usize, bool) {
        let shared = self.stripes.len().saturating_sub(1);
        if turn < shared {
            (turn, 0, false)
        } else {
            (shared, turn.saturating_sub(shared), true)
        }
    }

    /// Stripe and table come from bits of a hash that the buckets of a table, which use the lowest
    /// and the highest, do not.
    #[inline]
    fn place(&self, charge: &Charge<K>) -> Place {
        let hash = self.hasher.hash_one(&charge.key);
        if charge.shared {
            return Place {
                hash,
                spot: (u64::from(self.spread) << 32) | self.spread_out(hash),
            };
        }
        let home = self.home.map_or(hash, |home| self.mixed(home(&charge.key)));
        Place {
            hash,
            spot: self.spread_out(home) << 32,
        }
    }

    /// A home as evenly spread as a hash, by a secret odd factor: stripes need no more.
    #[inline]
    fn mixed(&self, home: u64) -> u64 {
        home.wrapping_mul(self.factor) >> 8
    }

    #[inline]
    fn spread_out(&self, hash: u64) -> u64 {
        ((hash >> 24) & 0xFFFF_FFFF).wrapping_mul(u64::from(self.spread)) >> 32
    }

    #[inline]
    fn stripe(&self, index: u64) -> Option<Guard<'_, K>> {
        let Stripe(lock) = self.stripes.get(usize::try_from(index).ok()?)?;
        lock.try_write().or_else(|| Some(patiently(lock)))
    }
}

impl Place {
    #[inline]
    fn stripe(&self) -> u64 {
        self.spot >> 32
    }

    #[inline]
    fn table(&self) -> usize {
        usize::try_from(self.spot & 0xFFFF_FFFF).unwrap_or(usize::MAX)
    }
}

/// Locks what another thread holds. A decision is shorter than putting a thread to sleep and waking
/// it, so this looks again for as long as some decisions take before it sleeps.
#[cold]
#[inline(never)]
fn patiently<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    for _ in 0..LOOKS_BEFORE_SLEEP {
        spin_loop();
        if let Some(guard) = lock.try_write() {
            return guard;
        }
    }
    lock.write()
}

/// The stripes of the places in their order, in the upper half of a number, with the index of the
/// place in the lower. They are few and mostly in order, so each in turn is moved to its place
/// among those before it.
#[inline]
fn in_lock_order<const N: usize>(places: &[Place; N]) -> [u64; N] {
    let mut order = [0; N];
    for ((entry, place), index) in order.iter_mut().zip(places).zip(0_u64..) {
        *entry = (place.stripe() << 32) | index;
    }
    for end in 1..N {
        for at in (1..=end).rev() {
            match order
                .get_mut(at.wrapping_sub(1)..)
                .and_then(|rest| rest.first_chunk_mut())
            {
                Some([before, here]) if *before > *here => std::mem::swap(before, here),
                _ => break,
            }
        }
    }
    order
}

impl<K: Eq + Hash, const N: usize> Locked<'_, K, N> {
    /// Locks the stripes of all places in their order, waiting for each in turn. On the way, as
    /// soon as its stripe is locked, visits the cell of each charge, with an answer to fill in,
    /// until a key is not tracked or `visit` says no. Returns how many were visited with success,
    /// in the order of the stripes.
    #[inline]
    pub(crate) fn lock<T>(
        &mut self,
        charges: &[Charge<K>; N],
        answers: &mut [T; N],
        mut visit: impl FnMut(&mut Cell, &Limits, &mut T) -> bool,
    ) -> usize {
        let (mut visited, mut going) = (0_usize, true);
        let mut latest: Option<(u64, &mut Guard<'_, K>)> = None;
        for (slot, entry) in self.guards.iter_mut().zip(&self.order) {
            let (stripe, index) = unpack(*entry);
            if latest.as_ref().is_none_or(|(latest, _)| *latest != stripe) {
                latest = self
                    .table
                    .stripe(stripe)
                    .map(|guard| (stripe, slot.insert(guard)));
            }
            if !going {
                continue;
            }
            let (Some(charge), Some(place), Some(answer), Some((_, tables))) = (
                charges.get(index),
                self.places.get(index),
                answers.get_mut(index),
                latest.as_mut(),
            ) else {
                return visited;
            };
            let keys = tables.get_mut(place.table());
            let found =
                keys.and_then(|keys| keys.find_mut(place.hash, |(known, _)| *known == charge.key));
            going = found.is_some_and(|(_, cell)| visit(cell, &charge.limits, answer));
            visited = visited.wrapping_add(usize::from(going));
        }
        visited
    }

    /// The index of the charge that was visited at this turn.
    pub(crate) fn visited_at(&self, turn: usize) -> Option<usize> {
        self.order.get(turn).map(|entry| unpack(*entry).1)
    }

    /// Whether some charges may name one counter; certainly not if this says no.
    #[inline]
    pub(crate) fn has_twins(&self) -> bool {
        let mut twins = false;
        for (index, place) in self.places.iter().enumerate() {
            twins |= self
                .places
                .iter()
                .skip(index.wrapping_add(1))
                .any(|other| other.hash == place.hash);
        }
        twins
    }

    /// Whether two charges name the same counter.
    pub(crate) fn is_same(&self, one: usize, other: usize, charges: &[Charge<K>; N]) -> bool {
        self.places.get(one) == self.places.get(other)
            && charges.get(one).map(Charge::key) == charges.get(other).map(Charge::key)
    }

    /// The cell of the charge at `index`, if its key is tracked.
    pub(crate) fn cell(&mut self, index: usize, key: &K) -> Option<&mut Cell> {
        let hash = self.places.get(index)?.hash;
        self.keys(index)?
            .find_mut(hash, |(known, _)| known == key)
            .map(|(_, cell)| cell)
    }

    /// Puts `cell` under the key of the charge at `index`, which is not tracked but has room
    /// reserved.
    pub(crate) fn insert(&mut self, index: usize, key: K, cell: Cell) {
        let hasher = &self.table.hasher;
        let hash = self.places.get(index).map(|place| place.hash);
        if let (Some(hash), Some(keys)) = (hash, self.keys(index)) {
            keys.insert_unique(hash, (key, cell), |(key, _)| hasher.hash_one(key));
        }
    }

    /// The table of the charge at `index`, behind the first guard of its stripe.
    fn keys(&mut self, index: usize) -> Option<&mut Keys<K>> {
        let place = self.places.get(index)?;
        let first = self
            .order
            .iter()
            .position(|entry| unpack(*entry).0 == place.stripe())?;
        self.guards.get_mut(first)?.as_mut()?.get_mut(place.table())
    }
}

/// The stripe and the index of the place in an entry of the lock order.
#[inline]
fn unpack(entry: u64) -> (u64, usize) {
    (
        entry >> 32,
        usize::try_from(entry & 0xFFFF_FFFF).unwrap_or(usize::MAX),
    )
}

/// Unlocks in reverse: whoever waits does so at the first lock in common, and then finds the others
/// free.
impl<K, const N: usize> Drop for Locked<'_, K, N> {
    #[inline]
    fn drop(&mut self) {
        for guard in self.guards.iter_mut().rev() {
            drop(guard.take());
        }
    }
}

impl<K> fmt::Debug for Table<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("capacity", &self.capacity)
            .field("tracked", &self.tracked.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}
