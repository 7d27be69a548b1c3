//! Leases: charges taken from the store in advance, for counters that one process charges often.
//!
//! A lease lives until the end of the slot it was charged in, so that what is admitted on it counts
//! from no earlier than it should: there are never more admitted than the limits say. What is left
//! at its end is given back to the store, and what a heavier charge finds too little is given back
//! with that charge. Meanwhile nobody else can have it: for each engine and group at most the lease
//! and a quarter of what remained, for at most 0.6 s. What cannot be given back, since the store
//! does not answer or nobody has heard its answer, counts until its window is over.

use std::{
    collections::HashMap,
    fmt::Display,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Mutex as Turn,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    engine::Shared,
    error::{SharedRefusal, StoreError},
    message::{self, Back, Besides, Names},
};
use crate::{
    answer::{Admitted, CellState, Refusal, Standings},
    limits::{Charge, Limits, Window},
    slots::Moment,
};

/// How many groups of counters are watched; further ones are charged one by one.
const MAX_GROUPS: usize = 10_000;
/// For how long after a refusal the store is not asked again: others may have given back something
/// by then.
const LONGEST_REFUSAL: Duration = Duration::from_millis(50);
/// Within this time the charges of a group are counted, to tell how many come.
const PERIOD: Duration = Duration::from_millis(600);

/// The leases of one engine.
pub(super) struct Leases {
    /// Charges in advance at most.
    most: u32,
    groups: Mutex<Groups>,
}

#[derive(Default)]
struct Groups {
    known: HashMap<Group, Arc<Turn<Lease>>>,
    /// When quiet ones were last looked for.
    cleared: Option<Instant>,
}

/// The counters of a decision and their limits.
#[derive(Clone, Eq, Hash, PartialEq)]
struct Group {
    keys: Vec<String>,
    limits: Vec<Limits>,
}

/// What is known of a group without asking.
#[derive(Default)]
struct Lease {
    held: Option<Held>,
    /// When the current period began, and the charges in it and in the one before.
    period: Option<Instant>,
    charges: [u32; 2],
}

enum Held {
    Permits(Permits),
    Refusal(Refused),
}

/// Charges in advance.
struct Permits {
    left: u32,
    /// From here on they are void.
    until: Instant,
    seen: Seen,
}

/// How a group stood when the store was asked.
struct Seen {
    asked: Instant,
    now: Moment,
    states: Vec<CellState>,
}

struct Refused {
    charge: usize,
    window: Window,
    limit: NonZeroU32,
    remaining: u32,
    retry_after: Duration,
    weight: NonZeroU32,
    seen: Seen,
}

impl Leases {
    pub(super) fn new(most: NonZeroU32) -> Self {
        Self {
            most: most.get(),
            groups: Mutex::default(),
        }
    }

    /// Charges from what is held, or asks the store and has it charge some in advance if many come.
    pub(super) async fn charge<K: Display, const N: usize>(
        &self,
        shared: &Arc<Shared>,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        deadline: Instant,
    ) -> Result<Admitted<N>, SharedRefusal<N>> {
        let names = shared.names(charges);
        // Nothing held can change that.
        let _possible = message::asked(&names, charges, weight)?;
        // A counter named twice is charged twice, which a lease does not know of.
        let group = (names.keys.len() == N)
            .then(|| self.group(&names, charges))
            .flatten();
        let Some(group) = group else {
            let decided = shared
                .decide(charges, weight, Besides::default(), deadline)
                .await;
            return decided.map(|(admitted, _)| admitted);
        };
        let mut lease = timeout_at(deadline, group.lock())
            .await
            .map_err(|_elapsed| StoreError::Timeout)?;
        let begun = Instant::now();
        if let Some(answer) = lease.answer(charges, weight, begun) {
            return answer;
        }
        // With what is left of a lease still charged, the store might refuse what it could admit.
        let back = lease.held.take().and_then(Held::back);
        let extra = lease.expected(begun).min(self.most);
        match shared
            .decide(
                charges,
                weight,
                Besides {
                    extra,
                    back,
                    at: None,
                },
                deadline,
            )
            .await
        {
            Ok((admitted, extra)) => {
                let seen = Seen::new(&admitted.standings, begun);
                let until = begun
                    .checked_add(admitted.standings.now.left_of_slot())
                    .unwrap_or(begun);
                if extra > 0 {
                    lease.held = Some(Held::Permits(Permits {
                        left: extra,
                        until,
                        seen,
                    }));
                    tokio::spawn(end(
                        Arc::clone(shared),
                        names.keys,
                        Arc::clone(&group),
                        until,
                    ));
                }
                Ok(Admitted {
                    standings: as_if_unused(admitted.standings, extra),
                })
            }
            Err(SharedRefusal::Quota(refusal)) => {
                lease.held = Refused::new(&refusal, weight, begun).map(Held::Refusal);
                Err(refusal.into())
            }
            Err(error) => Err(error),
        }
    }

    /// The lease of these counters; `None` if there are too many groups at the moment.
    fn group<K, const N: usize>(
        &self,
        names: &Names<N>,
        charges: &[Charge<K>; N],
    ) -> Option<Arc<Turn<Lease>>> {
        let limits = charges.iter().map(Charge::limits).collect();
        let group = Group {
            keys: names.keys.clone(),
            limits,
        };
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = groups.known.get(&group) {
            return Some(Arc::clone(lease));
        }
        if groups.known.len() >= MAX_GROUPS {
            groups.clear(Instant::now());
        }
        let has_room = groups.known.len() < MAX_GROUPS;
        has_room.then(|| Arc::clone(groups.known.entry(group).or_default()))
    }
}

