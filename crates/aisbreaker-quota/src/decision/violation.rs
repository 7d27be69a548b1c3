//! Which limit a request violates.

use crate::charge::Charge;
use crate::outcome::Refusal;
use crate::standings::Standings;
use crate::window::Window;

/// Why a request cannot be admitted.
pub(crate) enum Violation {
    /// Of the limits with too little left, the one with the longest wait.
    Exceeded(ExceededLimit),
    /// The request needs more than this limit ever has.
    TooHeavy { charge: usize, window: Window },
}

/// A limit with too little left.
pub(crate) struct ExceededLimit {
    pub(crate) charge: usize,
    pub(crate) window: Window,
    pub(crate) remaining: u32,
    /// The first fine slot in which it has enough left.
    pub(crate) clears_at: u64,
}

impl ExceededLimit {
    /// Builds the refusal for this limit.
    pub(crate) fn refusal<K, const N: usize>(
        self,
        charges: &[Charge<K>; N],
        standings: Standings<N>,
    ) -> Option<Refusal<N>> {
        let limit = charges.get(self.charge)?.limits.of(self.window);
        Some(Refusal::Exceeded {
            charge: self.charge,
            window: self.window,
            limit,
            remaining: self.remaining,
            retry_after: standings.now.until(self.clears_at),
            standings,
        })
    }
}

/// Returns why counters that count `used` cannot take what the request needs; `None` if they can.
///
/// `needed` has for each charge what it needs of its counter. `clears_at` takes the index of a
/// charge, an amount and a window, and returns the first fine slot in which that much of what the
/// counter counts in the window has expired.
pub(crate) fn find_violation<K, const N: usize>(
    charges: &[Charge<K>; N],
    needed: &[u64; N],
    used: &[[u32; 3]; N],
    mut clears_at: impl FnMut(usize, u64, Window) -> u64,
) -> Option<Violation> {
    let mut worst: Option<ExceededLimit> = None;
    for (((index, charge), totals), needed) in charges.iter().enumerate().zip(used).zip(needed) {
        for window in Window::ALL {
            let limit = u64::from(charge.limits.of(window).get());
            let used = window.pick(*totals);
            let excess = u64::from(used)
                .saturating_add(*needed)
                .saturating_sub(limit);
            if excess == 0 {
                continue;
            }
            if *needed > limit {
                return Some(Violation::TooHeavy {
                    charge: index,
                    window,
                });
            }
            let slot = clears_at(index, excess, window);
            if worst.as_ref().is_none_or(|worst| slot > worst.clears_at) {
                let remaining = charge.limits.of(window).get().saturating_sub(used);
                worst = Some(ExceededLimit {
                    charge: index,
                    window,
                    remaining,
                    clears_at: slot,
                });
            }
        }
    }
    worst.map(Violation::Exceeded)
}
