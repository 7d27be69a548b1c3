//! Whether the client of a connection reads what it is sent.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// The writes of a socket.
#[derive(Debug)]
pub(super) struct WriteProgress {
    opened: Instant,
    /// When the socket became full, in milliseconds after the connection was opened, plus one;
    /// 0: it is not full.
    blocked_millis: AtomicU64,
    /// When the socket last accepted a write after it had been full, in the same form.
    unblocked_millis: AtomicU64,
}

impl WriteProgress {
    pub(super) fn new(opened: Instant) -> Self {
        Self {
            opened,
            blocked_millis: AtomicU64::new(0),
            unblocked_millis: AtomicU64::new(0),
        }
    }

    /// Returns since when the client has read nothing of what is to be sent.
    pub(super) fn blocked_since(&self) -> Option<Instant> {
        self.at(&self.blocked_millis)
    }

    /// Returns when the client last went on to read, if it ever paused.
    pub(super) fn unblocked_at(&self) -> Option<Instant> {
        self.at(&self.unblocked_millis)
    }

    fn at(&self, millis: &AtomicU64) -> Option<Instant> {
        let millis = millis.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.opened + Duration::from_millis(millis))
    }

    /// Notes that the socket accepted a write.
    pub(super) fn note_write(&self) {
        if self.blocked_millis.load(Ordering::Relaxed) > 0 {
            self.blocked_millis.store(0, Ordering::Relaxed);
            self.unblocked_millis.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Notes that the socket is full.
    pub(super) fn note_blocked(&self) {
        if self.blocked_millis.load(Ordering::Relaxed) == 0 {
            self.blocked_millis.store(self.now(), Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        let millis = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        millis.saturating_add(1)
    }
}
