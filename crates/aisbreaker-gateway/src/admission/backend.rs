//! Where requests are counted: in the memory of this server, or in a store that several servers
//! share.

use std::{
    io,
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering},
    time::{Instant, SystemTime},
};

use aisbreaker_quota::{Charge, Standings};

use super::{
    counters::{CounterId, Counters},
    saved,
};
use crate::{
    opened_key::Key,
    revocation::store,
    shared_store::{NotCharged, SharedEngine, SharedRefusal, StoreError, StoreState},
    telemetry::metrics::{CountedBy, QuotaMetrics},
};

/// Counters that several servers share. Without feature `redis` there are none.
#[derive(Clone, Debug)]
pub struct SharedQuotas {
    engine: SharedEngine,
    on_failure: OnStoreFailure,
    servers: NonZeroU32,
}

/// What happens to requests while the shared store does not answer.
#[expect(
    clippy::exhaustive_enums,
    reason = "each of them is a value of a setting"
)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnStoreFailure {
    /// Each server counts alone, up to its share of each limit.
    #[default]
    Local,
    /// They are refused with 503.
    Closed,
    /// They are admitted without being counted.
    Open,
}

impl SharedQuotas {
    /// Creates counters in this store, which this many servers share.
    #[cfg(feature = "redis")]
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

    pub(crate) fn engine(&self) -> SharedEngine {
        self.engine.clone()
    }
}

/// The counters of a gateway.
#[derive(Debug)]
pub(crate) struct Backend {
    /// All counters; with a shared store, those of what this server admitted.
    pub(crate) local: Counters,
    shared: Option<SharedQuotas>,
    metrics: QuotaMetrics,
    /// Whether anything was charged since the counters were last written.
    has_unwritten: AtomicBool,
}

impl Backend {
    pub(crate) fn new(
        local: Counters,
        shared: Option<SharedQuotas>,
        metrics: QuotaMetrics,
    ) -> Self {
        Self {
            local,
            shared,
            metrics,
            has_unwritten: AtomicBool::new(false),
        }
    }

    /// Charges one request with this key to all its counters, or to none. A shared store refuses a
    /// revoked key in the same call.
    ///
    /// Returns `None` for a request that is admitted without being counted.
    pub(crate) async fn charge<const N: usize>(
        &self,
        charges: &[Charge<CounterId>; N],
        key: Option<&Key>,
        now: impl Fn() -> Instant,
    ) -> Result<Option<Standings<N>>, NotCharged<N>> {
        let Some(shared) = &self.shared else {
            return self.charge_local(charges, CountedBy::Memory, now());
        };
        let started = now();
        let (engine, names) = (&shared.engine, names(key));
        let charge = engine.charge_unless_denied(charges, NonZeroU32::MIN, &names);
        let outcome = charge.await;
        let refusal = match &outcome {
            Err(NotCharged::Refused(refusal)) => Some(refusal),
            Ok(_) | Err(NotCharged::Denied) => None,
        };
        let waited = now().saturating_duration_since(started);
        self.metrics.observe_store(waited, refusal);
        match outcome {
            Ok(admitted) => {
                // Counted locally as well, in case the store fails a moment later.
                self.local
                    .record(&shares(charges, shared.servers), NonZeroU32::MIN, now());
                self.metrics.count_decision(CountedBy::Store, true);
                Ok(Some(*admitted.standings()))
            }
            Err(NotCharged::Denied) => {
                self.metrics.count_decision(CountedBy::Store, false);
                Err(NotCharged::Denied)
            }
            Err(NotCharged::Refused(SharedRefusal::Quota(refusal))) => {
                self.metrics.count_decision(CountedBy::Store, false);
                Err(SharedRefusal::Quota(refusal).into())
            }
            Err(NotCharged::Refused(SharedRefusal::Store(error))) => match shared.on_failure {
                OnStoreFailure::Local => {
                    self.charge_local(&shares(charges, shared.servers), CountedBy::Share, now())
                }
                OnStoreFailure::Closed => {
                    self.metrics.count_decision(CountedBy::Nobody, false);
                    Err(error.into())
                }
                OnStoreFailure::Open => {
                    self.metrics.count_decision(CountedBy::Nobody, true);
                    Ok(None)
                }
            },
        }
    }

    fn charge_local<const N: usize>(
        &self,
        charges: &[Charge<CounterId>; N],
        by: CountedBy,
        now: Instant,
    ) -> Result<Option<Standings<N>>, NotCharged<N>> {
        let outcome = self.local.charge(charges, NonZeroU32::MIN, now);
        self.metrics.count_decision(by, outcome.is_ok());
        match outcome {
            Ok(admitted) => Ok(Some(*admitted.standings())),
            Err(refusal) => Err(SharedRefusal::Quota(refusal).into()),
        }
    }

    /// Returns the state of these counters without charging anything.
    ///
    /// While the store is down and servers count alone, these are the counters of this server's
    /// shares, and the flag is true.
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

    /// Frees a part of the idle counters.
    pub(crate) fn sweep(&self, now: Instant) {
        self.local.sweep(now);
    }

    /// Returns the number of counters in memory.
    pub(crate) fn counter_count(&self) -> usize {
        self.local.len()
    }

    /// Writes all counters, for [`SavedCounters::read`](super::SavedCounters::read).
    pub(crate) fn write_counters(
        &self,
        now: (Instant, SystemTime),
        to: &mut impl io::Write,
    ) -> io::Result<()> {
        // Reset first: a charge from here on may be missing in what is written.
        self.has_unwritten.swap(false, Ordering::AcqRel);
        let outcome = saved::write_counters(&self.local, now, to);
        if outcome.is_err() {
            self.mark_unwritten();
        }
        outcome
    }

    pub(crate) fn has_unwritten(&self) -> bool {
        self.has_unwritten.load(Ordering::Acquire)
    }

    pub(crate) fn mark_unwritten(&self) {
        self.has_unwritten.store(true, Ordering::Release);
    }

    /// Notes a charge that is to be written.
    pub(super) fn note_charge(&self) {
        // Read first, since all requests share the flag.
        if !self.has_unwritten.load(Ordering::Relaxed) {
            self.mark_unwritten();
        }
    }

    /// Waits until it is known whether the store answers.
    pub(crate) async fn wait_for_store(&self) {
        if let Some(shared) = &self.shared {
            let is_known = |state: &StoreState| !matches!(state, StoreState::Connecting);
            let mut states = shared.engine.states();
            // An error means that the engine is gone.
            let _never = states.wait_for(is_known).await;
        }
    }

    /// Logs each time the store goes down or comes back, for as long as it is polled.
    pub(crate) async fn watch_store(&self) {
        let Some(shared) = &self.shared else {
            return std::future::pending().await;
        };
        let mut states = shared.engine.states();
        let mut was_up = None;
        loop {
            let state = states.borrow_and_update().clone();
            self.metrics.set_store_up(state == StoreState::Up);
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

/// Returns the names in the store of a key and of all that it was made from.
fn names(key: Option<&Key>) -> Vec<String> {
    let Some(key) = key else {
        return Vec::new();
    };
    let ancestors = key.ancestors.iter().map(|ancestor| &ancestor.id);
    let chain = std::iter::once(&key.id).chain(ancestors);
    chain.map(store::name).collect()
}

/// Returns the same charges with this server's share of each limit: rounded down, at least one.
fn shares<const N: usize>(
    charges: &[Charge<CounterId>; N],
    servers: NonZeroU32,
) -> [Charge<CounterId>; N] {
    charges.map(|charge| charge.with_limits(charge.limits().share(servers)))
}
