//! What the ledger needs to know of a kind of budgets.
//!
//! There are two kinds: a [`Budget`] per minute, hour, day, month and lifetime of one account, and an
//! [`Allowance`] per window of any length, whose amounts are in an account of their own.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::time::Duration;

use super::account::Slots;
use super::allowance::Allowance;
use super::budget::Budget;
use super::period::Period;
use crate::slots::Moment;
use crate::snapshot::Cursor;

/// A kind of budgets that a ledger can apply: a [`Budget`], or an [`Allowance`].
///
/// No other type can implement it. A ledger applies budgets of one kind.
#[expect(private_bounds, reason = "what a ledger does with budgets is its own")]
pub trait BudgetPolicy: Accounting<<Self as BudgetPolicy>::Period> {
    /// What names a period: a [`Period`] of a [`Budget`], or the length of the window of an
    /// [`Allowance`].
    type Period: Copy + Debug + Eq;
}

impl BudgetPolicy for Budget {
    type Period = Period;
}

impl BudgetPolicy for Allowance {
    type Period = Duration;
}

/// How amounts are counted by a kind of budgets, whose periods are named by `P`.
pub(crate) trait Accounting<P>: Copy + Debug + Eq {
    /// What tells accounts of one name apart.
    type Window: Copy + Debug + Eq + Hash;
    /// The slots of each period that slides.
    type Sliding: Clone + Debug + Default + Eq + AsRef<[Slots]> + AsMut<[Slots]>;

    /// What a snapshot of such accounts begins with.
    const MAGIC: [u8; 8];

    /// Returns what tells the account of this budget apart from others of its name.
    fn window(&self) -> Self::Window;

    /// Returns the periods that have a limit, shortest first.
    fn limits(&self) -> impl Iterator<Item = (P, u64)>;

    /// Returns where the slots of a period are; `None` for a lifetime, which does not slide.
    fn index(period: P) -> Option<usize>;

    /// Returns the grid of a period.
    fn grid(period: P) -> Grid;

    /// Returns the grid of each period that slides, in the order of their slots.
    fn grids(window: Self::Window) -> impl Iterator<Item = Grid>;

    /// Returns what follows "per" in a message.
    fn per(period: P) -> impl Display;

    /// Appends what tells an account apart.
    fn pack_window(window: Self::Window, to: &mut Vec<u8>);

    /// Reads what tells an account apart.
    fn unpack_window(cursor: &mut Cursor<'_>) -> Option<Self::Window>;

    /// Appends the number of a slot.
    fn pack_slot(slot: u64, to: &mut Vec<u8>);

    /// Reads the number of a slot.
    fn unpack_slot(cursor: &mut Cursor<'_>) -> Option<u64>;
}

/// The slots of a period.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(super) slot_nanos: u64,
    /// How many slots back from the current one still count: a charge counts for more than the
    /// period, and for at most a slot longer.
    pub(super) reach: u64,
}

impl Grid {
    /// Returns the slot that contains this moment.
    pub(super) fn slot(self, moment: Moment) -> u64 {
        moment
            .nanos()
            .checked_div(self.slot_nanos)
            .unwrap_or_default()
    }

    /// Returns the time from `now` until `slot` no longer counts.
    pub(super) fn until_expiry(self, slot: u64, now: Moment) -> Duration {
        let first_uncounted = slot.saturating_add(self.reach).saturating_add(1);
        let at = first_uncounted.saturating_mul(self.slot_nanos);
        Duration::from_nanos(at.saturating_sub(now.nanos()))
    }
}

impl Accounting<Period> for Budget {
    type Window = ();
    type Sliding = [Slots; 4];

    const MAGIC: [u8; 8] = *b"aisbldg\x1a";

    fn window(&self) {}

    fn limits(&self) -> impl Iterator<Item = (Period, u64)> {
        self.iter()
    }

    fn index(period: Period) -> Option<usize> {
        match period {
            Period::Minute => Some(0),
            Period::Hour => Some(1),
            Period::Day => Some(2),
            Period::Month => Some(3),
            Period::Lifetime => None,
        }
    }

    fn grid(period: Period) -> Grid {
        period.grid()
    }

    fn grids((): ()) -> impl Iterator<Item = Grid> {
        Period::SLIDING.into_iter().map(Period::grid)
    }

    fn per(period: Period) -> impl Display {
        period.name()
    }

    fn pack_window((): (), _to: &mut Vec<u8>) {}

    fn unpack_window(_cursor: &mut Cursor<'_>) -> Option<()> {
        Some(())
    }

    fn pack_slot(slot: u64, to: &mut Vec<u8>) {
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        to.extend_from_slice(&slot.to_le_bytes());
    }

    fn unpack_slot(cursor: &mut Cursor<'_>) -> Option<u64> {
        cursor.u32().map(u64::from)
    }
}
