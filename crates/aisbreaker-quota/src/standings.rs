//! How much of each limit is used and left at the moment of a decision.

use std::cmp::Reverse;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::charge::Charge;
use crate::limits::Limits;
use crate::policy::Policy;
use crate::rate::Rate;
use crate::slots::{self, Moment};
use crate::window::Window;

/// One limit at the moment of a decision.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standing<W = Window> {
    /// The window of the limit: a [`Window`] of [`Limits`], or the length of that of a [`Rate`].
    pub window: W,
    /// How much is admitted per window.
    pub limit: NonZeroU32,
    /// How much this limit still admits now. A request also needs room in its other limits.
    pub remaining: u32,
    /// Time until the oldest counted charge leaves the window, exact to the nanosecond; zero if
    /// nothing is counted. With nothing remaining, this is the wait for a weight of one.
    pub reset: Duration,
}

/// Every limit of a decision over `N` counters, as it stood right after the decision.
///
/// The figures are computed on access, from a copy of the counters' state that the decision took
/// under its locks.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use aisbreaker_quota::{Charge, Engine, Limits, Window};
///
/// let now = Instant::now();
/// let engine = Engine::new(now, 1_000);
/// let charges = [
///     Charge::new("ada", Limits::per_minute(60)),
///     Charge::shared("everybody", Limits::per_minute(20)),
/// ];
/// engine.charge_one(&charges, now)?;
///
/// let standings = engine.peek(&charges, now);
/// // The limit that is reached first, and the charge that it belongs to.
/// let (charge, tightest) = standings.tightest().ok_or("there are two charges")?;
/// assert_eq!((charge, tightest.window, tightest.remaining), (1, Window::Minute, 19));
/// assert_eq!(tightest.reset, Duration::from_millis(60_600));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standings<const N: usize, L: Policy = Limits> {
    pub(crate) now: Moment,
    pub(crate) limits: [L; N],
    pub(crate) states: [L::State; N],
}

impl<const N: usize> Standings<N> {
    /// Returns the limit for `window` of the charge at index `charge`, in the order they were
    /// given; `None` past the end.
    #[must_use]
    pub fn of(&self, charge: usize, window: Window) -> Option<Standing> {
        self.standing(charge, window)
    }
}

impl<const N: usize> Standings<N, Rate> {
    /// Returns the rate of the charge at index `charge`, in the order they were given; `None` past
    /// the end.
    #[must_use]
    pub fn of(&self, charge: usize) -> Option<Standing<Duration>> {
        self.of_charge(charge).next()
    }
}

impl<const N: usize, L: Policy> Standings<N, L> {
    #[inline]
    pub(crate) fn new<K>(now: Moment, charges: &[Charge<K, L>; N], states: [L::State; N]) -> Self {
        Self {
            now,
            limits: charges.each_ref().map(|charge| charge.limits),
            states,
        }
    }

    /// Iterates over the limits of the charge at index `charge`, shortest window first; empty past
    /// the end. [`Limits`] have three, a [`Rate`] is one.
    pub fn of_charge(&self, charge: usize) -> impl Iterator<Item = Standing<L::Window>> + '_ {
        let windows = self.limits.get(charge).map(L::windows);
        windows
            .into_iter()
            .flatten()
            .filter_map(move |window| self.standing(charge, window))
    }

    /// Iterates over every limit with the index of its charge, in the order of the charges,
    /// shortest window first.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Standing<L::Window>)> + '_ {
        (0..N).flat_map(move |charge| {
            self.of_charge(charge)
                .map(move |standing| (charge, standing))
        })
    }

    /// Returns the limit with the least remaining and the index of its charge; `None` only without
    /// charges.
    ///
    /// On a tie, this is the one that resets last, since it decides the wait.
    #[must_use]
    pub fn tightest(&self) -> Option<(usize, Standing<L::Window>)> {
        self.iter()
            .min_by_key(|(_, standing)| (standing.remaining, Reverse(standing.reset)))
    }

    fn standing(&self, charge: usize, window: L::Window) -> Option<Standing<L::Window>> {
        let (limits, state) = (self.limits.get(charge)?, self.states.get(charge)?);
        Some(limits.standing(window, state, self.now))
    }
}

/// A cell's totals, and enough of its list to find the oldest charge in each window.
///
/// A decision copies it as it is and computes nothing from it, since most callers never look.
#[derive(Clone, Copy, Debug, Eq)]
pub(crate) struct CellState {
    /// What the cell counts in each window.
    pub(crate) used: [u32; 3],
    /// The first slot of each part of the list, or all slots of a short list: day slots in
    /// `..hours_start`, hour slots in `hours_start..minutes_start`, then fine slots.
    pub(crate) slots: [u32; 3],
    pub(crate) hours_start: u8,
    pub(crate) minutes_start: u8,
}

impl CellState {
    /// The state of a counter that was never charged.
    pub(crate) const UNUSED: Self = Self {
        used: [0; 3],
        slots: [0; 3],
        hours_start: 0,
        minutes_start: 0,
    };

    /// Returns the slot of the oldest charge that counts in `window`, in that window's grid; any
    /// slot if none counts.
    pub(crate) fn oldest(&self, window: Window) -> u32 {
        let first = match window {
            Window::Minute => self.minutes_start,
            Window::Hour => self.hours_start,
            Window::Day => 0,
        };
        let slot = self.slots.get(usize::from(first)).map_or(0, |slot| *slot);
        match window {
            Window::Day if first < self.hours_start => slot,
            Window::Day if first < self.minutes_start => slots::day_of_hour(slot),
            Window::Hour if first < self.minutes_start => slot,
            Window::Day | Window::Hour | Window::Minute => slots::coarse(slot, window),
        }
    }
}

/// Two states are equal if they yield the same standings, whatever their lists look like.
impl PartialEq for CellState {
    fn eq(&self, other: &Self) -> bool {
        let counts = |window: &Window| window.pick(self.used) > 0;
        let same_oldest = |window| self.oldest(window) == other.oldest(window);
        self.used == other.used && Window::ALL.into_iter().filter(counts).all(same_oldest)
    }
}
