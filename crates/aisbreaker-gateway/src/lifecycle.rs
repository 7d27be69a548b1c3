//! How many requests are under way, and whether new ones are still taken.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

/// Shared by the gateway and the accept loop.
#[derive(Clone, Debug)]
pub(crate) struct Lifecycle(Arc<State>);

/// No lock: every request counts itself here twice.
#[derive(Debug, Default)]
struct State {
    in_flight: AtomicUsize,
    is_draining: AtomicBool,
    /// Told whenever no request is under way any more.
    idle: Notify,
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.is_draining.load(Ordering::Acquire)
    }

    /// How many requests are under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::Acquire)
    }

    /// From now on no request is taken but those that ask how the server is.
    pub(crate) fn start_draining(&self) {
        self.0.is_draining.store(true, Ordering::Release);
    }

    /// Counts a request until the guard is dropped; with it, how many there are now.
    pub(crate) fn begin(&self) -> (InFlight, usize) {
        let before = self.0.in_flight.fetch_add(1, Ordering::AcqRel);
        (InFlight(self.clone()), before.saturating_add(1))
    }

    /// Waits until no request is under way.
    pub(crate) async fn idle(&self) {
        loop {
            // It listens before it looks, so that it misses nothing.
            let mut told = pin!(self.0.idle.notified());
            told.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            told.await;
        }
    }
}

/// One request under way.
#[derive(Debug)]
pub(crate) struct InFlight(Lifecycle);

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.0.idle.notify_waiters();
        }
    }
}
