//! Leases: charges taken from the store in advance, for counters that one process charges often.
//!
//! A lease ends with the slot it was charged in. What is admitted on it therefore counts from no
//! earlier than it should, and no more is admitted than the limits allow. At its end, what is left
//! is released in the store. A charge that is too heavy for what is left releases it as well.
//!
//! In the meantime no other engine can have it. For each engine and group of counters, that is at
//! most the lease and a quarter of what remained, for at most 0.6 s. If the store does not answer
//! or its reply is lost, nothing is released, and the lease counts until its window is over.

mod local;

use std::{
    collections::HashMap,
    fmt::Display,
    num::NonZeroU32,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until, timeout_at},
};

use self::local::{LocalDecision, Permits, RepeatedRefusal, without_permits};
use super::{
    denied::NotCharged,
    error::{SharedRefusal, StoreError},
    function::ChargeOptions,
    keys::CounterKeys,
    round_trip::RoundTrip,
};
use crate::{charge::Charge, limits::Limits, outcome::Admitted};

/// The most groups that can have leases. The counters of further groups are charged one by one.
const MAX_GROUPS: usize = 10_000;
/// The period over which the charges of a group are counted, to estimate how many come.
const RATE_PERIOD: Duration = Duration::from_millis(600);

/// The leases of one engine.
pub(super) struct Leases {
    /// The most charges to take in advance.
    max_permits: u32,
    groups: std::sync::Mutex<Groups>,
}

#[derive(Default)]
struct Groups {
    leases: HashMap<Group, Arc<Mutex<Lease>>>,
    /// When quiet groups were last evicted.
    evicted: Option<Instant>,
}

/// The counters of a decision and their limits.
#[derive(Clone, Eq, Hash, PartialEq)]
struct Group {
    names: Vec<String>,
    limits: Vec<Limits>,
}

/// The lease of a group.
#[derive(Default)]
struct Lease {
    local: Option<LocalDecision>,
    rate: Rate,
}

/// How often a group is charged.
#[derive(Default)]
struct Rate {
    period_start: Option<Instant>,
    /// The charges in the current period, and in the one before.
    charges: [u32; 2],
}

impl Leases {
    pub(super) fn new(max_permits: NonZeroU32) -> Self {
        Self {
            max_permits: max_permits.get(),
            groups: std::sync::Mutex::default(),
        }
    }

    /// Decides locally if possible. Otherwise charges in the store, and takes some charges in
    /// advance if the group is charged often.
    ///
    /// What is decided locally is not compared with the names that are denied: who denies one waits
    /// until all leases have ended.
    pub(super) async fn charge<K: Display, const N: usize>(
        &self,
        store: &Arc<RoundTrip>,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        denied: &[String],
        deadline: Instant,
    ) -> Result<Admitted<N>, NotCharged<N>> {
        let keys = store.keys(charges);
        // A weight above a limit is refused, whatever the lease.
        let _needed = keys.needed(charges, weight).map_err(SharedRefusal::from)?;
        // A counter that is named twice is charged twice, which a lease does not support.
        let group = if keys.names.len() == N {
            self.group(&keys, charges)
        } else {
            None
        };
        let Some(group) = group else {
            let options = ChargeOptions::default();
            let charge = store.charge_unless_denied(charges, weight, denied, options, deadline);
            let (admitted, _) = charge.await?;
            return Ok(admitted);
        };
        let mut lease = timeout_at(deadline, group.lock())
            .await
            .map_err(|_elapsed| StoreError::Timeout)?;
        let begun = Instant::now();
        if let Some(result) = lease.decide(charges, weight, begun) {
            return result.map_err(NotCharged::from);
        }
        // The rest of the lease is released first, or the store might refuse what it can admit.
        let options = ChargeOptions {
            unused: lease.local.take().and_then(LocalDecision::into_unused),
            extra: lease.rate.expected(begun).min(self.max_permits),
            at: None,
        };
        let charge = store.charge_unless_denied(charges, weight, denied, options, deadline);
        match charge.await {
            Ok((admitted, 0)) => Ok(admitted),
            Ok((admitted, extra)) => {
                let permits = Permits::new(extra, &admitted.standings, begun);
                let until = permits.until();
                lease.local = Some(LocalDecision::Admit(permits));
                let (store, group) = (Arc::clone(store), Arc::clone(&group));
                tokio::spawn(release_at_end(store, keys.names, group, until));
                Ok(Admitted {
                    standings: without_permits(admitted.standings, extra),
                })
            }
            Err(NotCharged::Refused(SharedRefusal::Quota(refusal))) => {
                lease.local =
                    RepeatedRefusal::new(&refusal, weight, begun).map(LocalDecision::Refuse);
                Err(SharedRefusal::Quota(refusal).into())
            }
            Err(other) => Err(other),
        }
    }

