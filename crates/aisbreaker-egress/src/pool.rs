//! The connections to each origin: counts the calls in progress, and keeps idle connections for
//! later calls.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Wake, Waker},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use crate::{connection::Connection, limits::Timeouts, origin::Origin, policy::UrlSource};

/// How often idle connections are swept at least, while none of their servers closes one.
const SWEEP_INTERVAL: Duration = Duration::from_secs(15);
/// The shortest time between two sweeps: one sweep for each connection that is closed would cost
/// too much where there are many.
const MIN_SWEEP_PAUSE: Duration = Duration::from_millis(100);
/// How many idle connections are kept for one origin.
const MAX_IDLE_PER_ORIGIN: usize = 64;

/// What connections belong to. Those that were judged for one source are not used for the other.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct PoolKey {
    pub(crate) origin: Origin,
    /// The source as which the policy judges.
    pub(crate) source: UrlSource,
}

/// The connections of a client. Clones share them.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    timeouts: Timeouts,
    state: Mutex<State>,
    activity: Arc<Activity>,
}

/// Notifies the sweeper when a server sends something on an idle connection, or closes it.
#[derive(Default)]
struct Activity(Notify);

impl Wake for Activity {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

#[derive(Default)]
struct State {
    /// An origin without a call in progress and without an idle connection has no entry.
    origins: HashMap<PoolKey, OriginState>,
    is_sweeper_running: bool,
}

#[derive(Default)]
struct OriginState {
    calls_in_progress: usize,
    /// The most recently used one is last.
    idle: Vec<IdleConnection>,
}

struct IdleConnection {
    connection: Connection,
    since: Instant,
}

/// A call in progress. Dropping it ends the call and keeps its connection, if that is reusable.
pub(crate) struct Lease {
    pool: Pool,
    key: PoolKey,
    pub(crate) connection: Option<Connection>,
}

impl Pool {
    /// Creates a pool that keeps idle connections as long as the timeouts say.
    pub(crate) fn new(timeouts: Timeouts) -> Self {
        Self(Arc::new(Shared {
            timeouts,
            state: Mutex::default(),
            activity: Arc::default(),
        }))
    }

