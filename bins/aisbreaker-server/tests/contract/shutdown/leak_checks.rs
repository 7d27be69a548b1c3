//! Faults leave nothing behind: no socket, thread, task or memory, and no request that counts as
//! open.
//!
//! Many clients repeat every case of [`cases`], streamed and not. The number of rounds is
//! [`ROUNDS`] unless the environment sets it:
//!
//! ```text
//! AISBREAKER_TEST_ROUNDS=1000 cargo test -p aisbreaker-server --test contract leak_checks -- --nocapture
//! ```

mod tasks;

pub(crate) use tasks::EmbeddedGateway;

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::Value;

use crate::{
    own_api::provider_faults::{
        cases::{self, Case, CaseRequest, Outcome},
        check, directly,
    },
    support::{
        Connection, Provider, Request, Response, Server, UnreachableAddresses, Wire, call,
        openai::SECRET, quotas, service_at, streamed,
    },
};

/// How often every case is repeated by default.
const ROUNDS: usize = 100;
/// The server's limit on answers in bytes. The default is too large for many rounds.
const MAX_ANSWER_BYTES: &str = "1048576";
/// How many clients call at once: few enough to leave other tests their share of the machine.
const CLIENTS: usize = 16;
/// The same for calls that only wait: no more than the pool keeps connections to one origin.
const WAITING_CLIENTS: usize = 48;
/// How many idle connections a server keeps to one provider.
const POOLED: usize = 64;
/// After how many repetitions with growing memory the growth counts as a leak.
const REPETITIONS: usize = 6;
/// How much memory may grow in one repetition, in bytes: the allocator keeps fragments of freed
/// memory.
const SLACK: usize = 4 << 20;

#[expect(
    clippy::disallowed_methods,
    reason = "the caller of the tests chooses the number of rounds"
)]
fn rounds() -> usize {
    std::env::var("AISBREAKER_TEST_ROUNDS")
        .map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"))
}

/// A call that is repeated.
#[derive(Clone)]
struct Job {
    case: Case,
    is_stream: bool,
    request: Request,
    check: fn(&Case, bool, &Response),
}

/// Creates a plain and a streamed job for each case.
fn jobs(cases: impl Iterator<Item = Case>, props: impl Fn(&Case) -> Value) -> Vec<Job> {
    let mut jobs = Vec::new();
    for case in cases {
        let plain = call(props(&case), "Hi");
        for (is_stream, body) in [(false, plain.clone()), (true, streamed(plain))] {
            jobs.push(Job {
                case,
                is_stream,
                request: Request::process(&body).bearer(SECRET),
                check,
            });
        }
    }
    jobs
}

/// Creates the jobs of all quick cases, and of an address that refuses connections.
fn fault_jobs(provider: &Provider, unreachable: &UnreachableAddresses) -> Vec<Job> {
    let url = provider.url();
    let refused = Outcome::Refusal(503, "ECONNREFUSED", None);
    let mut jobs = jobs(cases::quick(), |case| directly(&url, case));
    jobs.extend(unreachable_jobs(
        &unreachable.refusing_url(),
        "refuses connections",
        refused,
    ));
    jobs
}

/// Creates the jobs of all stalls, and of an address that never accepts a connection.
fn stall_jobs(provider: &Provider, unreachable: &UnreachableAddresses) -> Vec<Job> {
    let url = provider.url();
    let mut jobs = jobs(cases::stalls(), |case| directly(&url, case));
    jobs.extend(unreachable_jobs(
        &unreachable.full_backlog_url(),
        "accepts no connections",
        Outcome::Error(504),
    ));
    for job in &mut jobs {
        job.check = check_stalled;
    }
    jobs
}

/// Creates the jobs of an address at which connections fail.
fn unreachable_jobs(url: &str, name: &'static str, outcome: Outcome) -> Vec<Job> {
    let case = Case {
        name,
        act: |_: &CaseRequest, _: &mut Wire| {},
        plain: outcome,
        streamed: outcome,
    };
    jobs([case].into_iter(), |case| {
        service_at(&format!("chat:openai.com/{}", case.name), url)
    })
}

/// Repeats all jobs by concurrent clients that reuse their connections.
fn repeat(server: SocketAddr, jobs: &[Job], (rounds, clients): (usize, usize)) {
    let next = AtomicUsize::new(0);
    let client = || {
        let mut connection = Connection::open(server);
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= jobs.len() * rounds {
                return;
            }
            let job = &jobs[index % jobs.len()];
            let response = connection.send(&job.request);
            (job.check)(&job.case, job.is_stream, &response);
            if response
                .header("connection")
                .is_some_and(|value| value == "close")
            {
                connection = Connection::open(server);
            }
        }
    };
    std::thread::scope(|scope| (0..clients).for_each(|_| drop(scope.spawn(client))));
}

/// A server, and how many sockets it had open before the first call.
struct MonitoredServer {
    server: Server,
    provider: Provider,
    /// Includes the connection of the probe.
    sockets: usize,
}

/// The resources of an idle server.
#[derive(Debug)]
struct Resources {
    memory: usize,
    threads: usize,
}

