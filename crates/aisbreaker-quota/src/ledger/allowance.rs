//! How much an account may spend per window of any length.

use std::fmt::Display;
use std::time::Duration;

use super::account::Slots;
use super::budget::Budget;
use super::policy::{Accounting, Grid};
use crate::limits::InvalidLimit;
use crate::slots::REACH;
use crate::snapshot::Cursor;
use crate::window_length::{WindowLength, WindowName};

/// How much one account may spend per window of any length, from one second to 30 days.
///
/// A [`Ledger`](super::Ledger) applies either a [`Budget`] or allowances; its type says which. A
/// reservation has one allowance. For several windows, list one reservation for each of them: they
/// are reserved together or not at all. An account is named by its key and the window.
///
/// The guarantees are those of [`Ledger`](super::Ledger). An amount leaves its window at most 1 % of
/// the window late. A window is rounded up to whole milliseconds. Budgets in a store have the periods
/// of [`Period`](super::Period) only: `SharedLedger` does not take an allowance.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use aisbreaker_quota::ledger::{Allowance, BudgetRefusal, Ledger, Reservation};
///
/// // A million tokens per seven days, and at most 100 000 per ten minutes.
/// const WEEK: Allowance = Allowance::per(Duration::from_secs(7 * 86_400), 1_000_000);
/// const BURST: Allowance = Allowance::per(Duration::from_secs(600), 100_000);
///
/// let now = Instant::now();
/// let ledger = Ledger::new(now, 1_000);
/// let reservations = |most| [Reservation::new("ada", WEEK, most), Reservation::new("ada", BURST, most)];
///
/// // 80 000 tokens may be needed, 30 000 are used.
/// let receipt = ledger.reserve(&reservations(80_000), now)?;
/// ledger.settle(receipt, &[30_000, 30_000], now + Duration::from_secs(20));
///
/// let refusal = ledger.reserve(&reservations(80_000), now);
/// assert!(matches!(
///     refusal,
///     Err(BudgetRefusal::Exceeded { reservation: 1, remaining: 70_000, .. })
/// ));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Allowance {
    window: WindowLength,
    limit: u64,
}

impl Allowance {
    /// Creates a limit per `window`, which is rounded up to whole milliseconds; a limit above
    /// [`Budget::MAX`] counts as that. With a limit of zero, only amounts of zero can be reserved.
    ///
    /// # Panics
    /// If the window is shorter than a second or longer than 30 days. In a constant, that is an error
    /// of the compiler.
    #[must_use]
    #[track_caller]
    #[expect(
        clippy::panic,
        reason = "callers promise a valid window, and constants fail to compile"
    )]
    pub const fn per(window: Duration, limit: u64) -> Self {
        match Self::try_per(window, limit) {
            Ok(allowance) => allowance,
            Err(_) => panic!("a window must be from 1 second to 30 days long"),
        }
    }

    /// Creates a limit like [`per`](Self::per), for a window that is known only at run time.
    ///
    /// # Errors
    /// [`InvalidLimit::Window`] if the window is shorter than a second or longer than 30 days.
    pub const fn try_per(window: Duration, limit: u64) -> Result<Self, InvalidLimit> {
        let limit = if limit > Budget::MAX {
            Budget::MAX
        } else {
            limit
        };
        match WindowLength::new(window) {
            Some(window) => Ok(Self { window, limit }),
            None => Err(InvalidLimit::Window),
        }
    }

    /// Returns the length of the window, in whole milliseconds.
    #[must_use]
    pub const fn window(&self) -> Duration {
        self.window.duration()
    }

    /// Returns how much may be spent per window.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }
}

impl Accounting<Duration> for Allowance {
    type Window = WindowLength;
    type Sliding = [Slots; 1];

    const MAGIC: [u8; 8] = *b"aisbalw\x1a";

    fn window(&self) -> WindowLength {
        self.window
    }

    fn limits(&self) -> impl Iterator<Item = (Duration, u64)> {
        std::iter::once((self.window.duration(), self.limit))
    }

    fn index(_window: Duration) -> Option<usize> {
        Some(0)
    }

    /// The window is a hundred slots.
    fn grid(window: Duration) -> Grid {
        let nanos = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        Grid {
            slot_nanos: nanos / 100,
            reach: u64::from(REACH),
        }
    }

    fn grids(window: WindowLength) -> impl Iterator<Item = Grid> {
        std::iter::once(Self::grid(window.duration()))
    }

    fn per(window: Duration) -> impl Display {
        WindowName(window)
    }

    fn pack_window(window: WindowLength, to: &mut Vec<u8>) {
        to.extend_from_slice(&window.millis().to_le_bytes());
    }

    fn unpack_window(cursor: &mut Cursor<'_>) -> Option<WindowLength> {
        WindowLength::from_millis(cursor.u32()?)
    }

    fn pack_slot(slot: u64, to: &mut Vec<u8>) {
        to.extend_from_slice(&slot.to_le_bytes());
    }

    fn unpack_slot(cursor: &mut Cursor<'_>) -> Option<u64> {
        cursor.u64()
    }
}
