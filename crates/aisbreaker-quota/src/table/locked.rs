//! The locks of one decision.

use std::hash::{BuildHasher, Hash};

use super::{Guard, Keys, Location, Table};
use crate::charge::Charge;
use crate::policy::{CounterCell, Policy};

/// The locations of a decision's counters, and the guards of their stripes once
/// [`lock`](Self::lock) has taken them.
pub(crate) struct Locked<'a, K, L: Policy, const N: usize> {
    table: &'a Table<K, L>,
    locations: [Location; N],
    /// The stripes of the locations in lock order, see [`in_lock_order`].
    order: [u64; N],
    /// The guards in lock order; `None` where the stripe is the same as the one before.
    guards: [Option<Guard<'a, K, L>>; N],
}

impl<'a, K: Eq + Hash, L: Policy, const N: usize> Locked<'a, K, L, N> {
    #[inline]
    pub(super) fn new(table: &'a Table<K, L>, locations: [Location; N]) -> Self {
        let order = in_lock_order(&locations);
        Self {
            table,
            locations,
            order,
            guards: [const { None }; N],
        }
    }

    /// Locks the stripes of all locations in order, waiting for each in turn.
    ///
    /// As soon as a stripe is locked, its cells are visited, each with its entry of `results`,
    /// until a key turns out not to be tracked or `visit` returns `false`. Returns how many visits
    /// succeeded, in lock order.
    #[inline]
    pub(crate) fn lock<T>(
        &mut self,
        charges: &[Charge<K, L>; N],
        results: &mut [T; N],
        mut visit: impl FnMut(&mut L::Cell, &L, &mut T) -> bool,
    ) -> usize {
        let (mut visited, mut going) = (0_usize, true);
        let mut latest: Option<(u64, &mut Guard<'_, K, L>)> = None;
        for (held, entry) in self.guards.iter_mut().zip(&self.order) {
            let (stripe, index) = unpack(*entry);
            if latest.as_ref().is_none_or(|(locked, _)| *locked != stripe) {
                latest = match self.table.lock_stripe(stripe) {
                    Some(guard) => Some((stripe, held.insert(guard))),
                    None => None,
                };
            }
            if !going {
                continue;
            }
            let (Some(charge), Some(location), Some(result), Some((_, tables))) = (
                charges.get(index),
                self.locations.get(index),
                results.get_mut(index),
                latest.as_mut(),
            ) else {
                return visited;
            };
            let found = match tables.get_mut(location.table()) {
                Some(keys) => keys.find_mut(location.hash, |entry| is_counter_of(entry, charge)),
                None => None,
            };
            going = match found {
                Some((_, cell)) => visit(cell, &charge.limits, result),
                None => false,
            };
            visited = visited.wrapping_add(usize::from(going));
        }
        visited
    }

    /// Returns the index of the charge that [`lock`](Self::lock) visited as the `nth`.
    pub(crate) fn nth_visited(&self, nth: usize) -> Option<usize> {
        let (_, index) = unpack(*self.order.get(nth)?);
        Some(index)
    }

    /// Reports whether two charges may name the same counter. If not, certainly none do.
    #[inline]
    pub(crate) fn may_have_duplicates(&self) -> bool {
        let mut found = false;
        for (index, location) in self.locations.iter().enumerate() {
            found |= self
                .locations
                .iter()
                .skip(index.wrapping_add(1))
                .any(|other| other.hash == location.hash);
        }
        found
    }

    /// Reports whether two charges name the same counter.
    pub(crate) fn is_same(&self, one: usize, other: usize, charges: &[Charge<K, L>; N]) -> bool {
        self.locations.get(one) == self.locations.get(other)
            && charges.get(one).map(Charge::key) == charges.get(other).map(Charge::key)
            && charges.get(one).map(|charge| charge.limits.grid())
                == charges.get(other).map(|charge| charge.limits.grid())
    }

    /// Returns the cell of the charge at `index` if its key is tracked.
    pub(crate) fn cell(&mut self, index: usize, charge: &Charge<K, L>) -> Option<&mut L::Cell> {
        let hash = self.locations.get(index)?.hash;
        let (_, cell) = self
            .keys(index)?
            .find_mut(hash, |entry| is_counter_of(entry, charge))?;
        Some(cell)
    }

    /// Inserts `cell` under the key of the charge at `index`, which is not tracked but has room
    /// reserved.
    pub(crate) fn insert(&mut self, index: usize, key: K, cell: L::Cell) {
        let hasher = &self.table.hasher;
        let Some(&Location { hash, .. }) = self.locations.get(index) else {
            return;
        };
        if let Some(keys) = self.keys(index) {
            keys.insert_unique(hash, (key, cell), |(key, cell)| {
                hasher.hash_one((key, cell.grid()))
            });
        }
    }

    /// Returns the table of the charge at `index`. The first entry of its stripe has the guard.
    fn keys(&mut self, index: usize) -> Option<&mut Keys<K, L>> {
        let location = self.locations.get(index)?;
        let first = self
            .order
            .iter()
            .position(|entry| unpack(*entry).0 == location.stripe())?;
        let tables = self.guards.get_mut(first)?.as_mut()?;
        tables.get_mut(location.table())
    }
}

/// Unlocks in reverse order. A waiting thread waits at the first lock that both need, and then
/// finds the others free.
impl<K, L: Policy, const N: usize> Drop for Locked<'_, K, L, N> {
    #[inline]
    fn drop(&mut self) {
        for guard in self.guards.iter_mut().rev() {
            drop(guard.take());
        }
    }
}

/// Reports whether an entry is the counter of a charge.
#[inline]
fn is_counter_of<K: Eq, L: Policy>((key, cell): &(K, L::Cell), charge: &Charge<K, L>) -> bool {
    *key == charge.key && cell.grid() == charge.limits.grid()
}

/// Sorts the locations by stripe. An entry has the stripe in its upper half and the index of the
/// location in its lower half.
///
/// This is an insertion sort, since entries are few and mostly in order.
#[inline]
fn in_lock_order<const N: usize>(locations: &[Location; N]) -> [u64; N] {
    let mut order = [0; N];
    for ((entry, location), index) in order.iter_mut().zip(locations).zip(0_u64..) {
        *entry = (location.stripe() << 32) | index;
    }
    for end in 1..N {
        for at in (1..=end).rev() {
            let pair = order
                .get_mut(at.wrapping_sub(1)..)
                .and_then(|rest| rest.first_chunk_mut());
            match pair {
                Some([before, here]) if *before > *here => std::mem::swap(before, here),
                _ => break,
            }
        }
    }
    order
}

/// Splits an entry of the lock order into the stripe and the index of the location.
#[inline]
fn unpack(entry: u64) -> (u64, usize) {
    (
        entry >> 32,
        usize::try_from(entry & 0xFFFF_FFFF).unwrap_or(usize::MAX),
    )
}
