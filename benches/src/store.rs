//! A Redis server of its own, and what is asked of it: a decision over twelve limits, twelve GCRA
//! checks in one script as an anchor, and nothing but an answer (`PING`). All go over one
//! connection each, of the same kind.

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

/// What is asked.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Question {
    /// A decision over twelve limits, admitted.
    Charge,
    /// The same, refused by the last of its counters.
    Refused,
    /// Twelve GCRA checks.
    Gcra,
    /// `PING`.
    Ping,
}

/// A server, and a runtime of one thread that asks it.
#[derive(Debug)]
pub struct Store {
    runtime: Runtime,
    asker: Asker,
    _server: redis_server::RedisServer,
}

#[derive(Clone, Debug)]
struct Asker {
    engine: SharedEngine,
    connection: MultiplexedConnection,
    /// The hash by which the server knows the script.
    gcra: String,
}

impl Store {
    /// A new server; `None` where there is no program for it, said on standard error.
    #[must_use]
    pub fn start() -> Option<Self> {
        let server = redis_server::RedisServer::start(&[])?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let asker = runtime.block_on(Asker::new(&server.url()));
        Some(Self {
            runtime,
            asker,
            _server: server,
        })
    }

    /// The time until so many questions are answered one after the other, by each of so many that
    /// ask at once.
    #[must_use]
    pub fn ask(&self, question: Question, in_flight: u32, each: u64) -> Duration {
        self.runtime.block_on(async {
            let begun = now();
            let mut tasks = JoinSet::new();
            for _ in 0..in_flight {
                let mut asker = self.asker.clone();
                tasks.spawn(async move {
                    for _ in 0..each {
                        asker.ask(question).await;
                    }
                });
            }
            tasks.join_all().await;
            begun.elapsed()
        })
    }

    /// The same, but the time of each answer, in ascending order.
    #[must_use]
    pub fn latencies(&self, question: Question, in_flight: u32, each: u64) -> Vec<Duration> {
        self.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for _ in 0..in_flight {
                let mut asker = self.asker.clone();
                tasks.spawn(async move {
                    let mut times = Vec::new();
                    for _ in 0..each {
                        let begun = now();
                        asker.ask(question).await;
                        times.push(begun.elapsed());
                    }
                    times
                });
            }
            let mut times = tasks.join_all().await.concat();
            times.sort_unstable();
            times
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "a measurement owns its clock")]
fn now() -> Instant {
    Instant::now()
}

impl Asker {
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
        let info = url.into_connection_info().expect("it is an address");
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = redis::Client::open(info).expect("it is an address");
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await;
        let mut connection = connection.expect("it accepts");
        let mut loading = redis::cmd("SCRIPT");
        loading.arg("LOAD").arg(include_str!("gcra.lua"));
        let gcra = loading
            .query_async::<String>(&mut connection)
            .await
            .expect("it takes the script");
        let asker = Self {
            engine,
            connection,
            gcra,
        };
        asker
            .engine
            .charge(&charges(NonZeroU32::MIN), NonZeroU32::MIN)
            .await
            .expect("the first is admitted");
        asker
    }

    async fn ask(&mut self, question: Question) {
        match question {
            Question::Charge => {
                let answer = self.engine.charge(&charges(MANY), NonZeroU32::MIN).await;
                answer.expect("it is admitted");
            }
            Question::Refused => {
                let answer = self
                    .engine
                    .charge(&charges(NonZeroU32::MIN), NonZeroU32::MIN)
                    .await;
                answer.expect_err("it is refused");
            }
            Question::Gcra => {
                let answer = gcra(&self.gcra)
                    .query_async::<Vec<i64>>(&mut self.connection)
                    .await;
                assert_eq!(answer.expect("it answers"), [1], "it is admitted");
            }
            Question::Ping => {
                let answer = redis::cmd("PING")
                    .query_async::<String>(&mut self.connection)
                    .await;
                assert_eq!(answer.expect("it answers"), "PONG", "nothing else");
            }
        }
    }
}

const MANY: NonZeroU32 = NonZeroU32::new(4_000_000_000).unwrap();

/// The counters of a request: server and key, per client and global, as a gateway may name them.
const NAMES: [&str; 4] = [
    "server/c/198.51.100.7",
    "key/c/AwMDAwMDAwMDAwMDAwMDAw/198.51.100.7",
    "key/g/AwMDAwMDAwMDAwMDAwMDAw",
    "server/g",
];

/// The charges of a request; the last counter's limits are these.
fn charges(last: NonZeroU32) -> [Charge<&'static str>; 4] {
    let [first, second, third, fourth] = NAMES;
    let wide = Limits::new(MANY, MANY, MANY);
    [
        Charge::new(first, wide),
        Charge::new(second, wide),
        Charge::shared(third, wide),
        Charge::shared(fourth, Limits::new(MANY, MANY, last)),
    ]
}

/// Twelve checks of limits of one per microsecond, so that none is ever reached.
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
