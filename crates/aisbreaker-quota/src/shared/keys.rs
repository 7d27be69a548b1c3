//! The names of a decision's counters in the store.

use std::{fmt::Display, num::NonZeroU32};

use crate::{charge::Charge, outcome::Refusal, window::Window};

/// The counters of a decision by their names in the store. A counter that several charges name is
/// listed once.
#[derive(Debug)]
pub(super) struct CounterKeys<const N: usize> {
    pub(super) names: Vec<String>,
    /// For each charge, the index of its counter in `names`.
    pub(super) positions: [usize; N],
}

impl<const N: usize> CounterKeys<N> {
    pub(super) fn new<K: Display>(prefix: &str, charges: &[Charge<K>; N]) -> Self {
        let mut names = Vec::with_capacity(N);
        let positions = charges.each_ref().map(|charge| {
            let kind = if charge.shared { "all" } else { "own" };
            let name = format!("{{{prefix}}}:{kind}:{}", charge.key);
            match names.iter().position(|known| *known == name) {
                Some(position) => position,
                None => {
                    names.push(name);
                    names.len().saturating_sub(1)
                }
            }
        });
        Self { names, positions }
    }

    /// Returns for each charge what it needs of its counter, together with earlier charges to the
    /// same counter.
    ///
    /// # Errors
    /// [`Refusal::TooHeavy`] if a limit never has that much. As in memory, a weight that is above a
    /// limit by itself is reported first.
    pub(super) fn needed<K>(
        &self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
    ) -> Result<[u32; N], Refusal<N>> {
        let weight = weight.get();
        check_possible(charges, [u64::from(weight); N])?;
        let mut per_name = vec![0_u64; self.names.len()];
        let mut needed = [0; N];
        for (needed, position) in needed.iter_mut().zip(self.positions) {
            if let Some(total) = per_name.get_mut(position) {
                *total = total.saturating_add(u64::from(weight));
                *needed = *total;
            }
        }
        check_possible(charges, needed)?;
        Ok(needed.map(|needed| u32::try_from(needed).unwrap_or(u32::MAX)))
    }

    /// Returns for each charge the entry of its counter; `None` if that is missing.
    pub(super) fn per_charge<T: Copy>(&self, per_name: &[T]) -> Option<[T; N]> {
        let mut per_charge = Vec::with_capacity(N);
        for position in self.positions {
            per_charge.push(*per_name.get(position)?);
        }
        per_charge.try_into().ok()
    }
}

/// Checks that no charge needs more than a limit ever has.
fn check_possible<K, const N: usize>(
    charges: &[Charge<K>; N],
    needed: [u64; N],
) -> Result<(), Refusal<N>> {
    for ((index, charge), needed) in charges.iter().enumerate().zip(needed) {
        for window in Window::ALL {
            let limit = charge.limits.of(window);
            if needed > u64::from(limit.get()) {
                return Err(Refusal::TooHeavy {
                    charge: index,
                    window,
                    limit,
                });
            }
        }
    }
    Ok(())
}
