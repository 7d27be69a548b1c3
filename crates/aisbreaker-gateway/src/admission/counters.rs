//! The counters of a request: which there are, what they are called, and their limits.

use std::{fmt, num::NonZeroU32, time::Instant};

use aisbreaker_quota::{Charge, Engine, Limits};
use aisbreaker_token::{KeyId, MAX_DELEGATION_DEPTH, RequestLimits, RequestQuotas};
use base64ct::{Base64UrlUnpadded, Encoding as _};

use crate::{client_id::ClientId, opened_key::Key};

/// The number of counters that a request without a chain of keys is charged to.
pub(crate) const COUNTERS: usize = 4;
/// The indices of the counters of its key, between those of the server.
pub(crate) const KEY_CLIENT: usize = 1;
pub(crate) const KEY_GLOBAL: usize = 2;

/// Counters in the memory of this server.
pub(crate) type Counters = Engine<CounterId>;

/// The name of one counter.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct CounterId {
    pub(super) scope: Scope,
    pub(super) key: [u8; 16],
    /// `None`: all clients together.
    pub(super) client: Option<ClientId>,
}

/// What a counter counts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Scope {
    /// All requests to the server.
    Server,
    /// Requests without a key.
    Default,
    /// Minting and exchanges of keys.
    Minting,
    /// Requests with this key.
    Key,
    /// Quota queries.
    QuotaQuery,
    /// Keys that were sealed offline and did not open.
    OfflineFailure,
    /// Revocations by holders.
    Revocation,
}

impl CounterId {
    fn without_key(scope: Scope, client: Option<ClientId>) -> Self {
        Self {
            scope,
            key: [0; 16],
            client,
        }
    }
}

/// The name in a shared store: `server`, `default`, `minting`, `asking`, `revoking`, or `key:` and the
/// id of the key as it is logged, then the client. Nothing in it is secret.
impl fmt::Display for CounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scope {
            Scope::Server => f.write_str("server")?,
            Scope::Default => f.write_str("default")?,
            Scope::Minting => f.write_str("minting")?,
            Scope::QuotaQuery => f.write_str("asking")?,
            Scope::OfflineFailure => f.write_str("offline-failure")?,
            Scope::Revocation => f.write_str("revoking")?,
            Scope::Key => {
                let mut text = [0; 22];
                // 16 bytes encode to 22 characters.
                let id = Base64UrlUnpadded::encode(&self.key, &mut text)
                    .map_err(|_length| fmt::Error)?;
                write!(f, "key:{id}")?;
            }
        }
        match self.client {
            Some(client) => write!(f, ":{client}"),
            None => Ok(()),
        }
    }
}

/// Creates counters for at most `capacity` keys and clients.
pub(crate) fn counters(epoch: Instant, capacity: usize) -> Counters {
    Engine::with_shard_by(epoch, capacity, shard_by)
}

/// Places all counters of a client in one shard, so that they share a lock.
pub(crate) fn shard_by(counter: &CounterId) -> u64 {
    match counter.client {
        Some(client) => client.as_u64(),
        None => 0,
    }
}

/// Quotas, and whose they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuotaOwner<'a> {
    /// `None`: all requests without a key.
    pub(crate) key: Option<KeyId>,
    /// 0 for the key of the request, 1 for the one that it was made from, and so on.
    pub(crate) level: usize,
    pub(crate) quotas: &'a RequestQuotas,
    /// Whether they are the server's default quotas.
    pub(crate) are_default: bool,
}

impl<'a> QuotaOwner<'a> {
    /// Returns the owner of the quotas of a request whose key has no ancestors. Without a key, or
    /// for a key without quotas, the default quotas hold.
    pub(crate) fn without_ancestors(key: Option<&'a Key>, default: &'a RequestQuotas) -> Self {
        match key {
            Some(key) => Self::new((key.id, 0), key.quotas.as_ref(), default),
            None => Self {
                key: None,
                level: 0,
                quotas: default,
                are_default: true,
            },
        }
    }

