//! What a gateway is told once, in parsed types.

use std::{num::NonZeroU32, time::Duration};

use aisbreaker_egress::MemoryBudget;
use aisbreaker_services::Relay;
use aisbreaker_token::{Host, KeyRing, RequestLimits, RequestQuotas};
use ipnet::IpNet;
use secrecy::SecretString;

use crate::{admit::SavedCounters, mint::MintPolicy, quotas::SharedQuotas};

/// How a gateway behaves. [`Config::new`] has the defaults; set what differs.
#[derive(Debug)]
#[non_exhaustive]
pub struct Config {
    /// Seals new keys, opens old ones.
    pub keys: KeyRing,
    /// The key of requests without `Authorization`.
    pub default_key: Option<SecretString>,
    /// The hosts this gateway answers to; empty: the `Host` field of each request decides.
    pub public_hosts: Vec<Host>,
    /// Peers whose `X-Forwarded-For` and `X-Forwarded-Host` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Quotas of the whole server.
    pub server_quotas: RequestQuotas,
    /// Quotas of requests without a key, and of keys that carry none.
    pub default_quotas: RequestQuotas,
    /// Who may mint keys, and for which services.
    pub minting: MintPolicy,
    /// The longest lifetime of a key.
    pub max_expiration: Duration,
    /// The largest request body in bytes, after inflating.
    pub max_body_bytes: usize,
    /// The longest pause while a request body is read. Besides, a body must come at 1 KiB a second
    /// on average, counted from this long after its beginning.
    pub body_timeout: Duration,
    /// How many requests may be under way; further ones get 503, and a connection whose requests do
    /// not come whole gives way.
    pub max_requests: usize,
    /// What the bodies of all requests, and all answers that are collected or sent, hold together.
    pub budget: MemoryBudget,
    /// How much of it one client holds, in bytes.
    pub max_client_bytes: usize,
    /// How many counters are tracked at most; beyond it, new clients share one.
    pub max_counters: usize,
    /// Counters that several servers share; `None`: this gateway counts by itself.
    pub shared_quotas: Option<SharedQuotas>,
    /// Passes requests in the providers' own protocols on; `None`: only this server's own API is
    /// there.
    pub relay: Option<Relay>,
    /// After how long without an event a client is told that a passed-on stream is alive.
    pub stream_keep_alive: Duration,
    /// Counters to go on from; `None`: all of them start empty.
    pub saved_counters: Option<SavedCounters>,
}

impl Config {
    /// The defaults, with these server keys.
    #[must_use]
    pub fn new(keys: KeyRing) -> Self {
        Self {
            keys,
            default_key: None,
            public_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            server_quotas: quotas([60, 360, 8_640], [600, 3_600, 86_400]),
            default_quotas: quotas([10, 60, 120], [100, 600, 1_200]),
            minting: MintPolicy::default(),
            max_expiration: Duration::from_secs(400 * 86_400),
            max_body_bytes: 32 << 20,
            body_timeout: Duration::from_secs(60),
            max_requests: 10_000,
            budget: MemoryBudget::default(),
            max_client_bytes: 192 << 20,
            max_counters: 4_000_000,
            shared_quotas: None,
            relay: None,
            stream_keep_alive: Duration::from_secs(15),
            saved_counters: None,
        }
    }
}

fn quotas(per_client: [u32; 3], global: [u32; 3]) -> RequestQuotas {
    RequestQuotas {
        per_client_request_limits: limits(per_client),
        global_request_limits: limits(global),
    }
}

fn limits([minute, hour, day]: [u32; 3]) -> RequestLimits {
    let at_least_one = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
    RequestLimits {
        requests_per_minute: at_least_one(minute),
        requests_per_hour: at_least_one(hour),
        requests_per_day: at_least_one(day),
    }
}
