//! Rows about decisions in a shared store. The clients, and a Redis server for these rows alone,
//! share the processors of this machine; times are elapsed ones.

use std::{rc::Rc, time::Duration};

use aisbreaker_benches::store::{Question, Store};

use crate::{
    quota,
    row::{Measurement, Sample},
};

/// How many are in flight where it is many, and how many questions each of them asks per round.
const FLIGHT: u32 = 64;
const EACH: u32 = 300;
/// Questions per round with one in flight.
const ALONE: u32 = 3_000;

pub(crate) fn rows() -> Vec<Measurement> {
    let per_second = "1/s";
    vec![
        Measurement::comparison(
            "Redis: decisions per second, 64 in flight / twelve GCRA checks in one script",
            per_second,
            || {
                pair(
                    |store| per_second_of(store, Question::Charge),
                    |store| per_second_of(store, Question::Gcra),
                )
            },
        )
        .at_least(1.7),
        Measurement::comparison("Redis: p50 with one in flight / PING", "µs", || {
            pair(
                |store| latency(store, Question::Charge, 1, 50),
                |store| latency(store, Question::Ping, 1, 50),
            )
        })
        .at_most(4.0),
        Measurement::comparison("Redis: p99 with one in flight / PING", "µs", || {
            pair(
                |store| latency(store, Question::Charge, 1, 99),
                |store| latency(store, Question::Ping, 1, 99),
            )
        }),
        Measurement::comparison(
            "Redis: p50 with 64 in flight / twelve GCRA checks",
            "µs",
            || {
                pair(
                    |store| latency(store, Question::Charge, FLIGHT, 50),
                    |store| latency(store, Question::Gcra, FLIGHT, 50),
                )
            },
        ),
        Measurement::comparison(
            "Redis: p99 with 64 in flight / twelve GCRA checks",
            "µs",
            || {
                pair(
                    |store| latency(store, Question::Charge, FLIGHT, 99),
                    |store| latency(store, Question::Gcra, FLIGHT, 99),
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
                Some((per_second_of(store, Question::Charge), memory))
            },
        ),
    ]
}

/// Two samples of one server; `None` without one.
fn pair(
    ours: impl FnOnce(Rc<Store>) -> Sample,
    anchor: impl FnOnce(Rc<Store>) -> Sample,
) -> Option<(Sample, Sample)> {
    let store = Rc::new(Store::start()?);
    Some((ours(Rc::clone(&store)), anchor(store)))
}

fn per_second_of(store: Rc<Store>, question: Question) -> Sample {
    Box::new(move || {
        f64::from(FLIGHT * EACH) / store.ask(question, FLIGHT, EACH.into()).as_secs_f64()
    })
}

/// Microseconds that so many in a hundred do not exceed.
fn latency(store: Rc<Store>, question: Question, in_flight: u32, percent: usize) -> Sample {
    Box::new(move || {
        let times = store.latencies(
            question,
            in_flight,
            if in_flight == 1 { ALONE } else { EACH }.into(),
        );
        times
            .get(times.len() * percent / 100)
            .map_or(f64::NAN, Duration::as_secs_f64)
            * 1e6
    })
}
