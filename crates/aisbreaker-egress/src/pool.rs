//! The connections to each origin: counts the calls in progress, and keeps idle connections for
//! later calls.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
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
    /// Those that somebody refers to, and those with an idle connection.
    origins: Mutex<HashMap<PoolKey, Arc<OriginPool>>>,
    is_sweeper_running: AtomicBool,
    activity: Arc<Activity>,
    /// The waker of idle connections.
    waker: Waker,
}

/// Notifies the sweeper when a server sends something on an idle connection, or closes it.
#[derive(Default)]
struct Activity(Notify);

impl Wake for Activity {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

struct OriginPool {
    idle_timeout: Duration,
    state: Mutex<OriginState>,
}

#[derive(Default)]
struct OriginState {
    calls_in_progress: usize,
    /// The most recently used one is last.
    idle: Vec<IdleConnection>,
}

struct IdleConnection {
    connection: Box<Connection>,
    since: Instant,
}

/// The connections to one origin.
pub(crate) struct OriginConnections {
    pool: Pool,
    key: PoolKey,
    /// `None` only while it is dropped.
    origin: Option<Arc<OriginPool>>,
}

/// A call in progress. Dropping it ends the call and keeps its connection, if that is reusable.
pub(crate) struct Lease {
    connections: Arc<OriginConnections>,
    pub(crate) connection: Option<Box<Connection>>,
}

impl Pool {
    /// Creates a pool that keeps idle connections as long as the timeouts say.
    pub(crate) fn new(timeouts: Timeouts) -> Self {
        let activity = Arc::<Activity>::default();
        Self(Arc::new(Shared {
            timeouts,
            origins: Mutex::default(),
            is_sweeper_running: AtomicBool::new(false),
            waker: Arc::clone(&activity).into(),
            activity,
        }))
    }

