//! The accounts of a ledger, behind sharded locks.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;

use super::account::Account;
use crate::slots::Moment;

/// Accounts per shard when the ledger is full, which keeps a step of a sweep short.
const ACCOUNTS_PER_SHARD: usize = 1_000;

/// The least number of shards, so that threads seldom meet at a lock.
const MIN_SHARDS: usize = 64;

/// Accounts behind one lock.
struct Shard<K> {
    accounts: HashMap<K, Account, RandomState>,
    /// The latest moment at which an account was freed. A new one must not start before it, or a
    /// clock that steps back would have it forget what it had spent then.
    freed_at: Moment,
}

/// All accounts. Locks are taken in the order of the shards.
pub(super) struct Shards<K> {
    shards: Box<[Mutex<Shard<K>>]>,
    hasher: RandomState,
    capacity: usize,
    /// Accounts in the shards. Changed under the lock of a shard.
    len: AtomicUsize,
    next_to_sweep: AtomicUsize,
    /// The generation of the next account.
    next_generation: AtomicU64,
}

/// The shards of one decision, all of them locked.
pub(super) struct Locked<'a, K> {
    shards: &'a Shards<K>,
    /// By the number of the shard, in their order.
    guards: Vec<(usize, MutexGuard<'a, Shard<K>>)>,
}

impl<K> Shards<K> {
    /// Returns the number of accounts.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Returns the number of shards.
    pub(super) fn count(&self) -> usize {
        self.shards.len()
    }
}

impl<K: Clone + Eq + Hash> Shards<K> {
    /// Creates shards for at most `capacity` accounts.
    pub(super) fn new(capacity: usize) -> Self {
        let count = capacity
            .div_ceil(ACCOUNTS_PER_SHARD)
            .clamp(MIN_SHARDS, 1 << 20);
        let hasher = RandomState::default();
        Self {
            shards: (0..count)
                .map(|_| {
                    Mutex::new(Shard {
                        accounts: HashMap::with_hasher(hasher.clone()),
                        freed_at: Moment::ZERO,
                    })
                })
                .collect(),
            hasher,
            capacity,
            len: AtomicUsize::new(0),
            next_to_sweep: AtomicUsize::new(0),
            next_generation: AtomicU64::new(0),
        }
    }

    fn index(&self, account: &K) -> usize {
        let hash = usize::try_from(self.hasher.hash_one(account) >> 33).unwrap_or_default();
        hash.checked_rem(self.shards.len()).unwrap_or_default()
    }

    /// Locks the shards of these accounts.
    pub(super) fn lock<'k>(&self, accounts: impl IntoIterator<Item = &'k K>) -> Locked<'_, K>
    where
        K: 'k,
    {
        let indices = accounts.into_iter().map(|account| self.index(account));
        let mut indices: Vec<usize> = indices.collect();
        indices.sort_unstable();
        indices.dedup();
        let guard = |index: usize| Some((index, self.guard(index)?));
        Locked {
            shards: self,
            guards: indices.into_iter().filter_map(guard).collect(),
        }
    }

    fn guard(&self, index: usize) -> Option<MutexGuard<'_, Shard<K>>> {
        let shard = self.shards.get(index)?;
        // Nothing panics while it holds the lock.
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns this moment, or the latest at which an account was freed if that is later.
    pub(super) fn not_before_freed(&self, now: Moment) -> Moment {
        let mut latest = now;
        for shard in &self.shards {
            let freed_at = shard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .freed_at;
            latest = later(latest, freed_at);
        }
        latest
    }

    /// Frees the idle accounts of the next shard.
    pub(super) fn sweep(&self, now: Moment) -> usize {
        let next = self.next_to_sweep.fetch_add(1, Ordering::Relaxed);
        let index = next.checked_rem(self.shards.len()).unwrap_or_default();
        let Some(mut shard) = self.guard(index) else {
            return 0;
        };
        let Shard { accounts, freed_at } = &mut *shard;
        let before = accounts.len();
        let mut latest = now;
        accounts.retain(|_, account| {
            let is_idle = account.is_idle(now);
            if is_idle {
                latest = later(latest, account.latest);
            }
            !is_idle
        });
        let freed = before.saturating_sub(accounts.len());
        if freed > 0 {
            *freed_at = later(*freed_at, latest);
        }
        if accounts.capacity() > accounts.len().saturating_mul(4) {
            accounts.shrink_to_fit();
        }
        self.len.fetch_sub(freed, Ordering::Relaxed);
        freed
    }

    /// Calls `visit` with every account that is not idle, one shard at a time.
    pub(super) fn visit_active(
        &self,
        index: usize,
        now: Moment,
        mut visit: impl FnMut(&K, &Account),
    ) {
        let Some(shard) = self.guard(index) else {
            return;
        };
        for (key, account) in &shard.accounts {
            if !account.is_idle(now) {
                visit(key, account);
            }
        }
    }

    /// Inserts an account whatever the capacity is; `false` if it is there already.
    pub(super) fn insert_unbounded(&self, key: K, mut account: Account) -> bool {
        account.generation = self.next_generation.fetch_add(1, Ordering::Relaxed);
        let Some(mut shard) = self.guard(self.index(&key)) else {
            return false;
        };
        let is_new = shard.accounts.insert(key, account).is_none();
        if is_new {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
        is_new
    }
}

