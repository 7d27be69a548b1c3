//! Random histories against an exact log: what the engine in memory promises, for any limits,
//! weights, clocks and keys.

use aisbreaker_quota::Window;
use proptest::prelude::*;

use crate::{
    calls::{KEYS, any_step, calls, forward, like_logs, limit, logs},
    history,
    oracle::{self, Log, limits},
    subject::Memory,
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn admits_neither_more_than_the_window_allows_nor_less_than_one_percent_off(
        logs in logs(), calls in calls(forward())
    ) {
        history::exact(Memory::new(KEYS), logs, &calls);
    }

    #[test]
    fn announced_wait_is_exact_to_the_millisecond(logs in logs(), calls in calls(forward())) {
        history::waits_are_exact(Memory::new(KEYS), logs, &calls[..calls.len().min(80)]);
    }

    #[test]
    fn clock_that_steps_back_never_admits_more(logs in logs(), calls in calls(any_step())) {
        history::exact(Memory::with_homes(KEYS), logs, &calls);
    }

    #[test]
    fn keys_beyond_the_bound_are_never_waved_through(
        capacity in 0_usize..5, minute in limit(), calls in calls(forward())
    ) {
        let logs = (0..KEYS).map(|key| Log::new(if key < 4 { limits(minute, 30, 40) } else { limits(5, 9, 12) }));
        history::exact(Memory::new(capacity), logs.collect(), &calls);
    }

    #[test]
    fn keys_that_come_and_go_at_the_bound_keep_their_limits_on_any_clock(
        capacity in 0_usize..KEYS, logs in like_logs(), calls in calls(any_step())
    ) {
        history::exact(Memory::with_homes(capacity), logs, &calls);
    }

    #[test]
    fn refusal_changes_nothing_anyone_can_see(
        capacity in 0_usize..=KEYS, logs in logs(), calls in calls(forward())
    ) {
        history::refusals_leave_no_trace(Memory::new(capacity), logs, &calls[..calls.len().min(80)]);
    }

    #[test]
    fn remaining_is_what_can_still_be_charged(logs in logs(), calls in calls(forward())) {
        history::remaining_can_be_charged(Memory::new(KEYS), logs, &calls[..calls.len().min(40)]);
    }
}

#[test]
fn windows_are_as_long_as_they_say() {
    assert_eq!(
        Window::ALL.map(oracle::millis),
        [60_000, 3_600_000, 86_400_000]
    );
}