    /// Returns the connections to an origin.
    pub(crate) fn connections(&self, key: PoolKey) -> OriginConnections {
        let mut origins = self.lock();
        let origin = match origins.get(&key) {
            Some(origin) => Arc::clone(origin),
            None => {
                let origin = Arc::new(OriginPool {
                    idle_timeout: self.0.idle_timeout(&key.origin),
                    state: Mutex::default(),
                });
                origins.insert(key.clone(), Arc::clone(&origin));
                origin
            }
        };
        drop(origins);
        OriginConnections {
            pool: self.clone(),
            key,
            origin: Some(origin),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PoolKey, Arc<OriginPool>>> {
        self.0
            .origins
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops idle connections that are too old or closed. Returns whether any are left; if not, the
    /// sweeper counts as stopped.
    fn sweep(&self) -> bool {
        if self.drop_unusable() {
            return true;
        }
        // Whoever keeps a connection from now on starts another sweeper.
        self.0.is_sweeper_running.store(false, Ordering::SeqCst);
        let is_any_idle = self.lock().values().any(|origin| origin.has_idle());
        is_any_idle && !self.0.is_sweeper_running.swap(true, Ordering::SeqCst)
    }

    /// Drops idle connections that are too old or closed. Returns whether any are left.
    fn drop_unusable(&self) -> bool {
        let now = Instant::now();
        // Declared before the lock, and so dropped after it is released.
        let mut unusable = Vec::new();
        let mut is_any_idle = false;
        self.lock().retain(|_, origin| {
            let mut state = origin.lock();
            let is_unusable = |idle: &mut IdleConnection| {
                now.duration_since(idle.since) >= origin.idle_timeout
                    || !idle.connection.is_reusable(&self.0.waker)
            };
            unusable.extend(state.idle.extract_if(.., is_unusable));
            is_any_idle |= !state.idle.is_empty();
            !state.is_unused() || Arc::strong_count(origin) > 1
        });
        is_any_idle
    }

    /// Starts the sweeper, if it is not running.
    fn ensure_sweeper(&self, runtime: &Handle) {
        let Shared {
            is_sweeper_running,
            activity,
            ..
        } = &*self.0;
        if is_sweeper_running.load(Ordering::SeqCst)
            || is_sweeper_running.swap(true, Ordering::SeqCst)
        {
            return;
        }
        runtime.spawn(sweep_until_empty(
            Arc::downgrade(&self.0),
            Arc::clone(activity),
            self.0.sweep_interval(),
        ));
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

impl OriginPool {
    fn lock(&self) -> MutexGuard<'_, OriginState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_idle(&self) -> bool {
        !self.lock().idle.is_empty()
    }

    /// Takes the most recently used idle connection, unless it has been idle for too long.
    fn take_idle(&self, state: &mut OriginState, now: Instant) -> Option<Box<Connection>> {
        let idle = state.idle.last()?;
        if now.duration_since(idle.since) >= self.idle_timeout {
            // The sweeper drops them, outside of the lock.
            return None;
        }
        Some(state.idle.pop()?.connection)
    }
}

impl OriginState {
    fn is_unused(&self) -> bool {
        self.calls_in_progress == 0 && self.idle.is_empty()
    }
}

impl OriginConnections {
    pub(crate) fn key(&self) -> &PoolKey {
        &self.key
    }

    /// Begins a call, with an idle connection if there is one. Returns `None` if `limit` calls to
    /// this origin are in progress.
    pub(crate) fn lease(self: &Arc<Self>, limit: usize, now: Instant) -> Option<Lease> {
        let origin = self.origin.as_ref()?;
        let mut state = origin.lock();
        if state.calls_in_progress >= limit {
            return None;
        }
        state.calls_in_progress += 1;
        let connection = origin.take_idle(&mut state, now);
        drop(state);
        Some(Lease {
            connections: Arc::clone(self),
            connection,
        })
    }
}

/// An origin without idle connections is forgotten with its last reference.
impl Drop for OriginConnections {
    fn drop(&mut self) {
        let mut origins = self.pool.lock();
        self.origin = None;
        if let Some(origin) = origins.get(&self.key)
            && Arc::strong_count(origin) == 1
            && origin.lock().is_unused()
        {
            origins.remove(&self.key);
        }
    }
}

impl Lease {
    pub(crate) fn key(&self) -> &PoolKey {
        &self.connections.key
    }

    /// Takes the connection of this lease, or else an idle one. The server may have closed it.
    pub(crate) fn take_connection(&mut self) -> Option<Box<Connection>> {
        self.connection.take().or_else(|| self.take_idle())
    }

    fn take_idle(&self) -> Option<Box<Connection>> {
        let origin = self.connections.origin.as_ref()?;
        origin.take_idle(&mut origin.lock(), Instant::now())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let pool = &self.connections.pool;
        let Some(origin) = &self.connections.origin else {
            return;
        };
        let reusable = self
            .connection
            .take_if(|connection| connection.is_reusable(&pool.0.waker));
        // Without a runtime there is no sweeper, and so no idle connection.
        let kept = reusable.zip(Handle::try_current().ok());
        let mut state = origin.lock();
        state.calls_in_progress = state.calls_in_progress.saturating_sub(1);
        let has_room = state.idle.len() < MAX_IDLE_PER_ORIGIN;
        match kept {
            Some((connection, runtime)) if has_room => {
                let since = Instant::now();
                state.idle.push(IdleConnection { connection, since });
                drop(state);
                pool.ensure_sweeper(&runtime);
            }
            surplus => {
                // A connection is closed without the lock.
                drop(state);
                drop(surplus);
            }
        }
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

    fn connections(pool: &Pool, source: UrlSource) -> Arc<OriginConnections> {
        Arc::new(pool.connections(key("https://a.example", source)))
    }

    #[test]
    fn limits_calls_per_origin_and_forgets_unused_origins() {
        let pool = Pool::new(Timeouts::default());
        let now = Instant::now();
        // Two references to one origin count together.
        let [one, same] = [(); 2].map(|()| connections(&pool, UrlSource::Trusted));
        let other = connections(&pool, UrlSource::Untrusted);

        let first = one.lease(2, now).unwrap();
        let second = same.lease(2, now).unwrap();
        assert!(one.lease(2, now).is_none());
        let elsewhere = other.lease(2, now).unwrap();
        drop(first);
        let third = same.lease(2, now).unwrap();
        assert!(one.lease(2, now).is_none());

        assert_eq!(pool.lock().len(), 2);
        drop((one, same, other));
        assert_eq!(pool.lock().len(), 2, "calls are in progress");
        drop((second, third, elsewhere));
        assert!(pool.lock().is_empty());
    }

    #[test]
    fn an_origin_is_forgotten_with_its_last_reference() {
        let pool = Pool::new(Timeouts::default());
        let [one, same] = [(); 2].map(|()| connections(&pool, UrlSource::Trusted));

        drop(one);
        assert_eq!(pool.lock().len(), 1);
        assert!(same.lease(0, Instant::now()).is_none());
        drop(same);
        assert!(pool.lock().is_empty());
    }

    #[test]
    fn references_that_are_dropped_at_once_leave_nothing() {
        let pool = Pool::new(Timeouts::default());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let one = connections(&pool, UrlSource::Trusted);
                        let lease = one.lease(9, Instant::now()).unwrap();
                        drop(one);
                        drop(lease);
                    }
                });
            }
        });
        assert!(pool.lock().is_empty());
    }
}