    fn new(
        (key, level): (KeyId, usize),
        quotas: Option<&'a RequestQuotas>,
        default: &'a RequestQuotas,
    ) -> Self {
        Self {
            key: Some(key),
            level,
            quotas: quotas.unwrap_or(default),
            are_default: quotas.is_none(),
        }
    }

    /// Returns the charges of one request, per client and global.
    pub(crate) fn charges(&self, client: ClientId) -> [Charge<CounterId>; 2] {
        let Some(key) = self.key else {
            return charges_without_key(Scope::Default, self.quotas, client);
        };
        let key = counter_name(key);
        let id = |client| CounterId {
            scope: Scope::Key,
            key,
            client,
        };
        charges(self.quotas, id(Some(client)), id(None))
    }
}

/// Returns the owners of all quotas of a request with this key: itself, then the key that it was
/// made from, and so on to the first one.
///
/// A key that was made from another and has no quotas of its own is charged to its ancestors only.
/// The first key of the chain always has quotas, which may be the default ones.
pub(crate) fn quota_owners<'a>(key: &'a Key, default: &'a RequestQuotas) -> Vec<QuotaOwner<'a>> {
    let mut owners = Vec::with_capacity(MAX_DELEGATION_DEPTH + 1);
    let ancestors = key.ancestors.iter().take(MAX_DELEGATION_DEPTH);
    let ancestors = ancestors.map(|ancestor| (ancestor.id, ancestor.request_quotas.as_ref()));
    let root_first = ancestors.chain([(key.id, key.quotas.as_ref())]);
    let depth = key.ancestors.len();
    for (index, (id, quotas)) in root_first.enumerate() {
        if index == 0 || quotas.is_some() {
            let level = depth.saturating_sub(index);
            owners.push(QuotaOwner::new((id, level), quotas, default));
        }
    }
    owners.reverse();
    owners
}

/// Returns the charges of a request to quotas that belong to no key, per client and global.
pub(crate) fn charges_without_key(
    scope: Scope,
    quotas: &RequestQuotas,
    client: ClientId,
) -> [Charge<CounterId>; 2] {
    let id = |client| CounterId::without_key(scope, client);
    charges(quotas, id(Some(client)), id(None))
}

fn charges(
    quotas: &RequestQuotas,
    of_client: CounterId,
    global: CounterId,
) -> [Charge<CounterId>; 2] {
    [
        Charge::new(of_client, limits(&quotas.per_client_request_limits)),
        Charge::shared(global, limits(&quotas.global_request_limits)),
    ]
}

/// Returns the charges of what is limited per minute only, apart from all other quotas.
pub(crate) fn per_minute_charges(
    scope: Scope,
    client: ClientId,
    (per_client, global): (NonZeroU32, NonZeroU32),
) -> [Charge<CounterId>; 2] {
    let id = |client| CounterId::without_key(scope, client);
    [
        Charge::new(id(Some(client)), Limits::per_minute(per_client.get())),
        Charge::shared(id(None), Limits::per_minute(global.get())),
    ]
}

/// Returns the charge of an offline key that did not open, with this limit per minute.
pub(crate) fn offline_failure_charge(
    client: ClientId,
    per_client: NonZeroU32,
) -> [Charge<CounterId>; 1] {
    let id = CounterId::without_key(Scope::OfflineFailure, Some(client));
    [Charge::new(id, Limits::per_minute(per_client.get()))]
}

/// Returns the first 128 bits of a key's id: all of a `jti`, and enough of a digest.
pub(crate) fn counter_name(id: KeyId) -> [u8; 16] {
    id.as_bytes().first_chunk().copied().unwrap_or_default()
}

fn limits(limits: &RequestLimits) -> Limits {
    Limits::new(
        limits.requests_per_minute.get(),
        limits.requests_per_hour.get(),
        limits.requests_per_day.get(),
    )
}
