//! How many bytes of bodies may be held at once, by all calls together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What is held is counted in steps of this many bytes, so that small bodies cost no counting.
const STEP_BYTES: usize = 16 * 1024;

/// A number of bytes that may be held at once by all who share it; clones share it. A part of a
/// budget is a budget of its own, whose bytes count for both.
///
/// It counts the bodies as they are received. What is made of them (parsed values, the answer for
/// the caller) takes a small multiple of that, and what is below 16 KiB for each holder is not
/// counted.
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
    /// 512 MiB.
    fn default() -> Self {
        Self::new(512 << 20)
    }
}

impl MemoryBudget {
    /// A budget of this many bytes.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self(Arc::new(Shared {
            limit_bytes,
            held_bytes: AtomicUsize::new(0),
            whole: None,
        }))
    }

    /// A part of this budget: those who share it hold at most so many bytes together, and no more
    /// than is left here.
    #[must_use]
    pub fn part(&self, limit_bytes: usize) -> Self {
        let (held_bytes, whole) = (AtomicUsize::new(0), Some(self.clone()));
        Self(Arc::new(Shared {
            limit_bytes,
            held_bytes,
            whole,
        }))
    }

    /// A reservation that holds nothing yet.
    #[must_use]
    pub fn reservation(&self) -> MemoryReservation {
        MemoryReservation {
            budget: self.clone(),
            held_bytes: 0,
        }
    }

    /// Whether so many bytes could be held if nothing else was.
    #[must_use]
    pub fn could_hold(&self, bytes: usize) -> bool {
        let Shared {
            limit_bytes, whole, ..
        } = &*self.0;
        in_steps(bytes) <= *limit_bytes
            && whole.as_ref().is_none_or(|whole| whole.could_hold(bytes))
    }

    /// How many bytes are held now, in whole steps.
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
        let grown = whole.as_ref().map_or(Ok(()), |whole| whole.grow(more));
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
    if bytes < STEP_BYTES {
        0
    } else {
        bytes
            .checked_next_multiple_of(STEP_BYTES)
            .unwrap_or(usize::MAX)
    }
}

/// What one holder has of a [`MemoryBudget`]; given back on drop.
#[derive(Debug)]
pub struct MemoryReservation {
    budget: MemoryBudget,
    held_bytes: usize,
}

impl MemoryReservation {
    /// From now on this holder holds `bytes` in all, more or less than before.
    ///
    /// # Errors
    /// [`BudgetSpent`] when the budget has not that much left; what was held before is still held.
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

    /// How many bytes are held, in whole steps.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// From now on this holder holds nothing.
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

    #[test]
    fn what_is_held_never_exceeds_the_limit_and_is_given_back() {
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

    #[test]
    fn a_part_holds_its_own_and_no_more_than_the_whole_has_left() {
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
}
