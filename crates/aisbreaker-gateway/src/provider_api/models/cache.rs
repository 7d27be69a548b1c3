//! A short-lived cache of model lists.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aisbreaker_services::Dialect;
use aisbreaker_token::KeyId;
use bytes::Bytes;

/// How long a list is served.
const TTL: Duration = Duration::from_secs(60);
/// The most bytes of all cached lists together.
const MAX_BYTES: usize = 16 << 20;

type CacheKey = (KeyId, Dialect);

/// Lists of models, by key and dialect.
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
    pub(super) fn get(&self, key: CacheKey, now: Instant) -> Option<Bytes> {
        let lists = self.lock();
        let cached = lists.get(&key)?;
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
        let bytes: usize = lists.values().map(|cached| cached.list.len()).sum();
        if bytes.saturating_add(list.len()) <= MAX_BYTES {
            lists.insert(key, CachedList { created: now, list });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CacheKey, CachedList>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
