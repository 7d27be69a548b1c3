//! The admit stage: charges a request to all its quotas, or to none.

pub(crate) mod backend;
pub(crate) mod counters;
mod quota_state;
mod ratelimit_headers;
pub(crate) mod refusal;
pub(crate) mod saved;

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::Arc,
    time::{Instant, SystemTime},
};

use aisbreaker_quota::{Charge, Refusal, Standings, Window};
use aisbreaker_token::RequestQuotas;
use http::HeaderMap;

pub use self::saved::SavedCounters;
use self::{
    backend::Backend,
    counters::{
        COUNTERS, CounterId, QuotaOwner, Scope, charges_without_key, offline_failure_charge,
        per_minute_charges, quota_owners,
    },
    quota_state::QuotaState,
    refusal::{Exceeded, NotAdmitted},
};
use crate::{
    client_id::ClientId,
    opened_key::Key,
    shared_store::{NotCharged, SharedRefusal, StoreError},
};

/// The quotas that are configured, not sealed in a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerQuotas {
    /// Those of all requests.
    pub(crate) all: RequestQuotas,
    /// Those of requests without a key, and of keys that carry none.
    pub(crate) default: RequestQuotas,
    /// Those of minting and of exchanging keys.
    pub(crate) minting: RequestQuotas,
}

/// Charges requests to the quotas of the server and of their keys.
#[derive(Debug)]
pub(crate) struct Admission {
    backend: Arc<Backend>,
    quotas: ServerQuotas,
}

/// Proof that a request was admitted, with the state of its quotas.
#[derive(Debug)]
pub(crate) struct Permit {
    /// `None`: the request was not counted.
    state: Option<QuotaState>,
}

impl Admission {
    pub(crate) fn new(backend: Arc<Backend>, quotas: ServerQuotas) -> Self {
        Self { backend, quotas }
    }

    /// Admits one request of this client, with its key if it has one.
    pub(crate) async fn admit(
        &self,
        key: Option<&Key>,
        client: IpAddr,
        now: impl Fn() -> Instant,
    ) -> Result<Permit, NotAdmitted> {
        let client = ClientId::of(client);
        let state = match key {
            // Boxed, so that requests without a chain have no room for one.
            Some(key) if !key.ancestors.is_empty() => {
                Box::pin(self.charge_chain(key, client, now)).await?
            }
            Some(_) | None => {
                let owner = QuotaOwner::without_ancestors(key, &self.quotas.default);
                let charges = self.with_server_charges(owner.charges(client), client);
                self.charge(&charges, key, now, QuotaState::OneKey).await?
            }
        };
        self.backend.note_charge();
        Ok(Permit { state })
    }

    /// Admits one request of this client to mint or exchange a key.
    pub(crate) async fn admit_minting(
        &self,
        client: IpAddr,
        now: impl Fn() -> Instant,
    ) -> Result<Permit, NotAdmitted> {
        let client = ClientId::of(client);
        let own = charges_without_key(Scope::Minting, &self.quotas.minting, client);
        let charges = self.with_server_charges(own, client);
        let state = self.charge(&charges, None, now, QuotaState::OneKey).await?;
        self.backend.note_charge();
        Ok(Permit { state })
    }

    /// Adds the charges to the server's quotas, around those per client and global of one owner.
    fn with_server_charges(
        &self,
        [own_client, own_global]: [Charge<CounterId>; 2],
        client: ClientId,
    ) -> [Charge<CounterId>; COUNTERS] {
        let [server_client, server_global] =
            charges_without_key(Scope::Server, &self.quotas.all, client);
        [server_client, own_client, own_global, server_global]
    }

    /// Charges a request to the quotas of the server, of its key and of all keys that this was made
    /// from.
    async fn charge_chain(
        &self,
        key: &Key,
        client: ClientId,
        now: impl Fn() -> Instant,
    ) -> Result<Option<QuotaState>, NotAdmitted> {
        let [first, last] = charges_without_key(Scope::Server, &self.quotas.all, client);
        let owners = quota_owners(key, &self.quotas.default);
        let charges: Vec<_> = owners.iter().map(|owner| owner.charges(client)).collect();
        match *charges.as_slice() {
            [] => {
                self.charge(&[first, last], Some(key), now, QuotaState::of_chain)
                    .await
            }
            [[a, z]] => {
                let charges = [first, a, z, last];
                self.charge(&charges, Some(key), now, QuotaState::OneKey)
                    .await
            }
            [[a, z], [b, y]] => {
                let charges = [first, a, b, z, y, last];
                self.charge(&charges, Some(key), now, QuotaState::of_chain)
                    .await
            }
            [[a, z], [b, y], [c, x]] => {
                let charges = [first, a, b, c, z, y, x, last];
                self.charge(&charges, Some(key), now, QuotaState::of_chain)
                    .await
            }
            [[a, z], [b, y], [c, x], [d, w], ..] => {
                let charges = [first, a, b, c, d, z, y, x, w, last];
                self.charge(&charges, Some(key), now, QuotaState::of_chain)
                    .await
            }
        }
    }

