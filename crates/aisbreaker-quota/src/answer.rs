//! What the engine answers: the standing of every limit at the moment of the decision, and why it
//! refused.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::limits::{Charge, Limits, Window};
use crate::slots::{self, Moment};

/// One limit at the moment of a decision.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standing {
    /// The window the limit holds for.
    pub window: Window,
    /// How much is admitted per window.
    pub limit: NonZeroU32,
    /// How much may still be charged now; of several limits, the smallest of these counts.
    pub remaining: u32,
    /// Time until the oldest charge that still counts is given back, exact to the nanosecond; zero
    /// if none counts. With nothing remaining, this is the wait for a weight of one.
    pub reset: Duration,
}

/// Every limit of a decision over `N` counters, as it stood right after the decision.
///
/// Figures are worked out when asked for, from a copy of the state taken under the locks of the
/// decision.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standings<const N: usize> {
    pub(crate) now: Moment,
    pub(crate) limits: [Limits; N],
    pub(crate) states: [CellState; N],
}

/// What one cell counts in each window, and enough of its list to tell since when. Copied as it is,
/// so that a decision does not pay for what nobody may ask.
#[derive(Clone, Copy, Debug, Eq)]
pub(crate) struct CellState {
    pub(crate) used: [u32; 3],
    /// The first slot of each part of the list, or the first slots of a short list: those of the
    /// day in `..hours`, of the hour in `hours..minutes`, fine ones from there on.
    pub(crate) slots: [u32; 3],
    pub(crate) hours: u8,
    pub(crate) minutes: u8,
}

impl CellState {
    /// The state of a counter that was never charged.
    pub(crate) const UNUSED: Self = Self {
        used: [0; 3],
        slots: [0; 3],
        hours: 0,
        minutes: 0,
    };

    /// The slot of the oldest charge that `window` counts, in that window's grid; any slot if it
    /// counts none.
    pub(crate) fn oldest(&self, window: Window) -> u32 {
        let first = match window {
            Window::Minute => self.minutes,
            Window::Hour => self.hours,
            Window::Day => 0,
        };
        let slot = self.slots.get(usize::from(first)).map_or(0, |slot| *slot);
        match window {
            Window::Day if first < self.hours => slot,
            Window::Day if first < self.minutes => slots::day_of_hour(slot),
            Window::Hour if first < self.minutes => slot,
            Window::Day | Window::Hour | Window::Minute => slots::coarse(slot, window),
        }
    }
}

/// Equal if they answer alike, however the lists are kept.
impl PartialEq for CellState {
    fn eq(&self, other: &Self) -> bool {
        let counts = |window: &Window| slots::pick(self.used, *window) > 0;
        let alike = |window| self.oldest(window) == other.oldest(window);
        self.used == other.used && Window::ALL.into_iter().filter(counts).all(alike)
    }
}

impl<const N: usize> Standings<N> {
    #[inline]
    pub(crate) fn new<K>(now: Moment, charges: &[Charge<K>; N], states: [CellState; N]) -> Self {
        Self {
            now,
            limits: charges.each_ref().map(|charge| charge.limits),
            states,
        }
    }

    /// The limit of `window` in the charge at index `charge`, in the order they were given; `None`
    /// past the end.
    #[must_use]
    pub fn of(&self, charge: usize, window: Window) -> Option<Standing> {
        let limit = self.limits.get(charge)?.of(window);
        let state = self.states.get(charge)?;
        let used = slots::pick(state.used, window);
        let reset = match used {
            0 => Duration::ZERO,
            _ => self.now.until(slots::expiry(state.oldest(window), window)),
        };
        Some(Standing {
            window,
            limit,
            remaining: limit.get().saturating_sub(used),
            reset,
        })
    }

    /// The three limits of the charge at index `charge`, shortest window first; nothing past the
    /// end.
    pub fn of_charge(&self, charge: usize) -> impl Iterator<Item = Standing> + '_ {
        Window::ALL
            .into_iter()
            .filter_map(move |window| self.of(charge, window))
    }

    /// Every limit with the index of its charge, in the order of the charges, shortest window
    /// first.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Standing)> + '_ {
        (0..N).flat_map(move |charge| {
            self.of_charge(charge)
                .map(move |standing| (charge, standing))
        })
    }

    /// The limit with the least remaining, and of equals the one that gives back last; `None` only
    /// without charges.
    #[must_use]
    pub fn tightest(&self) -> Option<(usize, Standing)> {
        self.iter()
            .min_by_key(|(_, standing)| (standing.remaining, std::cmp::Reverse(standing.reset)))
    }
}

/// Proof that a request was charged to all `N` counters, with their standings after the charge.
///
/// Only [`Engine::charge`](crate::Engine::charge) makes one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Admitted<const N: usize> {
    pub(crate) standings: Standings<N>,
}

impl<const N: usize> Admitted<N> {
    /// The limits right after the charge.
    #[must_use]
    pub const fn standings(&self) -> &Standings<N> {
        &self.standings
    }
}

/// Why [`Engine::charge`](crate::Engine::charge) refused; nothing was charged.
#[expect(
    clippy::exhaustive_enums,
    reason = "the server answers every variant, so a new one is a breaking change"
)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal<const N: usize> {
    /// At least one limit has not enough left now; told is the one with the longest wait.
    #[error("limit of {limit} per {} exceeded, admitted again in {retry_after:?}", .window.name())]
    Exceeded {
        /// Index of the charge whose limit refused, in the order they were given.
        charge: usize,
        /// The window of that limit.
        window: Window,
        /// The limit.
        limit: NonZeroU32,
        /// How much of it is left: less than the weight.
        remaining: u32,
        /// Time until the same request would be admitted by all limits if nothing else is charged:
        /// refused at any moment before, admitted from that moment on.
        retry_after: Duration,
        /// Every limit of the request as it stands.
        standings: Standings<N>,
    },
    /// The weight is above a limit, so that this request can never be admitted; told is the first
    /// such limit.
    #[error("weight is above the limit of {limit} per {}", .window.name())]
    TooHeavy {
        /// Index of the charge, in the order they were given.
        charge: usize,
        /// The window of the limit.
        window: Window,
        /// The limit.
        limit: NonZeroU32,
    },
}
