//! Rounds without and with an attack, and what the server and the attackers consume.

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

/// How long an attack runs before calls are measured, and the pause after it.
const SETTLE: Duration = Duration::from_millis(700);

/// What was measured of one attack.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Calls without and with the attack, a pair for each round.
    pub(crate) rounds: Vec<(Calls, Calls)>,
    /// Resident megabytes of the server: before the first attack, at the peak, after the last one.
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
    let _warm_up = runtime.block_on(client.call_for(Duration::from_secs(1)));
    let id = process.id();
    let sockets = open_sockets(id);
    let before = resident_bytes(id) / 1e6;
    let peak = Peak::start(id);
    let mut outcome = Outcome::default();
    for _ in 0..rounds {
        let undisturbed = runtime.block_on(client.call_for(time));
        let attackers = Attackers::start(attack, &target);
        runtime.block_on(async { sleep(SETTLE).await });
        let started = Instant::now();
        let cpu_before = [cpu_seconds(id), attackers.cpu_seconds()];
        let attacked = runtime.block_on(client.call_for(time));
        let rounds = f64::from(u32::try_from(rounds).expect("a few"));
        let total = started.elapsed().as_secs_f64() * rounds;
        outcome.processors[0] += (cpu_seconds(id) - cpu_before[0]) / total;
        outcome.processors[1] += (attackers.cpu_seconds() - cpu_before[1]) / total;
        attackers.stop();
        runtime.block_on(async { sleep(SETTLE).await });
        outcome.rounds.push((undisturbed, attacked));
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

/// Attackers on their own thread.
struct Attackers {
    thread: thread::JoinHandle<()>,
    stop: oneshot::Sender<()>,
    /// The thread's directory in `/proc`.
    directory: PathBuf,
}

impl Attackers {
    fn start(attack: &Attack, target: &Target) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (sender, started) = std::sync::mpsc::channel();
        let (run, target) = (attack.run, target.clone());
        let thread = thread::spawn(move || {
            let directory = fs::canonicalize("/proc/thread-self").expect("/proc is there");
            sender.send(directory).expect("the caller waits");
            runtime().block_on(async {
                tokio::select! { () = run(target) => {}, _sent = stopped => {} }
            });
        });
        let directory = started.recv().expect("it has started");
        Self {
            thread,
            stop,
            directory,
        }
    }

    fn cpu_seconds(&self) -> f64 {
        let text = fs::read_to_string(self.directory.join("schedstat")).expect("the thread lives");
        let spent = text.split(' ').next().unwrap_or_default();
        let nanoseconds: f64 = spent.parse().expect("schedstat starts with a number");
        nanoseconds / 1e9
    }

    fn stop(self) {
        let _ended_already = self.stop.send(());
        self.thread.join().expect("attackers do not panic");
    }
}

/// Samples the resident memory of a process 20 times a second and keeps the peak.
struct Peak {
    thread: thread::JoinHandle<f64>,
    is_over: Arc<AtomicBool>,
}

impl Peak {
    fn start(id: u32) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let is_over_too = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let mut peak = 0.0_f64;
            while !is_over_too.load(Ordering::Relaxed) {
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