    async fn charge<const N: usize>(
        &self,
        charges: &[Charge<CounterId>; N],
        key: Option<&Key>,
        now: impl Fn() -> Instant,
        state: impl FnOnce(Standings<N>) -> QuotaState,
    ) -> Result<Option<QuotaState>, NotAdmitted> {
        match self.backend.charge(charges, key, now).await {
            Ok(standings) => Ok(standings.map(state)),
            Err(NotCharged::Denied) => Err(NotAdmitted::Revoked),
            Err(NotCharged::Refused(SharedRefusal::Quota(refusal))) => {
                let exceeded = Exceeded::new(refusal, charges, key, state);
                Err(NotAdmitted::Exceeded(exceeded))
            }
            Err(NotCharged::Refused(SharedRefusal::Store(cause))) => {
                Err(NotAdmitted::Unavailable(cause))
            }
        }
    }

    /// Charges a quota query to its own limits per minute. They are those of this server, even if
    /// requests are counted in a shared store.
    pub(crate) fn charge_quota_query(
        &self,
        client: IpAddr,
        limits: (NonZeroU32, NonZeroU32),
        now: Instant,
    ) -> Result<(), Refusal<2>> {
        let charges = per_minute_charges(Scope::QuotaQuery, ClientId::of(client), limits);
        let counters = &self.backend.local;
        counters.charge(&charges, NonZeroU32::MIN, now).map(drop)
    }

    /// Charges a revocation to its own limits per minute, those of this server.
    pub(crate) fn charge_revocation(
        &self,
        client: IpAddr,
        limits: (NonZeroU32, NonZeroU32),
        now: Instant,
    ) -> Result<(), Refusal<2>> {
        let charges = per_minute_charges(Scope::Revocation, ClientId::of(client), limits);
        let counters = &self.backend.local;
        counters.charge(&charges, NonZeroU32::MIN, now).map(drop)
    }

    /// Returns whether this client could revoke something, if all others are left aside.
    pub(crate) fn has_revocations_left(
        &self,
        client: IpAddr,
        limits: (NonZeroU32, NonZeroU32),
        now: Instant,
    ) -> bool {
        let charges = per_minute_charges(Scope::Revocation, ClientId::of(client), limits);
        let standings = self.backend.local.peek(&charges, now);
        match standings.of(0, Window::Minute) {
            Some(standing) => standing.remaining > 0,
            None => false,
        }
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

    /// Returns the state of the quotas of a key for this client, or of the default quotas. Those of
    /// the keys that it was made from follow.
    ///
    /// The flag is true if these are this server's shares, since the store is down.
    pub(crate) async fn peek<'a>(
        &'a self,
        key: Option<&'a Key>,
        client: IpAddr,
        now: impl Fn() -> Instant,
    ) -> Result<(Vec<(QuotaOwner<'a>, Standings<2>)>, bool), StoreError> {
        let client = ClientId::of(client);
        let owners = match key {
            Some(key) => quota_owners(key, &self.quotas.default),
            None => vec![QuotaOwner::without_ancestors(None, &self.quotas.default)],
        };
        let (mut peeked, mut are_shares) = (Vec::with_capacity(owners.len()), false);
        for owner in owners {
            let (standings, is_share) = self.backend.peek(&owner.charges(client), &now).await?;
            are_shares |= is_share;
            peeked.push((owner, standings));
        }
        Ok((peeked, are_shares))
    }
}

impl Permit {
    /// Writes the state of the quotas into response headers.
    pub(crate) fn write_headers(&self, to: &mut HeaderMap) {
        if let Some(state) = &self.state {
            ratelimit_headers::write(state, None, to);
        }
    }

    /// Writes the state of the quotas into the headers of a provider's response. Where the provider
    /// reports a limit as well, the tighter one stays. `now` is the time of the charge.
    pub(crate) fn write_headers_beside_provider(&self, now: SystemTime, to: &mut HeaderMap) {
        if let Some(state) = &self.state {
            ratelimit_headers::write_beside_provider(state, now, to);
        }
    }
}

#[cfg(test)]
mod tests;
