//! A connection to a store that is kept alive in the background, so that no decision ever waits for
//! one.

use std::{
    sync::{
        Mutex, PoisonError,
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
    address::{CONNECT_TIMEOUT, Connection, StoreAddress},
    error::StoreError,
    message::{self, Function},
};

/// How many decisions in a row miss their deadline before the store counts as gone.
const PATIENCE: u32 = 3;
/// The first wait after a failure; the next ones are twice as long each.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait for a store that is gone.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait for one that comes and goes.
const LONGEST_HOLD: Duration = Duration::from_secs(10);
/// Who stayed this long did not just come and go.
const STABLE: Duration = Duration::from_secs(10);

/// Whether a store answers.
#[expect(clippy::exhaustive_enums, reason = "users tell all of them apart")]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StoreState {
    /// Not known yet.
    Connecting,
    /// It did when it was last asked.
    Up,
    /// It did not, for this cause. It is looked for in the background.
    Down(StoreError),
}

/// What decisions and the keeper of the connection share.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) function: Function,
    state: watch::Sender<StoreState>,
    current: Mutex<Current>,
    /// Told once for each connection, when it is lost.
    lost: Notify,
    timeouts: AtomicU32,
}

#[derive(Default)]
struct Current {
    number: u64,
    connection: Option<Connection>,
}

impl Link {
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

    /// Sends a call of the function and waits for its answer, until `deadline` at most.
    pub(super) async fn ask(&self, command: &Cmd, deadline: Instant) -> Result<Value, StoreError> {
        let (number, connection) = self.connection();
        let Some(mut connection) = connection else {
            return Err(StoreError::Down);
        };
        let answer = timeout_at(deadline, query(&mut connection, &self.function, command)).await;
        match answer {
            Ok(Ok(answer)) => {
                self.timeouts.store(0, Ordering::Relaxed);
                Ok(answer)
            }
            Ok(Err(error)) => {
                let failed = failed(&error);
                if concerns_all(&error) {
                    self.lose(number, failed.clone());
                }
                Err(failed)
            }
            Err(_elapsed) => {
                if self
                    .timeouts
                    .fetch_add(1, Ordering::Relaxed)
                    .saturating_add(1)
                    >= PATIENCE
                {
                    self.lose(number, StoreError::Timeout);
                }
                Err(StoreError::Timeout)
            }
        }
    }

    fn connection(&self) -> (u64, Option<Connection>) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        (current.number, current.connection.clone())
    }

    fn install(&self, connection: Connection) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Current {
            number: current.number.wrapping_add(1),
            connection: Some(connection),
        };
        self.timeouts.store(0, Ordering::Relaxed);
        self.state.send_replace(StoreState::Up);
    }

    /// Gives up the connection with this number, if nobody else has.
    fn lose(&self, number: u64, cause: StoreError) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.number == number && current.connection.take().is_some() {
            self.state.send_replace(StoreState::Down(cause));
            self.lost.notify_one();
        }
    }

    /// Connects, and connects again whenever the connection is lost, for as long as it is polled. A
    /// store counts as there when a charge was answered within `deadline`.
    pub(super) async fn keep(&self, address: StoreAddress, probe: Cmd, deadline: Duration) {
        let mut hold = SHORTEST_WAIT;
        loop {
            let mut wait = hold;
            let connection = loop {
                match self.connect(&address, &probe, deadline).await {
                    Ok(connection) => break connection,
                    Err(cause) => {
                        self.state.send_replace(StoreState::Down(cause));
                    }
                }
                sleep(wait).await;
                wait = wait.saturating_mul(2).min(LONGEST_WAIT.max(hold));
            };
            self.install(connection);
            let since = Instant::now();
            self.lost.notified().await;
            let was_stable = since.elapsed() >= STABLE;
            hold = if was_stable {
                SHORTEST_WAIT
            } else {
                hold.saturating_mul(2).min(LONGEST_HOLD)
            };
            sleep(hold).await;
        }
    }

    async fn connect(
        &self,
        address: &StoreAddress,
        probe: &Cmd,
        deadline: Duration,
    ) -> Result<Connection, StoreError> {
        let connected = timeout(CONNECT_TIMEOUT, async {
            let mut connection = address.connect().await?;
            load(&mut connection, &self.function).await?;
            Ok(connection)
        });
        let connected = connected.await.map_err(|_elapsed| StoreError::Timeout)?;
        let mut connection = connected.map_err(|error| failed(&error))?;
        let probed = timeout(deadline, query(&mut connection, &self.function, probe)).await;
        let probed = probed.map_err(|_elapsed| StoreError::Timeout)?;
        match probed {
            Ok(answer) if message::is_admitted(&answer) => Ok(connection),
            Ok(_) => Err(message::unreadable()),
            Err(error) => Err(failed(&error)),
        }
    }
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// Calls the function; teaches it to the store first if that does not know it, or does not any
/// more.
async fn query(
    connection: &mut Connection,
    function: &Function,
    command: &Cmd,
) -> RedisResult<Value> {
    match connection.query(command).await {
        Err(error) if says(&error, "Function not found") => {
            load(connection, function).await?;
            connection.query(command).await
        }
        answer => answer,
    }
}

/// Teaches the function to the store; all its primaries, if it is a cluster.
async fn load(connection: &mut Connection, function: &Function) -> RedisResult<()> {
    match connection.query(&function.load).await {
        Err(error) if !says(&error, "already exists") => Err(error),
        _ => Ok(()),
    }
}

fn says(error: &RedisError, text: &str) -> bool {
    error.detail().is_some_and(|detail| detail.contains(text))
}

/// Whether other decisions would fare no better: anything but an error of the function itself,
/// which is about a counter that somebody else has written.
fn concerns_all(error: &RedisError) -> bool {
    error.kind() != ErrorKind::Server(ServerErrorKind::ResponseError)
}

/// What kind of fault it is, in words that are not the store's: its own may repeat names and
/// addresses.
fn failed(error: &RedisError) -> StoreError {
    let is_code = |code: &&str| {
        (1..=32).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase())
    };
    let kind = if says(error, "unknown command") {
        "it knows no functions; Redis 7 or Valkey is needed"
    } else if error.is_connection_refusal() {
        "connection refused"
    } else if error.is_connection_dropped() {
        "connection closed"
    } else if error.kind() == ErrorKind::Client {
        "no connection: its TLS certificate was not accepted, or it is a cluster that is not whole"
    } else if error.is_timeout() {
        "connection timed out"
    } else {
        error
            .code()
            .filter(is_code)
            .filter(|code| *code != "ERR")
            .unwrap_or_else(|| error.category())
    };
    StoreError::Failed(kind.to_owned())
}
