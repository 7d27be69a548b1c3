//! The admit stage: charges a request to all its quotas, or to none.

pub(crate) mod backend;
pub(crate) mod counters;
mod ratelimit_headers;
pub(crate) mod refusal;
mod saved;

use std::{
    io,
    net::IpAddr,
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering},
    time::{Instant, SystemTime},
};

use aisbreaker_quota::{Refusal, Standings, shared::StoreError};
use aisbreaker_token::RequestQuotas;
use http::HeaderMap;

pub use self::saved::SavedCounters;
use self::{
    backend::Backend,
    counters::{
        COUNTERS, offline_failure_charge, own_charges, quota_query_charges, request_charges,
    },
    refusal::NotAdmitted,
};
use crate::{authenticate::Key, client_id::ClientId};

/// Charges requests to the quotas of the server and of their keys.
#[derive(Debug)]
pub(crate) struct Admission {
    backend: Backend,
    server_quotas: RequestQuotas,
    /// The quotas of requests without a key, and of keys that carry none.
    default_quotas: RequestQuotas,
    /// Whether anything was charged since the counters were last written.
    has_unwritten: AtomicBool,
}

/// Proof that a request was admitted, with the state of its quotas.
#[derive(Debug)]
pub(crate) struct Permit {
    /// `None`: the request was not counted.
    standings: Option<Standings<COUNTERS>>,
}

impl Admission {
    pub(crate) fn new(
        backend: Backend,
        server_quotas: RequestQuotas,
        default_quotas: RequestQuotas,
    ) -> Self {
        Self {
            backend,
            server_quotas,
            default_quotas,
            has_unwritten: AtomicBool::new(false),
        }
    }

    /// Admits one request of this client, with its key if it has one.
    pub(crate) async fn admit(
        &self,
        key: Option<&Key>,
        client: IpAddr,
        now: impl Fn() -> Instant,
    ) -> Result<Permit, NotAdmitted> {
        let client = ClientId::of(client);
        let own = own_charges(key, &self.default_quotas, client);
        let charges = request_charges(&self.server_quotas, own, client);
        let standings = self.backend.charge(&charges, now).await?;
        if !self.has_unwritten.load(Ordering::Relaxed) {
            self.has_unwritten.store(true, Ordering::Release);
        }
        Ok(Permit { standings })
    }

    /// Charges a quota query to its own limits per minute. They are those of this server, even if
    /// requests are counted in a shared store.
    pub(crate) fn charge_quota_query(
        &self,
        client: IpAddr,
        (per_client, global): (NonZeroU32, NonZeroU32),
        now: Instant,
    ) -> Result<(), Refusal<2>> {
        let charges = quota_query_charges(ClientId::of(client), per_client, global);
        let counters = &self.backend.local;
        counters.charge(&charges, NonZeroU32::MIN, now).map(drop)
    }

    /// Returns whether another offline key of this client may fail to open, of `limit` per minute.
    pub(crate) fn may_fail_offline(&self, client: IpAddr, limit: NonZeroU32, now: Instant) -> bool {
        let charge = offline_failure_charge(ClientId::of(client), limit);
        let standings = self.backend.local.peek(&charge, now);
        standings.iter().all(|(_, standing)| standing.remaining > 0)
    }

    /// Counts an offline key of this client that did not open.
    pub(crate) fn count_offline_failure(&self, client: IpAddr, limit: NonZeroU32, now: Instant) {
        let charge = offline_failure_charge(ClientId::of(client), limit);
        let _refused_beyond_the_limit = self
            .backend
            .local
            .charge(&charge, NonZeroU32::MIN, now)
            .is_err();
    }

    /// Returns the state of the quotas of a key for this client, or of the default quotas.
    ///
    /// The flag is true if these are this server's shares, since the store is down.
    pub(crate) async fn peek(
        &self,
        key: Option<&Key>,
        client: IpAddr,
        now: impl Fn() -> Instant,
    ) -> Result<(Standings<2>, bool), StoreError> {
        let charges = own_charges(key, &self.default_quotas, ClientId::of(client));
        self.backend.peek(&charges, now).await
    }

    /// Frees a part of the idle counters.
    pub(crate) fn sweep(&self, now: Instant) {
        self.backend.local.sweep(now);
    }

    /// Returns the number of counters in memory.
    pub(crate) fn counter_count(&self) -> usize {
        self.backend.local.len()
    }

    /// Waits until it is known whether the shared store answers.
    pub(crate) async fn wait_for_store(&self) {
        self.backend.wait_for_store().await;
    }

    /// Logs each time the shared store goes down or comes back, for as long as it is polled.
    pub(crate) async fn watch_store(&self) {
        self.backend.watch_store().await;
    }

    /// Writes all counters, for [`SavedCounters::read`].
    pub(crate) fn write_counters(
        &self,
        now: (Instant, SystemTime),
        to: &mut impl io::Write,
    ) -> io::Result<()> {
        // Reset first: a charge from here on may be missing in what is written.
        self.has_unwritten.swap(false, Ordering::AcqRel);
        let outcome = saved::write_counters(&self.backend.local, now, to);
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
}

impl Permit {
    /// Writes the state of the quotas into response headers.
    pub(crate) fn write_headers(&self, to: &mut HeaderMap) {
        if let Some(standings) = &self.standings {
            ratelimit_headers::write(standings, None, to);
        }
    }

    /// Writes the state of the quotas into the headers of a provider's response. Where the provider
    /// reports a limit as well, the tighter one stays. `now` is the time of the charge.
    pub(crate) fn write_headers_beside_provider(&self, now: SystemTime, to: &mut HeaderMap) {
        if let Some(standings) = &self.standings {
            ratelimit_headers::write_beside_provider(standings, now, to);
        }
    }
}

#[cfg(test)]
mod tests;
