//! The counters of a request: which there are, what they are called, and their limits.

use std::{fmt, num::NonZeroU32, time::Instant};

use aisbreaker_quota::{Charge, Engine, Limits};
use aisbreaker_token::{KeyId, RequestLimits, RequestQuotas};
use base64ct::{Base64UrlUnpadded, Encoding as _};

use crate::{authenticate::Key, client_id::ClientId};

/// The number of counters that a request is charged to.
pub(crate) const COUNTERS: usize = 4;
/// The counters of a request, in the order in which they are charged.
pub(crate) const SERVER_CLIENT: usize = 0;
pub(crate) const KEY_CLIENT: usize = 1;
pub(crate) const KEY_GLOBAL: usize = 2;
pub(crate) const SERVER_GLOBAL: usize = 3;

/// Counters in the memory of this server.
pub(crate) type Counters = Engine<CounterId>;
/// The charges of one request.
pub(crate) type Charges = [Charge<CounterId>; COUNTERS];

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
    /// Requests without a key, and minting.
    Default,
    /// Requests with this key.
    Key,
    /// Quota queries.
    QuotaQuery,
    /// Keys that were sealed offline and did not open.
    OfflineFailure,
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

/// The name in a shared store: `server`, `default`, `asking`, or `key:` and the id of the key as it
/// is logged, then the client. Nothing in it is secret.
impl fmt::Display for CounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scope {
            Scope::Server => f.write_str("server")?,
            Scope::Default => f.write_str("default")?,
            Scope::QuotaQuery => f.write_str("asking")?,
            Scope::OfflineFailure => f.write_str("offline-failure")?,
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

/// Returns the charges of a request to the server's quotas and to its own.
pub(crate) fn request_charges(
    server: &RequestQuotas,
    own: [Charge<CounterId>; 2],
    client: ClientId,
) -> Charges {
    let [own_client, own_global] = own;
    let server_client = CounterId::without_key(Scope::Server, Some(client));
    let server_global = CounterId::without_key(Scope::Server, None);
    // In the order of the constants above.
    [
        Charge::new(server_client, limits(&server.per_client_request_limits)),
        own_client,
        own_global,
        Charge::shared(server_global, limits(&server.global_request_limits)),
    ]
}

/// Returns the charges of a request to the quotas of its key, per client and global. Without a key,
/// or for a key without quotas, the default quotas hold.
pub(crate) fn own_charges(
    key: Option<&Key>,
    default: &RequestQuotas,
    client: ClientId,
) -> [Charge<CounterId>; 2] {
    let (scope, name, quotas) = match key {
        Some(key) => (Scope::Key, counter_name(key.id), key.quotas.as_ref()),
        None => (Scope::Default, [0; 16], None),
    };
    let quotas = quotas.unwrap_or(default);
    let id = |client| CounterId {
        scope,
        key: name,
        client,
    };
    [
        Charge::new(id(Some(client)), limits(&quotas.per_client_request_limits)),
        Charge::shared(id(None), limits(&quotas.global_request_limits)),
    ]
}

/// Returns the charges of a quota query, with these limits per minute.
pub(crate) fn quota_query_charges(
    client: ClientId,
    per_client: NonZeroU32,
    global: NonZeroU32,
) -> [Charge<CounterId>; 2] {
    let id = |client| CounterId::without_key(Scope::QuotaQuery, client);
    [
        Charge::new(id(Some(client)), Limits::per_minute(per_client)),
        Charge::shared(id(None), Limits::per_minute(global)),
    ]
}

/// Returns the charge of an offline key that did not open, with this limit per minute.
pub(crate) fn offline_failure_charge(
    client: ClientId,
    per_client: NonZeroU32,
) -> [Charge<CounterId>; 1] {
    let id = CounterId::without_key(Scope::OfflineFailure, Some(client));
    [Charge::new(id, Limits::per_minute(per_client))]
}

/// Returns the first 128 bits of a key's id: all of a `jti`, and enough of a digest.
fn counter_name(id: KeyId) -> [u8; 16] {
    id.as_bytes().first_chunk().copied().unwrap_or_default()
}

fn limits(limits: &RequestLimits) -> Limits {
    Limits::new(
        limits.requests_per_minute,
        limits.requests_per_hour,
        limits.requests_per_day,
    )
}
