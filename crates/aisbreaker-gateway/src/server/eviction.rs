//! All open connections, and which of them is evicted when there is no room for another one.
//!
//! Connections that send nothing, or send their requests byte by byte, cost their clients little
//! and would keep everyone else out. So when the table is full, a connection for which the server
//! only waits is evicted in favour of a new one: among a random run of connections, the one that
//! has waited longest. When too many requests are in flight, a connection is evicted most of whose
//! requests are incomplete.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::activity::Activity;

/// How many connections are examined to find one to evict.
const EXAMINED: usize = 64;
/// How long an eviction may take. It takes microseconds unless the connection has just become
/// useful.
const EVICTION_TIMEOUT: Duration = Duration::from_millis(50);

/// Returns since when a connection could be evicted, if it could.
type EvictableSince = fn(&Activity) -> Option<Instant>;

/// The open connections.
pub(super) struct ConnectionTable {
    slots: Arc<Semaphore>,
    connections: Mutex<Vec<Arc<Activity>>>,
}

/// The slot of a connection in the table, until it is dropped.
pub(super) struct Slot {
    table: Arc<ConnectionTable>,
    activity: Arc<Activity>,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionTable {
    /// Creates a table with this many slots.
    pub(super) fn new(max_connections: usize) -> Arc<Self> {
        let permits = max_connections.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(permits)),
            connections: Mutex::default(),
        })
    }

    /// Returns a slot for a new connection; `None` if the table is full and nothing is evicted.
    pub(super) async fn acquire(self: &Arc<Self>) -> Option<Slot> {
        let permit = match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_full) => self.acquire_by_eviction().await?,
        };
        let activity = Arc::new(Activity::new());
        let mut connections = self.lock();
        activity.index.store(connections.len(), Ordering::Relaxed);
        connections.push(Arc::clone(&activity));
        drop(connections);
        Some(Slot {
            table: Arc::clone(self),
            activity,
            _permit: permit,
        })
    }

    async fn acquire_by_eviction(&self) -> Option<OwnedSemaphorePermit> {
        if !self.evict_one(Activity::waiting_since) {
            return None;
        }
        let freed = Arc::clone(&self.slots).acquire_owned();
        timeout(EVICTION_TIMEOUT, freed).await.ok()?.ok()
    }

    /// Requests the eviction of the connection that has been evictable for the longest time, and
    /// returns whether there is one.
    pub(super) fn evict_one(&self, evictable_since: EvictableSince) -> bool {
        let random = getrandom::u64().unwrap_or_default() >> 32;
        let start = usize::try_from(random).unwrap_or_default();
        match self.longest_evictable(start, evictable_since) {
            Some(activity) => {
                activity.request_eviction();
                true
            }
            None => false,
        }
    }

    /// Examines connections from an index on, and returns the one that has been evictable for the
    /// longest time.
    fn longest_evictable(
        &self,
        start: usize,
        evictable_since: EvictableSince,
    ) -> Option<Arc<Activity>> {
        let connections = self.lock();
        let from = start.checked_rem(connections.len())?;
        let count = EXAMINED.min(connections.len());
        let mut longest: Option<(Instant, &Arc<Activity>)> = None;
        for activity in connections.iter().cycle().skip(from).take(count) {
            let Some(since) = evictable_since(activity) else {
                continue;
            };
            match longest {
                Some((earliest, _)) if earliest <= since => {}
                Some(_) | None => longest = Some((since, activity)),
            }
        }
        let (_, activity) = longest?;
        Some(Arc::clone(activity))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Activity>>> {
        let connections = &self.connections;
        connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(super) fn connections(&self) -> &Arc<ConnectionTable> {
        &self.table
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut connections = self.table.lock();
        let index = self.activity.index.load(Ordering::Relaxed);
        if index < connections.len() {
            connections.swap_remove(index);
        }
        if let Some(moved) = connections.get(index) {
            moved.index.store(index, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn table_of(count: usize) -> (Arc<ConnectionTable>, Vec<Slot>) {
        let table = ConnectionTable::new(count);
        let mut slots = Vec::new();
        for _ in 0..count {
            slots.push(table.acquire().await.unwrap());
        }
        (table, slots)
    }

    #[tokio::test]
    async fn slots_are_freed_in_any_order() {
        let (table, mut slots) = table_of(5).await;

        for at in [1, 3, 0, 1, 0] {
            drop(slots.remove(at));
            let connections = table.lock();
            assert_eq!(connections.len(), slots.len());
            for (index, connection) in connections.iter().enumerate() {
                assert_eq!(connection.index.load(Ordering::Relaxed), index);
                assert!(
                    slots
                        .iter()
                        .any(|slot| Arc::ptr_eq(&slot.activity, connection))
                );
            }
        }
        assert_eq!(table.slots.available_permits(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_has_waited_longest_is_evicted() {
        let (table, mut slots) = table_of(3).await;
        let [busy, done, idle] = [0, 1, 2].map(|i| Arc::clone(slots[i].activity()));
        assert!(
            table.acquire().await.is_none(),
            "none can be evicted at once"
        );
        tokio::time::advance(Duration::from_millis(300)).await;
        assert!(
            table
                .longest_evictable(0, Activity::waiting_since)
                .is_some(),
            "none of them has sent anything yet"
        );
        let _in_flight = busy.start_request();
        drop(done.start_request());
        tokio::time::advance(Duration::from_secs(2)).await;

        for start in 0..7 {
            assert!(
                Arc::ptr_eq(
                    &table
                        .longest_evictable(start, Activity::waiting_since)
                        .unwrap(),
                    &idle
                ),
                "from {start}"
            );
        }
        let newcomer = {
            let acquiring = table.acquire();
            let leaving = async {
                idle.eviction_requested().await;
                drop(slots.remove(2));
            };
            tokio::join!(acquiring, leaving).0
        };
        let newcomer = newcomer.expect("a slot, since one was freed");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(
            Arc::ptr_eq(
                &table.longest_evictable(0, Activity::waiting_since).unwrap(),
                &done
            ),
            "before the newcomer"
        );

        let _both = (done.start_request(), newcomer.activity().start_request());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(
            table
                .longest_evictable(0, Activity::waiting_since)
                .is_none()
        );
        assert!(
            table.acquire().await.is_none(),
            "no useful connection is evicted"
        );
    }
}
