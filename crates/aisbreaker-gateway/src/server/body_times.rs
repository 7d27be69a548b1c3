//! Since when each body of a connection has waited for the client.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// A time in milliseconds after the connection was opened, plus one; 0: none.
#[derive(Default)]
pub(super) struct AtomicTime(AtomicU64);

impl AtomicTime {
    pub(super) fn get(&self) -> Option<u64> {
        self.0.load(Ordering::Relaxed).checked_sub(1)
    }

    pub(super) fn set(&self, millis: u64) {
        self.0.store(millis.saturating_add(1), Ordering::Relaxed);
    }

    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// The times of the bodies in one direction.
#[derive(Default)]
pub(super) struct BodyTimes(Mutex<State>);

#[derive(Default)]
struct State {
    of_bodies: Vec<Arc<AtomicTime>>,
    /// The time of a body that is over, for the next body.
    spare: Option<Arc<AtomicTime>>,
}

impl BodyTimes {
    /// Adds a body, which does not wait yet.
    pub(super) fn add(&self) -> Arc<AtomicTime> {
        let mut state = self.lock();
        let time = state.spare.take().unwrap_or_default();
        time.clear();
        state.of_bodies.push(Arc::clone(&time));
        time
    }

    /// Removes a body, which is over.
    pub(super) fn remove(&self, time: &Arc<AtomicTime>) {
        let mut state = self.lock();
        let mut times = state.of_bodies.iter();
        if let Some(index) = times.position(|other| Arc::ptr_eq(other, time)) {
            state.spare = Some(state.of_bodies.swap_remove(index));
        }
    }

    /// Calls `read` with the times of all bodies.
    pub(super) fn with<T>(&self, read: impl FnOnce(&[Arc<AtomicTime>]) -> T) -> T {
        read(&self.lock().of_bodies)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_does_not_inherit_the_time_of_the_one_before() {
        let times = BodyTimes::default();
        let first = times.add();
        first.set(7);
        let second = times.add();
        second.set(9);
        times.remove(&first);

        let third = times.add();
        let waiting = times.with(|all| all.iter().map(|time| time.get()).collect::<Vec<_>>());
        assert_eq!(waiting, [Some(9), None]);

        times.remove(&second);
        times.remove(&third);
        times.remove(&third);
        assert_eq!(times.with(<[_]>::len), 0);
    }
}
