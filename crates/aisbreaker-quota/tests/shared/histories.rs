//! The random histories that the engine in memory is tested with, played to counters in a store.

use proptest::{prelude::*, test_runner::TestRunner};

use crate::{
    calls::{any_step, calls, forward, logs},
    history,
    redis_server::RedisServer,
    store::Store,
};

/// Plays so many histories, each to new counters of one store.
fn play<H>(cases: u32, histories: H, play: impl Fn(Store, H::Value))
where
    H: Strategy,
{
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let url = server.url();
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let played = TestRunner::new(config).run(&histories, |history| {
        play(Store::new(&url), history);
        Ok(())
    });
    played.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn store_admits_neither_more_than_the_window_allows_nor_less_than_one_percent_off() {
    play(CASES, (logs(), calls(forward())), |store, (logs, calls)| {
        let _counts = history::exact(store, logs, &calls);
    });
}

#[test]
fn store_s_announced_wait_is_exact_to_the_millisecond() {
    play(CASES, (logs(), calls(forward())), |store, (logs, calls)| {
        history::waits_are_exact(store, logs, &calls[..calls.len().min(80)]);
    });
}

#[test]
fn store_s_clock_that_steps_back_never_admits_more() {
    play(
        CASES,
        (logs(), calls(any_step())),
        |store, (logs, calls)| {
            let _counts = history::exact(store, logs, &calls);
        },
    );
}

#[test]
fn store_s_refusal_changes_nothing_anyone_can_see() {
    play(CASES, (logs(), calls(forward())), |store, (logs, calls)| {
        history::refusals_leave_no_trace(store, logs, &calls[..calls.len().min(80)]);
    });
}

#[test]
fn what_remains_in_the_store_is_what_can_still_be_charged() {
    play(CASES, (logs(), calls(forward())), |store, (logs, calls)| {
        history::remaining_can_be_charged(store, logs, &calls[..calls.len().min(40)]);
    });
}

/// How many histories of each kind.
const CASES: u32 = 100;
