//! What a lease can decide without the store.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::Instant;

use crate::{
    charge::Charge,
    outcome::Refusal,
    shared::function::Unused,
    slots::Moment,
    standings::{CellState, Standings},
    window::Window,
};

/// For how long a refusal is repeated. After that, others may have released something.
const MAX_REFUSAL_AGE: Duration = Duration::from_millis(50);

/// How the next charge of a group can be decided.
pub(super) enum LocalDecision {
    Admit(Permits),
    Refuse(RepeatedRefusal),
}

impl LocalDecision {
    /// Returns what was charged in advance and not used.
    pub(super) fn into_unused(self) -> Option<Unused> {
        match self {
            Self::Admit(Permits {
                left: amount @ 1..,
                standings,
                ..
            }) => Some(Unused {
                slot: standings.now.slot(),
                amount,
            }),
            Self::Admit(_) | Self::Refuse(_) => None,
        }
    }
}

/// Charges that were taken in advance.
pub(super) struct Permits {
    pub(super) left: u32,
    /// When they expire.
    pub(super) until: Instant,
    pub(super) standings: StandingsAt,
}

impl Permits {
    /// Creates permits for the rest of the store's current slot. `begun` is when the decision with
    /// these standings began.
    pub(super) fn new<const N: usize>(left: u32, standings: &Standings<N>, begun: Instant) -> Self {
        Self {
            left,
            until: begun
                .checked_add(standings.now.until_slot_end())
                .unwrap_or(begun),
            standings: StandingsAt::new(standings, begun),
        }
    }

    pub(super) const fn until(&self) -> Instant {
        self.until
    }

    /// Uses permits for a charge and returns the standings after it; `None` if there are too few
    /// left, or if they have expired.
    pub(super) fn take<K, const N: usize>(
        &mut self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        now: Instant,
    ) -> Option<Standings<N>> {
        if now >= self.until {
            return None;
        }
        let left = self.left.checked_sub(weight.get())?;
        let standings = self.standings.at(charges, now)?;
        self.left = left;
        Some(without_permits(standings, left))
    }
}

/// A refusal of the store that can be repeated for a while.
pub(super) struct RepeatedRefusal {
    pub(super) charge: usize,
    pub(super) window: Window,
    pub(super) limit: NonZeroU32,
    pub(super) remaining: u32,
    pub(super) retry_after: Duration,
    pub(super) weight: NonZeroU32,
    pub(super) standings: StandingsAt,
}

impl RepeatedRefusal {
    pub(super) fn new<const N: usize>(
        refusal: &Refusal<N>,
        weight: NonZeroU32,
        begun: Instant,
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
        Some(Self {
            charge,
            window,
            limit,
            remaining,
            retry_after,
            weight,
            standings: StandingsAt::new(&standings, begun),
        })
    }

    /// Returns the same refusal as of `now`; `None` if it is too old, or for another weight.
    pub(super) fn repeat<K, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        now: Instant,
    ) -> Option<Refusal<N>> {
        let age = now.duration_since(self.standings.begun);
        let retry_after = self.retry_after.checked_sub(age)?;
        if retry_after.is_zero() || age >= MAX_REFUSAL_AGE || weight != self.weight {
            return None;
        }
        Some(Refusal::Exceeded {
            charge: self.charge,
            window: self.window,
            limit: self.limit,
            remaining: self.remaining,
            retry_after,
            standings: self.standings.at(charges, now)?,
        })
    }
}

/// How a group stood in the store.
pub(super) struct StandingsAt {
    /// When the decision that read them began, by this process's clock.
    pub(super) begun: Instant,
    /// When it was taken, by the store's clock.
    pub(super) now: Moment,
    pub(super) states: Vec<CellState>,
}

impl StandingsAt {
    fn new<const N: usize>(standings: &Standings<N>, begun: Instant) -> Self {
        Self {
            begun,
            now: standings.now,
            states: standings.states.to_vec(),
        }
    }

    /// Returns the standings as of `now`; `None` if they are those of another number of charges.
    fn at<K, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        now: Instant,
    ) -> Option<Standings<N>> {
        let states = self.states.as_slice().try_into().ok()?;
        let moment = self.now.after(now.duration_since(self.begun));
        Some(Standings::new(moment, charges, states))
    }
}

/// Subtracts permits that are charged in the store but not used: this engine still has them.
pub(super) fn without_permits<const N: usize>(
    mut standings: Standings<N>,
    permits: u32,
) -> Standings<N> {
    for state in &mut standings.states {
        state.used = state.used.map(|used| used.saturating_sub(permits));
    }
    standings
}
