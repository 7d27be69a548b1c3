//! One decision: all counters of a request are locked, moved on to now, checked, and then all
//! charged or none.

use std::array;
use std::hash::Hash;

use crate::answer::{Admitted, CellState, Refusal, Standings};
use crate::cell::Cell;
use crate::limits::{Charge, Window};
use crate::overflow::{Cells, Overflow};
use crate::slots::{Moment, pick};
use crate::table::{Locked, Table};

/// A decision under way: the locks are held, and every counter has been moved on to `now`.
pub(crate) struct Decision<'a, K, const N: usize> {
    table: &'a Table<K>,
    overflow: &'a Overflow,
    charges: &'a [Charge<K>; N],
    now: Moment,
    locked: Locked<'a, K, N>,
    /// What each counter counts in each window.
    used: [[u32; 3]; N],
    /// For keys that are not tracked, where they are counted instead; `None` for those that are.
    newcomers: [Option<Newcomer>; N],
    /// The shared cells, once a newcomer needs them. Locked last.
    shared: Option<Cells<'a>>,
    reserved: usize,
}

/// How a key that is not tracked is counted.
#[derive(Clone, Debug)]
enum Newcomer {
    /// In a cell of its own, which starts like this.
    Own(Cell),
    /// In the shared cell of this class of limits.
    Shared(usize),
}

/// A limit that has not enough left, and the fine slot from which on it would.
pub(crate) struct Obstacle {
    pub(crate) charge: usize,
    pub(crate) window: Window,
    pub(crate) remaining: u32,
    pub(crate) clears: u64,
}

/// Why a request cannot be admitted.
pub(crate) enum Verdict {
    /// Of the limits that have not enough left, the one with the longest wait.
    Exceeded(Obstacle),
    /// More is asked than this limit ever has.
    TooHeavy { charge: usize, window: Window },
}

/// Finds why `asked` of each charge cannot be admitted where the counters count `used`; `frees`
/// tells from which fine slot on that much less of what a charge's counter counts in a window does.
pub(crate) fn verdict<K, const N: usize>(
    charges: &[Charge<K>; N],
    asked: &[u64; N],
    used: &[[u32; 3]; N],
    mut frees: impl FnMut(usize, u64, Window) -> u64,
) -> Option<Verdict> {
    let mut worst: Option<Obstacle> = None;
    for (((index, charge), counted), asked) in charges.iter().enumerate().zip(used).zip(asked) {
        for window in Window::ALL {
            let limit = u64::from(charge.limits.of(window).get());
            let used = pick(*counted, window);
            let excess = u64::from(used).saturating_add(*asked).saturating_sub(limit);
            if excess == 0 {
                continue;
            }
            if *asked > limit {
                return Some(Verdict::TooHeavy {
                    charge: index,
                    window,
                });
            }
            let clears = frees(index, excess, window);
            if worst.as_ref().is_none_or(|worst| clears > worst.clears) {
                let remaining = charge.limits.of(window).get().saturating_sub(used);
                worst = Some(Obstacle {
                    charge: index,
                    window,
                    remaining,
                    clears,
                });
            }
        }
    }
    worst.map(Verdict::Exceeded)
}

/// Takes all locks and the usual decision: every key is tracked and named once, and every limit has
/// room. Whether it was; if not, nothing is charged.
///
/// Charges each counter as soon as it is found to have room, and takes that back if a later one has
/// none. With all locks held until then nobody can tell, and each counter is looked up once.
#[inline]
pub(crate) fn lock_and_charge<K: Eq + Hash, const N: usize>(
    locked: &mut Locked<'_, K, N>,
    charges: &[Charge<K>; N],
    weight: u32,
    now: Moment,
    states: &mut [CellState; N],
) -> bool {
    let (slot, simple) = (now.slot(), !locked.has_twins());
    let charged = locked.lock(charges, states, |cell, limits, state| {
        cell.advance(slot);
        let mut fits = simple;
        // What the cell counts is not read again after the charge: a processor would wait for its
        // own write.
        let mut totals = cell.used();
        for (total, limit) in totals.iter_mut().zip(limits.numbers()) {
            let more = total.checked_add(weight);
            fits &= more.is_some_and(|more| more <= limit);
            *total = more.unwrap_or(u32::MAX);
        }
        if fits {
            cell.add(weight);
            *state = cell.state(totals);
        }
        fits
    });
    if charged < N {
        take_back(locked, charges, weight, charged);
    }
    charged == N
}

