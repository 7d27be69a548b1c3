//! The same for tasks, which only the runtime of a gateway in this process can count.

use std::{net::SocketAddr, time::Duration};

use aisbreaker_egress::{Client, Policy, Timeouts};
use aisbreaker_gateway::{Config, Gateway, Limits, SystemClock, quotas_from_json, serve};
use aisbreaker_services::services;
use aisbreaker_token::{KeyRing, ServerKey};
use tokio::{net::TcpListener, runtime::Runtime};

use super::{CLIENTS, Job, POOLED, WAITING_CLIENTS, fault_jobs, repeat, rounds, stall_jobs};
use crate::{
    own_api::provider_faults::cases,
    support::{Connection, Provider, Request, UnreachableAddresses, quotas},
};

/// The accept loop, the connection of the probe, and the task that closes idle connections of the
/// pool.
const OWN_TASKS: usize = 3;

/// A gateway in this process, on its own runtime.
pub(crate) struct EmbeddedGateway {
    runtime: Runtime,
    address: SocketAddr,
}

impl EmbeddedGateway {
    /// Starts a gateway that may call loopback addresses.
    pub(crate) fn start(timeouts: Timeouts) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let policy = Policy::strict()
            .allow("127.0.0.0/8")
            .expect("an exception")
            .extend_to_untrusted();
        let registry =
            services::standard(Client::new(policy, timeouts), services::Options::default()).build();
        let mut config = Config::new(KeyRing::new(ServerKey::generate().expect("a key")));
        let ample = quotas([100_000_000; 3], [100_000_000; 3]).to_string();
        config.server_quotas = quotas_from_json(&ample).expect("quotas");
        config.default_quotas = config.server_quotas;
        config.mint_quotas = config.server_quotas;
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

    /// Returns the address on which it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until only the connections and tasks of an idle gateway are left.
    pub(crate) fn assert_idle(&self, provider: &Provider) {
        let mut probe = Connection::open(self.address);
        let mut wait_until = |connections, tasks| {
            let metrics = self.runtime.metrics();
            let holds = (0..20_000).any(|_| {
                assert_eq!(probe.send(&Request::get("/healthz")).status, 200);
                provider.open_connections() <= connections && metrics.num_alive_tasks() <= tasks
            });
            let left = (provider.open_connections(), metrics.num_alive_tasks());
            assert!(
                holds,
                "connections and tasks: {left:?}, not {:?}",
                (connections, tasks)
            );
        };
        // A connection has at most two tasks: its own, and one that returns it to the pool.
        wait_until(POOLED, OWN_TASKS + 2 * POOLED);
        provider.close_all();
        wait_until(0, OWN_TASKS);
    }
}

/// Repeats all jobs, and asserts that no task is left.
fn check(gateway: &EmbeddedGateway, provider: &Provider, jobs: &[Job], clients: usize) {
    repeat(gateway.address, jobs, (rounds(), clients));
    gateway.assert_idle(provider);
}

#[test]
fn repeated_faults_leak_no_task() {
    let (unreachable, provider) = (UnreachableAddresses::new(), cases::provider());
    let gateway = EmbeddedGateway::start(Timeouts::default());
    let jobs = fault_jobs(&provider, &unreachable);

    check(&gateway, &provider, &jobs, CLIENTS);
}

#[test]
fn repeated_stalls_leak_no_task() {
    let short = Duration::from_millis(100);
    let timeouts = Timeouts::default()
        .with_connect(short)
        .with_response(short)
        .with_idle(short);
    let (unreachable, provider) = (UnreachableAddresses::new(), cases::provider());
    let gateway = EmbeddedGateway::start(timeouts);
    let jobs = stall_jobs(&provider, &unreachable);

    check(&gateway, &provider, &jobs, WAITING_CLIENTS);
}
