//! Bounds how many bytes of bodies all calls hold together.

use std::sync::Arc;

use crate::sync::{AtomicUsize, Ordering};

/// Bytes are counted in steps of this size, so that small bodies cost no counting.
const STEP_BYTES: usize = 16 * 1024;

/// The number of bytes that all holders of a budget may hold at once. Clones share the budget.
///
/// A [part](MemoryBudget::part) of a budget is a budget itself, whose bytes count for both.
///
/// A budget counts bodies as they are received. What is made of them, such as parsed values, takes
/// a small multiple of that. The first 16 KiB of each holder are free until it holds more.
#[derive(Clone, Debug)]
pub struct MemoryBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit_bytes: usize,
    held_bytes: AtomicUsize,
    whole: Option<MemoryBudget>,
}

/// The budget is spent; nothing more was reserved.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too much data is held for other requests")]
#[non_exhaustive]
pub struct BudgetSpent;

impl Default for MemoryBudget {
    /// Creates a budget of 512 MiB.
    fn default() -> Self {
        Self::new(512 << 20)
    }
}

impl MemoryBudget {
    /// Creates a budget of this many bytes.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self(Arc::new(Shared {
            limit_bytes,
            held_bytes: AtomicUsize::new(0),
            whole: None,
        }))
    }

    /// Creates a part of this budget: its holders hold at most `limit_bytes` together, and no more
    /// than is left here.
    #[must_use]
    pub fn part(&self, limit_bytes: usize) -> Self {
        Self(Arc::new(Shared {
            limit_bytes,
            held_bytes: AtomicUsize::new(0),
            whole: Some(self.clone()),
        }))
    }

    /// Returns whether a holder of so few bytes is not counted.
    #[must_use]
    pub const fn is_uncounted(bytes: usize) -> bool {
        bytes < STEP_BYTES
    }

    /// Creates a reservation that holds nothing yet.
    #[must_use]
    pub fn reservation(&self) -> MemoryReservation {
        MemoryReservation {
            budget: self.clone(),
            held_bytes: 0,
        }
    }

    /// Whether `bytes` could be held if nothing else were held.
    #[must_use]
    pub fn could_hold(&self, bytes: usize) -> bool {
        if in_steps(bytes) > self.0.limit_bytes {
            return false;
        }
        match &self.0.whole {
            Some(whole) => whole.could_hold(bytes),
            None => true,
        }
    }

    /// Returns how many bytes can be held at most.
    #[must_use]
    pub fn limit_bytes(&self) -> usize {
        self.0.limit_bytes
    }

    /// Returns how many bytes are held now, in whole steps of 16 KiB.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.0.held_bytes.load(Ordering::Relaxed)
    }

    fn grow(&self, more: usize) -> Result<(), BudgetSpent> {
        let Shared {
            limit_bytes,
            held_bytes,
            whole,
        } = &*self.0;
        held_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(more).filter(|total| total <= limit_bytes)
            })
            .map_err(|_held| BudgetSpent)?;
        let Some(whole) = whole else {
            return Ok(());
        };
        let grown = whole.grow(more);
        if grown.is_err() {
            held_bytes.fetch_sub(more, Ordering::Relaxed);
        }
        grown
    }

    fn shrink(&self, less: usize) {
        self.0.held_bytes.fetch_sub(less, Ordering::Relaxed);
        if let Some(whole) = &self.0.whole {
            whole.shrink(less);
        }
    }
}

fn in_steps(bytes: usize) -> usize {
    if MemoryBudget::is_uncounted(bytes) {
        return 0;
    }
    bytes
        .checked_next_multiple_of(STEP_BYTES)
        .unwrap_or(usize::MAX)
}

/// What one holder has of a [`MemoryBudget`]. Dropping it gives the bytes back.
#[derive(Debug)]
pub struct MemoryReservation {
    budget: MemoryBudget,
    held_bytes: usize,
}

impl MemoryReservation {
    /// Sets how many bytes this holder holds in all, more or fewer than before.
    ///
    /// # Errors
    /// [`BudgetSpent`] when the budget does not have that many left; the holder still holds what it
    /// held before.
    pub fn hold(&mut self, bytes: usize) -> Result<(), BudgetSpent> {
        let wanted = in_steps(bytes);
        match wanted.checked_sub(self.held_bytes) {
            Some(0) => {}
            Some(more) => self.budget.grow(more)?,
            None => self.budget.shrink(self.held_bytes - wanted),
        }
        self.held_bytes = wanted;
        Ok(())
    }

