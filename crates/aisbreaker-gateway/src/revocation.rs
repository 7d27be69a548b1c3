//! Which keys are revoked: the list in memory, and the places that keep it.
//!
//! A key is refused if it, or one of the keys that it was made from, is on the list or was issued
//! before the time from which on keys hold. The list is in memory, so that a request asks nobody.
//! What keeps it beyond the process is a [`RevocationLog`], the shared store of the quotas, or both;
//! a revocation succeeds once all of them have it.

pub(crate) mod deny_list;
pub(crate) mod store;

use std::{
    collections::HashSet,
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aisbreaker_token::{Ancestor, Grant, KeyId, Opened};

use self::{
    deny_list::{DenyList, ListFull, Name, Revoker},
    store::RevokedInStore,
};
use crate::{clock::Clock, opened_key::Key, shared_store::SharedEngine};

/// A revoked key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Revocation {
    /// The id of the key.
    pub id: KeyId,
    /// When the key expires, or later: from then on it need not be known any more.
    pub expires_at: SystemTime,
}

impl Revocation {
    /// Revokes this key, which expires at this time or before.
    #[must_use]
    pub const fn new(id: KeyId, expires_at: SystemTime) -> Self {
        Self { id, expires_at }
    }
}

/// Where revocations outlive the process.
pub trait RevocationLog: fmt::Debug + Send + Sync + 'static {
    /// Appends revocations, all or none. Returns once they would survive a crash.
    ///
    /// May block; it is called on a thread of its own.
    ///
    /// # Errors
    /// The first error of the medium.
    fn append(&self, revocations: &[Revocation]) -> io::Result<()>;
}

/// Why a key that opens is refused all the same, for the log only.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Revoked {
    #[error("key is revoked")]
    Listed,
    #[error("key was made from {0}, which is revoked")]
    Ancestor(KeyId),
    #[error("key, or one that it was made from, was issued before AISBREAKER_REVOKED_BEFORE")]
    IssuedBefore,
    #[error("key, or one that it was made from, is revoked in the shared store")]
    InStore,
}

/// Why keys were not revoked.
#[derive(Debug)]
pub(crate) enum NotRevoked {
    /// The list has no room.
    Full,
    /// What keeps the list beyond the process does not take it. The keys are revoked at this
    /// server, for as long as it runs.
    NotKept(String),
}

impl From<ListFull> for NotRevoked {
    fn from(_full: ListFull) -> Self {
        Self::Full
    }
}

/// The revoked keys.
#[derive(Debug)]
pub(crate) struct Revocations {
    list: DenyList,
    log: Option<Arc<dyn RevocationLog>>,
    /// Keys on the list that the log did not take.
    unlogged: Mutex<HashSet<Name>>,
    store: Option<RevokedInStore>,
}

impl Revocations {
    pub(crate) fn new(log: Option<Arc<dyn RevocationLog>>, store: Option<SharedEngine>) -> Self {
        Self {
            list: DenyList::default(),
            log,
            unlogged: Mutex::default(),
            store: store.map(RevokedInStore::new),
        }
    }

    /// Checks that neither the key nor any that it was made from is revoked.
    pub(crate) fn check(&self, key: &Key, before: Option<SystemTime>) -> Result<(), Revoked> {
        self.check_chain((&key.id, key.issued_at, &key.ancestors), before)
    }

    /// Checks an opened key like [`check`](Self::check).
    pub(crate) fn check_opened(
        &self,
        key: &Opened<Grant>,
        before: Option<SystemTime>,
    ) -> Result<(), Revoked> {
        let ancestors = &key.payload().ancestors;
        self.check_chain((&key.id(), key.issued_at(), ancestors), before)
    }

    fn check_chain(
        &self,
        (id, issued_at, ancestors): (&KeyId, Option<SystemTime>, &[Ancestor]),
        before: Option<SystemTime>,
    ) -> Result<(), Revoked> {
        if let Some(before) = before
            && was_issued_before(issued_at, ancestors, before)
        {
            return Err(Revoked::IssuedBefore);
        }
        if self.list.is_empty() {
            return Ok(());
        }
        if self.list.contains(id) {
            return Err(Revoked::Listed);
        }
        for ancestor in ancestors {
            if self.list.contains(&ancestor.id) {
                return Err(Revoked::Ancestor(ancestor.id));
            }
        }
        Ok(())
    }

