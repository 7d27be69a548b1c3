//! The accounts of a ledger, behind sharded locks.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;
use hashbrown::{Equivalent, HashMap};

use super::account::Account;
use super::policy::{Accounting, BudgetPolicy};
use crate::slots::Moment;

/// Accounts per shard when the ledger is full, which keeps a step of a sweep short.
const ACCOUNTS_PER_SHARD: usize = 1_000;

/// The least number of shards, so that threads seldom meet at a lock.
const MIN_SHARDS: usize = 64;

type WindowOf<B> = <B as Accounting<<B as BudgetPolicy>::Period>>::Window;

/// The key of an account, and the window that tells it apart from others of that key.
pub(super) type Name<'k, K, B> = (&'k K, WindowOf<B>);

/// A name that is looked up.
#[derive(Hash)]
struct Query<'k, K, W>(&'k K, W);

impl<K: Eq, W: Eq> Equivalent<(K, W)> for Query<'_, K, W> {
    fn equivalent(&self, (key, window): &(K, W)) -> bool {
        self.0 == key && self.1 == *window
    }
}

/// Accounts behind one lock.
struct Shard<K, B: BudgetPolicy> {
    accounts: HashMap<(K, WindowOf<B>), Account<B>, RandomState>,
    /// The latest moment at which an account was freed. A new one must not start before it, or a
    /// clock that steps back would have it forget what it had spent then.
    freed_at: Moment,
}

/// All accounts. Locks are taken in the order of the shards.
pub(super) struct Shards<K, B: BudgetPolicy> {
    shards: Box<[Mutex<Shard<K, B>>]>,
    hasher: RandomState,
    capacity: usize,
    /// Accounts in the shards. Changed under the lock of a shard.
    len: AtomicUsize,
    next_to_sweep: AtomicUsize,
    /// The generation of the next account.
    next_generation: AtomicU64,
}

/// The shards of one decision, all of them locked.
pub(super) struct Locked<'a, K, B: BudgetPolicy> {
    shards: &'a Shards<K, B>,
    /// By the number of the shard, in their order.
    guards: Vec<(usize, MutexGuard<'a, Shard<K, B>>)>,
}

impl<K, B: BudgetPolicy> Shards<K, B> {
    /// Returns the number of accounts.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Returns the number of shards.
    pub(super) fn count(&self) -> usize {
        self.shards.len()
    }
}

impl<K: Clone + Eq + Hash, B: BudgetPolicy> Shards<K, B> {
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

    fn index(&self, account: Name<'_, K, B>) -> usize {
        let hash = usize::try_from(self.hasher.hash_one(account) >> 33).unwrap_or_default();
        hash.checked_rem(self.shards.len()).unwrap_or_default()
    }

    /// Locks the shards of these accounts.
    pub(super) fn lock<'k>(
        &self,
        accounts: impl IntoIterator<Item = Name<'k, K, B>>,
    ) -> Locked<'_, K, B>
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

    fn guard(&self, index: usize) -> Option<MutexGuard<'_, Shard<K, B>>> {
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
        mut visit: impl FnMut(&K, &Account<B>),
    ) {
        let Some(shard) = self.guard(index) else {
            return;
        };
        for ((key, _), account) in &shard.accounts {
            if !account.is_idle(now) {
                visit(key, account);
            }
        }
    }

    /// Inserts an account whatever the capacity is; `false` if it is there already.
    pub(super) fn insert_unbounded(&self, key: K, mut account: Account<B>) -> bool {
        account.generation = self.next_generation.fetch_add(1, Ordering::Relaxed);
        let Some(mut shard) = self.guard(self.index((&key, account.window))) else {
            return false;
        };
        let name = (key, account.window);
        let is_new = shard.accounts.insert(name, account).is_none();
        if is_new {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
        is_new
    }
}

impl<K: Clone + Eq + Hash, B: BudgetPolicy> Locked<'_, K, B> {
    /// Returns an account that exists, in one of the locked shards.
    pub(super) fn known(&mut self, name: Name<'_, K, B>) -> Option<&mut Account<B>> {
        let (key, window) = name;
        let query = Query(key, window);
        self.shard(name)?.accounts.get_mut(&query)
    }

    /// Returns an account as [`known`](Self::known) does, to read it.
    pub(super) fn find(&self, name: Name<'_, K, B>) -> Option<&Account<B>> {
        let (key, window) = name;
        let index = self.shards.index(name);
        let found = self.guards.iter().find(|(locked, _)| *locked == index);
        found?.1.accounts.get(&Query(key, window))
    }

    /// Creates those of the accounts that do not exist, all or none: `false` if there is no room.
    pub(super) fn create<'k>(
        &mut self,
        names: impl Iterator<Item = Name<'k, K, B>>,
        now: Moment,
    ) -> bool
    where
        K: 'k,
    {
        let mut created = Vec::new();
        for name in names {
            if self.known(name).is_some() {
                continue;
            }
            if !self.create_one(name, now) {
                self.remove(&created);
                return false;
            }
            created.push(name);
        }
        true
    }

    fn create_one(&mut self, name: Name<'_, K, B>, now: Moment) -> bool {
        let capacity = self.shards.capacity;
        let has_room = |len: usize| (len < capacity).then(|| len.saturating_add(1));
        let len = &self.shards.len;
        if len
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room)
            .is_err()
        {
            return false;
        }
        self.insert(name, now)
    }

    /// Returns an account, which is created if there is none, whatever the capacity is.
    pub(super) fn known_or_new(
        &mut self,
        name: Name<'_, K, B>,
        now: Moment,
    ) -> Option<&mut Account<B>> {
        if self.find(name).is_none() && self.insert(name, now) {
            self.shards.len.fetch_add(1, Ordering::Relaxed);
        }
        self.known(name)
    }

    fn insert(&mut self, name: Name<'_, K, B>, now: Moment) -> bool {
        let (key, window) = name;
        let generation = self.shards.next_generation.fetch_add(1, Ordering::Relaxed);
        let Some(shard) = self.shard(name) else {
            return false;
        };
        let start = later(now, shard.freed_at);
        shard.accounts.insert(
            (key.clone(), window),
            Account::new(window, start, generation),
        );
        true
    }

    fn remove(&mut self, names: &[Name<'_, K, B>]) {
        for &(key, window) in names {
            if let Some(shard) = self.shard((key, window))
                && shard.accounts.remove(&Query(key, window)).is_some()
            {
                self.shards.len.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn shard(&mut self, name: Name<'_, K, B>) -> Option<&mut Shard<K, B>> {
        let index = self.shards.index(name);
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

impl<K, B: BudgetPolicy> fmt::Debug for Shards<K, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards")
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}
