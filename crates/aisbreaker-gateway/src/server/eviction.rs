//! All open connections, and which of them gives way when there are too many, or too many requests.
//!
//! Clients that open connections and send nothing, or send their requests byte by byte, cost their
//! senders little and would keep everyone else out. So when there is no room, a connection for
//! which the server does nothing but wait gives way to the new one: of some that stand together,
//! the one that has been so for the longest time. And when there is no room for requests, one gives
//! way most of whose requests do not come whole.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::activity::Activity;

/// How many connections are looked at to find one that gives way.
const LOOKED_AT: usize = 64;
/// How long a connection may take to give way. It takes microseconds unless it has just begun to be
/// of use.
const PATIENCE: Duration = Duration::from_millis(50);

/// The open connections.
pub(super) struct Crowd {
    room: Arc<Semaphore>,
    members: Mutex<Vec<Arc<Activity>>>,
}

/// A connection's place in the crowd, until it is dropped.
pub(super) struct Place {
    crowd: Arc<Crowd>,
    activity: Arc<Activity>,
    _permit: OwnedSemaphorePermit,
}

impl Crowd {
    pub(super) fn new(max_connections: usize) -> Arc<Self> {
        let room = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self {
            room,
            members: Mutex::default(),
        })
    }

    /// A place for a new connection; `None` if nobody gives way.
    pub(super) async fn join(self: &Arc<Self>) -> Option<Place> {
        let permit = match Arc::clone(&self.room).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_full) => self.make_room().await?,
        };
        let activity = Arc::new(Activity::new());
        let mut members = self.lock();
        activity.place.store(members.len(), Ordering::Relaxed);
        members.push(Arc::clone(&activity));
        drop(members);
        Some(Place {
            crowd: Arc::clone(self),
            activity,
            _permit: permit,
        })
    }

    async fn make_room(&self) -> Option<OwnedSemaphorePermit> {
        if !self.ask_one_to_give_way(Activity::waits_since) {
            return None;
        }
        timeout(PATIENCE, Arc::clone(&self.room).acquire_owned())
            .await
            .ok()?
            .ok()
    }

    /// Asks a connection to give way: the one for which `since` tells the earliest moment. Whether
    /// there was one.
    pub(super) fn ask_one_to_give_way(&self, since: fn(&Activity) -> Option<Instant>) -> bool {
        let start = usize::try_from(getrandom::u64().unwrap_or_default() >> 32).unwrap_or_default();
        self.earliest(start, since)
            .inspect(|activity| activity.ask_to_give_way())
            .is_some()
    }

    /// Of some connections from this one on, the one for which `since` tells the earliest moment.
    fn earliest(
        &self,
        start: usize,
        since: fn(&Activity) -> Option<Instant>,
    ) -> Option<Arc<Activity>> {
        let members = self.lock();
        let from = start.checked_rem(members.len())?;
        let looked_at = members
            .iter()
            .cycle()
            .skip(from)
            .take(LOOKED_AT.min(members.len()));
        let those = looked_at.filter_map(|activity| Some((since(activity)?, activity)));
        those
            .min_by_key(|(since, _)| *since)
            .map(|(_, activity)| Arc::clone(activity))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Activity>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(super) fn crowd(&self) -> &Arc<Crowd> {
        &self.crowd
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut members = self.crowd.lock();
        let place = self.activity.place.load(Ordering::Relaxed);
        if place < members.len() {
            members.swap_remove(place);
        }
        if let Some(moved) = members.get(place) {
            moved.place.store(place, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn crowd_of(count: usize) -> (Arc<Crowd>, Vec<Place>) {
        let crowd = Crowd::new(count);
        let mut places = Vec::new();
        for _ in 0..count {
            places.push(crowd.join().await.unwrap());
        }
        (crowd, places)
    }

    #[tokio::test]
    async fn places_are_given_back_whoever_leaves() {
        let (crowd, mut places) = crowd_of(5).await;

        for at in [1, 3, 0, 1, 0] {
            drop(places.remove(at));
            let members = crowd.lock();
            assert_eq!(members.len(), places.len());
            for (place, member) in members.iter().enumerate() {
                assert_eq!(member.place.load(Ordering::Relaxed), place);
                assert!(
                    places
                        .iter()
                        .any(|place| Arc::ptr_eq(&place.activity, member))
                );
            }
        }
        assert_eq!(crowd.room.available_permits(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_has_waited_longest_gives_way_and_no_other() {
        let (crowd, mut places) = crowd_of(3).await;
        let [busy, done, idle] = [0, 1, 2].map(|i| Arc::clone(places[i].activity()));
        assert!(crowd.join().await.is_none(), "nobody gives way at once");
        tokio::time::advance(Duration::from_millis(300)).await;
        assert!(
            crowd.earliest(0, Activity::waits_since).is_some(),
            "none of them has sent anything yet"
        );
        let _under_way = busy.begin();
        drop(done.begin());
        tokio::time::advance(Duration::from_secs(2)).await;

        for start in 0..7 {
            assert!(
                Arc::ptr_eq(
                    &crowd.earliest(start, Activity::waits_since).unwrap(),
                    &idle
                ),
                "from {start}"
            );
        }
        let newcomer = {
            let joining = crowd.join();
            let leaving = async {
                idle.asked_to_give_way().await;
                drop(places.remove(2));
            };
            tokio::join!(joining, leaving).0
        };
        let newcomer = newcomer.expect("a place, since one has left");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(
            Arc::ptr_eq(&crowd.earliest(0, Activity::waits_since).unwrap(), &done),
            "before the newcomer"
        );

        let _both = (done.begin(), newcomer.activity().begin());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(crowd.earliest(0, Activity::waits_since).is_none());
        assert!(
            crowd.join().await.is_none(),
            "nobody gives way who is of use"
        );
    }
}
