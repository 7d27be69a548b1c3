//! The random histories that the engine in memory is tested with, played to counters in a store.

use proptest::{prelude::*, test_runner::TestRunner};

use crate::{
    history::{check_decisions, check_refusals_change_nothing, check_remaining, check_waits},
    redis_server::RedisServer,
    store::Store,
    strategies::{any_step, calls, forward, logs},
};

/// The number of histories of each kind.
const CASES: u32 = 100;

/// Plays histories, each to new counters of one store.
fn play<H: Strategy>(histories: H, play: impl Fn(Store, H::Value)) {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let config = ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let played = TestRunner::new(config).run(&histories, |history| {
        play(Store::new(&server), history);
        Ok(())
    });
    played.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn decisions_are_exact_to_one_slot() {
    play((logs(), calls(forward())), |store, (logs, calls)| {
        let _counts = check_decisions(store, logs, &calls);
    });
}

#[test]
fn retry_after_is_exact_to_the_millisecond() {
    play((logs(), calls(forward())), |store, (logs, calls)| {
        check_waits(store, logs, &calls[..calls.len().min(80)]);
    });
}

#[test]
fn clock_that_steps_back_never_admits_more() {
    play((logs(), calls(any_step())), |store, (logs, calls)| {
        let _counts = check_decisions(store, logs, &calls);
    });
}

#[test]
fn refusal_changes_no_observable_state() {
    play((logs(), calls(forward())), |store, (logs, calls)| {
        check_refusals_change_nothing(store, logs, &calls[..calls.len().min(80)]);
    });
}

#[test]
fn remaining_is_what_can_still_be_charged() {
    play((logs(), calls(forward())), |store, (logs, calls)| {
        check_remaining(store, logs, &calls[..calls.len().min(40)]);
    });
}
