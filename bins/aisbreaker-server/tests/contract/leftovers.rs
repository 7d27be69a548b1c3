//! Nothing of a fault stays behind: no socket, thread, task or memory, and no request that is
//! thought to be under way.
//!
//! Every case of the table in `faults` is done so often, streamed and not, by many clients at once.
//! By default that is [`ROUNDS`] times; for a thousand:
//!
//! ```text
//! AISBREAKER_TEST_ROUNDS=1000 cargo test -p aisbreaker-server --test contract leftovers -- --nocapture
//! ```

mod tasks;

pub(crate) use tasks::Embedded;

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::Value;

use super::faults::{
    cases::{self, Asked, Case, Outcome},
    check, directly,
};
use super::openai::SECRET;
use crate::support::{
    Answer, Connection, Deaf, Provider, Request, Server, Wire, call, quotas, service_at, streamed,
};

/// How often every case is done unless the environment says otherwise.
const ROUNDS: usize = 100;
/// The server's bound on an answer in bytes: the one by itself is too much for many rounds.
const MAX_ANSWER_BYTES: &str = "1048576";
/// How many calls are under way at once; few enough to leave other tests their share of the
/// machine.
const CLIENTS: usize = 16;
/// The same of calls that do nothing but wait; no more than a pool keeps connections of one origin.
const WAITING_CLIENTS: usize = 48;
/// How many connections without a call a server keeps to one provider.
const POOLED: usize = 64;
/// How often memory may have grown before it is taken for a leak.
const REPETITIONS: usize = 6;
/// How much the memory of a server may differ for no reason of ours: its allocator keeps what was
/// freed in pieces.
const SLACK: usize = 4 << 20;

#[expect(
    clippy::disallowed_methods,
    reason = "how much is done is up to whoever runs the tests"
)]
fn rounds() -> usize {
    std::env::var("AISBREAKER_TEST_ROUNDS")
        .map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"))
}

/// A call that is made again and again.
#[derive(Clone)]
struct Job {
    case: Case,
    is_stream: bool,
    request: Request,
    check: fn(&Case, bool, &Answer),
}

/// The calls of these cases, each in full and as a stream.
fn jobs(cases: impl Iterator<Item = Case>, props: impl Fn(&Case) -> Value) -> Vec<Job> {
    let both = cases.flat_map(|case| [false, true].map(|is_stream| (case, is_stream)));
    let job = |(case, is_stream)| {
        let body = call(props(&case), "Hi");
        let body = if is_stream { streamed(body) } else { body };
        Job {
            case,
            is_stream,
            request: Request::process(&body).bearer(SECRET),
            check,
        }
    };
    both.map(job).collect()
}

/// A call of an address where nobody answers.
fn unanswered(url: &str, name: &'static str, outcome: Outcome) -> Vec<Job> {
    let case = Case {
        name,
        act: |_: &Asked, _: &mut Wire| {},
        plain: outcome,
        streamed: outcome,
    };
    jobs([case].into_iter(), |case| {
        service_at(&format!("chat:openai.com/{}", case.name), url)
    })
}

/// Does every job so often, by many clients that keep their connections.
fn play(server: SocketAddr, jobs: &[Job], (rounds, clients): (usize, usize)) {
    let next = AtomicUsize::new(0);
    let client = || {
        let mut connection = Connection::open(server);
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if turn >= jobs.len() * rounds {
                return;
            }
            let job = &jobs[turn % jobs.len()];
            let answer = connection.send(&job.request);
            (job.check)(&job.case, job.is_stream, &answer);
            if answer
                .header("connection")
                .is_some_and(|value| value == "close")
            {
                connection = Connection::open(server);
            }
        }
    };
    std::thread::scope(|scope| (0..clients).for_each(|_| drop(scope.spawn(client))));
}

/// A server, and what it had open before anybody called it.
struct Watched {
    server: Server,
    provider: Provider,
    /// With one connection open, that of whoever counts.
    sockets: usize,
}

/// What a server has once it has nothing to do.
#[derive(Debug)]
struct Holding {
    memory: usize,
    threads: usize,
}

impl Watched {
    fn start(settings: &[(&str, &str)]) -> Self {
        let roomy = quotas([100_000_000; 3], [100_000_000; 3]).to_string();
        let common = [
            ("AISBREAKER_SERVER_QUOTAS", &*roomy),
            ("AISBREAKER_DEFAULT_QUOTAS", &*roomy),
            // A line for every request would be more than a failure is worth to be shown with.
            (
                "AISBREAKER_LOG",
                "warn,aisbreaker_server=info,aisbreaker_gateway::server=info",
            ),
            // Longer than any test: a server that thinks that a request is under way does not end.
            ("AISBREAKER_DRAIN_TIMEOUT", "10m"),
        ];
        let server = Server::with_egress(&[&common, settings].concat());
        let mut probe = server.connect();
        assert_eq!(probe.send(&Request::get("/healthz")).status, 200);
        let sockets = server.sockets();
        Self {
            server,
            provider: cases::provider(),
            sockets,
        }
    }

