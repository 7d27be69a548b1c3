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
    writes: AtomicU64,
    /// When the socket became full, in milliseconds after the connection was opened, plus one;
    /// 0: it is not full.
    blocked_millis: AtomicU64,
}

impl WriteProgress {
    pub(super) fn new(opened: Instant) -> Self {
        Self {
            opened,
            writes: AtomicU64::new(0),
            blocked_millis: AtomicU64::new(0),
        }
    }

    /// Returns the number of writes that the socket accepted. It grows while the client reads.
    pub(super) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Returns whether the client does not read what is to be sent.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked_since().is_some()
    }

    /// Returns since when the client has read nothing of what is to be sent.
    pub(super) fn blocked_since(&self) -> Option<Instant> {
        let millis = self.blocked_millis.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.opened + Duration::from_millis(millis))
    }

    /// Notes that the socket accepted a write.
    pub(super) fn note_write(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.blocked_millis.store(0, Ordering::Relaxed);
    }

    /// Notes that the socket is full.
    pub(super) fn note_blocked(&self) {
        if self.is_blocked() {
            return;
        }
        let millis = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        let stored = millis.saturating_add(1);
        self.blocked_millis.store(stored, Ordering::Relaxed);
    }
}
