//! Rows about quota decisions, compared with `governor`.

use std::{
    num::NonZeroU32,
    sync::{Arc, Barrier},
    time::Duration,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::{
    cpu::{self, sample},
    memory,
    row::{Measurement, Sample},
    workload::{Counter, KEY, LIMIT, client_numbers, decide, decide_within, engine, now},
};

type Limiter = DefaultKeyedRateLimiter<Counter>;

pub(crate) fn rows() -> impl Iterator<Item = Measurement> {
    design_rows()
        .into_iter()
        .chain(further_rows())
        .chain(thread_and_idle_rows())
        .chain(memory_rows())
}

fn design_rows() -> Vec<Measurement> {
    vec![
        Measurement::ratio(
            "12 limits, hot key / governor, one limit",
            "ns",
            2.0,
            || (admitted(|| 1), governor_admitted(1, || 1)),
        ),
        Measurement::ratio("12 limits, hot key / governor, twelve", "ns", 0.25, || {
            (admitted(|| 1), governor_admitted(12, || 1))
        }),
        Measurement::ratio(
            "12 limits, a million clients / governor, one limit",
            "ns",
            3.5,
            || {
                (
                    admitted(client_numbers()),
                    governor_admitted(1, client_numbers()),
                )
            },
        ),
        Measurement::ratio(
            "12 limits, two threads on one key: CPU / governor, one limit",
            "ns",
            2.0,
            || {
                (
                    two_threads_of_ours(|| || 1),
                    two_threads_of_governor(1, || || 1),
                )
            },
        ),
    ]
}

/// Decisions for which the design sets no separate goal.
fn further_rows() -> Vec<Measurement> {
    vec![
        Measurement::ratio(
            "12 limits, hot key, refused / governor, one limit, refused",
            "ns",
            2.0,
            || (refused(|| 1), governor_refused(1, || 1)),
        )
        .noted("the goal of an admitted one"),
        Measurement::ratio(
            "12 limits, hot key, refused / governor, twelve, refused",
            "ns",
            0.25,
            || (refused(|| 1), governor_refused(12, || 1)),
        )
        .noted("the goal of an admitted one"),
        Measurement::ratio(
            "12 limits, a million clients / governor, twelve",
            "ns",
            0.25,
            || {
                (
                    admitted(client_numbers()),
                    governor_admitted(12, client_numbers()),
                )
            },
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
                    governor_refused(1, client_numbers()),
                )
            },
        )
        .noted("the goal of an admitted one"),
    ]
}

/// Decisions of two threads, and the first ones after an idle day.
fn thread_and_idle_rows() -> Vec<Measurement> {
    vec![
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
            || (after_a_day(), governor_admitted(1, returning_clients())),
        )
        .without_goal(),
        Measurement::ratio(
            "12 limits, first decision after an idle day / governor, twelve",
            "ns",
            0.25,
            || (after_a_day(), governor_admitted(12, returning_clients())),
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
            || memory::sample("idle-client-bytes"),
        )
        .noted("its windows are empty again"),
        Measurement::absolute(
            "bytes of a client with one request in its windows, server and key scope",
            "B",
            220.0,
            || memory::sample("client-bytes"),
        ),
        Measurement::absolute(
            "bytes of a client with every slot full, per cell",
            "B",
            2600.0,
            || memory::sample("full-cell-bytes"),
        ),
    ]
}

fn admitted(mut client: impl FnMut() -> u64 + 'static) -> Sample {
    let start = now();
    let engine = engine(start);
    sample(move || decide(&engine, client(), start))
}

/// Decisions for one client again and again.
pub(crate) fn hot_key() -> Sample {
    admitted(|| 1)
}

/// Decisions for clients that have used up their limits.
fn refused(mut client: impl FnMut() -> u64 + 'static) -> Sample {
    let start = now();
    let engine = engine(start);
    sample(move || decide_within(&engine, client(), start, NonZeroU32::MIN))
}

fn limiter(limit: NonZeroU32) -> Limiter {
    // A period of a day, so that nothing is replenished during the measurement.
    let period = Duration::from_secs(86_400).div_f64(f64::from(limit.get()));
    let quota = Quota::with_period(period).expect("the period is not zero");
    RateLimiter::keyed(quota.allow_burst(limit))
}

fn checks(count: u8, limit: NonZeroU32) -> impl Fn(u64) -> bool {
    let limiters: Vec<Limiter> = (0..count).map(|_| limiter(limit)).collect();
    move |client| {
        // All of them are checked, even after one has refused.
        limiters
            .iter()
            .filter(|limiter| limiter.check_key(&(0, KEY, client)).is_ok())
            .count()
            > 0
    }
}

fn governor_admitted(count: u8, mut client: impl FnMut() -> u64 + 'static) -> Sample {
    let check = checks(count, LIMIT);
    sample(move || check(client()))
}

fn governor_refused(count: u8, mut client: impl FnMut() -> u64 + 'static) -> Sample {
    let check = checks(count, NonZeroU32::MIN);
    sample(move || check(client()))
}

/// The number of clients that return after an idle day.
const RETURNING: u64 = 1 << 15;

fn returning_clients() -> impl FnMut() -> u64 + 'static {
    let mut client = client_numbers();
    move || client() % RETURNING
}

/// CPU time in nanoseconds of the first decision after an idle day, for clients with ten used
/// slots.
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
        // In an order that no cache predicts, each once, since the step is odd.
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

/// CPU time in nanoseconds per decision of two threads that decide at once.
fn two_threads<F: FnMut() + Send>(operation: impl Fn() -> F + 'static) -> Sample {
    Box::new(move || {
        let start = Barrier::new(2);
        let timed = |mut operation: F| {
            start.wait();
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
