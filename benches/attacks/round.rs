//! Peace and attack in turns, and what they take.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use aisbreaker_benches::process::{Process, cpu_seconds, open_sockets, resident_bytes};
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    time::sleep,
};

use crate::{
    attack::Attack,
    client::{Calls, Client},
    target::{self, Target},
};

/// How long an attack goes on before calls are measured, and calls are left alone after it.
const SETTLE: Duration = Duration::from_millis(700);

/// What was measured of one attack.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Calls in peace and under attack, a pair for each round.
    pub(crate) rounds: Vec<(Calls, Calls)>,
    /// Resident megabytes of the server before the first attack, at most, and after the last one.
    pub(crate) memory: [f64; 3],
    /// Sockets of the server that were left open by attackers.
    pub(crate) sockets_left: usize,
    /// Processors taken by the server and by its attackers while it was attacked.
    pub(crate) processors: [f64; 2],
}

pub(crate) fn measure(server: &Path, attack: &Attack, rounds: usize, time: Duration) -> Outcome {
    let (process, target) = target::start(server);
    let runtime = runtime();
    let client = Client::new(&target);
    // Warms up.
    runtime.block_on(client.call_for(Duration::from_secs(1)));
    let id = process.id();
    let sockets = open_sockets(id);
    let before = resident_bytes(id) / 1e6;
    let peak = Peak::watch(id);
    let mut outcome = Outcome::default();
    for _ in 0..rounds {
        let peace = runtime.block_on(client.call_for(time));
        let attackers = Attackers::start(attack, &target);
        runtime.block_on(async { sleep(SETTLE).await });
        let (begin, spent) = (Instant::now(), [cpu_seconds(id), attackers.cpu_seconds()]);
        let war = runtime.block_on(client.call_for(time));
        let passed =
            begin.elapsed().as_secs_f64() * f64::from(u32::try_from(rounds).expect("a few"));
        outcome.processors[0] += (cpu_seconds(id) - spent[0]) / passed;
        outcome.processors[1] += (attackers.cpu_seconds() - spent[1]) / passed;
        attackers.stop();
        runtime.block_on(async { sleep(SETTLE).await });
        outcome.rounds.push((peace, war));
    }
    outcome.sockets_left = open_sockets(id).saturating_sub(sockets);
    outcome.memory = [before, peak.end(), resident_bytes(id) / 1e6];
    drop::<Process>(process);
    outcome
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Attackers on a thread of their own.
struct Attackers {
    thread: thread::JoinHandle<()>,
    stop: oneshot::Sender<()>,
    /// The thread's directory in `/proc`.
    directory: PathBuf,
}

impl Attackers {
    fn start(attack: &Attack, target: &Target) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let (run, target) = (attack.run, target.clone());
        let thread = thread::spawn(move || {
            let directory = fs::canonicalize("/proc/thread-self").expect("/proc is there");
            tell.send(directory).expect("somebody waits");
            runtime().block_on(async {
                tokio::select! { () = run(target) => {}, _told = stopped => {} }
            });
        });
        let directory = told.recv().expect("it has begun");
        Self {
            thread,
            stop,
            directory,
        }
    }

    fn cpu_seconds(&self) -> f64 {
        let text = fs::read_to_string(self.directory.join("schedstat")).expect("the thread lives");
        let nanoseconds = text
            .split(' ')
            .next()
            .and_then(|figure| figure.parse::<f64>().ok());
        nanoseconds.expect("schedstat begins with a number") / 1e9
    }

    fn stop(self) {
        let _told = self.stop.send(());
        self.thread.join().expect("attackers do not panic");
    }
}

/// The most resident memory of a process for as long as it is watched, seen a few times a second.
struct Peak {
    thread: thread::JoinHandle<f64>,
    is_over: Arc<AtomicBool>,
}

impl Peak {
    fn watch(id: u32) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let mut peak = 0.0_f64;
            while !seen.load(Ordering::Relaxed) {
                peak = peak.max(resident_bytes(id) / 1e6);
                thread::sleep(Duration::from_millis(50));
            }
            peak
        });
        Self { thread, is_over }
    }

    fn end(self) -> f64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the process lives")
    }
}
