//! The two common outcomes of a decision, for tracked keys that are each named once: everything
//! admitted, or a limit exceeded. Both look up each counter once.

use std::hash::Hash;

use super::violation::ExceededLimit;
use crate::charge::Charge;
use crate::outcome::Refusal;
use crate::policy::{CounterCell, Policy};
use crate::slots::Moment;
use crate::standings::Standings;
use crate::table::Locked;

/// Takes all locks, and charges every counter if each key is tracked and named once and every limit
/// has room. Returns whether it charged; if not, nothing is charged.
///
/// Each counter is charged as soon as it is found to have room, and the charge is undone if a later
/// counter has none. No other thread can observe that, since all locks are held by then.
#[inline]
pub(crate) fn lock_and_charge<K: Eq + Hash, L: Policy, const N: usize>(
    locked: &mut Locked<'_, K, L, N>,
    charges: &[Charge<K, L>; N],
    weight: u32,
    now: Moment,
    states: &mut [L::State; N],
) -> bool {
    let (tick, simple) = (L::tick(now), !locked.may_have_duplicates());
    let charged = locked.lock(charges, states, |cell, limits, state| {
        cell.advance(tick);
        let mut fits = simple;
        // The totals are not read back after the charge, since the processor would have to wait for
        // its own write.
        let mut totals = cell.used();
        for (total, limit) in totals.as_mut().iter_mut().zip(limits.numbers().as_ref()) {
            let more = total.checked_add(weight);
            fits &= more.is_some_and(|more| more <= *limit);
            *total = more.unwrap_or(u32::MAX);
        }
        if fits {
            cell.add(weight);
            *state = cell.state(totals);
        }
        fits
    });
    if charged < N {
        undo_charges(locked, charges, weight, charged);
    }
    charged == N
}

/// Refuses a request because a limit has too little left. Returns `None` unless that is so, and
/// each key is tracked and named once. The caller has checked that no limit is below `weight`.
pub(crate) fn refuse_tracked<K: Eq + Hash, L: Policy, const N: usize>(
    locked: &mut Locked<'_, K, L, N>,
    charges: &[Charge<K, L>; N],
    weight: u32,
    now: Moment,
) -> Option<Refusal<N, L>> {
    if locked.may_have_duplicates() {
        return None;
    }
    let (tick, mut worst, mut states) = (L::tick(now), None, [L::UNUSED; N]);
    for ((index, charge), state) in charges.iter().enumerate().zip(&mut states) {
        let cell = locked.cell(index, charge)?;
        cell.advance(tick);
        let used = cell.used();
        *state = cell.state(used);
        worst = worst_exceeded(worst, (index, charge), cell, used, weight);
    }
    Some(worst?.refusal(Standings::new(now, charges, states)))
}

/// Returns the worse of `worst` and what `charge` at `index` exceeds of its counter: the limit
/// with the longest wait, as [`find_violation`](super::find_violation) does.
///
/// The windows are gone through from the longest, which has the longest wait as a rule, so that the
/// others need only a look at the latest that they may clear.
#[inline]
fn worst_exceeded<K, L: Policy>(
    mut worst: Option<ExceededLimit<L::Window>>,
    (index, charge): (usize, &Charge<K, L>),
    cell: &L::Cell,
    used: L::Totals,
    weight: u32,
) -> Option<ExceededLimit<L::Window>> {
    for window in charge.limits.windows().rev() {
        let (limit, used) = (charge.limits.limit(window), L::pick(window, used));
        let needed = u64::from(used).saturating_add(u64::from(weight));
        let excess = needed.saturating_sub(limit.get().into());
        // Of equal waits, the first charge counts, and of its windows the shortest.
        let is_worse = |tick: u64| {
            worst.is_none_or(|worst| {
                tick > worst.clears_at || (tick == worst.clears_at && index <= worst.charge)
            })
        };
        if excess == 0 || !is_worse(cell.clears_by(window)) {
            continue;
        }
        let clears_at = cell.clears_at(excess, window);
        if is_worse(clears_at) {
            worst = Some(ExceededLimit {
                charge: index,
                window,
                limit,
                remaining: limit.get().saturating_sub(used),
                clears_at,
            });
        }
    }
    worst
}

/// Undoes the charges of the first `charged` visits.
#[cold]
fn undo_charges<K: Eq + Hash, L: Policy, const N: usize>(
    locked: &mut Locked<'_, K, L, N>,
    charges: &[Charge<K, L>; N],
    weight: u32,
    charged: usize,
) {
    for nth in 0..charged {
        let Some(index) = locked.nth_visited(nth) else {
            continue;
        };
        let Some(charge) = charges.get(index) else {
            continue;
        };
        if let Some(cell) = locked.cell(index, charge) {
            cell.undo_add(weight);
        }
    }
}

#[cfg(test)]
mod tests;