/// The usual refusal: every key is tracked and named once, and a limit has not enough left. `None`
/// if it is another case, which [`Decision`] is for; here each counter is looked up once, since
/// refusals come in floods.
pub(crate) fn refuse<K: Eq + Hash, const N: usize>(
    locked: &mut Locked<'_, K, N>,
    charges: &[Charge<K>; N],
    weight: u32,
    now: Moment,
) -> Option<Refusal<N>> {
    if locked.has_twins() {
        return None;
    }
    let (slot, mut used, mut states) = (now.slot(), [[0; 3]; N], [CellState::UNUSED; N]);
    for (((index, charge), used), state) in
        charges.iter().enumerate().zip(&mut used).zip(&mut states)
    {
        let cell = locked.cell(index, &charge.key)?;
        cell.advance(slot);
        *used = cell.used();
        *state = cell.state(*used);
    }
    let frees = |index: usize, excess, window| {
        let cell = charges
            .get(index)
            .and_then(|charge| locked.cell(index, &charge.key));
        cell.map_or(0, |cell| cell.frees(excess, window))
    };
    let Verdict::Exceeded(Obstacle {
        charge,
        window,
        remaining,
        clears,
    }) = verdict(charges, &[u64::from(weight); N], &used, frees)?
    else {
        return None;
    };
    let limit = charges.get(charge)?.limits.of(window);
    let (retry_after, standings) = (now.until(clears), Standings::new(now, charges, states));
    Some(Refusal::Exceeded {
        charge,
        window,
        limit,
        remaining,
        retry_after,
        standings,
    })
}

/// Undoes the charges of the first `charged` turns.
#[cold]
fn take_back<K: Eq + Hash, const N: usize>(
    locked: &mut Locked<'_, K, N>,
    charges: &[Charge<K>; N],
    weight: u32,
    charged: usize,
) {
    for turn in 0..charged {
        let charge = locked
            .visited_at(turn)
            .and_then(|index| Some((index, charges.get(index)?)));
        if let Some(cell) = charge.and_then(|(index, charge)| locked.cell(index, &charge.key)) {
            cell.take_back(weight);
        }
    }
}

impl<'a, K: Clone + Eq + Hash, const N: usize> Decision<'a, K, N> {
    /// A decision on these charges, whose stripes are locked.
    pub(crate) fn new(
        locked: Locked<'a, K, N>,
        table: &'a Table<K>,
        overflow: &'a Overflow,
        charges: &'a [Charge<K>; N],
        now: Moment,
    ) -> Self {
        let newcomers = [const { None }; N];
        Self {
            table,
            overflow,
            charges,
            now,
            locked,
            used: [[0; 3]; N],
            newcomers,
            shared: None,
            reserved: 0,
        }
    }

    /// The general case: new keys, a key named twice, refusals.
    #[cold]
    #[inline(never)]
    pub(crate) fn charge(mut self, weight: u32) -> Result<Admitted<N>, Refusal<N>> {
        if !self.look_up() {
            self.place_newcomers(Table::reserve);
        }
        let answer = match self.refusal(weight) {
            Some(refusal) => Err(refusal),
            None => {
                self.commit(weight);
                let states = self.states();
                Ok(Admitted {
                    standings: self.standings(states),
                })
            }
        };
        if self.reserved > 0 {
            self.table.release(self.reserved);
        }
        answer
    }