impl<K: Clone + Eq + Hash> Locked<'_, K> {
    /// Returns an account that exists, in one of the locked shards.
    pub(super) fn known(&mut self, key: &K) -> Option<&mut Account> {
        self.shard(key)?.accounts.get_mut(key)
    }

    /// Returns an account as [`known`](Self::known) does, to read it.
    pub(super) fn find(&self, key: &K) -> Option<&Account> {
        let index = self.shards.index(key);
        let found = self.guards.iter().find(|(locked, _)| *locked == index);
        found?.1.accounts.get(key)
    }

    /// Creates those of the accounts that do not exist, all or none: `false` if there is no room.
    pub(super) fn create<'k>(&mut self, keys: impl Iterator<Item = &'k K>, now: Moment) -> bool
    where
        K: 'k,
    {
        let mut created = Vec::new();
        for key in keys {
            if self.known(key).is_some() {
                continue;
            }
            if !self.create_one(key, now) {
                self.remove(&created);
                return false;
            }
            created.push(key);
        }
        true
    }

    fn create_one(&mut self, key: &K, now: Moment) -> bool {
        let capacity = self.shards.capacity;
        let has_room = |len: usize| (len < capacity).then(|| len.saturating_add(1));
        let len = &self.shards.len;
        if len
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room)
            .is_err()
        {
            return false;
        }
        self.insert(key, now)
    }

    /// Returns an account, which is created if there is none, whatever the capacity is.
    pub(super) fn known_or_new(&mut self, key: &K, now: Moment) -> Option<&mut Account> {
        if self.find(key).is_none() && self.insert(key, now) {
            self.shards.len.fetch_add(1, Ordering::Relaxed);
        }
        self.known(key)
    }

    fn insert(&mut self, key: &K, now: Moment) -> bool {
        let generation = self.shards.next_generation.fetch_add(1, Ordering::Relaxed);
        let Some(shard) = self.shard(key) else {
            return false;
        };
        let start = later(now, shard.freed_at);
        shard
            .accounts
            .insert(key.clone(), Account::new(start, generation));
        true
    }

    fn remove(&mut self, keys: &[&K]) {
        for key in keys {
            if let Some(shard) = self.shard(key)
                && shard.accounts.remove(*key).is_some()
            {
                self.shards.len.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn shard(&mut self, key: &K) -> Option<&mut Shard<K>> {
        let index = self.shards.index(key);
        let found = self.guards.iter_mut().find(|(locked, _)| *locked == index);
        found.map(|(_, shard)| &mut **shard)
    }
}

fn later(one: Moment, other: Moment) -> Moment {
    if other.nanos() > one.nanos() {
        other
    } else {
        one
    }
}

impl<K> fmt::Debug for Shards<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards")
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}
