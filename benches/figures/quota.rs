//! Rows about quota decisions.

use std::{
    num::NonZeroU32,
    sync::{Arc, Barrier},
    time::{Duration, Instant},
};

use aisbreaker_quota::{Charge, Engine, Limits};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::{
    cpu::{self, sample},
    row::{Measurement, Sample},
};

/// As the gateway names a counter: a scope, a key, a client.
pub(crate) type Counter = (u8, [u8; 16], u64);
type Keyed = DefaultKeyedRateLimiter<Counter>;

pub(crate) const CLIENTS: u64 = 1 << 20;
const KEY: [u8; 16] = [3; 16];
pub(crate) const LIMIT: NonZeroU32 = NonZeroU32::new(4_000_000_000).unwrap();

pub(crate) fn rows() -> impl Iterator<Item = Measurement> {
    design_rows()
        .into_iter()
        .chain(further_rows())
        .chain(memory_rows())
}

fn design_rows() -> Vec<Measurement> {
    vec![
        Measurement::ratio(
            "12 limits, hot key / governor, one limit",
            "ns",
            2.0,
            || (ours(|| 1), governors(1, || 1)),
        ),
        Measurement::ratio("12 limits, hot key / governor, twelve", "ns", 0.25, || {
            (ours(|| 1), governors(12, || 1))
        }),
        Measurement::ratio(
            "12 limits, a million clients / governor, one limit",
            "ns",
            3.5,
            || (ours(client_numbers()), governors(1, client_numbers())),
        ),
        Measurement::ratio(
            "12 limits, two threads on one key: CPU / governor, one limit",
            "ns",
            3.0,
            || {
                (
                    two_threads_of_ours(|| || 1),
                    two_threads_of_governor(1, || || 1),
                )
            },
        ),
    ]
}

/// What the design sets no figures for, beyond those it does.
fn further_rows() -> Vec<Measurement> {
    vec![
        Measurement::ratio(
            "12 limits, hot key, refused / governor, one limit, refused",
            "ns",
            2.0,
            || (refused(|| 1), governors_refuse(1, || 1)),
        )
        .noted("the goal of an admitted one"),
        Measurement::ratio(
            "12 limits, hot key, refused / governor, twelve, refused",
            "ns",
            0.25,
            || (refused(|| 1), governors_refuse(12, || 1)),
        )
        .noted("the goal of an admitted one"),
        Measurement::ratio(
            "12 limits, a million clients / governor, twelve",
            "ns",
            0.25,
            || (ours(client_numbers()), governors(12, client_numbers())),
        )
        .without_goal()
        .rounds_at_most(5),
        Measurement::ratio(
            "12 limits, a million clients, refused / governor, one limit, refused",
            "ns",
            3.5,
            || {
                (
                    refused(client_numbers()),
                    governors_refuse(1, client_numbers()),
                )
            },
        )
        .noted("the goal of an admitted one"),
        Measurement::ratio(
            "12 limits, two threads on one key: CPU / governor, twelve",
            "ns",
            0.25,
            || {
                (
                    two_threads_of_ours(|| || 1),
                    two_threads_of_governor(12, || || 1),
                )
            },
        )
        .without_goal(),
        Measurement::ratio(
            "12 limits, two threads, a million clients: CPU / governor, one limit",
            "ns",
            3.5,
            || {
                (
                    two_threads_of_ours(client_numbers),
                    two_threads_of_governor(1, client_numbers),
                )
            },
        )
        .without_goal(),
        Measurement::ratio(
            "12 limits, first decision after an idle day / governor, one limit",
            "ns",
            3.5,
            || (after_a_day(), governors(1, returning_clients())),
        )
        .without_goal(),
        Measurement::ratio(
            "12 limits, first decision after an idle day / governor, twelve",
            "ns",
            0.25,
            || (after_a_day(), governors(12, returning_clients())),
        )
        .without_goal(),
    ]
}

fn memory_rows() -> Vec<Measurement> {
    vec![
        Measurement::absolute(
            "bytes of an idle client, server and key scope",
            "B",
            220.0,
            || crate::probe::sample("idle-client-bytes"),
        )
        .noted("its windows are empty again"),
        Measurement::absolute(
            "bytes of a client with one request in its windows, server and key scope",
            "B",
            220.0,
            || crate::probe::sample("client-bytes"),
        ),
        Measurement::absolute(
            "bytes of a client with every slot full, per cell",
            "B",
            2600.0,
            || crate::probe::sample("full-cell-bytes"),
        ),
    ]
}

#[expect(clippy::disallowed_methods, reason = "a measurement owns its clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The decision of a real request.
pub(crate) fn decide(engine: &Engine<Counter>, client: u64, now: Instant) -> bool {
    decide_within(engine, client, now, LIMIT)
}

fn decide_within(engine: &Engine<Counter>, client: u64, now: Instant, limit: NonZeroU32) -> bool {
    engine
        .charge(&charges(client, limit), NonZeroU32::MIN, now)
        .is_ok()
}

