//! A short-lived cache of model lists.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aisbreaker_services::Dialect;
use aisbreaker_token::KeyId;
use bytes::Bytes;
use http::HeaderMap;

/// How long a list is served.
const TTL: Duration = Duration::from_secs(60);
/// The most bytes of all cached lists together.
const MAX_BYTES: usize = 16 << 20;
/// What an entry holds besides its list and fields, about.
const ENTRY_BYTES: usize = 256;
/// How the names of fields begin on which the list of a provider may depend.
const ACCOUNT_FIELDS: [&str; 3] = ["openai-", "anthropic-", "x-goog-user-project"];

/// What a list depends on.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct CacheKey {
    key: KeyId,
    dialect: Dialect,
    /// The request fields that select an account or a version, as lines.
    account: Vec<u8>,
}

impl CacheKey {
    /// Creates the key for the list that a provider returns for these fields.
    pub(super) fn new(key: KeyId, dialect: Dialect, fields: &HeaderMap) -> Self {
        let mut lines: Vec<[&[u8]; 2]> = Vec::new();
        for (name, value) in fields {
            let name = name.as_str();
            if ACCOUNT_FIELDS.iter().any(|prefix| name.starts_with(prefix)) {
                lines.push([name.as_bytes(), value.as_bytes()]);
            }
        }
        lines.sort_unstable();
        Self {
            key,
            dialect,
            account: account(&lines),
        }
    }
}

/// Joins names and values. Neither can hold a line feed.
fn account(lines: &[[&[u8]; 2]]) -> Vec<u8> {
    let lines: Vec<Vec<u8>> = lines.iter().map(|line| line.join(&b':')).collect();
    lines.join(&b'\n')
}

/// Lists of models.
#[derive(Debug, Default)]
pub(crate) struct ModelListCache(Mutex<HashMap<CacheKey, CachedList>>);

#[derive(Debug)]
struct CachedList {
    created: Instant,
    list: Bytes,
}

impl CachedList {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.created) < TTL
    }
}

impl ModelListCache {
    /// Returns the list if it is fresh.
    pub(super) fn get(&self, key: &CacheKey, now: Instant) -> Option<Bytes> {
        let lists = self.lock();
        let cached = lists.get(key)?;
        if cached.is_fresh(now) {
            Some(cached.list.clone())
        } else {
            None
        }
    }

    /// Caches a list if there is room for it.
    pub(super) fn put(&self, key: CacheKey, now: Instant, list: Bytes) {
        let mut lists = self.lock();
        lists.retain(|_, cached| cached.is_fresh(now));
        let held: usize = lists
            .iter()
            .map(|(key, cached)| size(key, &cached.list))
            .sum();
        if held.saturating_add(size(&key, &list)) <= MAX_BYTES {
            lists.insert(key, CachedList { created: now, list });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CacheKey, CachedList>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(key: &CacheKey, list: &Bytes) -> usize {
    let held = list.len().saturating_add(key.account.len());
    held.saturating_add(ENTRY_BYTES)
}
