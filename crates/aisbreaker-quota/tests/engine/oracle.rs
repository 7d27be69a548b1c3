//! The oracle of the property tests: a log of everything that was admitted.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use aisbreaker_quota::{Charge, Limits, Policy, Rate, Window};

/// A kind of limits as the oracle sees it. A slot of every window is a whole number of units, and
/// all times are numbers of units.
pub(crate) trait Kind: Policy {
    /// The unit of time.
    const UNIT: Duration;

    /// Returns each window with its length and its limit.
    fn windows(&self) -> Vec<(Self::Window, u64, u32)>;

    /// Returns the charge to the counter with this index. The first one is a shared counter.
    fn charge(self, index: usize) -> Charge<usize, Self>;

    /// Reports whether a counter of these limits that was last used at `seen` is idle: its longest
    /// window began more than a hundred slots later.
    fn is_idle(&self, seen: u64, now: u64) -> bool {
        let longest = self
            .windows()
            .into_iter()
            .map(|(_, length, _)| length)
            .max();
        let slot = longest.unwrap() / 100;
        (now / slot).saturating_sub(seen / slot) > 100
    }

    /// Reports whether no overflow counter counts anything, if the last charge was at `charged`.
    fn is_overflow_idle(charged: u64, now: u64) -> bool;
}

impl Kind for Limits {
    const UNIT: Duration = Duration::from_millis(1);

    fn windows(&self) -> Vec<(Window, u64, u32)> {
        let one = |window| (window, millis(window), self.of(window).get());
        Window::ALL.map(one).to_vec()
    }

    fn charge(self, index: usize) -> Charge<usize> {
        match index {
            0 => Charge::shared(index, self),
            _ => Charge::new(index, self),
        }
    }

    fn is_overflow_idle(charged: u64, now: u64) -> bool {
        (now / 864_000).saturating_sub(charged / 864_000) > 100
    }
}

/// Each key has two counters: of a window with an even number of milliseconds, and an odd one.
impl Kind for Rate {
    const UNIT: Duration = Duration::from_micros(10);

    fn windows(&self) -> Vec<(Duration, u64, u32)> {
        let millis = u64::try_from(self.window().as_millis()).unwrap();
        vec![(self.window(), millis * 100, self.limit().get())]
    }

    fn charge(self, index: usize) -> Charge<usize, Self> {
        match index {
            0 => Charge::shared(0, self),
            _ => Charge::new(index / 2, self),
        }
    }

    fn is_overflow_idle(charged: u64, now: u64) -> bool {
        now.saturating_sub(charged) > 30 * 86_400 * 1_000 * 101
    }
}

/// The limits of a counter, and every admission as `(time, weight)`.
#[derive(Clone, Debug)]
pub(crate) struct Log<L = Limits> {
    pub(crate) limits: L,
    pub(crate) admitted: Vec<(u64, u32)>,
    /// The latest time that the counter of this key has seen.
    pub(crate) seen: u64,
    /// Whether the key has a counter of its own.
    pub(crate) tracked: bool,
}

impl<L: Kind> Log<L> {
    pub(crate) fn new(limits: L) -> Self {
        Self {
            limits,
            admitted: Vec::new(),
            seen: 0,
            tracked: false,
        }
    }

    /// Reports whether every closed interval that ends now and is as long as a window has at most
    /// its limit.
    pub(crate) fn is_within_limits(&self, now: u64) -> bool {
        self.limits.windows().into_iter().all(|(_, length, limit)| {
            let load = self.load(|at| at + length >= now);
            load <= u64::from(limit)
        })
    }

    /// Reports whether every limit would admit `weight` even if charges counted for one slot longer
    /// than the window.
    pub(crate) fn fits_slotted(&self, weight: u64, now: u64) -> bool {
        self.limits.windows().into_iter().all(|(_, length, limit)| {
            let load = self.load(|at| at + length / 100 * 101 > now);
            load + weight <= u64::from(limit)
        })
    }

    fn load(&self, counts: impl Fn(u64) -> bool) -> u64 {
        self.admitted
            .iter()
            .filter(|(at, _)| counts(*at))
            .map(|(_, weight)| u64::from(*weight))
            .sum()
    }
}

pub(crate) fn millis(window: Window) -> u64 {
    u64::try_from(window.length().as_millis()).unwrap()
}

pub(crate) fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

pub(crate) fn limits(minute: u32, hour: u32, day: u32) -> Limits {
    Limits::new(minute, hour, day)
}

/// Returns the time of this many units.
pub(crate) fn elapsed<L: Kind>(units: u64) -> Duration {
    Duration::from_nanos(u64::try_from(L::UNIT.as_nanos()).unwrap() * units)
}

pub(crate) const fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
pub(crate) fn some_instant() -> Instant {
    Instant::now()
}