    /// Revokes keys: in memory, and then wherever they are kept beyond the process.
    pub(crate) async fn revoke(
        &self,
        revocations: Vec<Revocation>,
        by: Revoker,
    ) -> Result<(), NotRevoked> {
        let mut listed = Vec::with_capacity(revocations.len());
        let mut outcome = Ok(());
        for revocation in &revocations {
            let name = deny_list::name(&revocation.id);
            let until = revocation.expires_at;
            let is_known = self.list.contains_until(&name, until);
            if let Err(full) = self.list.insert(name, until, by) {
                outcome = Err(full.into());
                break;
            }
            if !is_known || self.unlogged().contains(&name) {
                listed.push(*revocation);
            }
        }
        self.append_to_log(listed).await?;
        if let Some(store) = &self.store {
            store.revoke(&revocations, by).await?;
        }
        outcome
    }

    /// Adds revocations that are kept elsewhere already.
    pub(crate) fn restore(&self, revocations: impl IntoIterator<Item = Revocation>) {
        for Revocation { id, expires_at } in revocations {
            self.list.restore(deny_list::name(&id), expires_at);
        }
    }

    pub(crate) fn sweep(&self, now: SystemTime) {
        self.list.sweep(now);
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns where revocations are kept, for the log.
    pub(crate) fn kept_in(&self) -> &'static str {
        match (&self.log, &self.store) {
            (Some(_), Some(_)) => "file and store",
            (Some(_), None) => "file",
            (None, Some(_)) => "store",
            (None, None) => "memory",
        }
    }

    /// Copies the list of the store, if there is one.
    pub(crate) async fn read_store(&self, now: SystemTime) {
        if let Some(store) = &self.store {
            // Read again a moment later, and a failure is reported then.
            let _read_or_not = store.read(&self.list, now).await;
        }
    }

    /// Keeps the copy of the store's list, for as long as it is polled.
    pub(crate) async fn follow_store(&self, clock: &dyn Clock) {
        match &self.store {
            Some(store) => store.follow(&self.list, clock).await,
            None => std::future::pending().await,
        }
    }

    async fn append_to_log(&self, revocations: Vec<Revocation>) -> Result<(), NotRevoked> {
        let Some(log) = &self.log else {
            return Ok(());
        };
        if revocations.is_empty() {
            return Ok(());
        }
        let names: Vec<Name> = revocations
            .iter()
            .map(|revocation| deny_list::name(&revocation.id))
            .collect();
        // Until it is known that they are logged, also if this future is dropped.
        self.unlogged().extend(&names);
        let log = Arc::clone(log);
        let appended = tokio::task::spawn_blocking(move || log.append(&revocations)).await;
        match appended {
            Ok(Ok(())) => {
                let mut unlogged = self.unlogged();
                for name in &names {
                    unlogged.remove(name);
                }
                Ok(())
            }
            Ok(Err(error)) => Err(NotRevoked::NotKept(error.to_string())),
            Err(_panicked) => Err(NotRevoked::NotKept("the file's thread panicked".to_owned())),
        }
    }

    fn unlogged(&self) -> std::sync::MutexGuard<'_, HashSet<Name>> {
        self.unlogged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether the key or one that it was made from was issued before this time. A key that does
/// not say when was.
fn was_issued_before(
    issued_at: Option<SystemTime>,
    ancestors: &[Ancestor],
    before: SystemTime,
) -> bool {
    let of_ancestors = ancestors.iter().map(|ancestor| {
        let since = Duration::from_secs(ancestor.issued_at?);
        UNIX_EPOCH.checked_add(since)
    });
    let mut of_chain = std::iter::once(issued_at).chain(of_ancestors);
    of_chain.any(|issued_at| issued_at.is_none_or(|issued_at| issued_at < before))
}

#[cfg(test)]
mod tests;
