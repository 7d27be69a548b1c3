//! The cells shared by all keys that came after the table was full.
//!
//! There is a fixed number of them; which one a key uses follows from its limits, so that keys with like limits share.
//! A key that gets a cell of its own later starts from what its shared cell counts, since some of that may be its own.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::{RwLock, RwLockWriteGuard};
use foldhash::quality::RandomState;

use crate::cell::Cell;
use crate::limits::{Limits, Window};
use crate::slots::{REACH, coarse};

/// Shared cells, and so classes of limits told apart at best.
const CELLS: u64 = 64;

/// The shared cells and since when they matter.
#[derive(Debug)]
pub(crate) struct Overflow {
    hasher: RandomState,
    cells: RwLock<Vec<Cell>>,
    /// One more than the latest fine slot charged here; zero if none ever was.
    used_until: AtomicU64,
}

/// The shared cells under their one lock.
pub(crate) type Cells<'a> = RwLockWriteGuard<'a, Vec<Cell>>;

impl Overflow {
    pub(crate) fn new() -> Self {
        let cells = (0..CELLS).map(|_| Cell::fresh(0)).collect();
        Self { hasher: RandomState::default(), cells: RwLock::new(cells), used_until: AtomicU64::new(0) }
    }

    /// The shared cell of keys with these limits.
    pub(crate) fn class(&self, limits: Limits) -> usize {
        usize::try_from(self.hasher.hash_one(limits) % CELLS).unwrap_or(0)
    }

    /// Whether any shared cell may count something at fine slot `now`.
    pub(crate) fn is_active(&self, now: u32) -> bool {
        let until = self.used_until.load(Ordering::Relaxed);
        let last = until.checked_sub(1).map(|slot| u32::try_from(slot).unwrap_or(u32::MAX));
        let today = coarse(now, Window::Day);
        last.is_some_and(|last| today.saturating_sub(coarse(last, Window::Day)) <= REACH)
    }

    /// Locks the shared cells; to be called after all other locks of a decision are taken.
    pub(crate) fn lock(&self) -> Cells<'_> {
        self.cells.write()
    }

    /// Notes that a shared cell was charged at fine slot `now`; to be called under the lock.
    pub(crate) fn note(&self, now: u32) {
        self.used_until.fetch_max(u64::from(now).saturating_add(1), Ordering::Relaxed);
    }
}
