//! Which limit a refusal reports, checked against the rule of the general path.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::super::violation::{Violation, find_violation};
use super::worst_exceeded;
use crate::charge::Charge;
use crate::limits::Limits;
use crate::policy::{CounterCell, Policy};
use crate::rate::Rate;
use crate::slots::Moment;

const CHARGES: usize = 3;

/// What one counter was charged, as `(milliseconds since the charge before, weight)`, and the
/// limits of its charge as numbers.
type Counter = (Vec<(u64, u32)>, [u32; 3]);

fn counter() -> impl Strategy<Value = Counter> {
    let step = prop_oneof![
        4 => Just(0_u64),
        4 => 0_u64..2_000,
        2 => 0_u64..80_000,
        1 => 0_u64..4_000_000,
        1 => 0_u64..90_000_000,
    ];
    (
        prop::collection::vec((step, 1_u32..9), 0..40),
        prop::array::uniform3(1_u32..60),
    )
}

/// Charges the counters, and compares what they exceed with the general rule.
fn check<L: Policy>(counters: &[Counter; CHARGES], weight: u32, limits: impl Fn([u32; 3]) -> L) {
    let charges: [_; CHARGES] =
        std::array::from_fn(|index| Charge::new(index, limits(counters[index].1)));
    let cells = charges.each_ref().map(|charge| {
        let mut cell = L::Cell::fresh(charge.limits.grid(), L::tick(Moment::ZERO));
        let mut now = 0;
        for (step, weight) in &counters[charge.key].0 {
            now += step;
            cell.advance(L::tick(Moment::at(Duration::from_millis(now))));
            cell.add(*weight);
        }
        cell
    });
    let used = cells.each_ref().map(L::Cell::used);

    let mut worst = None;
    for (index, charge) in charges.iter().enumerate() {
        worst = worst_exceeded(worst, (index, charge), &cells[index], used[index], weight);
    }

    let clears_at = |index: usize, excess, window| cells[index].clears_at(excess, window);
    match find_violation(&charges, &[u64::from(weight); CHARGES], &used, clears_at) {
        Some(Violation::TooHeavy { .. }) => panic!("no limit is below the weight"),
        Some(Violation::Exceeded(expected)) => assert_eq!(worst, Some(expected)),
        None => assert_eq!(worst, None),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn limits_per_minute_hour_and_day(
        counters in prop::array::uniform3(counter()), weight in 1_u32..20
    ) {
        check(&counters, weight, |[minute, hour, day]| {
            Limits::new(minute.max(weight), hour.max(weight), day.max(weight))
        });
    }

    #[test]
    fn equal_limits_with_equal_waits(
        (charged, [limit, _, _]) in counter(), weight in 1_u32..20
    ) {
        let counter = (charged, [limit.max(weight); 3]);
        check(&[counter.clone(), counter.clone(), counter], weight, |[minute, hour, day]| {
            Limits::new(minute, hour, day)
        });
    }

    #[test]
    fn rates(counters in prop::array::uniform3(counter()), weight in 1_u32..20) {
        check(&counters, weight, |[seconds, limit, _]| {
            let limit = NonZeroU32::new(limit.max(weight)).unwrap();
            Rate::try_per(Duration::from_secs(seconds.into()), limit.get()).unwrap()
        });
    }
}
