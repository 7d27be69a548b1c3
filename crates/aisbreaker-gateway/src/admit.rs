//! The admit stage: charges a request to all its quotas, or to none.

use std::{
    cmp::Reverse,
    fmt::{self, Write as _},
    net::IpAddr,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use aisbreaker_quota::{Charge, Engine, Limits, Refusal, Standings, Window, shared::StoreError};
use aisbreaker_token::{KeyId, RequestLimits};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    authenticate::Key,
    config::Config,
    identity::ClientId,
    quotas::{NotCharged, Quotas},
};

/// The fields that tell of all limits: what they are, and how they stand.
const OF_ALL: [HeaderName; 2] = [
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("ratelimit"),
];
/// The fields that tell of one: its limit, what is left of it, and when it gives back.
const OF_ONE: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
/// Room for what is said of six limits.
const DESCRIPTION_BYTES: usize = 224;
/// Room for the seconds of a day and more.
const RESET_BYTES: usize = 8;

/// Counts requests by scope, key and client.
pub(crate) type Counters = Engine<CounterId>;

/// Names one counter.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct CounterId {
    scope: Scope,
    key: [u8; 16],
    client: Option<ClientId>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Scope {
    Server,
    /// Requests without a key, and minting.
    Default,
    Key,
    /// Questions how quotas stand.
    Asking,
}

/// The name of the counter in a shared store: `server`, `default` or `key:` and the key's id as it
/// is logged, and the client. Nothing in it is secret.
impl fmt::Display for CounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scope {
            Scope::Server => f.write_str("server")?,
            Scope::Default => f.write_str("default")?,
            Scope::Asking => f.write_str("asking")?,
            Scope::Key => {
                let mut text = [0; 22];
                // 16 bytes are 22 characters.
                let id = Base64UrlUnpadded::encode(&self.key, &mut text)
                    .map_err(|_length| fmt::Error)?;
                write!(f, "key:{id}")?;
            }
        }
        self.client.map_or(Ok(()), |client| write!(f, ":{client}"))
    }
}

/// The four counters of a request, in the order in which they are charged.
const SERVER_CLIENT: usize = 0;
const KEY_CLIENT: usize = 1;
const KEY_GLOBAL: usize = 2;
const SERVER_GLOBAL: usize = 3;
/// Those of the key, by the names of their scopes.
const OWN: [(usize, &str); 2] = [(KEY_CLIENT, "client"), (KEY_GLOBAL, "global")];
pub(crate) const COUNTERS: usize = 4;

/// Counters for at most `capacity` keys and clients; those of one client share a lock.
pub(crate) fn counters(epoch: Instant, capacity: usize) -> Counters {
    Engine::with_shard_by(epoch, capacity, home)
}

fn home(counter: &CounterId) -> u64 {
    counter.client.map_or(0, ClientId::number)
}

mod saved;
pub use saved::SavedCounters;
pub(crate) use saved::write_counters;

/// Proof that a request was admitted, and what its answer says of the quotas.
#[derive(Debug)]
pub(crate) struct Admission {
    /// `None`: it was counted nowhere.
    standings: Option<Standings<COUNTERS>>,
}

/// Why a request was not admitted.
#[derive(Debug)]
pub(crate) enum NotAdmitted {
    /// A limit has not enough left.
    Refused(Refused),
    /// Nobody can tell at the moment.
    Unavailable(StoreError),
}

/// Why a request was not charged.
#[derive(Debug)]
pub(crate) struct Refused {
    charge: usize,
    window: Window,
    limit: NonZeroU32,
    /// Time until the same request would be admitted; `None`: never.
    pub(crate) retry_after: Option<Duration>,
    standings: Option<Standings<COUNTERS>>,
}

