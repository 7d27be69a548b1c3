//! How many bytes of bodies may be held at once, by all calls together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What is held is counted in steps of this many bytes, so that small bodies cost no counting.
const STEP_BYTES: usize = 16 * 1024;

/// A number of bytes that may be held at once by all who share it; clones share it.
///
/// It counts the bodies as they are received. What is made of them (parsed values, the answer for the caller) takes a
/// small multiple of that, and what is below 16 KiB for each holder is not counted.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit_bytes: usize,
    held_bytes: AtomicUsize,
}

/// The budget is spent; nothing more was reserved.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too much data is held for other requests")]
#[non_exhaustive]
pub struct BudgetSpent;

impl Budget {
    /// A budget of this many bytes.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self(Arc::new(Shared { limit_bytes, held_bytes: AtomicUsize::new(0) }))
    }

    /// A reservation that holds nothing yet.
    #[must_use]
    pub fn reservation(&self) -> Reservation {
        Reservation { budget: self.clone(), held_bytes: 0 }
    }

    /// How many bytes may be held at once.
    #[must_use]
    pub fn limit_bytes(&self) -> usize {
        self.0.limit_bytes
    }

    /// How many bytes are held now, in whole steps.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.0.held_bytes.load(Ordering::Relaxed)
    }
}

/// What one holder has of a [`Budget`]; given back on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    held_bytes: usize,
}

impl Reservation {
    /// From now on this holder holds `bytes` in all, more or less than before.
    ///
    /// # Errors
    /// [`BudgetSpent`] when the budget has not that much left; what was held before is still held.
    pub fn hold(&mut self, bytes: usize) -> Result<(), BudgetSpent> {
        let wanted = if bytes < STEP_BYTES {
            0
        } else {
            bytes.checked_next_multiple_of(STEP_BYTES).unwrap_or(usize::MAX)
        };
        let Shared { limit_bytes, held_bytes } = &*self.budget.0;
        if let Some(more) = wanted.checked_sub(self.held_bytes).filter(|more| *more > 0) {
            held_bytes
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                    held.checked_add(more).filter(|total| total <= limit_bytes)
                })
                .map_err(|_held| BudgetSpent)?;
        } else if wanted < self.held_bytes {
            held_bytes.fetch_sub(self.held_bytes - wanted, Ordering::Relaxed);
        }
        self.held_bytes = wanted;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.held_bytes > 0 {
            self.budget.0.held_bytes.fetch_sub(self.held_bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_never_exceeds_the_limit_and_is_given_back() {
        let budget = Budget::new(4 * STEP_BYTES);
        let (mut one, mut other) = (budget.reservation(), budget.reservation());

        assert_eq!(one.hold(STEP_BYTES - 1), Ok(()));
        assert_eq!(budget.held_bytes(), 0, "less than a step is not counted");
        assert_eq!(one.hold(STEP_BYTES + 1), Ok(()));
        assert_eq!(budget.held_bytes(), 2 * STEP_BYTES);
        assert_eq!(other.hold(3 * STEP_BYTES), Err(BudgetSpent));
        assert_eq!(budget.held_bytes(), 2 * STEP_BYTES, "a refusal holds nothing");
        assert_eq!(other.hold(2 * STEP_BYTES), Ok(()));
        assert_eq!(one.hold(usize::MAX), Err(BudgetSpent));
        assert_eq!(one.hold(0), Ok(()));
        assert_eq!(other.hold(4 * STEP_BYTES), Ok(()));
        drop(other);
        assert_eq!(budget.held_bytes(), 0);
    }

    #[test]
    fn many_threads_hold_no_more_than_the_limit() {
        let budget = Budget::new(10 * STEP_BYTES);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for round in 0..10_000 {
                        let mut reservation = budget.reservation();
                        let _held_or_not = reservation.hold((round % 5) * STEP_BYTES);
                        assert!(budget.held_bytes() <= 10 * STEP_BYTES);
                    }
                });
            }
        });
        assert_eq!(budget.held_bytes(), 0);
    }
}
