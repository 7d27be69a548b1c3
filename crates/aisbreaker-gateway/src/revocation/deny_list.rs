//! The revoked keys in memory.

use std::{
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aisbreaker_token::KeyId;
use foldhash::fast::RandomState;
use hashbrown::{HashMap, hash_map::Entry};

/// The most revoked keys in memory.
const CAPACITY: usize = 1_000_000;
/// The part of it that only the operator may fill.
const RESERVED: usize = CAPACITY / 10;
/// Parts of the list, each with a lock of its own, so that neither growing nor sweeping one keeps
/// requests from the others for long.
const SHARDS: usize = 64;

/// The name of a key in the list: the first 128 bits of its id, which is all of a `jti`, and enough
/// of a digest.
pub(crate) type Name = [u8; 16];

/// Who revokes a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Revoker {
    Holder,
    Operator,
}

/// The list has no room for another key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ListFull;

/// The revoked keys, each until it expires.
///
/// An entry takes 24 to 44 bytes. Asking an empty list costs one relaxed load.
#[derive(Debug)]
pub(crate) struct DenyList {
    shards: [RwLock<Shard>; SHARDS],
    len: AtomicUsize,
    capacity: usize,
    /// The part of it that holders may fill.
    holders_capacity: usize,
    /// The shard that is swept next.
    next_sweep: AtomicUsize,
}

/// The last second in which a key may be alive, by its name. In 32 bits, which end in 2106: what
/// ends later stays.
type Shard = HashMap<Name, u32, RandomState>;

impl Default for DenyList {
    fn default() -> Self {
        Self::with_capacity(room(Revoker::Operator), room(Revoker::Holder))
    }
}

impl DenyList {
    fn with_capacity(capacity: usize, holders_capacity: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            len: AtomicUsize::new(0),
            capacity,
            holders_capacity,
            next_sweep: AtomicUsize::new(0),
        }
    }

    /// Returns the number of entries.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether a key is on the list.
    pub(crate) fn contains(&self, id: &KeyId) -> bool {
        if self.is_empty() {
            return false;
        }
        let name = name(id);
        let shard = self.shard(&name).read();
        shard
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&name)
    }

    /// Returns whether a key is on the list until this time at least.
    pub(crate) fn contains_until(&self, name: &Name, expires_at: SystemTime) -> bool {
        let shard = self.shard(name).read();
        let shard = shard.unwrap_or_else(PoisonError::into_inner);
        shard
            .get(name)
            .is_some_and(|until| *until >= unix_seconds(expires_at))
    }

    /// Adds a key until it expires. One that is on the list already needs no room.
    ///
    /// # Errors
    /// [`ListFull`]: nothing was added, and nothing had to make room.
    pub(crate) fn insert(
        &self,
        name: Name,
        expires_at: SystemTime,
        by: Revoker,
    ) -> Result<(), ListFull> {
        let most = match by {
            Revoker::Holder => self.holders_capacity,
            Revoker::Operator => self.capacity,
        };
        self.insert_up_to(most, name, expires_at)
    }

    /// Adds a key that another process, or this one before its restart, has revoked already. There
    /// is always room for those.
    pub(crate) fn restore(&self, name: Name, expires_at: SystemTime) {
        let _never_full = self.insert_up_to(usize::MAX, name, expires_at);
    }

    fn insert_up_to(
        &self,
        most: usize,
        name: Name,
        expires_at: SystemTime,
    ) -> Result<(), ListFull> {
        let until = unix_seconds(expires_at);
        let mut shard = self
            .shard(&name)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match shard.entry(name) {
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                *known = until.max(*known);
            }
            Entry::Vacant(entry) => {
                let grow = |len| if len < most { Some(len + 1) } else { None };
                self.len
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow)
                    .map_err(|_len| ListFull)?;
                entry.insert(until);
            }
        }
        Ok(())
    }

    /// Frees the entries of expired keys in one of the parts of the list.
    pub(crate) fn sweep(&self, now: SystemTime) {
        if self.is_empty() {
            return;
        }
        let next = self.next_sweep.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let Some(shard) = self.shards.get(next) else {
            return;
        };
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        let before = shard.len();
        shard.retain(|_, until| u64::from(*until) > now || *until == u32::MAX);
        let freed = before.saturating_sub(shard.len());
        if shard.len() < shard.capacity() / 4 {
            shard.shrink_to_fit();
        }
        self.len.fetch_sub(freed, Ordering::Relaxed);
    }

    fn shard(&self, [first, ..]: &Name) -> &RwLock<Shard> {
        let [shard, ..] = &self.shards;
        // Always found: the remainder is below the number of shards.
        self.shards
            .get(usize::from(*first) % SHARDS)
            .unwrap_or(shard)
    }
}