    /// Charges without a check. A decision that some counter cannot count is left out.
    pub(crate) fn record(mut self, weight: u32) {
        if !self.look_up() {
            self.place_newcomers(Table::reserve);
        }
        let asked = |index| self.times(index).saturating_mul(u64::from(weight));
        let fits = |(index, [_, _, day]): (usize, &[u32; 3])| {
            u64::from(*day).saturating_add(asked(index)) <= u64::from(u32::MAX)
        };
        if self.used.iter().enumerate().all(fits) {
            self.commit(weight);
        }
        if self.reserved > 0 {
            self.table.release(self.reserved);
        }
    }

    pub(crate) fn peek(mut self) -> Standings<N> {
        if !self.look_up() {
            self.place_newcomers(|table| !table.is_full());
        }
        let states = self.states();
        self.standings(states)
    }

    /// Reads all tracked counters, moved on to now; whether that is all of them.
    fn look_up(&mut self) -> bool {
        let slot = self.now.slot();
        let mut all = true;
        for ((index, charge), used) in self.charges.iter().enumerate().zip(&mut self.used) {
            match self.locked.cell(index, &charge.key) {
                Some(cell) => {
                    cell.advance(slot);
                    *used = cell.used();
                }
                None => all = false,
            }
        }
        all
    }

    /// Finds a place for every key that is not tracked; `has_room` says whether one more can be.
    #[cold]
    fn place_newcomers(&mut self, has_room: fn(&Table<K>) -> bool) {
        for (index, charge) in self.charges.iter().enumerate() {
            if self.locked.cell(index, &charge.key).is_some() {
                continue;
            }
            let twin =
                (0..index).find(|&earlier| self.locked.is_same(earlier, index, self.charges));
            let newcomer = match twin {
                Some(twin) => self.newcomers.get(twin).cloned().flatten(),
                None => Some(self.newcomer(charge, has_room)),
            };
            let used = match &newcomer {
                Some(Newcomer::Own(cell)) => cell.used(),
                Some(Newcomer::Shared(class)) => {
                    self.shared_cell(*class).map_or([0; 3], |cell| cell.used())
                }
                None => [0; 3],
            };
            if let (Some(to), Some(counted)) =
                (self.newcomers.get_mut(index), self.used.get_mut(index))
            {
                (*to, *counted) = (newcomer, used);
            }
        }
    }

    fn newcomer(&mut self, charge: &Charge<K>, has_room: fn(&Table<K>) -> bool) -> Newcomer {
        let slot = self.table.not_before(self.now.slot());
        let room = has_room(self.table);
        if room {
            self.reserved = self.reserved.saturating_add(1);
            if !self.overflow.is_active(slot) {
                return Newcomer::Own(Cell::fresh(slot));
            }
        }
        let class = self.overflow.class(charge.limits);
        let mut shared = self.shared_cell(class);
        if let Some(cell) = &mut shared {
            cell.advance(slot);
        }
        match shared {
            // Some of what the shared cell counts may be this key's.
            Some(cell) if room => Newcomer::Own(cell.inherited()),
            _ => Newcomer::Shared(class),
        }
    }

    fn shared_cell(&mut self, class: usize) -> Option<&mut Cell> {
        self.shared
            .get_or_insert_with(|| self.overflow.lock())
            .get_mut(class)
    }

    /// How many charges up to the one at `index` name its counter; almost always this one alone.
    #[inline]
    fn times(&self, index: usize) -> u64 {
        if !self.locked.has_twins() {
            return 1;
        }
        let twins = (0..index).filter(|&earlier| self.locked.is_same(earlier, index, self.charges));
        u64::try_from(twins.count())
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }

