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
type Counter = (u8, [u8; 16], u64);
type Keyed = DefaultKeyedRateLimiter<Counter>;

pub(crate) const CLIENTS: u64 = 1 << 20;
const KEY: [u8; 16] = [3; 16];
pub(crate) const LIMIT: NonZeroU32 = NonZeroU32::new(4_000_000_000).unwrap();

pub(crate) fn rows() -> Vec<Measurement> {
    vec![
        Measurement::ratio("12 limits, hot key / governor, one limit", "ns", 2.0, || {
            (ours(|| 1), governors(1, || 1))
        }),
        Measurement::ratio("12 limits, hot key / governor, twelve", "ns", 0.25, || {
            (ours(|| 1), governors(12, || 1))
        }),
        Measurement::ratio("12 limits, a million clients / governor, one limit", "ns", 3.5, || {
            (ours(client_numbers()), governors(1, client_numbers()))
        }),
        Measurement::ratio("12 limits, two threads on one key: CPU / governor, one limit", "ns", 3.0, || {
            (two_threads_of_ours(), two_threads_of_governor())
        }),
        Measurement::absolute("bytes of an idle client, server and key scope", "B", 220.0, || {
            crate::probe::sample("client-bytes")
        }),
        Measurement::absolute("bytes of a client with every slot full, per cell", "B", 2600.0, || {
            crate::probe::sample("full-cell-bytes")
        }),
        Measurement::absolute("sweep of a million idle clients: CPU", "ms", 60.0, || Box::new(|| sweep().0)),
        Measurement::absolute("sweep of a million idle clients: longest pause", "ms", 0.5, || {
            Box::new(longest_step)
        })
        .noted("each step as the shortest of three"),
    ]
}

#[expect(clippy::disallowed_methods, reason = "a measurement owns its clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The decision of a real request.
pub(crate) fn decide(engine: &Engine<Counter>, client: u64, now: Instant) -> bool {
    let limits = Limits::new(LIMIT, LIMIT, LIMIT);
    let charges = [
        Charge::new((0, [0; 16], client), limits),
        Charge::new((1, KEY, client), limits),
        Charge::shared((1, KEY, 0), limits),
        Charge::shared((0, [0; 16], 0), limits),
    ];
    engine.charge(&charges, NonZeroU32::MIN, now).is_ok()
}

pub(crate) fn engine(start: Instant) -> Engine<Counter> {
    Engine::with_homes(start, 4_000_000, |counter| counter.2)
}

/// Clients in a fixed order that no cache foresees.
fn client_numbers() -> impl FnMut() -> u64 + 'static {
    let mut state = 1_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) % CLIENTS
    }
}

fn ours(mut client: impl FnMut() -> u64 + 'static) -> Sample {
    let start = now();
    let engine = engine(start);
    sample(move || decide(&engine, client(), start))
}

fn governor() -> Keyed {
    RateLimiter::keyed(Quota::per_minute(LIMIT).allow_burst(LIMIT))
}

fn governors(count: u8, mut client: impl FnMut() -> u64 + 'static) -> Sample {
    let limiters: Vec<Keyed> = (0..count).map(|_| governor()).collect();
    sample(move || {
        let client = client();
        limiters.iter().all(|limiter| limiter.check_key(&(0, KEY, client)).is_ok())
    })
}

fn two_threads_of_ours() -> Sample {
    let start = now();
    let engine = Arc::new(engine(start));
    two_threads(move || {
        let engine = Arc::clone(&engine);
        move || assert!(decide(&engine, 1, start))
    })
}

fn two_threads_of_governor() -> Sample {
    let limiter = Arc::new(governor());
    two_threads(move || {
        let limiter = Arc::clone(&limiter);
        move || assert!(limiter.check_key(&(0, KEY, 1)).is_ok())
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

/// Frees a million clients that were idle for a day: the milliseconds of CPU time in all, and the elapsed time of every
/// step.
fn sweep() -> (f64, Vec<Duration>) {
    let start = now();
    let engine = engine(start);
    for client in 0..CLIENTS {
        decide(&engine, client, start);
    }
    let later = start + Duration::from_secs(2 * 86_400);
    let thread = cpu::this_thread();
    let before = cpu::nanoseconds(&thread);
    let step = || {
        let begun = now();
        engine.sweep(later);
        begun.elapsed()
    };
    let steps = (0..engine.sweep_steps()).map(|_| step()).collect();
    assert!(engine.is_empty(), "a step was left out");
    ((cpu::nanoseconds(&thread) - before) / 1e6, steps)
}

/// Milliseconds of the longest step. Each is taken as the shortest of three, since a busy machine interrupts some.
fn longest_step() -> f64 {
    let runs = [sweep().1, sweep().1, sweep().1];
    let [first, second, third] = &runs;
    let shortest = first.iter().zip(second).zip(third).map(|((a, b), c)| a.min(b).min(c));
    shortest.max().map_or(0.0, |longest| longest.as_secs_f64() * 1e3)
}
