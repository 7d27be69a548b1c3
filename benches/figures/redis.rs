//! Rows about decisions in a shared store. The clients and a Redis server of their own share the
//! processors of this machine; times are elapsed times.

use std::rc::Rc;

use aisbreaker_benches::store::{Operation, Store};

use crate::{
    quota,
    row::{Measurement, Sample},
};

/// The number of tasks in flight under load.
const IN_FLIGHT: u32 = 64;
/// Operations of each of these tasks per round.
const EACH: u32 = 300;
/// Operations per round with one task in flight.
const ALONE: u32 = 3_000;

pub(crate) fn rows() -> Vec<Measurement> {
    let per_second = "1/s";
    vec![
        Measurement::comparison(
            "Redis: decisions per second, 64 in flight / twelve GCRA checks in one script",
            per_second,
            || {
                pair(
                    |store| per_second_of(store, Operation::Charge),
                    |store| per_second_of(store, Operation::Gcra),
                )
            },
        )
        .at_least(1.7),
        Measurement::comparison("Redis: p50 with one in flight / PING", "µs", || {
            pair(
                |store| latency(store, Operation::Charge, 1, 50),
                |store| latency(store, Operation::Ping, 1, 50),
            )
        })
        .at_most(4.0),
        Measurement::comparison("Redis: p99 with one in flight / PING", "µs", || {
            pair(
                |store| latency(store, Operation::Charge, 1, 99),
                |store| latency(store, Operation::Ping, 1, 99),
            )
        }),
        Measurement::comparison(
            "Redis: p50 with 64 in flight / twelve GCRA checks",
            "µs",
            || {
                pair(
                    |store| latency(store, Operation::Charge, IN_FLIGHT, 50),
                    |store| latency(store, Operation::Gcra, IN_FLIGHT, 50),
                )
            },
        ),
        Measurement::comparison(
            "Redis: p99 with 64 in flight / twelve GCRA checks",
            "µs",
            || {
                pair(
                    |store| latency(store, Operation::Charge, IN_FLIGHT, 99),
                    |store| latency(store, Operation::Gcra, IN_FLIGHT, 99),
                )
            },
        ),
        Measurement::comparison(
            "Redis: decisions per second, 64 in flight / in memory, one thread",
            per_second,
            || {
                let store = Rc::new(Store::start()?);
                let mut nanoseconds = quota::hot_key();
                let memory: Sample = Box::new(move || 1e9 / nanoseconds());
                Some((per_second_of(store, Operation::Charge), memory))
            },
        ),
    ]
}

/// Returns two samples of one server. `None` where Redis is not installed.
fn pair(
    ours: impl FnOnce(Rc<Store>) -> Sample,
    anchor: impl FnOnce(Rc<Store>) -> Sample,
) -> Option<(Sample, Sample)> {
    let store = Rc::new(Store::start()?);
    Some((ours(Rc::clone(&store)), anchor(store)))
}

fn per_second_of(store: Rc<Store>, operation: Operation) -> Sample {
    Box::new(move || {
        f64::from(IN_FLIGHT * EACH)
            / store
                .elapsed(operation, IN_FLIGHT, EACH.into())
                .as_secs_f64()
    })
}

/// Measures this percentile of the latencies, in microseconds.
fn latency(store: Rc<Store>, operation: Operation, in_flight: u32, percent: usize) -> Sample {
    let each = if in_flight == 1 { ALONE } else { EACH };
    Box::new(move || {
        let latencies = store.latencies(operation, in_flight, each.into());
        match latencies.get(latencies.len() * percent / 100) {
            Some(latency) => latency.as_secs_f64() * 1e6,
            None => f64::NAN,
        }
    })
}
