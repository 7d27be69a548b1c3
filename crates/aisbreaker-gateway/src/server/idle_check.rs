//! When a connection is closed since its client keeps the server waiting.

use std::time::Duration;

use tokio::time::Instant;

use super::activity::{Activity, Wait};

/// For how many head timeouts a client may leave unread what it is sent.
const UNREAD_HEADS: u32 = 10;
/// How often a connection that shuts down is checked, at least.
const CLOSING_INTERVAL: Duration = Duration::from_secs(1);

/// How long a client may keep the server waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For a complete request head: from its first byte on, or from the beginning of the
    /// connection.
    pub(super) head: Duration,
    /// For the next request.
    pub(super) idle: Duration,
}

/// Whether a connection shuts down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    Open,
    Closing,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Stays open, and is checked again at this time.
    KeepUntil(Instant),
    /// Shuts down gracefully.
    Close,
    Drop,
}

impl Timeouts {
    /// Returns how long after the beginning of a phase its connection is checked.
    ///
    /// A head that begins after a check has the whole head timeout, so the next check is in time.
    pub(super) fn interval(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Open => self.head,
            Phase::Closing => self.head.min(CLOSING_INTERVAL),
        }
    }

    /// Judges a connection.
    pub(super) fn check(&self, activity: &Activity, phase: Phase) -> Verdict {
        let now = Instant::now();
        let next = now + self.interval(phase);
        let unread_limit = self.head.saturating_mul(UNREAD_HEADS);
        if let Some(since) = activity.writes.blocked_since() {
            return if now.duration_since(since) < unread_limit {
                Verdict::KeepUntil(next)
            } else {
                Verdict::Drop
            };
        }
        if activity.longest_unread() > unread_limit {
            return judge_unread(activity, unread_limit, phase, next);
        }
        if activity.in_flight() > 0 {
            return Verdict::KeepUntil(next);
        }
        let (deadline, verdict) = match activity.wait() {
            _ if phase == Phase::Closing => return Verdict::Drop,
            Wait::Head(since) => (since + self.head, Verdict::Drop),
            Wait::Request(since) => (since + self.idle, Verdict::Close),
        };
        if now < deadline {
            Verdict::KeepUntil(deadline.min(next))
        } else {
            verdict
        }
    }
}

/// Judges a connection with a response that its client has left unread for too long.
///
/// An HTTP/2 client can leave one stream unread while it reads all others, which may belong to
/// other clients of one proxy. Those get time to finish.
fn judge_unread(activity: &Activity, limit: Duration, phase: Phase, next: Instant) -> Verdict {
    let are_all_unread = activity.in_flight() <= activity.unread_longer_than(limit);
    if are_all_unread || activity.longest_unread() > limit.saturating_mul(2) {
        return Verdict::Drop;
    }
    match phase {
        Phase::Open => Verdict::Close,
        Phase::Closing => Verdict::KeepUntil(next),
    }
}
