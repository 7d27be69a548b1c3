//! CPU time of threads, as Linux reports it in `/proc`.

use std::{hint::black_box, path::PathBuf, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// Returns the directory of the calling thread in `/proc`.
pub(crate) fn this_thread() -> PathBuf {
    std::fs::canonicalize("/proc/thread-self").expect("/proc is there")
}

/// Returns the nanoseconds that a thread has spent on a processor.
pub(crate) fn nanoseconds(thread: &std::path::Path) -> f64 {
    schedule(thread, 0)
}

/// Returns the nanoseconds in which a thread was runnable but had no processor.
pub(crate) fn without_processor(thread: &std::path::Path) -> f64 {
    schedule(thread, 1)
}

/// Returns the CPU time of all threads of this process, including those that have ended.
pub(crate) fn of_this_process() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(spent).expect("it is not negative")
}

fn schedule(thread: &std::path::Path, field: usize) -> f64 {
    let text = std::fs::read_to_string(thread.join("schedstat")).expect("the thread lives");
    text.split(' ')
        .nth(field)
        .and_then(|figure| figure.parse().ok())
        .expect("schedstat has numbers")
}

/// Returns the nanoseconds of CPU time per run of `operation`, over enough runs to take about
/// `time`.
pub(crate) fn per_run(time: Duration, mut operation: impl FnMut()) -> f64 {
    let thread = this_thread();
    let mut measure = |runs: u32| {
        let before = nanoseconds(&thread);
        (0..runs).for_each(|_| operation());
        nanoseconds(&thread) - before
    };
    let mut runs = 8;
    loop {
        let spent = measure(runs);
        if spent >= time.as_secs_f64() * 1e9 {
            return spent / f64::from(runs);
        }
        runs = runs.saturating_mul(2);
    }
}

/// Returns a sample of [`per_run`] over 200 ms: some kernels count CPU time in ticks of 4 ms.
pub(crate) fn sample<T>(mut operation: impl FnMut() -> T + 'static) -> crate::row::Sample {
    Box::new(move || per_run(Duration::from_millis(200), || drop(black_box(operation()))))
}
