//! The cells shared by all keys that came after the table was full.
//!
//! There is a fixed number of them; which one a key uses follows from its limits, so that keys with
//! like limits share. A key that gets a cell of its own later starts from what its shared cell
//! counts, since some of that may be its own.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::{RwLock, RwLockWriteGuard};
use foldhash::quality::RandomState;

use crate::cell::Cell;
use crate::limits::{Limits, Window};
use crate::slots::{REACH, coarse};

/// Shared cells, and so classes of limits told apart at best.
const CELLS: usize = 64;

/// The shared cells and since when they matter.
#[derive(Debug)]
pub(crate) struct Overflow {
    /// Decides which limits share a cell. Random, so that nobody can choose limits that share one;
    /// kept with the cells.
    seed: u64,
    cells: RwLock<Vec<Cell>>,
    /// One more than the latest fine slot charged here; zero if none ever was.
    used_until: AtomicU64,
}

/// The shared cells under their one lock.
pub(crate) type Cells<'a> = RwLockWriteGuard<'a, Vec<Cell>>;

impl Overflow {
    /// How many shared cells there are.
    pub(crate) const CELLS: usize = CELLS;

    pub(crate) fn new() -> Self {
        let cells = (0..CELLS).map(|_| Cell::fresh(0)).collect();
        Self::restored(RandomState::default().hash_one(CELLS), cells, 0)
    }

    /// Shared cells as they stood, at most as many as there are; those that are missing count
    /// nothing.
    pub(crate) fn restored(seed: u64, mut cells: Vec<Cell>, used_until: u64) -> Self {
        cells.resize(Self::CELLS, Cell::fresh(0));
        Self {
            seed,
            cells: RwLock::new(cells),
            used_until: AtomicU64::new(used_until),
        }
    }

    pub(crate) const fn seed(&self) -> u64 {
        self.seed
    }

    /// One more than the latest fine slot charged here; to be called under the lock.
    pub(crate) fn used_until(&self) -> u64 {
        self.used_until.load(Ordering::Relaxed)
    }

    /// The shared cell of keys with these limits.
    pub(crate) fn class(&self, limits: Limits) -> usize {
        let hash = limits
            .numbers()
            .into_iter()
            .fold(self.seed, |hash, limit| mixed(hash ^ u64::from(limit)));
        // The upper six bits of 64: one of 64 cells.
        usize::try_from(hash >> 58).unwrap_or(0)
    }

    /// Whether any shared cell may count something at fine slot `now`.
    pub(crate) fn is_active(&self, now: u32) -> bool {
        let until = self.used_until.load(Ordering::Relaxed);
        let last = until
            .checked_sub(1)
            .map(|slot| u32::try_from(slot).unwrap_or(u32::MAX));
        let today = coarse(now, Window::Day);
        last.is_some_and(|last| today.saturating_sub(coarse(last, Window::Day)) <= REACH)
    }

    /// Locks the shared cells; to be called after all other locks of a decision are taken.
    pub(crate) fn lock(&self) -> Cells<'_> {
        self.cells.write()
    }

    /// Notes that a shared cell was charged at fine slot `now`; to be called under the lock.
    pub(crate) fn note(&self, now: u32) {
        self.used_until
            .fetch_max(u64::from(now).saturating_add(1), Ordering::Relaxed);
    }
}

/// The finalizer of SplitMix64: every bit of the input changes about half of the output. Written
/// out because a hasher of a library may be another one in its next version, which would give
/// limits other cells than those they filled.
const fn mixed(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
