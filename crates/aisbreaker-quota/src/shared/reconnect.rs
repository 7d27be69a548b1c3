//! A connection to a store that a background task keeps alive, so that no decision waits for one.

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    address::{CONNECT_TIMEOUT, StoreAddress},
    connection::Connection,
    error::StoreError,
    function::Function,
    reply,
};

/// After this many timeouts in a row, the store counts as down.
const MAX_TIMEOUTS: u32 = 3;
/// The first backoff after a failure. Each further failure doubles it.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
/// The longest backoff while the store is down.
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// The longest backoff for a store whose connections keep breaking.
const MAX_FLAPPING_BACKOFF: Duration = Duration::from_secs(10);
/// A connection that lasted this long was stable.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Whether a store answers.
#[expect(clippy::exhaustive_enums, reason = "callers handle every state")]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StoreState {
    /// The first attempt to connect is still in progress.
    Connecting,
    /// The store answers.
    Up,
    /// The store does not answer, for this reason. The engine is reconnecting in the background.
    Down(StoreError),
}

/// The current connection, shared by decisions and the task that reconnects.
#[derive(Debug)]
pub(super) struct Reconnect {
    pub(super) function: Function,
    state: watch::Sender<StoreState>,
    current: Mutex<Current>,
    /// Notified once for each connection that is lost.
    lost: Notify,
    /// Timeouts in a row.
    timeouts: AtomicU32,
}

#[derive(Default)]
struct Current {
    /// Goes up with each connection.
    number: u64,
    connection: Option<Connection>,
}

impl Reconnect {
    pub(super) fn new() -> Self {
        Self {
            function: Function::new(),
            state: watch::Sender::new(StoreState::Connecting),
            current: Mutex::default(),
            lost: Notify::new(),
            timeouts: AtomicU32::new(0),
        }
    }

    pub(super) fn states(&self) -> watch::Receiver<StoreState> {
        self.state.subscribe()
    }

    /// Calls the function and waits for its reply, until `deadline` at most.
    pub(super) async fn call(&self, command: &Cmd, deadline: Instant) -> Result<Value, StoreError> {
        let (number, connection) = self.connection();
        let Some(mut connection) = connection else {
            return Err(StoreError::Down);
        };
        let call = call_function(&mut connection, &self.function, command);
        match timeout_at(deadline, call).await {
            Ok(Ok(reply)) => {
                self.timeouts.store(0, Ordering::Relaxed);
                Ok(reply)
            }
            Ok(Err(error)) => {
                let failed = store_error(&error);
                if is_fatal(&error) {
                    self.disconnect(number, failed.clone());
                }
                Err(failed)
            }
            Err(_elapsed) => {
                let earlier = self.timeouts.fetch_add(1, Ordering::Relaxed);
                if earlier.saturating_add(1) >= MAX_TIMEOUTS {
                    self.disconnect(number, StoreError::Timeout);
                }
                Err(StoreError::Timeout)
            }
        }
    }

    fn connection(&self) -> (u64, Option<Connection>) {
        let current = self.current();
        (current.number, current.connection.clone())
    }

    fn install(&self, connection: Connection) {
        let mut current = self.current();
        *current = Current {
            number: current.number.wrapping_add(1),
            connection: Some(connection),
        };
        self.timeouts.store(0, Ordering::Relaxed);
        self.state.send_replace(StoreState::Up);
    }

