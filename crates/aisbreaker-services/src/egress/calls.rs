//! How many calls to one origin are under way, and so how many connections to it there are.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aisbreaker_api::Origin;

/// The calls that are under way, by origin; clones share them. Origins without any take no room.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(Arc<Mutex<HashMap<Origin, usize>>>);

/// One call under way, until it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    calls: Calls,
    origin: Origin,
}

impl Calls {
    /// Begins a call, unless as many as `limit` are under way to this origin.
    pub(super) fn begin(&self, origin: Origin, limit: usize) -> Option<UnderWay> {
        let mut calls = self.lock();
        match calls.get_mut(&origin) {
            Some(count) if *count >= limit => return None,
            Some(count) => *count += 1,
            None if limit == 0 => return None,
            None => {
                calls.insert(origin.clone(), 1);
            }
        }
        drop(calls);
        Some(UnderWay { calls: self.clone(), origin })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut calls = self.calls.lock();
        match calls.get_mut(&self.origin) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                calls.remove(&self.origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_origin_has_so_many_calls_and_takes_no_room_without_any() {
        let calls = Calls::default();
        let [one, other] = ["https://a.example", "https://b.example"].map(|url| Origin::parse(url).unwrap());

        let first = calls.begin(one.clone(), 2).unwrap();
        let second = calls.begin(one.clone(), 2).unwrap();
        assert!(calls.begin(one.clone(), 2).is_none());
        let elsewhere = calls.begin(other.clone(), 2).unwrap();
        drop(first);
        let third = calls.begin(one.clone(), 2).unwrap();
        assert!(calls.begin(one, 2).is_none());

        drop((second, third, elsewhere));
        assert!(calls.lock().is_empty());
        assert!(calls.begin(other, 0).is_none());
    }
}