    /// Returns how many bytes this holder holds, in whole steps of 16 KiB.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Gives all bytes back.
    pub fn release(&mut self) {
        let held = std::mem::take(&mut self.held_bytes);
        if held > 0 {
            self.budget.shrink(held);
        }
    }
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(loom))]
    #[test]
    fn holders_never_exceed_the_limit_and_give_back_on_drop() {
        let budget = MemoryBudget::new(4 * STEP_BYTES);
        let (mut one, mut other) = (budget.reservation(), budget.reservation());

        assert_eq!(one.hold(STEP_BYTES - 1), Ok(()));
        assert_eq!(budget.held_bytes(), 0, "less than a step is not counted");
        assert_eq!(one.hold(STEP_BYTES + 1), Ok(()));
        assert_eq!(budget.held_bytes(), 2 * STEP_BYTES);
        assert_eq!(other.hold(3 * STEP_BYTES), Err(BudgetSpent));
        assert_eq!(
            budget.held_bytes(),
            2 * STEP_BYTES,
            "a refusal holds nothing"
        );
        assert_eq!(other.hold(2 * STEP_BYTES), Ok(()));
        assert_eq!(one.hold(usize::MAX), Err(BudgetSpent));
        assert!(budget.could_hold(4 * STEP_BYTES) && !budget.could_hold(4 * STEP_BYTES + 1));
        assert_eq!(one.hold(0), Ok(()));
        assert_eq!(other.hold(4 * STEP_BYTES), Ok(()));
        drop(other);
        assert_eq!(budget.held_bytes(), 0);
    }

    #[cfg(not(loom))]
    #[test]
    fn a_part_is_limited_by_itself_and_by_the_whole() {
        let whole = MemoryBudget::new(4 * STEP_BYTES);
        let (one, other) = (whole.part(3 * STEP_BYTES), whole.part(3 * STEP_BYTES));
        let (mut first, mut second) = (one.reservation(), other.reservation());

        assert!(one.could_hold(3 * STEP_BYTES) && !one.could_hold(4 * STEP_BYTES));
        assert_eq!(
            first.hold(4 * STEP_BYTES),
            Err(BudgetSpent),
            "more than its part"
        );
        assert_eq!(first.hold(3 * STEP_BYTES), Ok(()));
        assert_eq!(
            second.hold(2 * STEP_BYTES),
            Err(BudgetSpent),
            "more than is left"
        );
        assert_eq!(
            (other.held_bytes(), whole.held_bytes()),
            (0, 3 * STEP_BYTES),
            "a refusal holds nothing"
        );
        assert_eq!(second.hold(STEP_BYTES), Ok(()));
        assert_eq!(first.hold(STEP_BYTES), Ok(()));
        assert_eq!(second.hold(3 * STEP_BYTES), Ok(()));
        drop((first, second));
        assert_eq!(
            [one, other, whole].map(|budget| budget.held_bytes()),
            [0; 3]
        );
    }

    #[cfg(not(loom))]
    #[test]
    fn many_threads_hold_no_more_than_the_limit() {
        let whole = MemoryBudget::new(10 * STEP_BYTES);
        let budget = whole.part(10 * STEP_BYTES);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for round in 0..10_000 {
                        let mut reservation = budget.reservation();
                        let _held_or_not = reservation.hold((round % 5) * STEP_BYTES);
                        assert!(whole.held_bytes() <= 10 * STEP_BYTES);
                    }
                });
            }
        });
        assert_eq!((budget.held_bytes(), whole.held_bytes()), (0, 0));
    }

    /// Two parts compete for a whole that has room for one of them.
    #[cfg(loom)]
    #[test]
    fn two_threads_hold_no_more_than_the_limit() {
        loom::model(|| {
            let whole = MemoryBudget::new(3 * STEP_BYTES);
            let take_two_steps = |budget: MemoryBudget| {
                let held = budget.reservation().hold(2 * STEP_BYTES);
                assert!(budget.held_bytes() <= 2 * STEP_BYTES);
                held
            };
            let other = whole.part(2 * STEP_BYTES);
            let thread = loom::thread::spawn(move || take_two_steps(other));
            let mut here = whole.part(2 * STEP_BYTES).reservation();

            let held_here = here.hold(2 * STEP_BYTES);

            assert!(whole.held_bytes() <= 3 * STEP_BYTES, "over the limit");
            let held_there = thread.join().unwrap();
            assert!(held_here.is_ok() || held_there.is_ok(), "both were refused");
            drop(here);
            assert_eq!(whole.held_bytes(), 0);
        });
    }
}
