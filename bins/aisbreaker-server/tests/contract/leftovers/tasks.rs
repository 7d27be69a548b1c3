//! The same for tasks, of which only the runtime of a gateway in this process can tell.

use std::{net::SocketAddr, time::Duration};

use aisbreaker_egress::{Client, Policy, Timeouts};
use aisbreaker_gateway::{Config, Gateway, Limits, SystemClock, quotas_from_json, serve};
use aisbreaker_services::services;
use aisbreaker_token::{KeyRing, ServerKey};
use tokio::{net::TcpListener, runtime::Runtime};

use super::{CLIENTS, Job, POOLED, WAITING_CLIENTS, check_stalled, jobs, play, rounds, unanswered};
use crate::{
    faults::{
        cases::{self, Outcome},
        directly,
    },
    support::{Connection, Deaf, Provider, Request, quotas},
};

/// The accept loop, the connection that asks how things are, and the pool's own task, which closes
/// what is unused.
const OWN_TASKS: usize = 3;

/// A gateway on a runtime of its own.
pub(crate) struct Embedded {
    runtime: Runtime,
    address: SocketAddr,
}

impl Embedded {
    pub(crate) fn start(timeouts: Timeouts) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let policy = Policy::strict().allow("127.0.0.0/8").expect("an exception");
        let registry =
            services::standard(Client::new(policy, timeouts), services::Options::default()).build();
        let mut config = Config::new(KeyRing::new(ServerKey::generate().expect("a key")));
        let roomy = quotas([100_000_000; 3], [100_000_000; 3]).to_string();
        config.server_quotas = quotas_from_json(&roomy).expect("quotas");
        config.default_quotas = quotas_from_json(&roomy).expect("quotas");
        let gateway = Gateway::new(config, registry, SystemClock::new());
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port");
        let address = listener.local_addr().expect("its address");
        runtime.spawn(serve(
            listener,
            gateway,
            Limits::default(),
            std::future::pending(),
        ));
        Self { runtime, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until there are no connections and tasks but those that a gateway has when nobody
    /// calls it.
    pub(crate) fn assert_calm(&self, provider: &Provider) {
        let mut probe = Connection::open(self.address);
        let mut wait_until = |connections, tasks| {
            let metrics = self.runtime.metrics();
            let is_now = (0..20_000).any(|_| {
                assert_eq!(probe.send(&Request::get("/healthz")).status, 200);
                provider.open() <= connections && metrics.num_alive_tasks() <= tasks
            });
            let left = (provider.open(), metrics.num_alive_tasks());
            assert!(
                is_now,
                "connections and tasks: {left:?}, not {:?}",
                (connections, tasks)
            );
        };
        // A connection has two tasks at most: itself, and whoever waits to return it to the pool.
        wait_until(POOLED, OWN_TASKS + 2 * POOLED);
        provider.close_all();
        wait_until(0, OWN_TASKS);
    }
}

/// Does all jobs often, and checks that no task is left.
fn check(gateway: &Embedded, provider: &Provider, jobs: &[Job], clients: usize) {
    play(gateway.address, jobs, (rounds(), clients));
    gateway.assert_calm(provider);
}

#[test]
fn no_task_is_left_behind_by_many_rounds_of_every_fault() {
    let (deaf, provider) = (Deaf::new(), cases::provider());
    let url = provider.url();
    let mut jobs = jobs(cases::quick(), |case| directly(&url, case));
    let refused = Outcome::Refusal(503, "ECONNREFUSED", None);
    jobs.extend(unanswered(
        &deaf.refusing_url(),
        "refuses connections",
        refused,
    ));

    check(
        &Embedded::start(Timeouts::default()),
        &provider,
        &jobs,
        CLIENTS,
    );
}

#[test]
fn no_task_is_left_behind_by_many_rounds_of_every_stall() {
    let short = Duration::from_millis(100);
    let timeouts = Timeouts::default()
        .with_connect(short)
        .with_response(short)
        .with_idle(short);
    let (deaf, provider) = (Deaf::new(), cases::provider());
    let url = provider.url();
    let mut jobs = jobs(cases::stalls(), |case| directly(&url, case));
    jobs.extend(unanswered(
        &deaf.full_url(),
        "does not take connections",
        Outcome::Error(504),
    ));
    for job in &mut jobs {
        job.check = check_stalled;
    }

    check(
        &Embedded::start(timeouts),
        &provider,
        &jobs,
        WAITING_CLIENTS,
    );
}