impl MonitoredServer {
    fn start(settings: &[(&str, &str)]) -> Self {
        let ample = quotas([100_000_000; 3], [100_000_000; 3]).to_string();
        let defaults = [
            ("AISBREAKER_SERVER_QUOTAS", &*ample),
            ("AISBREAKER_DEFAULT_QUOTAS", &*ample),
            ("AISBREAKER_MINT_QUOTAS", &*ample),
            // Without a line for every request, the log that a failing test shows stays readable.
            (
                "AISBREAKER_LOG",
                "warn,aisbreaker_server=info,aisbreaker_gateway::server=info",
            ),
            // Longer than any test: a server that still counts a request as open does not exit.
            ("AISBREAKER_DRAIN_TIMEOUT", "10m"),
        ];
        let server = Server::with_loopback_egress(&[&defaults, settings].concat());
        let mut probe = server.connect();
        assert_eq!(probe.send(&Request::get("/healthz")).status, 200);
        let sockets = server.sockets();
        Self {
            server,
            provider: cases::provider(),
            sockets,
        }
    }

    /// Repeats a probe until the condition holds.
    fn wait_until(&self, what: &str, condition: impl Fn() -> bool) {
        let mut probe = self.server.connect();
        let holds = (0..20_000).any(|_| {
            assert_eq!(probe.send(&Request::get("/healthz")).status, 200);
            condition()
        });
        let open = (
            self.server.sockets(),
            self.sockets,
            self.provider.open_connections(),
        );
        assert!(
            holds,
            "{what}: sockets of the server, at first, of the provider: {open:?}"
        );
    }

    /// Waits until the server has no more open than before the first call.
    fn settle(&self) -> Resources {
        let Self {
            server,
            provider,
            sockets,
        } = self;
        let is_pool =
            || server.sockets() <= sockets + POOLED && provider.open_connections() <= POOLED;
        self.wait_until("more than the pool is open", is_pool);
        provider.close_all();
        self.wait_until("sockets are left", || {
            server.sockets() == *sockets && provider.open_connections() == 0
        });
        assert_eq!(provider.panics(), 0, "scripts of the provider panicked");
        Resources {
            memory: server.resident_memory(),
            threads: server.threads(),
        }
    }

    /// Repeats all jobs, and asserts that they leave nothing behind.
    fn check(mut self, jobs: &[Job], (rounds, clients): (usize, usize), slack: usize) {
        let calls = jobs.len() * rounds;
        repeat(self.server.address(), jobs, (rounds, clients));
        let (mut before, mut after) = (self.settle(), None);
        // A leak grows each time, whereas an allocator stops growing after some time.
        for _ in 0..REPETITIONS {
            repeat(self.server.address(), jobs, (rounds, clients));
            let now = self.settle();
            eprintln!("{calls} calls, {rounds} of each kind: {before:?}, then {now:?}");
            if now.memory <= before.memory + slack {
                after = Some(now);
                break;
            }
            before = now;
        }
        let after = after.unwrap_or_else(|| panic!("memory grows each time, now {before:?}"));
        assert!(
            after.threads <= before.threads,
            "threads are left: {before:?}, then {after:?}"
        );
        self.server.signal("TERM");
        let (status, log) = self.server.wait_for_exit();
        assert_eq!(status.code(), Some(0), "{log}");
        for unwanted in ["panicked", "fault of this server", "cut off", "ERROR"] {
            assert!(!log.contains(unwanted), "{unwanted}: {log}");
        }
    }
}

#[test]
fn repeated_faults_leak_nothing() {
    let unreachable = UnreachableAddresses::new();
    let monitored = MonitoredServer::start(&[]);
    let jobs = fault_jobs(&monitored.provider, &unreachable);

    monitored.check(&jobs, (rounds(), CLIENTS), SLACK);
}

#[test]
fn repeated_stalls_leak_nothing() {
    let unreachable = UnreachableAddresses::new();
    let monitored = MonitoredServer::start(&[
        ("AISBREAKER_CONNECT_TIMEOUT", "100ms"),
        ("AISBREAKER_PROVIDER_TIMEOUT", "100ms"),
        ("AISBREAKER_STREAM_IDLE_TIMEOUT", "100ms"),
    ]);
    let jobs = stall_jobs(&monitored.provider, &unreachable);

    monitored.check(&jobs, (rounds(), WAITING_CLIENTS), SLACK);
}

#[test]
fn oversized_answers_leak_nothing() {
    let monitored = MonitoredServer::start(&[("AISBREAKER_MAX_ANSWER_BYTES", MAX_ANSWER_BYTES)]);
    let url = monitored.provider.url();
    let jobs = jobs(cases::floods(), |case| directly(&url, case));

    monitored.check(&jobs, (rounds(), CLIENTS), SLACK);
}

/// Asserts that a call ended with an error. How far it got depends on timing.
fn check_stalled(case: &Case, is_stream: bool, response: &Response) {
    let status = if is_stream {
        response.stream_error().1["statusCode"].clone()
    } else {
        response.status.into()
    };
    assert!(
        status == 504 || status == 500,
        "{}: {response:?}",
        case.name
    );
}
