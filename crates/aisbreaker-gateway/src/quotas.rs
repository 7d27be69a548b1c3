//! Where requests are counted: in this process, or in a store that several servers share, with a
//! plan for when it is gone.

use std::{num::NonZeroU32, time::Instant};

use aisbreaker_quota::{
    Charge, Refusal, Standings,
    shared::{SharedEngine, SharedRefusal, StoreError, StoreState},
};

use crate::{
    admit::{COUNTERS, CounterId, Counters},
    metrics::{CountedBy, QuotaMetrics},
};

/// The charges of one request.
pub(crate) type Charges = [Charge<CounterId>; COUNTERS];

/// Counters that several servers share.
#[derive(Clone, Debug)]
pub struct SharedQuotas {
    engine: SharedEngine,
    on_failure: OnStoreFailure,
    servers: NonZeroU32,
}

/// What becomes of requests while the shared store does not answer.
#[expect(
    clippy::exhaustive_enums,
    reason = "each of them is a value of a setting"
)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnStoreFailure {
    /// Each server counts by itself, up to its share of each limit.
    #[default]
    Local,
    /// They are refused with 503.
    Closed,
    /// They are admitted without being counted.
    Open,
}

impl SharedQuotas {
    /// Counters in this store, shared by so many servers.
    #[must_use]
    pub const fn new(
        engine: SharedEngine,
        on_failure: OnStoreFailure,
        servers: NonZeroU32,
    ) -> Self {
        Self {
            engine,
            on_failure,
            servers,
        }
    }
}

/// The counters of a gateway.
#[derive(Debug)]
pub(crate) struct Quotas {
    /// All counters, or with a shared store those of what this server admitted.
    pub(crate) local: Counters,
    shared: Option<SharedQuotas>,
    metrics: QuotaMetrics,
}

/// Why a request was not charged.
#[derive(Debug)]
pub(crate) enum NotCharged {
    /// A limit has not enough left.
    Refused(Refusal<COUNTERS>),
    /// Nobody can tell at the moment.
    Unavailable(StoreError),
}

impl Quotas {
    pub(crate) fn new(
        local: Counters,
        shared: Option<SharedQuotas>,
        metrics: QuotaMetrics,
    ) -> Self {
        Self {
            local,
            shared,
            metrics,
        }
    }

    /// Charges one request to all its counters, or to none. `None`: it is admitted, and counted
    /// nowhere.
    pub(crate) async fn charge(
        &self,
        charges: &Charges,
        now: impl Fn() -> Instant,
    ) -> Result<Option<Standings<COUNTERS>>, NotCharged> {
        let Some(shared) = &self.shared else {
            return self.charge_here(charges, CountedBy::Memory, now());
        };
        let begun = now();
        let answer = shared.engine.charge(charges, NonZeroU32::MIN).await;
        self.metrics.asked_store(
            now().saturating_duration_since(begun),
            answer.as_ref().err(),
        );
        match answer {
            Ok(admitted) => {
                // What this server admitted counts for its share as well, should the store be gone
                // a moment later.
                self.local
                    .record(&shares(charges, shared.servers), NonZeroU32::MIN, now());
                self.metrics.decided(CountedBy::Store, true);
                Ok(Some(*admitted.standings()))
            }
            Err(SharedRefusal::Quota(refusal)) => {
                self.metrics.decided(CountedBy::Store, false);
                Err(NotCharged::Refused(refusal))
            }
            Err(SharedRefusal::Store(error)) => match shared.on_failure {
                OnStoreFailure::Local => {
                    self.charge_here(&shares(charges, shared.servers), CountedBy::Share, now())
                }
                OnStoreFailure::Closed => {
                    self.metrics.decided(CountedBy::Nobody, false);
                    Err(NotCharged::Unavailable(error))
                }
                OnStoreFailure::Open => {
                    self.metrics.decided(CountedBy::Nobody, true);
                    Ok(None)
                }
            },
        }
    }

    fn charge_here(
        &self,
        charges: &Charges,
        by: CountedBy,
        now: Instant,
    ) -> Result<Option<Standings<COUNTERS>>, NotCharged> {
        let answer = self.local.charge(charges, NonZeroU32::MIN, now);
        self.metrics.decided(by, answer.is_ok());
        match answer {
            Ok(admitted) => Ok(Some(*admitted.standings())),
            Err(refusal) => Err(NotCharged::Refused(refusal)),
        }
    }

    /// How these counters stand; nothing is charged. Without the store, how this server's shares
    /// do, which is told; if there are none, nobody knows.
    pub(crate) async fn peek<const N: usize>(
        &self,
        charges: &[Charge<CounterId>; N],
        now: impl Fn() -> Instant,
    ) -> Result<(Standings<N>, bool), StoreError> {
        let Some(shared) = &self.shared else {
            return Ok((self.local.peek(charges, now()), false));
        };
        match (shared.engine.peek(charges).await, shared.on_failure) {
            (Ok(standings), _) => Ok((standings, false)),
            (Err(_gone), OnStoreFailure::Local) => Ok((
                self.local.peek(&shares(charges, shared.servers), now()),
                true,
            )),
            (Err(gone), OnStoreFailure::Closed | OnStoreFailure::Open) => Err(gone),
        }
    }

    /// Waits until the store was found to answer, or not to.
    pub(crate) async fn store_is_known(&self) {
        if let Some(shared) = &self.shared {
            let is_known = |state: &StoreState| !matches!(state, StoreState::Connecting);
            let mut states = shared.engine.states();
            // An error means that it will never be known.
            let _never = states.wait_for(is_known).await;
        }
    }

    /// Logs each time the store is gone or back, for as long as it is polled.
    pub(crate) async fn watch_store(&self) {
        let Some(shared) = &self.shared else {
            return std::future::pending().await;
        };
        let mut states = shared.engine.states();
        let mut was_up = None;
        loop {
            let state = states.borrow_and_update().clone();
            self.metrics.store_is_up(state == StoreState::Up);
            match state {
                StoreState::Connecting => {}
                StoreState::Up if was_up == Some(true) => {}
                StoreState::Up => {
                    was_up = Some(true);
                    tracing::info!("the quota store is reachable: requests are counted there");
                }
                StoreState::Down(_) if was_up == Some(false) => {}
                StoreState::Down(cause) => {
                    was_up = Some(false);
                    tracing::warn!(%cause, "the quota store is not reachable: {}", shared.on_failure.plan());
                }
            }
            if states.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl OnStoreFailure {
    fn plan(self) -> &'static str {
        match self {
            Self::Local => "this server counts by itself, up to its share of each limit",
            Self::Closed => "requests are refused",
            Self::Open => "requests are admitted UNCOUNTED",
        }
    }
}

/// The same counters with this server's share of each limit: a part of it, rounded down, at least
/// one.
fn shares<const N: usize>(
    charges: &[Charge<CounterId>; N],
    servers: NonZeroU32,
) -> [Charge<CounterId>; N] {
    charges.map(|charge| charge.with_limits(charge.limits().share(servers)))
}
