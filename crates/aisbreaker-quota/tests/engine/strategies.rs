//! Random histories: limits, weights, clocks and keys.

use proptest::prelude::*;

use crate::oracle::{Kind, Log, limits};

/// One call of a history.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Change of the clock, in units.
    pub(crate) step: i64,
    pub(crate) keys: [usize; 3],
    pub(crate) weight: Weight,
    /// Whether to sweep everything first.
    pub(crate) sweep: bool,
}

/// The weight of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Weight {
    Of(u32),
    /// Thousandths of the smallest limit of the call, so that a few calls reach large limits.
    Share(u32),
}

impl Weight {
    /// Returns the weight of a call with these limits.
    pub(crate) fn under<L: Kind>(self, limits: impl IntoIterator<Item = L>) -> u32 {
        match self {
            Self::Of(weight) => weight,
            Self::Share(thousandths) => {
                let numbers = limits
                    .into_iter()
                    .flat_map(|limits| limits.windows())
                    .map(|(_, _, limit)| limit);
                let share = u64::from(numbers.min().unwrap()) * u64::from(thousandths) / 1_000;
                u32::try_from(share).unwrap().max(1)
            }
        }
    }
}

/// The number of keys; the first one names a shared counter.
pub(crate) const KEYS: usize = 6;

/// Steps of a clock that stands still or moves forward: a little, by about a window to the
/// millisecond, or by up to 40 days.
pub(crate) fn forward() -> impl Strategy<Value = i64> {
    let window = prop::sample::select(vec![60_000_i64, 3_600_000, 86_400_000]);
    let edge = (window, 98_i64..=102, -1_i64..=1)
        .prop_map(|(window, slots, off)| window / 100 * slots + off);
    prop_oneof![
        6 => Just(0_i64),
        6 => 0_i64..50,
        5 => 0_i64..2_000,
        4 => 0_i64..70_000,
        3 => 0_i64..4_000_000,
        2 => edge,
        1 => 0_i64..300_000_000,
        1 => (1_i64..=40).prop_map(|days| days * 86_400_000),
    ]
}

/// Steps of a clock that also moves back, by up to a minute or a day.
pub(crate) fn any_step() -> impl Strategy<Value = i64> {
    let back = |most: i64| (0..most).prop_map(|back| -back);
    prop_oneof![5 => forward(), 1 => back(70_000), 1 => back(90_000_000)]
}

pub(crate) fn calls(step: impl Strategy<Value = i64>) -> impl Strategy<Value = Vec<Call>> {
    let call = (
        step,
        prop::array::uniform3(0..KEYS),
        weight(),
        prop::bool::weighted(0.2),
    );
    prop::collection::vec(
        call.prop_map(|(step, keys, weight, sweep)| Call {
            step,
            keys,
            weight,
            sweep,
        }),
        1..250,
    )
}

fn weight() -> impl Strategy<Value = Weight> {
    prop_oneof![
        4 => Just(Weight::Of(1)),
        2 => (1_u32..6).prop_map(Weight::Of),
        1 => (1_u32..2_000).prop_map(Weight::Of),
        3 => (1_u32..600).prop_map(Weight::Share),
        1 => (990_u32..1_010).prop_map(Weight::Share),
    ]
}

/// Limits from 1 to a million, each order of magnitude equally often.
pub(crate) fn limit() -> impl Strategy<Value = u32> {
    let large =
        (0_u32..6, 10_u32..=100).prop_map(|(zeros, digits)| digits * 10_u32.pow(zeros) / 10);
    prop_oneof![2 => 1_u32..4, 2 => 1_u32..40, 4 => large]
}

/// Empty logs with limits that differ from key to key.
pub(crate) fn logs() -> impl Strategy<Value = Vec<Log>> {
    let one = (limit(), limit(), limit())
        .prop_map(|(minute, hour, day)| Log::new(limits(minute, hour, day)));
    prop::collection::vec(one, KEYS)
}

/// Empty logs with the same limits for all keys, so that all untracked keys share one counter.
pub(crate) fn logs_with_equal_limits() -> impl Strategy<Value = Vec<Log>> {
    (limit(), limit(), limit()).prop_map(|(minute, hour, day)| {
        (0..KEYS)
            .map(|_| Log::new(limits(minute, hour, day)))
            .collect()
    })
}