/// Returns the number of entries up to which the list takes further ones.
pub(crate) const fn room(by: Revoker) -> usize {
    match by {
        Revoker::Holder => CAPACITY - RESERVED,
        Revoker::Operator => CAPACITY,
    }
}

/// Returns the name of a key in the list.
pub(crate) fn name(id: &KeyId) -> Name {
    id.as_bytes().first_chunk().copied().unwrap_or_default()
}

/// Returns the seconds since 1970, rounded up. What is beyond 32 bits is the last of them.
pub(crate) fn unix_seconds(time: SystemTime) -> u32 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = crate::clock::ceil_seconds(since);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// Returns the time that [`unix_seconds`] returned these seconds for.
pub(crate) fn from_unix_seconds(seconds: u32) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u32 = 3_600;

    fn at(seconds: u32) -> SystemTime {
        from_unix_seconds(seconds)
    }

    /// Names that look random.
    fn scattered(number: u32) -> Name {
        u128::from(number)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
            .to_le_bytes()
    }

    fn contains(list: &DenyList, name: &Name) -> bool {
        list.shard(name).read().unwrap().contains_key(name)
    }

    fn bytes(list: &DenyList) -> usize {
        let of_shard = |shard: &RwLock<Shard>| shard.read().unwrap().allocation_size();
        list.shards.iter().map(of_shard).sum()
    }

    #[test]
    fn entries_end_with_their_keys() {
        let list = DenyList::default();
        for number in 0..1_000 {
            let until = at(HOUR + number);
            list.insert(scattered(number), until, Revoker::Holder)
                .unwrap();
        }
        // The later end counts, whichever comes first.
        list.restore(scattered(0), at(3 * HOUR));
        list.restore(scattered(0), at(HOUR));
        assert_eq!(list.len(), 1_000);

        // Not before the whole second is over.
        let almost = Duration::from_millis(999);
        for _ in 0..SHARDS {
            list.sweep(at(HOUR + 500) + almost);
        }

        assert_eq!(list.len(), 500);
        for number in 0..1_000 {
            let is_left = number == 0 || number > 500;
            assert_eq!(contains(&list, &scattered(number)), is_left, "{number}");
        }
        for _ in 0..SHARDS {
            list.sweep(at(4 * HOUR));
        }
        assert_eq!((list.len(), bytes(&list)), (0, 0));
    }

    #[test]
    fn what_ends_after_2106_stays() {
        let list = DenyList::default();
        let far = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        list.insert(scattered(1), far, Revoker::Operator).unwrap();
        for _ in 0..SHARDS {
            list.sweep(far - Duration::from_secs(1));
        }
        assert!(contains(&list, &scattered(1)));
    }

    #[test]
    fn full_list_refuses_and_forgets_nothing() {
        let list = DenyList::with_capacity(100, 90);
        let insert = |number, by| list.insert(scattered(number), at(HOUR), by);
        for number in 0..90 {
            assert_eq!(insert(number, Revoker::Holder), Ok(()));
        }
        assert_eq!(insert(90, Revoker::Holder), Err(ListFull));
        // Again is not anew.
        assert_eq!(insert(0, Revoker::Holder), Ok(()));
        for number in 90..100 {
            assert_eq!(insert(number, Revoker::Operator), Ok(()));
        }
        assert_eq!(insert(100, Revoker::Operator), Err(ListFull));
        assert_eq!(insert(99, Revoker::Holder), Ok(()));
        list.restore(scattered(100), at(HOUR));

        assert_eq!(list.len(), 101);
        for number in 0..=100 {
            assert!(contains(&list, &scattered(number)), "{number}");
        }
    }

    #[test]
    fn an_entry_takes_24_to_44_bytes() {
        let list = DenyList::default();
        let mut tenths_per_entry = Vec::new();
        for number in 1..=1_000_000 {
            list.restore(scattered(number), at(HOUR));
            if matches!(number, 900_000 | 1_000_000) {
                tenths_per_entry.push(bytes(&list) * 10 / list.len());
            }
        }
        println!("tenths of a byte for each of 900 000 and of 1 000 000: {tenths_per_entry:?}");
        let is_promised = |tenths: &usize| (240..=445).contains(tenths);
        assert!(
            tenths_per_entry.iter().all(is_promised),
            "{tenths_per_entry:?}"
        );
    }

    #[test]
    fn an_empty_list_holds_no_memory() {
        assert_eq!(bytes(&DenyList::default()), 0);
    }

    #[test]
    fn concurrent_revocations_never_pass_the_bound() {
        let list = DenyList::with_capacity(1_000, 900);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let list = &list;
                scope.spawn(move || {
                    for number in 0..500 {
                        let name = scattered(thread * 400 + number);
                        let _full = list.insert(name, at(HOUR), Revoker::Holder);
                    }
                });
            }
        });
        let counted: usize = list.shards.iter().map(|s| s.read().unwrap().len()).sum();
        assert_eq!((list.len(), counted), (900, 900));
    }
}