/// Charges one request of this client, with its key or without one.
pub(crate) async fn admit(
    quotas: &Quotas,
    key: Option<Key>,
    client: IpAddr,
    config: &Config,
    now: impl Fn() -> Instant,
) -> Result<Admission, NotAdmitted> {
    let charges = charges(key, ClientId::of(client), config);
    match quotas.charge(&charges, now).await {
        Ok(standings) => Ok(Admission { standings }),
        Err(NotCharged::Refused(refusal)) => Err(NotAdmitted::Refused(refusal.into())),
        Err(NotCharged::Unavailable(cause)) => Err(NotAdmitted::Unavailable(cause)),
    }
}

impl From<Refusal<COUNTERS>> for Refused {
    fn from(refusal: Refusal<COUNTERS>) -> Self {
        match refusal {
            Refusal::Exceeded {
                charge,
                window,
                limit,
                retry_after,
                standings,
                ..
            } => Self {
                charge,
                window,
                limit,
                retry_after: Some(retry_after),
                standings: Some(standings),
            },
            Refusal::TooHeavy {
                charge,
                window,
                limit,
            } => Self {
                charge,
                window,
                limit,
                retry_after: None,
                standings: None,
            },
        }
    }
}

fn charges(key: Option<Key>, client: ClientId, config: &Config) -> [Charge<CounterId>; COUNTERS] {
    let server = &config.server_quotas;
    let [own_client, own_global] = own_charges(key, client, config);
    let id = |client| CounterId {
        scope: Scope::Server,
        key: [0; 16],
        client,
    };
    // In the order of the indices above.
    [
        Charge::new(id(Some(client)), limits(&server.per_client_request_limits)),
        own_client,
        own_global,
        Charge::shared(id(None), limits(&server.global_request_limits)),
    ]
}

/// What a request is charged to besides the server's quotas: those of its key for this client and
/// for all, or the default ones.
pub(crate) fn own_charges(
    key: Option<Key>,
    client: ClientId,
    config: &Config,
) -> [Charge<CounterId>; 2] {
    let own = key
        .and_then(|key| key.quotas)
        .unwrap_or(config.default_quotas);
    let (scope, name) = key.map_or((Scope::Default, [0; 16]), |key| {
        (Scope::Key, counter_name(key.id))
    });
    let id = |client| CounterId {
        scope,
        key: name,
        client,
    };
    [
        Charge::new(id(Some(client)), limits(&own.per_client_request_limits)),
        Charge::shared(id(None), limits(&own.global_request_limits)),
    ]
}

/// What a question how quotas stand is charged to, with so many per minute from one client and from
/// all.
pub(crate) fn asking_charges(
    client: ClientId,
    per_client: NonZeroU32,
    global: NonZeroU32,
) -> [Charge<CounterId>; 2] {
    let id = |client| CounterId {
        scope: Scope::Asking,
        key: [0; 16],
        client,
    };
    [
        Charge::new(id(Some(client)), Limits::per_minute(per_client)),
        Charge::shared(id(None), Limits::per_minute(global)),
    ]
}

/// The first 128 bits of a key's name: all of a `jti`, and enough of a digest.
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

/// Whole seconds, rounded up.
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs()
        .saturating_add(u64::from(time.subsec_nanos() > 0))
}

impl Admission {
    /// Says in the answer how the limits stand.
    pub(crate) fn describe(&self, headers: &mut HeaderMap) {
        if let Some(standings) = &self.standings {
            describe(standings, None, headers);
        }
    }

    /// Says in an answer that is passed on how the limits stand, unless the provider says how its
    /// own do.
    pub(crate) fn describe_where_absent(&self, headers: &mut HeaderMap) {
        let Some(standings) = &self.standings else {
            return;
        };
        let has_any = |names: &[HeaderName]| names.iter().any(|name| headers.contains_key(name));
        let (tells_all, tells_one) = (has_any(&OF_ALL), has_any(&OF_ONE));
        if !tells_all {
            describe_all(standings, headers);
        }
        if !tells_one {
            describe_one(standings, None, headers);
        }
    }
}