    /// Why `weight` cannot be charged to every counter, if it cannot.
    fn refusal(&mut self, weight: u32) -> Option<Refusal<N>> {
        let mut fits = true;
        for ((index, charge), used) in self.charges.iter().enumerate().zip(&self.used) {
            let asked = self.times(index).saturating_mul(u64::from(weight));
            for (used, limit) in used.iter().zip(charge.limits.numbers()) {
                fits &= u64::from(*used).saturating_add(asked) <= u64::from(limit);
            }
        }
        if fits { None } else { self.explain(weight) }
    }

    /// Says what refuses.
    #[cold]
    fn explain(&mut self, weight: u32) -> Option<Refusal<N>> {
        let asked = array::from_fn(|index| self.times(index).saturating_mul(u64::from(weight)));
        let (charges, used) = (self.charges, self.used);
        let frees = |index, excess, window| {
            self.counter(index)
                .map_or(0, |cell| cell.frees(excess, window))
        };
        match verdict(charges, &asked, &used, frees)? {
            Verdict::TooHeavy { charge, window } => {
                let limit = charges.get(charge)?.limits.of(window);
                Some(Refusal::TooHeavy {
                    charge,
                    window,
                    limit,
                })
            }
            Verdict::Exceeded(Obstacle {
                charge,
                window,
                remaining,
                clears,
            }) => {
                let limit = charges.get(charge)?.limits.of(window);
                let states = self.states();
                let (retry_after, standings) = (self.now.until(clears), self.standings(states));
                Some(Refusal::Exceeded {
                    charge,
                    window,
                    limit,
                    remaining,
                    retry_after,
                    standings,
                })
            }
        }
    }

    /// Charges every counter; all of them have room.
    fn commit(&mut self, weight: u32) {
        for (index, charge) in self.charges.iter().enumerate() {
            match self.locked.cell(index, &charge.key) {
                Some(cell) => cell.add(weight),
                None => self.commit_newcomer(index, charge, weight),
            }
        }
    }

    fn commit_newcomer(&mut self, index: usize, charge: &Charge<K>, weight: u32) {
        match self.newcomers.get(index).cloned().flatten() {
            Some(Newcomer::Own(mut cell)) => {
                cell.add(weight);
                self.locked.insert(index, charge.key.clone(), cell);
                self.reserved = self.reserved.saturating_sub(1);
            }
            Some(Newcomer::Shared(class)) => {
                let adds = self.adds_to_shared(index, class);
                let overflow = self.overflow;
                if let Some(cell) = self.shared_cell(class).filter(|_| adds) {
                    cell.add(weight);
                    overflow.note(cell.last());
                }
            }
            None => {}
        }
    }

    /// Whether the charge at `index` raises its shared cell. Of several keys in one request that
    /// share a cell, the one charged most often does: the cell must count no less than any key in
    /// it, and need not count their sum.
    fn adds_to_shared(&self, index: usize, class: usize) -> bool {
        let same = |earlier: &usize| matches!(self.newcomers.get(*earlier), Some(Some(Newcomer::Shared(other))) if *other == class);
        let before = (0..index)
            .filter(same)
            .map(|earlier| self.times(earlier))
            .max();
        before.is_none_or(|before| self.times(index) > before)
    }

    /// The counter of the charge at `index`, wherever it is.
    fn counter(&mut self, index: usize) -> Option<&mut Cell> {
        let charge = self.charges.get(index)?;
        if let Some(cell) = self.locked.cell(index, &charge.key) {
            return Some(cell);
        }
        match self.newcomers.get_mut(index)?.as_mut()? {
            Newcomer::Own(cell) => Some(cell),
            Newcomer::Shared(class) => self.shared.as_mut()?.get_mut(*class),
        }
    }

    fn states(&mut self) -> [CellState; N] {
        array::from_fn(|index| {
            self.counter(index)
                .map_or(CellState::UNUSED, |cell| cell.state(cell.used()))
        })
    }

    fn standings(&self, states: [CellState; N]) -> Standings<N> {
        Standings::new(self.now, self.charges, states)
    }
}
