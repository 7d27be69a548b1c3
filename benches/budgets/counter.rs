//! The budget that calls are admitted by, under one of three policies.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use aisbreaker_quota::ledger::{Budget, Ledger, Period, Receipt, Reservation};

use crate::traffic::{Call, Reserve};

/// The tokens of a minute.
pub(crate) const LIMIT: u64 = 125_000;
/// The window, in milliseconds.
pub(crate) const WINDOW: u64 = 60_000;

/// What becomes of the cost of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Policy {
    /// A call is admitted while anything is left, and counted when it ends.
    AddAfter,
    /// A call is reserved, and the difference is counted when it ends: mostly less than nothing.
    SettleNow(Reserve),
    /// A call is reserved, and the reservation becomes what was used, at the time when it was made.
    SettleInSlot(Reserve),
}

impl Policy {
    /// Returns how much is reserved for a call, if anything is.
    pub(crate) fn reservation(self, call: &Call) -> Option<u64> {
        match self {
            Self::AddAfter => None,
            Self::SettleNow(reserve) | Self::SettleInSlot(reserve) => {
                Some(call.reservation(reserve))
            }
        }
    }
}

/// A call that was admitted.
pub(crate) enum Admission {
    /// With what counts of it already.
    Exact(u64),
    Ledger(Receipt<()>),
}

/// The tokens that count at a time. Times are in milliseconds since the start.
pub(crate) struct Counter {
    policy: Policy,
    kind: Kind,
}

enum Kind {
    Exact(ExactWindow),
    Ledger(Ledger<()>, Instant),
}

impl Counter {
    pub(crate) fn new(policy: Policy) -> Self {
        let kind = match policy {
            Policy::AddAfter | Policy::SettleNow(_) => Kind::Exact(ExactWindow::default()),
            Policy::SettleInSlot(_) => {
                #[expect(clippy::disallowed_methods, reason = "some instant to count from")]
                let start = Instant::now();
                Kind::Ledger(Ledger::new(start, 1), start)
            }
        };
        Self { policy, kind }
    }

    /// Admits a call, if the budget has room for it.
    pub(crate) fn admit(&mut self, call: &Call, now: u64) -> Option<Admission> {
        let reservation = self.policy.reservation(call);
        match &mut self.kind {
            Kind::Exact(window) => {
                let used = window.used(now);
                // Without a reservation, anything that is left is enough.
                let is_admitted = used + signed(reservation.unwrap_or(1)) <= signed(LIMIT);
                let reserved = reservation.unwrap_or(0);
                is_admitted.then(|| {
                    window.count(signed(reserved), now);
                    Admission::Exact(reserved)
                })
            }
            Kind::Ledger(ledger, start) => {
                let budget = Budget::unlimited().with(Period::Minute, LIMIT);
                let reservations = [Reservation::new((), budget, reservation.unwrap_or(0))];
                let receipt = ledger.reserve(&reservations, instant(*start, now));
                receipt.ok().map(Admission::Ledger)
            }
        }
    }

    /// Counts what a call has used, at its end.
    pub(crate) fn settle(&mut self, admission: Admission, used: u64, now: u64) {
        match (&mut self.kind, admission) {
            (Kind::Exact(window), Admission::Exact(reserved)) => {
                window.count(signed(used) - signed(reserved), now);
            }
            (Kind::Ledger(ledger, start), Admission::Ledger(receipt)) => {
                ledger.settle(receipt, &[used], instant(*start, now));
            }
            (Kind::Exact(_), Admission::Ledger(_)) | (Kind::Ledger(..), Admission::Exact(_)) => {
                unreachable!("an admission goes back to the counter that it is from")
            }
        }
    }
}

/// Exactly what was counted in the last 60 seconds.
#[derive(Default)]
struct ExactWindow {
    counted: VecDeque<(u64, i64)>,
    sum: i64,
}

impl ExactWindow {
    fn used(&mut self, now: u64) -> i64 {
        while let Some((_, amount)) = self.counted.front().filter(|(at, _)| *at + WINDOW < now) {
            self.sum -= amount;
            self.counted.pop_front();
        }
        self.sum
    }

    fn count(&mut self, amount: i64, now: u64) {
        self.counted.push_back((now, amount));
        self.sum += amount;
    }
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).expect("amounts are small")
}

fn instant(start: Instant, now: u64) -> Instant {
    start + Duration::from_millis(now)
}
