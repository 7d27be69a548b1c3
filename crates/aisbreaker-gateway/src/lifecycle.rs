//! How many requests are under way, and whether new ones are still taken.

use std::sync::Arc;

use tokio::sync::watch;

/// Shared by the gateway and the accept loop.
#[derive(Clone, Debug)]
pub(crate) struct Lifecycle(Arc<watch::Sender<State>>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    in_flight: usize,
    is_draining: bool,
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.borrow().is_draining
    }

    /// How many requests are under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.0.borrow().in_flight
    }

    /// From now on no request is taken but those that ask how the server is.
    pub(crate) fn start_draining(&self) {
        self.0.send_modify(|state| state.is_draining = true);
    }

    /// Counts a request until the guard is dropped; with it, how many there are now.
    pub(crate) fn begin(&self) -> (InFlight, usize) {
        let mut in_flight = 0;
        self.0.send_modify(|state| {
            state.in_flight = state.in_flight.saturating_add(1);
            in_flight = state.in_flight;
        });
        (InFlight(self.clone()), in_flight)
    }

    /// Waits until no request is under way.
    pub(crate) async fn idle(&self) {
        let mut state = self.0.subscribe();
        // The sender lives in `self`, so this cannot fail.
        let _idle = state.wait_for(|state| state.in_flight == 0).await;
    }
}

/// One request under way.
#[derive(Debug)]
pub(crate) struct InFlight(Lifecycle);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.send_modify(|state| state.in_flight = state.in_flight.saturating_sub(1));
    }
}