    /// Begins a call, with an idle connection if there is one. Returns `None` if `limit` calls to
    /// this origin are in progress.
    pub(crate) fn lease(&self, key: &PoolKey, limit: usize) -> Option<Lease> {
        let mut state = self.lock();
        let origin_state = match state.origins.get_mut(key) {
            Some(origin_state) => origin_state,
            None => state.origins.entry(key.clone()).or_default(),
        };
        if origin_state.calls_in_progress >= limit {
            if origin_state.is_unused() {
                state.origins.remove(key);
            }
            return None;
        }
        origin_state.calls_in_progress += 1;
        let connection = self.take_idle(origin_state, &key.origin);
        drop(state);
        Some(Lease {
            pool: self.clone(),
            key: key.clone(),
            connection,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops idle connections that are too old or closed. Returns whether any are left; if not, the
    /// sweeper counts as stopped.
    fn sweep(&self) -> bool {
        let (now, waker) = (Instant::now(), self.waker());
        // Declared before the lock, and so dropped after it is released.
        let mut unusable = Vec::new();
        let mut state = self.lock();
        state.origins.retain(|key, origin_state| {
            let timeout = self.0.idle_timeout(&key.origin);
            let is_unusable = |idle: &mut IdleConnection| {
                now.duration_since(idle.since) >= timeout || !idle.connection.is_reusable(&waker)
            };
            unusable.extend(origin_state.idle.extract_if(.., is_unusable));
            !origin_state.is_unused()
        });
        let is_any_idle = state.origins.values().any(|origin| !origin.idle.is_empty());
        state.is_sweeper_running = is_any_idle;
        is_any_idle
    }

    /// Takes the most recently used idle connection, unless it has been idle for too long.
    fn take_idle(&self, origin_state: &mut OriginState, origin: &Origin) -> Option<Connection> {
        let idle = origin_state.idle.last()?;
        if idle.since.elapsed() >= self.0.idle_timeout(origin) {
            // The sweeper drops them, outside of the lock.
            return None;
        }
        Some(origin_state.idle.pop()?.connection)
    }

    /// Returns the waker of idle connections.
    fn waker(&self) -> Waker {
        Arc::clone(&self.0.activity).into()
    }
}

impl Shared {
    fn idle_timeout(&self, origin: &Origin) -> Duration {
        if origin.is_https() {
            self.timeouts.pool_idle_https
        } else {
            self.timeouts.pool_idle_http
        }
    }

    fn sweep_interval(&self) -> Duration {
        let shortest = self
            .timeouts
            .pool_idle_http
            .min(self.timeouts.pool_idle_https);
        shortest.min(SWEEP_INTERVAL)
    }
}

impl OriginState {
    fn is_unused(&self) -> bool {
        self.calls_in_progress == 0 && self.idle.is_empty()
    }
}

impl Lease {
    pub(crate) fn key(&self) -> &PoolKey {
        &self.key
    }

    /// Takes the connection of this lease, or else an idle one, that can carry another request.
    /// Drops those that cannot.
    pub(crate) fn take_reusable(&mut self) -> Option<Connection> {
        loop {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.take_idle()?,
            };
            if connection.is_reusable_now() {
                return Some(connection);
            }
        }
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut state = self.pool.lock();
        let origin_state = state.origins.get_mut(&self.key)?;
        self.pool.take_idle(origin_state, &self.key.origin)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let waker = self.pool.waker();
        let reusable = self
            .connection
            .take_if(|connection| connection.is_reusable(&waker));
        // Without a runtime there is no sweeper, and so no idle connection.
        let runtime = Handle::try_current().ok();
        let mut state = self.pool.lock();
        let Some(origin_state) = state.origins.get_mut(&self.key) else {
            return;
        };
        origin_state.calls_in_progress = origin_state.calls_in_progress.saturating_sub(1);
        // Dropped after the lock is released.
        let surplus = match reusable {
            Some(connection)
                if runtime.is_some() && origin_state.idle.len() < MAX_IDLE_PER_ORIGIN =>
            {
                let since = Instant::now();
                origin_state.idle.push(IdleConnection { connection, since });
                None
            }
            surplus => surplus,
        };
        if origin_state.is_unused() {
            state.origins.remove(&self.key);
        } else if let Some(runtime) = runtime
            && !state.is_sweeper_running
        {
            state.is_sweeper_running = true;
            let pool = &self.pool.0;
            runtime.spawn(sweep_until_empty(
                Arc::downgrade(pool),
                Arc::clone(&pool.activity),
                pool.sweep_interval(),
            ));
        }
        drop(state);
        drop(surplus);
    }
}

/// Sweeps idle connections until there are none, or the pool is gone.
async fn sweep_until_empty(pool: Weak<Shared>, activity: Arc<Activity>, interval: Duration) {
    loop {
        let _woken_or_elapsed = timeout(interval, activity.0.notified()).await;
        let Some(shared) = pool.upgrade() else {
            return;
        };
        if !Pool(shared).sweep() {
            return;
        }
        sleep(MIN_SWEEP_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(url: &str, source: UrlSource) -> PoolKey {
        let origin = Origin::of(&url.parse().unwrap()).unwrap();
        PoolKey { origin, source }
    }

    #[test]
    fn limits_calls_per_origin_and_forgets_unused_origins() {
        let pool = Pool::new(Timeouts::default());
        let [one, other] = [
            ("https://a.example", UrlSource::Trusted),
            ("https://a.example", UrlSource::Untrusted),
        ]
        .map(|(url, source)| key(url, source));

        let first = pool.lease(&one, 2).unwrap();
        let second = pool.lease(&one, 2).unwrap();
        assert!(pool.lease(&one, 2).is_none());
        let elsewhere = pool.lease(&other, 2).unwrap();
        drop(first);
        let third = pool.lease(&one, 2).unwrap();
        assert!(pool.lease(&one, 2).is_none());

        drop((second, third, elsewhere));
        assert!(pool.lock().origins.is_empty());
        assert!(pool.lease(&other, 0).is_none());
        assert!(pool.lock().origins.is_empty());
    }
}