/// Reads the counters of a client, and moves them on to now.
pub(crate) fn look(engine: &Engine<Counter>, client: u64, now: Instant) {
    engine.peek(&charges(client, LIMIT), now);
}

fn charges(client: u64, limit: NonZeroU32) -> [Charge<Counter>; 4] {
    let limits = Limits::new(limit, limit, limit);
    [
        Charge::new((0, [0; 16], client), limits),
        Charge::new((1, KEY, client), limits),
        Charge::shared((1, KEY, 0), limits),
        Charge::shared((0, [0; 16], 0), limits),
    ]
}

pub(crate) fn engine(start: Instant) -> Engine<Counter> {
    Engine::with_shard_by(start, 4_000_000, |counter| counter.2)
}

/// Clients in a fixed order that no cache foresees.
fn client_numbers() -> impl FnMut() -> u64 + 'static {
    let mut state = 1_u64;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) % CLIENTS
    }
}

fn ours(mut client: impl FnMut() -> u64 + 'static) -> Sample {
    let start = now();
    let engine = engine(start);
    sample(move || decide(&engine, client(), start))
}

/// One client again and again, for others to compare with.
pub(crate) fn hot_key() -> Sample {
    ours(|| 1)
}

/// Every client has used up what it has.
fn refused(mut client: impl FnMut() -> u64 + 'static) -> Sample {
    let start = now();
    let engine = engine(start);
    sample(move || decide_within(&engine, client(), start, NonZeroU32::MIN))
}

fn governor(limit: NonZeroU32) -> Keyed {
    // A day's, so that nothing comes back while it is measured.
    let Some(quota) =
        Quota::with_period(Duration::from_secs(86_400).div_f64(f64::from(limit.get())))
    else {
        panic!("the period is not zero")
    };
    RateLimiter::keyed(quota.allow_burst(limit))
}

fn checks(count: u8, limit: NonZeroU32) -> impl Fn(u64) -> bool {
    let limiters: Vec<Keyed> = (0..count).map(|_| governor(limit)).collect();
    move |client| {
        // All of them are asked, also after one has refused.
        limiters
            .iter()
            .filter(|limiter| limiter.check_key(&(0, KEY, client)).is_ok())
            .count()
            > 0
    }
}

fn governors(count: u8, mut client: impl FnMut() -> u64 + 'static) -> Sample {
    let check = checks(count, LIMIT);
    sample(move || check(client()))
}

fn governors_refuse(count: u8, mut client: impl FnMut() -> u64 + 'static) -> Sample {
    let check = checks(count, NonZeroU32::MIN);
    sample(move || check(client()))
}

/// Clients that come back after an idle day.
const RETURNING: u64 = 1 << 15;

fn returning_clients() -> impl FnMut() -> u64 + 'static {
    let mut client = client_numbers();
    move || client() % RETURNING
}

/// Nanoseconds of CPU time of the first decision after an idle day, for clients that were busy in
/// ten slots before.
fn after_a_day() -> Sample {
    let mut time = now();
    let engine = engine(time);
    Box::new(move || {
        for _ in 0..10 {
            time += Duration::from_millis(600);
            (0..RETURNING).for_each(|client| assert!(decide(&engine, client, time)));
        }
        time += Duration::from_secs(2 * 86_400);
        let thread = cpu::this_thread();
        let before = cpu::nanoseconds(&thread);
        // In an order that no cache foresees, each once: the step is odd.
        (0..RETURNING).for_each(|step| assert!(decide(&engine, step * 20_077 % RETURNING, time)));
        (cpu::nanoseconds(&thread) - before)
            / f64::from(u32::try_from(RETURNING).expect("it is small"))
    })
}

fn two_threads_of_ours<C: FnMut() -> u64 + Send + 'static>(
    client: impl Fn() -> C + 'static,
) -> Sample {
    let start = now();
    let engine = Arc::new(engine(start));
    two_threads(move || {
        let (engine, mut client) = (Arc::clone(&engine), client());
        move || assert!(decide(&engine, client(), start))
    })
}

fn two_threads_of_governor<C: FnMut() -> u64 + Send + 'static>(
    count: u8,
    client: impl Fn() -> C + 'static,
) -> Sample {
    let check = Arc::new(checks(count, LIMIT));
    two_threads(move || {
        let (check, mut client) = (Arc::clone(&check), client());
        move || assert!(check(client()))
    })
}

/// CPU time per decision of two threads that decide at once.
fn two_threads<F: FnMut() + Send>(operation: impl Fn() -> F + 'static) -> Sample {
    Box::new(move || {
        let together = Barrier::new(2);
        let timed = |mut operation: F| {
            together.wait();
            cpu::per_run(Duration::from_millis(200), &mut operation)
        };
        std::thread::scope(|scope| {
            let (first, second) = (operation(), operation());
            let other = scope.spawn(|| timed(first));
            let own = timed(second);
            f64::midpoint(own, other.join().expect("it does not panic"))
        })
    })
}
