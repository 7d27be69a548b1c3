//! Rows about freeing a million idle clients: the cost, and how long decisions wait for it.

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
    row::Measurement,
    workload::{CLIENTS, Counter, decide, engine, now},
};

/// A gap or decision that takes longer may be due to the kernel.
const NOTABLE: Duration = Duration::from_micros(30);

/// The number of sweeps from which the shortest pause is taken.
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
            || Box::new(|| shortest(|| longest_decision(Sweeps::SameEngine))),
        )
        .rounds_at_most(3)
        .noted("time without a processor left out; of five sweeps the one with the least"),
        Measurement::absolute(
            "sweep of another engine: longest decision meanwhile",
            "ms",
            0.5,
            || Box::new(|| shortest(|| longest_decision(Sweeps::OtherEngine))),
        )
        .rounds_at_most(3)
        .without_goal()
        .noted("what the machine alone does"),
    ]
}

/// An engine with a million clients that, at `later`, have been idle for two days.
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

    /// Frees all of them. Returns the CPU time of all steps in milliseconds, and the elapsed time
    /// of each.
    fn sweep(&self) -> (f64, Vec<Duration>) {
        let thread = cpu::this_thread();
        let before = cpu::nanoseconds(&thread);
        let step = || {
            let started = now();
            self.engine.sweep(self.later);
            started.elapsed()
        };
        let steps = (0..self.engine.sweep_steps()).map(|_| step()).collect();
        ((cpu::nanoseconds(&thread) - before) / 1e6, steps)
    }
}

/// Returns the milliseconds of the longest step. Each step counts as the shortest of three runs,
/// since a busy machine interrupts some.
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

/// Returns the shortest of some repeats. Interruptions by a busy machine only make a measurement
/// longer, so the shortest is the closest to the engine's own time.
fn shortest(mut measure: impl FnMut() -> f64) -> f64 {
    (0..REPEATS).map(|_| measure()).fold(f64::MAX, f64::min)
}

/// Which engine is swept while another thread decides.
#[derive(Clone, Copy)]
enum Sweeps {
    SameEngine,
    OtherEngine,
}

/// Returns the milliseconds of the longest decision, including reading the clock, of a thread that
/// decides without a pause while another one frees the idle clients of an engine.
///
/// Time in which the deciding thread had no processor does not count. Time in which the other one
/// had none while it held a lock does.
fn longest_decision(sweeps: Sweeps) -> f64 {
    let idle = Idle::new();
    let other = match sweeps {
        Sweeps::SameEngine => None,
        Sweeps::OtherEngine => Some(Idle::new()),
    };
    let (start, is_over) = (Barrier::new(2), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let decider = scope.spawn(|| {
            start.wait();
            decide_until(&idle, &is_over)
        });
        start.wait();
        other.as_ref().unwrap_or(&idle).sweep();
        is_over.store(true, Ordering::Relaxed);
        decider.join().expect("it does not panic") * 1e3
    })
}

/// Decides for one client after the other, in an order that soon reaches every stripe. Returns the
/// seconds of the longest decision.
fn decide_until(idle: &Idle, is_over: &AtomicBool) -> f64 {
    let thread = cpu::this_thread();
    let (mut client, mut longest) = (0_u64, 0.0_f64);
    let mut last_end = now();
    let mut without_processor = cpu::without_processor(&thread);
    while !is_over.load(Ordering::Relaxed) {
        client = client.wrapping_add(0x9E37_79B9) % CLIENTS;
        if now() - last_end > NOTABLE {
            without_processor = cpu::without_processor(&thread);
        }
        let started = now();
        decide(&idle.engine, client, idle.later);
        last_end = now();
        let mut seconds = (last_end - started).as_secs_f64();
        if seconds > NOTABLE.as_secs_f64() {
            let before = without_processor;
            without_processor = cpu::without_processor(&thread);
            seconds -= (without_processor - before) / 1e9;
        }
        longest = longest.max(seconds);
    }
    longest
}