    /// Returns the lease of these counters; `None` if there are too many groups at the moment.
    fn group<K, const N: usize>(
        &self,
        keys: &CounterKeys<N>,
        charges: &[Charge<K>; N],
    ) -> Option<Arc<Mutex<Lease>>> {
        let group = Group {
            names: keys.names.clone(),
            limits: charges.iter().map(Charge::limits).collect(),
        };
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = groups.leases.get(&group) {
            return Some(Arc::clone(lease));
        }
        if groups.leases.len() >= MAX_GROUPS {
            groups.evict_quiet(Instant::now());
        }
        if groups.leases.len() >= MAX_GROUPS {
            return None;
        }
        Some(Arc::clone(groups.leases.entry(group).or_default()))
    }
}

impl Groups {
    /// Evicts quiet groups. Since that visits all groups, it happens at most once in the time that
    /// a group takes to become quiet.
    fn evict_quiet(&mut self, now: Instant) {
        if let Some(evicted) = self.evicted
            && now.duration_since(evicted) < RATE_PERIOD
        {
            return;
        }
        self.evicted = Some(now);
        self.leases.retain(|_, lease| match lease.try_lock() {
            Ok(lease) => !lease.is_quiet(now),
            Err(_in_use) => true,
        });
    }
}

impl Lease {
    /// Decides without the store, if possible.
    fn decide<K, const N: usize>(
        &mut self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        now: Instant,
    ) -> Option<Result<Admitted<N>, SharedRefusal<N>>> {
        match self.local.as_mut()? {
            LocalDecision::Admit(permits) => {
                let standings = permits.take(charges, weight, now)?;
                self.rate.record(now);
                Some(Ok(Admitted { standings }))
            }
            LocalDecision::Refuse(refusal) => {
                let refusal = refusal.repeat(charges, weight, now)?;
                Some(Err(refusal.into()))
            }
        }
    }

    fn is_quiet(&self, now: Instant) -> bool {
        self.local.is_none() && self.rate.is_quiet(now)
    }
}

impl Rate {
    /// Records a charge and returns how many more to expect in a period: none at first.
    fn expected(&mut self, now: Instant) -> u32 {
        self.record(now);
        let [current, previous] = self.charges;
        current.max(previous).saturating_sub(1)
    }

    fn record(&mut self, now: Instant) {
        let [current, _] = self.charges;
        let age = self.period_start.map(|start| now.duration_since(start));
        match age {
            Some(age) if age < RATE_PERIOD => {}
            Some(age) if age < RATE_PERIOD.saturating_mul(2) => self.start_period(now, current),
            Some(_) | None => self.start_period(now, 0),
        }
        let [count, _] = &mut self.charges;
        *count = count.saturating_add(1);
    }

    fn start_period(&mut self, now: Instant, previous: u32) {
        self.period_start = Some(now);
        self.charges = [0, previous];
    }

    fn is_quiet(&self, now: Instant) -> bool {
        self.period_start
            .is_none_or(|start| now.duration_since(start) > RATE_PERIOD)
    }
}

/// Releases what is left of a lease when it ends.
///
/// The next charge of the group waits for that, so that it is not refused because of permits that
/// this engine has no use for. If the store does not answer, they count until their window is over.
async fn release_at_end(
    store: Arc<RoundTrip>,
    names: Vec<String>,
    group: Arc<Mutex<Lease>>,
    until: Instant,
) {
    sleep_until(until).await;
    let mut lease = group.lock().await;
    let has_ended = |local: &mut LocalDecision| match local {
        LocalDecision::Admit(permits) => permits.until() <= until,
        LocalDecision::Refuse(_) => false,
    };
    let ended = lease.local.take_if(has_ended);
    if let Some(unused) = ended.and_then(LocalDecision::into_unused) {
        let _not_released = store.release(&names, unused).await;
    }
}

#[cfg(test)]
mod tests;
