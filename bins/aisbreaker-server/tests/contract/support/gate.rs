//! Lets a test decide when a provider's script continues.

use std::sync::{Arc, Condvar, Mutex};

/// The test's side of a gate. Dropping it opens the gate for good.
pub(crate) struct Gate(Arc<Shared>);

/// The script's side of a gate.
#[derive(Clone)]
pub(crate) struct GateWaiter(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_open: bool,
    /// How many waits may return while the gate is closed.
    permits: usize,
}

/// Creates a closed gate.
pub(crate) fn gate() -> (Gate, GateWaiter) {
    let shared = Arc::new(Shared::default());
    (Gate(Arc::clone(&shared)), GateWaiter(shared))
}

impl Gate {
    /// Lets all waits return, now and later.
    pub(crate) fn open(&self) {
        self.change(|state| state.is_open = true);
    }

    /// Lets one wait return.
    pub(crate) fn release_one(&self) {
        self.change(|state| state.permits += 1);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.state.lock().expect("no panic at the gate"));
        self.0.changed.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl GateWaiter {
    /// Waits until the gate is open, or takes one permit.
    pub(crate) fn wait(&self) {
        let state = self.0.state.lock().expect("no panic at the gate");
        let mut passed = self
            .0
            .changed
            .wait_while(state, |state| !state.is_open && state.permits == 0)
            .expect("no panic at the gate");
        if !passed.is_open {
            passed.permits -= 1;
        }
    }
}