impl Groups {
    /// Forgets groups that are quiet; looks at them all, and so not more often than they can have
    /// become quiet.
    fn clear(&mut self, now: Instant) {
        if self
            .cleared
            .is_some_and(|cleared| now.duration_since(cleared) < PERIOD)
        {
            return;
        }
        self.cleared = Some(now);
        let is_quiet = |lease: &Lease| {
            lease.held.is_none()
                && lease
                    .period
                    .is_none_or(|begun| now.duration_since(begun) > PERIOD)
        };
        // One that is locked is in use.
        self.known
            .retain(|_, lease| lease.try_lock().map_or(true, |lease| !is_quiet(&lease)));
    }
}

impl Lease {
    /// Answers from what is held, if that is possible.
    fn answer<K, const N: usize>(
        &mut self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        now: Instant,
    ) -> Option<Result<Admitted<N>, SharedRefusal<N>>> {
        match self.held.as_mut()? {
            Held::Permits(permits) if now < permits.until => {
                permits.left = permits.left.checked_sub(weight.get())?;
                let (standings, left) = (permits.seen.standings(charges, now)?, permits.left);
                self.count(now);
                Some(Ok(Admitted {
                    standings: as_if_unused(standings, left),
                }))
            }
            Held::Refusal(refused) => refused
                .repeated(charges, weight, now)
                .map(|refusal| Err(refusal.into())),
            Held::Permits(_) => None,
        }
    }

    /// Counts a charge, and tells how many come in a period: none, until there were some.
    fn expected(&mut self, now: Instant) -> u32 {
        self.count(now);
        let [current, before] = self.charges;
        current.max(before).saturating_sub(1)
    }

    fn count(&mut self, now: Instant) {
        let age = self.period.map(|begun| now.duration_since(begun));
        if age.is_none_or(|age| age >= PERIOD) {
            let [current, _] = self.charges;
            let is_next = age.is_some_and(|age| age < PERIOD.saturating_mul(2));
            (self.period, self.charges) = (Some(now), [0, if is_next { current } else { 0 }]);
        }
        let [current, _] = &mut self.charges;
        *current = current.saturating_add(1);
    }
}

impl Held {
    /// What of it is not used.
    fn back(self) -> Option<Back> {
        match self {
            Self::Permits(Permits {
                left: amount @ 1..,
                seen,
                ..
            }) => Some(Back {
                slot: seen.now.slot(),
                amount,
            }),
            Self::Permits(_) | Self::Refusal(_) => None,
        }
    }
}

impl Seen {
    fn new<const N: usize>(standings: &Standings<N>, asked: Instant) -> Self {
        Self {
            asked,
            now: standings.now,
            states: standings.states.to_vec(),
        }
    }

    fn standings<K, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        now: Instant,
    ) -> Option<Standings<N>> {
        let states = self.states.as_slice().try_into().ok()?;
        Some(Standings::new(
            self.now.after(now.duration_since(self.asked)),
            charges,
            states,
        ))
    }
}

impl Refused {
    fn new<const N: usize>(
        refusal: &Refusal<N>,
        weight: NonZeroU32,
        asked: Instant,
    ) -> Option<Self> {
        let Refusal::Exceeded {
            charge,
            window,
            limit,
            remaining,
            retry_after,
            standings,
        } = *refusal
        else {
            return None;
        };
        let seen = Seen::new(&standings, asked);
        Some(Self {
            charge,
            window,
            limit,
            remaining,
            retry_after,
            weight,
            seen,
        })
    }

    /// The same refusal a little later, while it can be trusted.
    fn repeated<K, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        now: Instant,
    ) -> Option<Refusal<N>> {
        let age = now.duration_since(self.seen.asked);
        let retry_after = self
            .retry_after
            .checked_sub(age)
            .filter(|wait| !wait.is_zero())?;
        if age >= LONGEST_REFUSAL || weight != self.weight {
            return None;
        }
        let standings = self.seen.standings(charges, now)?;
        let Self {
            charge,
            window,
            limit,
            remaining,
            ..
        } = *self;
        Some(Refusal::Exceeded {
            charge,
            window,
            limit,
            remaining,
            retry_after,
            standings,
        })
    }
}

/// What is held and not used yet does not count, as far as this engine is concerned.
fn as_if_unused<const N: usize>(mut standings: Standings<N>, held: u32) -> Standings<N> {
    for state in &mut standings.states {
        state.used = state.used.map(|used| used.saturating_sub(held));
    }
    standings
}

/// Gives back what is left of a lease when it ends.
async fn end(shared: Arc<Shared>, keys: Vec<String>, group: Arc<Turn<Lease>>, until: Instant) {
    sleep_until(until).await;
    let mut lease = group.lock().await;
    let is_over =
        |held: &mut Held| matches!(held, Held::Permits(permits) if permits.until <= until);
    if let Some(back) = lease.held.take_if(is_over).and_then(Held::back) {
        // The next charge waits for it: it is not to be refused for what this engine has no use
        // for. If the store does not answer, what was taken counts until its window is over.
        let command = shared.link.function.give_back(&keys, back);
        let _not_given_back = shared.link.ask(&command, shared.deadline()).await;
    }
}

#[cfg(test)]
mod tests;
