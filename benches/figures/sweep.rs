//! Rows about freeing a million idle clients: what it costs, and whether anybody has to wait for
//! it.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use aisbreaker_quota::Engine;

use crate::{
    cpu,
    quota::{CLIENTS, Counter, decide, engine, now},
    row::Measurement,
};

/// What takes longer may be the kernel's doing.
const NOTABLE: Duration = Duration::from_micros(30);

/// Sweeps of which the shortest pauses are taken.
const REPEATS: usize = 5;

pub(crate) fn rows() -> Vec<Measurement> {
    vec![
        Measurement::absolute("sweep of a million idle clients: CPU", "ms", 60.0, || {
            Box::new(|| Idle::new().sweep().0)
        }),
        Measurement::absolute(
            "sweep of a million idle clients: longest pause",
            "ms",
            0.5,
            || Box::new(longest_step),
        )
        .noted("each step as the shortest of three"),
        Measurement::absolute(
            "sweep of a million idle clients: longest decision of another thread meanwhile",
            "ms",
            0.5,
            || Box::new(|| shortest(|| longest_decision(true))),
        )
        .rounds_at_most(3)
        .noted("time without a processor left out; of five sweeps the one with the least"),
        Measurement::absolute(
            "sweep of another engine: longest decision meanwhile",
            "ms",
            0.5,
            || Box::new(|| shortest(|| longest_decision(false))),
        )
        .rounds_at_most(3)
        .without_goal()
        .noted("what the machine alone does"),
    ]
}

/// An engine with a million clients that have been idle for two days, as `later` has it.
struct Idle {
    engine: Engine<Counter>,
    later: Instant,
}

impl Idle {
    fn new() -> Self {
        let start = now();
        let engine = engine(start);
        for client in 0..CLIENTS {
            decide(&engine, client, start);
        }
        Self {
            engine,
            later: start + Duration::from_secs(2 * 86_400),
        }
    }

    /// Frees all of them: the milliseconds of CPU time in all, and the elapsed time of every step.
    fn sweep(&self) -> (f64, Vec<Duration>) {
        let thread = cpu::this_thread();
        let before = cpu::nanoseconds(&thread);
        let step = || {
            let begun = now();
            self.engine.sweep(self.later);
            begun.elapsed()
        };
        let steps = (0..self.engine.sweep_steps()).map(|_| step()).collect();
        ((cpu::nanoseconds(&thread) - before) / 1e6, steps)
    }
}

/// Milliseconds of the longest step. Each is taken as the shortest of three, since a busy machine
/// interrupts some.
fn longest_step() -> f64 {
    let steps = || {
        let idle = Idle::new();
        let (_, steps) = idle.sweep();
        assert!(idle.engine.is_empty(), "a step was left out");
        steps
    };
    let runs = [steps(), steps(), steps()];
    let [first, second, third] = &runs;
    let shortest = first
        .iter()
        .zip(second)
        .zip(third)
        .map(|((a, b), c)| a.min(b).min(c));
    shortest
        .max()
        .map_or(0.0, |longest| longest.as_secs_f64() * 1e3)
}

/// A busy machine interrupts threads for milliseconds, and only makes what is measured longer: the
/// least of some repeats is nearest to what the engine does.
fn shortest(mut measure: impl FnMut() -> f64) -> f64 {
    (0..REPEATS).map(|_| measure()).fold(f64::MAX, f64::min)
}

/// Milliseconds of the longest decision, clock and all, of a thread that decides without a pause
/// while another frees a million idle clients of the same engine, or else of another one. Time in
/// which the kernel gave it no processor is left out; that in which it gave none to the other
/// thread, which held a lock, is not.
fn longest_decision(same: bool) -> f64 {
    let (idle, other) = (Idle::new(), if same { None } else { Some(Idle::new()) });
    let (together, is_over) = (Barrier::new(2), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let decider = scope.spawn(|| {
            together.wait();
            decide_until(&idle, &is_over)
        });
        together.wait();
        other.as_ref().unwrap_or(&idle).sweep();
        is_over.store(true, Ordering::Relaxed);
        decider.join().expect("it does not panic") * 1e3
    })
}

/// Decides for all clients in turn, in an order that meets every stripe soon; the seconds of the
/// longest decision.
fn decide_until(idle: &Idle, is_over: &AtomicBool) -> f64 {
    let thread = cpu::this_thread();
    let (mut client, mut longest) = (0_u64, 0.0_f64);
    let (mut ended, mut without) = (now(), cpu::without_processor(&thread));
    while !is_over.load(Ordering::Relaxed) {
        client = client.wrapping_add(0x9E37_79B9) % CLIENTS;
        let begun = now();
        if begun - ended > NOTABLE {
            without = cpu::without_processor(&thread);
        }
        let begun = now();
        decide(&idle.engine, client, idle.later);
        ended = now();
        let mut took = (ended - begun).as_secs_f64();
        if took > NOTABLE.as_secs_f64() {
            let before = std::mem::replace(&mut without, cpu::without_processor(&thread));
            took -= (without - before) / 1e9;
        }
        longest = longest.max(took);
    }
    longest
}
