//! The overflow cells, shared by the keys that a full table has no room for.
//!
//! Their number is fixed. A key's limits decide which cell it uses, so keys with equal limits share
//! one. A key that later gets a cell of its own starts from what its overflow cell counts, since
//! some of that may be its own.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::{RwLock, RwLockWriteGuard};
use foldhash::quality::RandomState;

use crate::policy::{CounterCell, Counting, Policy, Tick};

/// The number of overflow cells, and the most classes of limits that can be kept apart.
const CELLS: usize = 64;

/// The overflow cells, and until when they matter.
#[derive(Debug)]
pub(crate) struct Overflow<L: Policy> {
    /// Decides which limits share a cell. It is random, so that nobody can choose limits that
    /// collide, and it belongs to the cells: a snapshot keeps both.
    seed: u64,
    cells: RwLock<Vec<L::Cell>>,
    /// One more than the latest tick charged here; zero if there was no charge.
    used_until: AtomicU64,
}

/// The overflow cells under their one lock.
pub(crate) type Cells<'a, L> =
    RwLockWriteGuard<'a, Vec<<L as Counting<<L as Policy>::Window>>::Cell>>;

impl<L: Policy> Overflow<L> {
    /// The number of overflow cells.
    pub(crate) const CELLS: usize = CELLS;

    /// Creates cells that count nothing, with a random seed.
    pub(crate) fn new() -> Self {
        let cells = (0..CELLS).map(|_| Self::unused_cell()).collect();
        Self::from_parts(RandomState::default().hash_one(CELLS), cells, 0)
    }

    /// Creates the overflow from the parts in a snapshot. Missing cells count nothing.
    pub(crate) fn from_parts(seed: u64, mut cells: Vec<L::Cell>, used_until: u64) -> Self {
        cells.resize(Self::CELLS, Self::unused_cell());
        Self {
            seed,
            cells: RwLock::new(cells),
            used_until: AtomicU64::new(used_until),
        }
    }

    fn unused_cell() -> L::Cell {
        L::Cell::fresh(L::ANY_GRID, L::Tick::from_u64(0))
    }

    pub(crate) const fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns one more than the latest tick charged here. Call it under the lock.
    pub(crate) fn used_until(&self) -> u64 {
        self.used_until.load(Ordering::Relaxed)
    }

    /// Returns the index of the overflow cell for keys with these limits.
    pub(crate) fn class(&self, limits: L) -> usize {
        limits.overflow_class(|words| {
            let add = |hash: u64, word| mix(hash ^ u64::from(word));
            words.into_iter().fold(self.seed, add)
        })
    }

    /// Reports whether any overflow cell may count something at `now`.
    pub(crate) fn is_active(&self, now: L::Tick) -> bool {
        let Some(latest) = self.used_until().checked_sub(1) else {
            return false;
        };
        L::may_count(L::Tick::from_u64(latest), now)
    }

    /// Locks the overflow cells. Call it after all other locks of a decision are taken.
    pub(crate) fn lock(&self) -> Cells<'_, L> {
        self.cells.write()
    }

    /// Records that an overflow cell was charged at `now`. Call it under the lock.
    pub(crate) fn record_use(&self, now: L::Tick) {
        self.used_until
            .fetch_max(now.into().saturating_add(1), Ordering::Relaxed);
    }
}

/// The finalizer of SplitMix64: every bit of the input changes about half of the output.
///
/// It is written out because a library may change its hasher between versions, which would assign
/// limits to other cells than those they filled before a restart.
const fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