    /// Waits until this is so, at the pace of the server's answers.
    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let mut probe = self.server.connect();
        let is_now = (0..20_000).any(|_| {
            assert_eq!(probe.send(&Request::get("/healthz")).status, 200);
            is_so()
        });
        let open = (self.server.sockets(), self.sockets, self.provider.open());
        assert!(
            is_now,
            "{what}: sockets of the server, at first, of the provider: {open:?}"
        );
    }

    /// Waits until the server has what it had at first, and nothing but.
    fn settle(&self) -> Holding {
        let Self {
            server,
            provider,
            sockets,
        } = self;
        let is_pool = || server.sockets() <= sockets + POOLED && provider.open() <= POOLED;
        self.wait_until("more than the pool is open", is_pool);
        provider.close_all();
        self.wait_until("sockets are left", || {
            server.sockets() == *sockets && provider.open() == 0
        });
        assert_eq!(
            provider.panics(),
            0,
            "a provider could not do what it was to do"
        );
        Holding {
            memory: server.resident_memory(),
            threads: server.threads(),
        }
    }

    /// Does all jobs so often, and checks what is left of them.
    fn check(mut self, jobs: &[Job], (rounds, clients): (usize, usize), slack: usize) {
        let calls = jobs.len() * rounds;
        play(self.server.address(), jobs, (rounds, clients));
        let (mut before, mut after) = (self.settle(), None);
        // What is left behind is left each time; an allocator takes some time until it needs no
        // more.
        for _ in 0..REPETITIONS {
            play(self.server.address(), jobs, (rounds, clients));
            let now = self.settle();
            eprintln!("{calls} calls, {rounds} of each kind: {before:?}, then {now:?}");
            if now.memory <= before.memory + slack {
                after = Some(now);
                break;
            }
            before = now;
        }
        let after = after.unwrap_or_else(|| panic!("memory is left each time, now {before:?}"));
        assert!(
            after.threads <= before.threads,
            "threads are left: {before:?}, then {after:?}"
        );
        self.server.signal("TERM");
        let (status, log) = self.server.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        for unwanted in ["panicked", "fault of this server", "cut off", "ERROR"] {
            assert!(!log.contains(unwanted), "{unwanted}: {log}");
        }
    }
}

#[test]
fn nothing_is_left_behind_by_many_rounds_of_every_fault() {
    let (deaf, watched) = (Deaf::new(), Watched::start(&[]));
    let url = watched.provider.url();
    let refused = Outcome::Refusal(503, "ECONNREFUSED", None);
    let mut jobs = jobs(cases::quick(), |case| directly(&url, case));
    jobs.extend(unanswered(
        &deaf.refusing_url(),
        "refuses connections",
        refused,
    ));

    watched.check(&jobs, (rounds(), CLIENTS), SLACK);
}

#[test]
fn nothing_is_left_behind_by_many_rounds_of_every_stall() {
    let timeouts = [
        ("AISBREAKER_CONNECT_TIMEOUT", "100ms"),
        ("AISBREAKER_PROVIDER_TIMEOUT", "100ms"),
        ("AISBREAKER_STREAM_IDLE_TIMEOUT", "100ms"),
    ];
    let (deaf, watched) = (Deaf::new(), Watched::start(&timeouts));
    let url = watched.provider.url();
    let mut jobs = jobs(cases::stalls(), |case| directly(&url, case));
    jobs.extend(unanswered(
        &deaf.full_url(),
        "does not take connections",
        Outcome::Error(504),
    ));
    for job in &mut jobs {
        job.check = check_stalled;
    }

    watched.check(&jobs, (rounds(), WAITING_CLIENTS), SLACK);
}

/// Checks that a call ended in an error; how far it came is a matter of time.
fn check_stalled(case: &Case, is_stream: bool, answer: &Answer) {
    let status = if is_stream {
        answer.stream_error().1["statusCode"].clone()
    } else {
        answer.status.into()
    };
    assert!(status == 504 || status == 500, "{}: {answer:?}", case.name);
}

#[test]
fn nothing_is_left_behind_by_answers_that_are_too_long() {
    let watched = Watched::start(&[("AISBREAKER_MAX_ANSWER_BYTES", MAX_ANSWER_BYTES)]);
    let url = watched.provider.url();
    let jobs = jobs(cases::floods(), |case| directly(&url, case));

    watched.check(&jobs, (rounds(), CLIENTS), SLACK);
}
