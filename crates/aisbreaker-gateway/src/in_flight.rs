//! How many requests are in flight, and whether new ones are still accepted.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

/// The count of requests in flight. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight(Arc<State>);

/// Lock-free, since every request enters and leaves here.
#[derive(Debug, Default)]
struct State {
    count: AtomicUsize,
    is_draining_announced: AtomicBool,
    is_draining: AtomicBool,
    /// Notified whenever the count drops to zero.
    idle: Notify,
    /// Notified when no more requests are accepted.
    draining: Notify,
}

/// One request in flight; dropping it ends the request.
#[derive(Debug)]
pub(crate) struct InFlightGuard(InFlight);

impl InFlight {
    /// Counts a request until the guard is dropped. Returns the new count as well.
    pub(crate) fn enter(&self) -> (InFlightGuard, usize) {
        let before = self.0.count.fetch_add(1, Ordering::AcqRel);
        (InFlightGuard(self.clone()), before.saturating_add(1))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.count.load(Ordering::Acquire)
    }

    /// Announces that the gateway will stop accepting requests.
    pub(crate) fn announce_draining(&self) {
        self.0.is_draining_announced.store(true, Ordering::Release);
    }

    /// Returns whether load balancers should send requests.
    pub(crate) fn is_ready(&self) -> bool {
        !self.0.is_draining_announced.load(Ordering::Acquire)
    }

    /// Stops accepting requests, probes excepted.
    pub(crate) fn start_draining(&self) {
        self.announce_draining();
        self.0.is_draining.store(true, Ordering::Release);
        self.0.draining.notify_waiters();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.is_draining.load(Ordering::Acquire)
    }

    /// Waits until no more requests are accepted.
    pub(crate) async fn draining(&self) {
        let mut notified = pin!(self.0.draining.notified());
        notified.as_mut().enable();
        if !self.is_draining() {
            notified.await;
        }
    }

    /// Waits until no request is in flight.
    pub(crate) async fn idle(&self) {
        loop {
            // Registering before looking at the count loses no notification.
            let mut notified = pin!(self.0.idle.notified());
            notified.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let state = &self.0.0;
        if state.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            state.idle.notify_waiters();
        }
    }
}
