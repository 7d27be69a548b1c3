//! The connections to each origin: how many calls are under way, and which connections are kept for
//! later ones.

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

use crate::{connection::Connection, origin::Origin};

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(90);
/// How often kept connections are looked at, besides when their providers close them.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How long they are left alone at least: looking at all of them for each one that is closed would
/// cost too much where many are.
const PAUSE: Duration = Duration::from_millis(100);
/// How many unused connections are kept for one origin.
const MOST_KEPT: usize = 64;

/// The connections of a client. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Pool(Arc<Shared>);

#[derive(Default)]
struct Shared {
    places: Mutex<Places>,
    changes: Arc<Changes>,
}

/// Told when a provider does something with a connection that is kept.
#[derive(Default)]
struct Changes(Notify);

impl Wake for Changes {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

#[derive(Default)]
struct Places {
    /// Origins without a call under way and without a kept connection take no room.
    places: HashMap<Origin, Place>,
    /// Whether somebody looks at the kept connections.
    is_watched: bool,
}

#[derive(Default)]
struct Place {
    under_way: usize,
    /// The one that was used last is the last.
    kept: Vec<(Connection, Instant)>,
}

/// A call under way until it is dropped, and its connection, which is kept then if it can be used
/// again.
pub(crate) struct Lease {
    pool: Pool,
    origin: Origin,
    pub(crate) connection: Option<Connection>,
}

impl Pool {
    /// Begins a call, unless as many as `limit` are under way to this origin. It has a kept
    /// connection if there is one.
    pub(crate) fn begin(&self, origin: &Origin, limit: usize) -> Option<Lease> {
        let mut all = self.lock();
        let place = match all.places.get_mut(origin) {
            Some(place) => place,
            None => all.places.entry(origin.clone()).or_default(),
        };
        if place.under_way >= limit {
            let is_unused = place.is_unused();
            if is_unused {
                all.places.remove(origin);
            }
            return None;
        }
        place.under_way += 1;
        let connection = place.kept.pop().map(|(connection, _)| connection);
        drop(all);
        Some(Lease {
            pool: self.clone(),
            origin: origin.clone(),
            connection,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops kept connections that cannot be used any more; whether none are left, so that nobody
    /// watches them.
    fn drop_unusable(&self) -> bool {
        let (now, waker) = (Instant::now(), self.waker());
        let mut dropped = Vec::new();
        let mut all = self.lock();
        all.places.retain(|_, place| {
            let is_good = |(connection, since): &mut (Connection, Instant)| {
                now.duration_since(*since) < IDLE && connection.is_at_rest(&waker)
            };
            dropped.extend(place.kept.extract_if(.., |kept| !is_good(kept)));
            !place.is_unused()
        });
        all.is_watched = all.places.values().any(|place| !place.kept.is_empty());
        !all.is_watched
    }

    /// What is woken when a kept connection may be closed.
    fn waker(&self) -> Waker {
        Arc::clone(&self.0.changes).into()
    }
}

impl Place {
    fn is_unused(&self) -> bool {
        self.under_way == 0 && self.kept.is_empty()
    }
}

impl Lease {
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Takes another kept connection instead of the one that it has, which is closed.
    pub(crate) fn take_another(&mut self) {
        let mut all = self.pool.lock();
        let kept = all
            .places
            .get_mut(&self.origin)
            .and_then(|place| place.kept.pop());
        drop(all);
        self.connection = kept.map(|(connection, _)| connection);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let waker = self.pool.waker();
        let connection = self.connection.take().and_then(|mut connection| {
            let is_at_rest = connection.is_at_rest(&waker);
            is_at_rest.then_some(connection)
        });
        // Outside of a runtime, nobody could look at it.
        let runtime = Handle::try_current().ok();
        let mut all = self.pool.lock();
        let Some(place) = all.places.get_mut(&self.origin) else {
            return;
        };
        place.under_way = place.under_way.saturating_sub(1);
        // Dropped behind the lock.
        let excess = match (connection, &runtime) {
            (Some(connection), Some(_)) if place.kept.len() < MOST_KEPT => {
                place.kept.push((connection, Instant::now()));
                None
            }
            (connection, _) => connection,
        };
        if place.is_unused() {
            all.places.remove(&self.origin);
        } else if let Some(runtime) = runtime.filter(|_| !all.is_watched) {
            all.is_watched = true;
            runtime.spawn(watch(
                Arc::downgrade(&self.pool.0),
                Arc::clone(&self.pool.0.changes),
            ));
        }
        drop(all);
        drop(excess);
    }
}

/// Drops kept connections that are too old, or that their provider has closed, until there are
/// none.
async fn watch(pool: Weak<Shared>, changes: Arc<Changes>) {
    loop {
        let _changed = timeout(LOOK_EVERY, changes.0.notified()).await;
        let is_over = pool.upgrade().is_none_or(|pool| Pool(pool).drop_unusable());
        if is_over {
            return;
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Origin {
        Origin::of(&url.parse().unwrap()).unwrap()
    }

    #[test]
    fn each_origin_has_so_many_calls_and_takes_no_room_without_any() {
        let pool = Pool::default();
        let [one, other] = ["https://a.example", "https://b.example"].map(origin);

        let first = pool.begin(&one, 2).unwrap();
        let second = pool.begin(&one, 2).unwrap();
        assert!(pool.begin(&one, 2).is_none());
        let elsewhere = pool.begin(&other, 2).unwrap();
        drop(first);
        let third = pool.begin(&one, 2).unwrap();
        assert!(pool.begin(&one, 2).is_none());

        drop((second, third, elsewhere));
        assert!(pool.lock().places.is_empty());
        assert!(pool.begin(&other, 0).is_none());
        assert!(pool.lock().places.is_empty());
    }
}
