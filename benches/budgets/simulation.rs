//! One run: callers who have a call in flight, or try to begin one every second.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    counter::{Admission, Counter, Policy, WINDOW},
    traffic::{Call, Traffic},
};

/// The number of callers, each of whom has one call at a time.
const CALLERS: usize = 64;

/// What is simulated.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) hours: u32,
    pub(crate) seed: u64,
}

/// A call that was admitted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Spent {
    /// When it was admitted, in milliseconds since the start.
    pub(crate) at: u64,
    /// What it has used in the end.
    pub(crate) used: u64,
    /// How much of that is beyond its reservation.
    pub(crate) beyond: u64,
}

/// The calls that were admitted, in the order of their times.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) spent: Vec<Spent>,
}

/// Runs a plan under a policy.
pub(crate) fn run(policy: Policy, plan: &Plan) -> Outcome {
    let mut traffic = Traffic::new(plan.seed);
    let mut counter = Counter::new(policy);
    let mut waiting: VecDeque<Call> = (0..CALLERS).map(|_| traffic.call()).collect();
    // By when they end, and then by the order in which they began.
    let mut running: BTreeMap<(u64, usize), (Admission, u64)> = BTreeMap::new();
    let mut spent = Vec::new();
    for second in 0..3_600 * u64::from(plan.hours) {
        let now = 1_000 * second;
        while let Some(first) = running.first_entry().filter(|first| first.key().0 <= now) {
            let ((ended, _), (admission, used)) = first.remove_entry();
            counter.settle(admission, used, ended);
            waiting.push_back(traffic.call());
        }
        for _ in 0..waiting.len() {
            let call = waiting.pop_front().expect("it is one of them");
            let Some(admission) = counter.admit(&call, now) else {
                waiting.push_back(call);
                continue;
            };
            let used = call.used();
            running.insert((now + call.millis, spent.len()), (admission, used));
            let reservation = policy.reservation(&call).unwrap_or(0);
            spent.push(Spent {
                at: now,
                used,
                beyond: used.saturating_sub(reservation),
            });
        }
    }
    Outcome { spent }
}

impl Outcome {
    /// Returns the most that the calls of one window have used, whenever it begins.
    pub(crate) fn worst_window(&self) -> u64 {
        self.worst(|spent| spent.used)
    }

    /// Returns the same without what they have used beyond their reservations.
    pub(crate) fn worst_window_within_reservations(&self) -> u64 {
        self.worst(|spent| spent.used - spent.beyond)
    }

    fn worst(&self, amount: fn(&Spent) -> u64) -> u64 {
        let (mut first, mut sum, mut worst) = (0, 0, 0);
        for last in &self.spent {
            sum += amount(last);
            while self.spent[first].at + WINDOW < last.at {
                sum -= amount(&self.spent[first]);
                first += 1;
            }
            worst = worst.max(sum);
        }
        worst
    }

    /// Returns what the calls of the window until this time have used.
    pub(crate) fn window_until(&self, time: u64) -> u64 {
        let is_inside = |spent: &&Spent| spent.at <= time && spent.at + WINDOW >= time;
        let inside = self.spent.iter().filter(is_inside);
        inside.map(|spent| spent.used).sum()
    }

    /// Returns what all calls have used.
    pub(crate) fn total(&self) -> u64 {
        self.spent.iter().map(|spent| spent.used).sum()
    }
}
