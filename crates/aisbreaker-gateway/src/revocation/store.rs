//! Revoked keys in the store that several servers share.
//!
//! The store refuses them in the call that decides about the quotas of a request. A copy of its list
//! is for when it is gone, and for requests that are not counted there.

use std::time::{Duration, SystemTime};

use aisbreaker_token::KeyId;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use tokio::{sync::Mutex, time::MissedTickBehavior};

use super::{
    NotRevoked, Revocation,
    deny_list::{self, DenyList, Revoker},
};
use crate::{
    clock::Clock,
    shared_store::{Denied, DeniedCursor, DenyError, SharedEngine, StoreError, StoreState},
};

/// How old the copy of the store's list may be.
const READ_INTERVAL: Duration = Duration::from_secs(5);
/// After so many readings of what is new, the list is read anew from its beginning: once an hour.
const READINGS_UNTIL_ANEW: u32 = 720;
/// For how long an expired key stays in the store's list at least, whose clock may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(3_600);

/// The revoked keys in a store.
#[derive(Debug)]
pub(super) struct RevokedInStore {
    engine: SharedEngine,
    /// How far the list was read. Locked while it is read.
    cursor: Mutex<DeniedCursor>,
}

impl RevokedInStore {
    pub(super) fn new(engine: SharedEngine) -> Self {
        Self {
            engine,
            cursor: Mutex::default(),
        }
    }

    /// Revokes keys at every server. Returns once none of them admits these keys any more.
    pub(super) async fn revoke(
        &self,
        revocations: &[Revocation],
        by: Revoker,
    ) -> Result<(), NotRevoked> {
        let mut denied = Vec::with_capacity(revocations.len());
        for Revocation { id, expires_at } in revocations {
            denied.push(Denied::new(name(id), *expires_at));
        }
        let most = u32::try_from(deny_list::room(by)).unwrap_or(u32::MAX);
        match self.engine.deny(&denied, most).await {
            Ok(()) => Ok(()),
            Err(DenyError::Full) => Err(NotRevoked::Full),
            Err(DenyError::Store(error)) => Err(NotRevoked::NotKept(error.to_string())),
        }
    }

    /// Copies what was added to the store's list since the last time.
    pub(super) async fn read(&self, to: &DenyList, now: SystemTime) -> Result<(), StoreError> {
        let mut cursor = self.cursor.lock().await;
        loop {
            let page = self.engine.denied(*cursor).await?;
            let mut expired = Vec::new();
            for denied in page.names {
                let end = denied.until.checked_add(CLOCK_SKEW);
                if end.is_some_and(|end| end <= now) {
                    expired.push(denied);
                } else if let Ok(id) = denied.name.parse::<KeyId>() {
                    to.restore(deny_list::name(&id), denied.until);
                }
            }
            self.engine.forget_denied(&expired).await?;
            *cursor = page.next;
            if page.is_last {
                return Ok(());
            }
        }
    }

    /// Keeps the copy, for as long as it is polled.
    pub(super) async fn follow(&self, to: &DenyList, clock: &dyn Clock) {
        let mut ticks = tokio::time::interval(READ_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let states = self.engine.states();
        let (mut readings, mut has_failed) = (0, false);
        loop {
            ticks.tick().await;
            if *states.borrow() != StoreState::Up {
                continue;
            }
            if readings == READINGS_UNTIL_ANEW {
                *self.cursor.lock().await = DeniedCursor::default();
                readings = 0;
            }
            readings = readings.saturating_add(1);
            let outcome = self.read(to, clock.wall()).await;
            if let Err(cause) = &outcome
                && !has_failed
            {
                tracing::warn!(
                    %cause,
                    "the revoked keys in the quota store cannot be read: without the store, this \
                     server would not know of new ones"
                );
            }
            has_failed = outcome.is_err();
        }
    }
}

/// Returns the name of a key in the store: that of its counters.
pub(crate) fn name(id: &KeyId) -> String {
    Base64UrlUnpadded::encode_string(&deny_list::name(id))
}
