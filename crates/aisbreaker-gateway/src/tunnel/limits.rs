//! When a tunnel ends although both sides would go on.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{Reason, direction::Direction};
use crate::{authenticate::Caller, clock::FAR, opened_key::Key, surfaces::Surfaces};

/// How often a tunnel is checked, at least.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How long a tunnel may last.
pub(crate) struct TunnelLimits {
    /// The longest time without a byte in either direction, or for which one side reads nothing of
    /// what it is sent.
    idle: Duration,
    ends: Instant,
    /// When the key expires, if that is sooner.
    expires: Option<Instant>,
    key: KeyInUse,
}

/// The key of an open tunnel, which may be revoked meanwhile, and the configuration that let it in, which
/// may be replaced.
pub(crate) struct KeyInUse {
    pub(crate) caller: Arc<Caller>,
    pub(crate) surfaces: Arc<Surfaces>,
}

impl TunnelLimits {
    /// Creates the limits of a tunnel that begins now.
    pub(crate) fn new(
        (idle, lifetime): (Duration, Duration),
        key: KeyInUse,
        wall: SystemTime,
    ) -> Self {
        let now = Instant::now();
        let ends = after(now, lifetime);
        let expires = key.key().and_then(|key| {
            let left = key.expires_at.duration_since(wall).unwrap_or_default();
            (left < lifetime).then(|| after(now, left))
        });
        Self {
            idle,
            ends,
            expires,
            key,
        }
    }

    /// Returns when the tunnel has to be judged next.
    pub(super) fn next_check(&self, to_client: &Direction, to_provider: &Direction) -> Instant {
        let (_, deadline) = self.deadline(to_client, to_provider);
        deadline.min(Instant::now() + CHECK_INTERVAL)
    }

    /// Returns why the tunnel must end now, if it must.
    pub(super) fn judge(&self, to_client: &Direction, to_provider: &Direction) -> Option<Reason> {
        if self.key.is_revoked() {
            return Some(Reason::KeyRevoked);
        }
        if self.key.surfaces.is_replaced() {
            return Some(Reason::Reconfigured);
        }
        let (reason, deadline) = self.deadline(to_client, to_provider);
        (Instant::now() >= deadline).then_some(reason)
    }

    /// Returns when the tunnel ends if nothing happens until then, and why.
    fn deadline(&self, to_client: &Direction, to_provider: &Direction) -> (Reason, Instant) {
        let last_progress = to_client.last_progress().max(to_provider.last_progress());
        let mut deadlines = vec![
            (Reason::Lifetime, self.ends),
            (Reason::Idle, after(last_progress, self.idle)),
        ];
        let blocked = [to_client, to_provider].into_iter();
        let blocked = blocked.filter_map(Direction::blocked_since);
        deadlines.extend(blocked.map(|since| (Reason::Blocked, after(since, self.idle))));
        deadlines.extend(self.expires.map(|expires| (Reason::KeyExpired, expires)));
        let first = deadlines.into_iter().min_by_key(|(_, deadline)| *deadline);
        // Not expected: there are always two.
        first.unwrap_or((Reason::Lifetime, self.ends))
    }
}

impl KeyInUse {
    fn is_revoked(&self) -> bool {
        let Some(key) = self.key() else {
            return false;
        };
        let pipeline = &self.surfaces.pipeline;
        let revoked = pipeline.revocations.check(key, pipeline.revoked_before);
        revoked.is_err()
    }

    fn key(&self) -> Option<&Key> {
        self.caller.key.as_ref()
    }
}

/// Adds a time of any length.
fn after(start: Instant, time: Duration) -> Instant {
    start.checked_add(time.min(FAR)).unwrap_or(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_time_is_too_long_to_be_added() {
        let now = Instant::now();
        let hour = Duration::from_secs(3600);
        assert_eq!(after(now, hour), now + hour);
        for time in [Duration::MAX, Duration::from_secs(u64::MAX), FAR + hour] {
            assert_eq!(after(now, time), now + FAR, "{time:?}");
        }
    }
}