    /// Gives up the connection with this number, unless that has been done already.
    fn disconnect(&self, number: u64, cause: StoreError) {
        let mut current = self.current();
        if current.number == number && current.connection.take().is_some() {
            self.state.send_replace(StoreState::Down(cause));
            self.lost.notify_one();
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects, and reconnects whenever the connection is lost, for as long as it is polled.
    ///
    /// The store counts as up once it has answered `probe` within `deadline`.
    pub(super) async fn run(&self, address: StoreAddress, probe: Cmd, deadline: Duration) {
        let mut first_backoff = MIN_BACKOFF;
        loop {
            let mut backoff = first_backoff;
            let connection = loop {
                match self.connect(&address, &probe, deadline).await {
                    Ok(connection) => break connection,
                    Err(cause) => {
                        self.state.send_replace(StoreState::Down(cause));
                    }
                }
                sleep(backoff).await;
                backoff = backoff
                    .saturating_mul(2)
                    .min(MAX_BACKOFF.max(first_backoff));
            };
            self.install(connection);
            let since = Instant::now();
            self.lost.notified().await;
            first_backoff = if since.elapsed() >= STABLE_AFTER {
                MIN_BACKOFF
            } else {
                first_backoff.saturating_mul(2).min(MAX_FLAPPING_BACKOFF)
            };
            sleep(first_backoff).await;
        }
    }

    async fn connect(
        &self,
        address: &StoreAddress,
        probe: &Cmd,
        deadline: Duration,
    ) -> Result<Connection, StoreError> {
        let connect = async {
            let mut new = address.connect().await?;
            // Loads the function if the store lacks it. Not before a short command: a store answers a
            // long one of a client that has not authenticated with a protocol error.
            call_function(&mut new, &self.function, probe).await?;
            Ok(new)
        };
        let mut connection = match timeout(CONNECT_TIMEOUT, connect).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(store_error(&error)),
            Err(_elapsed) => return Err(StoreError::Timeout),
        };
        let call = call_function(&mut connection, &self.function, probe);
        match timeout(deadline, call).await {
            Ok(Ok(reply)) if reply::is_admitted(&reply) => Ok(connection),
            Ok(Ok(_)) => Err(reply::unreadable()),
            Ok(Err(error)) => Err(store_error(&error)),
            Err(_elapsed) => Err(StoreError::Timeout),
        }
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// Calls the function. If the store does not have it, or has lost it, loads it and calls again.
async fn call_function(
    connection: &mut Connection,
    function: &Function,
    command: &Cmd,
) -> RedisResult<Value> {
    match connection.query(command).await {
        Err(error) if detail_contains(&error, "Function not found") => {
            load(connection, function).await?;
            connection.query(command).await
        }
        result => result,
    }
}

/// Loads the function library into the store; in a cluster, into all its primaries.
async fn load(connection: &mut Connection, function: &Function) -> RedisResult<()> {
    match connection.query(&function.load).await {
        Err(error) if !detail_contains(&error, "already exists") => Err(error),
        _ => Ok(()),
    }
}

fn detail_contains(error: &RedisError, text: &str) -> bool {
    error.detail().is_some_and(|detail| detail.contains(text))
}

/// Reports whether other decisions would fail as well. Only an error of the function itself
/// concerns a single counter: one that another program has written.
fn is_fatal(error: &RedisError) -> bool {
    error.kind() != ErrorKind::Server(ServerErrorKind::ResponseError)
}

/// Describes an error by its kind. The store's own words are not used, since they may repeat names
/// and addresses.
fn store_error(error: &RedisError) -> StoreError {
    let kind = if detail_contains(error, "unknown command") {
        "functions are not supported; Redis 7 or Valkey is required"
    } else if error.is_connection_refusal() {
        "connection refused"
    } else if error.is_connection_dropped() {
        "connection closed"
    } else if error.kind() == ErrorKind::Client {
        "no connection: the TLS certificate was not accepted, or the cluster is incomplete"
    } else if error.is_timeout() {
        "connection timed out"
    } else {
        match error.code() {
            Some(code) if is_specific_code(code) => code,
            _ => error.category(),
        }
    };
    StoreError::Failed(kind.to_owned())
}

/// Reports whether `code` is an error code such as `OOM`, and not the general `ERR`.
fn is_specific_code(code: &str) -> bool {
    code != "ERR"
        && (1..=32).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_uppercase())
}
