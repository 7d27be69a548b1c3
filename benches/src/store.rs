//! A Redis server and the operations that are measured on it: a decision over twelve limits, twelve
//! GCRA checks in one script as an anchor, and `PING` as the floor. The engine and the anchors have
//! one connection each, of the same kind.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use aisbreaker_quota::{
    Charge, Limits,
    shared::{SharedEngine, SharedOptions, StoreAddress, StoreState},
};
use redis::{
    AsyncConnectionConfig, Cmd, IntoConnectionInfo as _, aio::MultiplexedConnection,
    io::tcp::TcpSettings,
};
use tokio::{runtime::Runtime, task::JoinSet};

#[expect(dead_code, reason = "tests do more with it")]
#[path = "../../crates/aisbreaker-quota/tests/support/redis_server.rs"]
mod redis_server;

/// One operation of the store.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Operation {
    /// A decision over twelve limits, admitted.
    Charge,
    /// The same, refused by the last of its counters.
    Refused,
    /// Twelve GCRA checks.
    Gcra,
    /// `PING`.
    Ping,
}

/// A server, and a single-threaded runtime with a client of it.
#[derive(Debug)]
pub struct Store {
    runtime: Runtime,
    client: StoreClient,
    _server: redis_server::RedisServer,
}

#[derive(Clone, Debug)]
struct StoreClient {
    engine: SharedEngine,
    connection: MultiplexedConnection,
    /// The hash of the GCRA script.
    gcra_hash: String,
}

impl Store {
    /// Starts a server. Returns `None` where Redis is not installed, after a message on standard
    /// error.
    #[must_use]
    pub fn start() -> Option<Self> {
        let server = redis_server::RedisServer::start(&[])?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let client = runtime.block_on(StoreClient::new(&server.url()));
        Some(Self {
            runtime,
            client,
            _server: server,
        })
    }

    /// Runs `in_flight` tasks at once, each of which repeats the operation `each` times. Returns
    /// the time until all have finished.
    #[must_use]
    pub fn elapsed(&self, operation: Operation, in_flight: u32, each: u64) -> Duration {
        self.runtime.block_on(async {
            let started = now();
            let mut tasks = JoinSet::new();
            for _ in 0..in_flight {
                let mut client = self.client.clone();
                tasks.spawn(async move {
                    for _ in 0..each {
                        client.run(operation).await;
                    }
                });
            }
            tasks.join_all().await;
            started.elapsed()
        })
    }

    /// Runs the same tasks. Returns the latency of every operation, in ascending order.
    #[must_use]
    pub fn latencies(&self, operation: Operation, in_flight: u32, each: u64) -> Vec<Duration> {
        self.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for _ in 0..in_flight {
                let mut client = self.client.clone();
                tasks.spawn(async move {
                    let mut latencies = Vec::new();
                    for _ in 0..each {
                        let started = now();
                        client.run(operation).await;
                        latencies.push(started.elapsed());
                    }
                    latencies
                });
            }
            let mut all = tasks.join_all().await.concat();
            all.sort_unstable();
            all
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "a measurement owns its clock")]
fn now() -> Instant {
    Instant::now()
}

impl StoreClient {
    async fn new(url: &str) -> Self {
        let mut options = SharedOptions::default();
        options.deadline = Duration::from_secs(10);
        let address = StoreAddress::parse(url).expect("it is an address");
        let engine = SharedEngine::start(address, options).expect("its options are good");
        engine
            .states()
            .wait_for(|state| *state == StoreState::Up)
            .await
            .expect("it is found");
        let info = url
            .into_connection_info()
            .expect("it is an address")
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = redis::Client::open(info).expect("it is an address");
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .expect("it accepts");
        let gcra_hash = redis::cmd("SCRIPT")
            .arg("LOAD")
            .arg(include_str!("gcra.lua"))
            .query_async::<String>(&mut connection)
            .await
            .expect("it takes the script");
        // Uses up the limit of `Operation::Refused`.
        engine
            .charge(&charges(1), NonZeroU32::MIN)
            .await
            .expect("the first is admitted");
        Self {
            engine,
            connection,
            gcra_hash,
        }
    }

    async fn run(&mut self, operation: Operation) {
        match operation {
            Operation::Charge => {
                let decision = self.engine.charge(&charges(MANY), NonZeroU32::MIN).await;
                decision.expect("it is admitted");
            }
            Operation::Refused => {
                let charges = charges(1);
                let decision = self.engine.charge(&charges, NonZeroU32::MIN).await;
                decision.expect_err("it is refused");
            }
            Operation::Gcra => {
                let reply = gcra(&self.gcra_hash)
                    .query_async::<Vec<i64>>(&mut self.connection)
                    .await;
                assert_eq!(reply.expect("it replies"), [1], "it is admitted");
            }
            Operation::Ping => {
                let reply = redis::cmd("PING")
                    .query_async::<String>(&mut self.connection)
                    .await;
                assert_eq!(reply.expect("it replies"), "PONG");
            }
        }
    }
}

const MANY: u32 = 4_000_000_000;

/// The counters of a request: server and key, per client and global, as a gateway may name them.
const NAMES: [&str; 4] = [
    "server/c/198.51.100.7",
    "key/c/AwMDAwMDAwMDAwMDAwMDAw/198.51.100.7",
    "key/g/AwMDAwMDAwMDAwMDAwMDAw",
    "server/g",
];

/// Returns the charges of a request. `last` is the limit per day of the last counter.
fn charges(last: u32) -> [Charge<&'static str>; 4] {
    let [first, second, third, fourth] = NAMES;
    let wide = Limits::new(MANY, MANY, MANY);
    [
        Charge::new(first, wide),
        Charge::new(second, wide),
        Charge::shared(third, wide),
        Charge::shared(fourth, Limits::new(MANY, MANY, last)),
    ]
}

/// Returns the command for twelve checks, of limits of one per microsecond, which are never
/// reached.
fn gcra(hash: &str) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(hash).arg(3 * NAMES.len());
    let windows = [
        ("m", 60_000_000_u64),
        ("h", 3_600_000_000),
        ("d", 86_400_000_000),
    ];
    for name in NAMES {
        for (window, _) in windows {
            command.arg(format!("{{gcra}}{name}/{window}"));
        }
    }
    for _ in NAMES {
        for (_, micros) in windows {
            command.arg(1).arg(micros);
        }
    }
    command
}