impl Refused {
    /// The original server's words, and behind them which limit it is and when to come back.
    pub(crate) fn message(&self) -> String {
        let server_wide = matches!(self.charge, SERVER_CLIENT | SERVER_GLOBAL);
        let quota = if server_wide {
            "API request"
        } else {
            "Request"
        };
        let per_client = matches!(self.charge, SERVER_CLIENT | KEY_CLIENT);
        let (who, counted) = if per_client {
            ("client", " and client")
        } else {
            ("global", "")
        };
        let (window, limit) = (self.window.name(), self.limit);
        let mut text = format!(
            "{quota} quota exceeded: {who} requests per {window} limit exceeded ({limit} per {window}{counted}"
        );
        if let Some(wait) = self.retry_after {
            let _written = write!(text, "; try again in {} s", whole_seconds(wait).max(1));
        }
        text.push(')');
        text
    }

    /// Says in the answer how the limits stand.
    pub(crate) fn describe(&self, headers: &mut HeaderMap) {
        if let Some(standings) = &self.standings {
            describe(standings, Some((self.charge, self.window)), headers);
        }
    }
}

/// How the limits stand, in both ways.
fn describe(
    standings: &Standings<COUNTERS>,
    refusing: Option<(usize, Window)>,
    headers: &mut HeaderMap,
) {
    describe_all(standings, headers);
    describe_one(standings, refusing, headers);
}

/// The six limits of the key as draft-ietf-httpapi-ratelimit-headers-11 has them.
fn describe_all(standings: &Standings<COUNTERS>, headers: &mut HeaderMap) {
    let mut texts = [(); 2].map(|()| String::with_capacity(DESCRIPTION_BYTES));
    let [policies, limits] = &mut texts;
    for (charge, scope) in OWN {
        for standing in standings.of_charge(charge) {
            let separator = if policies.is_empty() { "\"" } else { ", \"" };
            let name = [separator, scope, "-", standing.window.name()];
            let [limit, length] = [
                u64::from(standing.limit.get()),
                standing.window.length().as_secs(),
            ];
            write_pieces(policies, name, [("\";q=", limit), (";w=", length)]);
            let [remaining, reset] = [u64::from(standing.remaining), whole_seconds(standing.reset)];
            write_pieces(limits, name, [("\";r=", remaining), (";t=", reset)]);
        }
    }
    for (name, text) in OF_ALL.into_iter().zip(&texts) {
        // A copy of what it is, without the room for more.
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    }
}

/// One limit as the providers' own APIs have it: the one that refuses, which may be the server's,
/// or else the tightest of the key's six. The reset of a limit that refuses is the wait: a request
/// weighs one.
fn describe_one(
    standings: &Standings<COUNTERS>,
    refusing: Option<(usize, Window)>,
    headers: &mut HeaderMap,
) {
    let refusing = refusing.and_then(|(charge, window)| standings.of(charge, window));
    // Of equals the one that gives back last: it is waited for.
    let all = OWN
        .into_iter()
        .flat_map(|(charge, _)| standings.of_charge(charge));
    let tightest = all.min_by_key(|standing| (standing.remaining, Reverse(standing.reset)));
    let Some(told) = refusing.or(tightest) else {
        return;
    };
    let mut reset = String::with_capacity(RESET_BYTES);
    write_pieces(&mut reset, [], [("", whole_seconds(told.reset))]);
    reset.push('s');
    let [limit, remaining, reset_name] = OF_ONE;
    headers.insert(limit, number(told.limit.get()));
    headers.insert(remaining, number(told.remaining));
    if let Ok(value) = HeaderValue::from_str(&reset) {
        headers.insert(reset_name, value);
    }
}

/// A number as a value. The library's own way makes two allocations of it.
fn number(number: u32) -> HeaderValue {
    HeaderValue::from_str(itoa::Buffer::new().format(number)).unwrap_or_else(|_never| number.into())
}

/// Every answer has it, so that it is not left to formatting.
fn write_pieces<const N: usize, const M: usize>(
    text: &mut String,
    name: [&str; N],
    numbers: [(&str, u64); M],
) {
    name.into_iter().for_each(|piece| text.push_str(piece));
    for (before, number) in numbers {
        text.push_str(before);
        text.push_str(itoa::Buffer::new().format(number));
    }
}

#[cfg(test)]
mod tests;
