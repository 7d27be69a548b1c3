//! Random histories in one thread, with any limits, weights, clocks and keys.

use aisbreaker_quota::Window;
use proptest::prelude::*;

use crate::{
    history::{check_decisions, check_refusals_change_nothing, check_remaining, check_waits},
    oracle::{self, Log, limits},
    strategies::{KEYS, any_step, calls, forward, limit, logs, logs_with_equal_limits},
    subject::Memory,
};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 120,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn decisions_are_exact_to_one_slot(logs in logs(), calls in calls(forward())) {
        check_decisions(Memory::new(KEYS), logs, &calls);
    }

    #[test]
    fn retry_after_is_exact_to_the_millisecond(logs in logs(), calls in calls(forward())) {
        check_waits(Memory::new(KEYS), logs, &calls[..calls.len().min(80)]);
    }

    #[test]
    fn clock_that_steps_back_never_admits_more(logs in logs(), calls in calls(any_step())) {
        check_decisions(Memory::sharded(KEYS), logs, &calls);
    }

    #[test]
    fn keys_beyond_the_capacity_stay_within_their_limits(
        capacity in 0_usize..5, minute in limit(), calls in calls(forward())
    ) {
        let limits_of = |key| if key < 4 { limits(minute, 30, 40) } else { limits(5, 9, 12) };
        let logs = (0..KEYS).map(|key| Log::new(limits_of(key))).collect();
        check_decisions(Memory::new(capacity), logs, &calls);
    }

    #[test]
    fn keys_at_the_capacity_stay_within_their_limits_on_any_clock(
        capacity in 0_usize..KEYS, logs in logs_with_equal_limits(), calls in calls(any_step())
    ) {
        check_decisions(Memory::sharded(capacity), logs, &calls);
    }

    #[test]
    fn refusal_changes_no_observable_state(
        capacity in 0_usize..=KEYS, logs in logs(), calls in calls(forward())
    ) {
        let calls = &calls[..calls.len().min(80)];
        check_refusals_change_nothing(Memory::new(capacity), logs, calls);
    }

    #[test]
    fn remaining_is_what_can_still_be_charged(logs in logs(), calls in calls(forward())) {
        check_remaining(Memory::new(KEYS), logs, &calls[..calls.len().min(40)]);
    }
}

#[test]
fn windows_have_their_nominal_lengths() {
    assert_eq!(
        Window::ALL.map(oracle::millis),
        [60_000, 3_600_000, 86_400_000]
    );
}
