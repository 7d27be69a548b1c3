//! Which limit a request violates.

use std::num::NonZeroU32;

use crate::charge::Charge;
use crate::outcome::Refusal;
use crate::policy::Policy;
use crate::standings::Standings;

/// Why a request cannot be admitted.
pub(crate) enum Violation<W> {
    /// Of the limits with too little left, the one with the longest wait.
    Exceeded(ExceededLimit<W>),
    /// The request needs more than this limit ever has.
    TooHeavy { charge: usize, window: W },
}

/// A limit with too little left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ExceededLimit<W> {
    pub(crate) charge: usize,
    pub(crate) window: W,
    pub(crate) limit: NonZeroU32,
    pub(crate) remaining: u32,
    /// The first tick at which it has enough left.
    pub(crate) clears_at: u64,
}

impl<W: Copy> ExceededLimit<W> {
    /// Builds the refusal for this limit.
    #[inline]
    pub(crate) fn refusal<L: Policy<Window = W>, const N: usize>(
        self,
        standings: Standings<N, L>,
    ) -> Refusal<N, L> {
        Refusal::Exceeded {
            charge: self.charge,
            window: self.window,
            limit: self.limit,
            remaining: self.remaining,
            retry_after: L::until(standings.now, self.clears_at),
            standings,
        }
    }
}

/// Returns why counters that count `used` cannot take what the request needs; `None` if they can. Of
/// limits with equal waits, it is the one of the first charge, and of its shortest window.
///
/// `needed` has for each charge what it needs of its counter. `clears_at` takes the index of a
/// charge, an amount and a window, and returns the first tick at which that much of what the counter
/// counts in the window has expired.
pub(crate) fn find_violation<K, L: Policy, const N: usize>(
    charges: &[Charge<K, L>; N],
    needed: &[u64; N],
    used: &[L::Totals; N],
    mut clears_at: impl FnMut(usize, u64, L::Window) -> u64,
) -> Option<Violation<L::Window>> {
    let mut worst: Option<ExceededLimit<L::Window>> = None;
    for (((index, charge), totals), needed) in charges.iter().enumerate().zip(used).zip(needed) {
        for window in charge.limits.windows() {
            let limit = charge.limits.limit(window);
            let used = L::pick(window, *totals);
            let excess = u64::from(used)
                .saturating_add(*needed)
                .saturating_sub(limit.get().into());
            if excess == 0 {
                continue;
            }
            if *needed > u64::from(limit.get()) {
                return Some(Violation::TooHeavy {
                    charge: index,
                    window,
                });
            }
            let tick = clears_at(index, excess, window);
            if worst.as_ref().is_none_or(|worst| tick > worst.clears_at) {
                worst = Some(ExceededLimit {
                    charge: index,
                    window,
                    limit,
                    remaining: limit.get().saturating_sub(used),
                    clears_at: tick,
                });
            }
        }
    }
    worst.map(Violation::Exceeded)
}
