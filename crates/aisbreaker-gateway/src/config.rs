//! The configuration of a gateway, in parsed types.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aisbreaker_egress::{Client, MemoryBudget};
use aisbreaker_services::{
    RegistryBuilder, Relay,
    prices::Prices,
    services::{self, Options},
};
use aisbreaker_token::{Host, KeyRing, RequestLimits, RequestQuotas};
use ipnet::IpNet;
use secrecy::SecretString;

use crate::{
    admission::{SavedCounters, backend::SharedQuotas},
    api::token::MintPolicy,
    budgets::ceilings::{CeilingLog, SavedCeilings},
    request::upload::MAX_HELD_BYTES,
    revocation::RevocationLog,
    telemetry::{access_line::AccessLogSink, span::SpanSink},
};

/// The configuration of a gateway. [`Config::new`] sets the defaults; change what differs.
///
/// [`Gateway::builder`](crate::Gateway::builder) is the short way to a gateway.
#[derive(Debug)]
#[non_exhaustive]
pub struct Config {
    /// Seals new keys and opens existing ones.
    pub keys: KeyRing,
    /// The key of requests without credentials.
    pub default_key: Option<SecretString>,
    /// Whether callers without a key are refused where services are called.
    pub require_key: bool,
    /// The host names of this gateway. Empty: the `Host` field of each request decides.
    pub public_hosts: Vec<Host>,
    /// Peers whose `X-Forwarded-For` and `X-Forwarded-Host` are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether clients speak TLS with this gateway at the port that their requests name. Otherwise a
    /// proxy in front does, at the usual port.
    pub has_tls_listener: bool,
    /// Quotas of the whole server.
    pub server_quotas: RequestQuotas,
    /// Quotas of requests without a key, and of keys that carry none.
    pub default_quotas: RequestQuotas,
    /// Quotas of minting and of exchanging keys.
    pub mint_quotas: RequestQuotas,
    /// Who may mint keys, and for which services.
    pub minting: MintPolicy,
    /// The longest lifetime of a key.
    pub max_expiration: Duration,
    /// The largest request body in bytes, after decoding.
    pub max_body_bytes: usize,
    /// The largest request body in bytes that is passed on to a provider as it arrives: a file, of
    /// which the provider's API has no model to read.
    pub max_upload_bytes: usize,
    /// The longest pause while a request body is received. After that time, a body must also have
    /// arrived at 1 KiB a second on average.
    pub body_timeout: Duration,
    /// The most requests in flight. Further ones get 503, and connections with incomplete requests
    /// may be evicted.
    pub max_requests: usize,
    /// The memory budget of all request bodies, and of all responses that are collected or sent.
    pub memory_budget: MemoryBudget,
    /// The part of it that one client may hold, in bytes.
    pub max_client_bytes: usize,
    /// The most counters in memory. Beyond it, new clients share one.
    pub max_counters: usize,
    /// Counters that several servers share. `None`: this gateway counts alone.
    pub shared_quotas: Option<SharedQuotas>,
    /// Forwards requests in the providers' own protocols, below `/v1`; [`connect`](Self::connect) sets
    /// it. `None`: only the server's own API is served.
    pub relay: Option<Relay>,
    /// What tokens cost, for keys with a budget in dollars.
    pub prices: Prices,
    /// The idle time after which a stream gets a keep-alive.
    pub stream_keep_alive: Duration,
    /// The longest time that nothing is sent over a WebSocket, or that one side reads nothing.
    pub websocket_idle_timeout: Duration,
    /// The longest time that a WebSocket stays open.
    pub websocket_lifetime: Duration,
    /// Whether `/openapi.json` describes the API.
    pub openapi: bool,
    /// Whether `/console/` serves the console.
    pub console: bool,
    /// Whether [`serve_metrics`](crate::serve_metrics) serves a page at `/console/` that shows the metrics.
    pub live_page: bool,
    /// What the operator proves itself with, to revoke keys by their ids. `None`: nobody is the
    /// operator.
    pub operator_secret: Option<SecretString>,
    /// Keys that were issued before are refused.
    pub revoked_before: Option<SystemTime>,
    /// Where revocations outlive the process, besides the shared store.
    pub revocation_log: Option<Arc<dyn RevocationLog>>,
    /// Whether budgets may last for longer than a day: what is counted outlives the process, or the
    /// operator accepts that it does not.
    pub long_budgets: bool,
    /// Whether requests with budgets are admitted uncounted while the shared store does not answer.
    /// Otherwise they are refused.
    pub uncounted_budgets: bool,
    /// Counters to resume. `None`: all start at zero.
    pub saved_counters: Option<SavedCounters>,
    /// Where ceilings of budgets in all outlive a crash. `None`, or with `shared_quotas`: nowhere.
    pub ceiling_log: Option<Arc<dyn CeilingLog>>,
    /// The ceilings to start from, which that log has.
    pub saved_ceilings: SavedCeilings,
    /// Where the spans of requests go. `None`: nothing is traced.
    pub span_sink: Option<Arc<dyn SpanSink>>,
    /// Where the lines of the access log go. `None`: to `tracing`.
    pub access_log_sink: Option<Arc<dyn AccessLogSink>>,
}

impl Config {
    /// The memory in bytes that a request body takes at most while it is passed on as it arrives, of
    /// `memory_budget` and `max_client_bytes`.
    pub const UPLOAD_MEMORY_BYTES: usize = MAX_HELD_BYTES;

    /// Creates the default configuration with these server keys.
    #[must_use]
    pub fn new(keys: KeyRing) -> Self {
        Self {
            keys,
            default_key: None,
            require_key: false,
            public_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            has_tls_listener: false,
            server_quotas: quotas([60, 360, 8_640], [600, 3_600, 86_400]),
            default_quotas: quotas([10, 60, 120], [100, 600, 1_200]),
            mint_quotas: quotas([30, 300, 1_200], [300, 3_000, 12_000]),
            minting: MintPolicy::default(),
            max_expiration: Duration::from_secs(400 * 86_400),
            max_body_bytes: 32 << 20,
            // A file of 512 MiB, the largest that OpenAI takes, with its form.
            max_upload_bytes: 513 << 20,
            body_timeout: Duration::from_secs(60),
            max_requests: 10_000,
            memory_budget: MemoryBudget::default(),
            max_client_bytes: 192 << 20,
            max_counters: 4_000_000,
            shared_quotas: None,
            relay: None,
            prices: Prices::builtin(),
            stream_keep_alive: Duration::from_secs(15),
            websocket_idle_timeout: Duration::from_secs(600),
            websocket_lifetime: Duration::from_secs(65 * 60),
            openapi: true,
            console: false,
            live_page: false,
            operator_secret: None,
            revoked_before: None,
            revocation_log: None,
            long_budgets: false,
            uncounted_budgets: false,
            saved_counters: None,
            ceiling_log: None,
            saved_ceilings: SavedCeilings::default(),
            span_sink: None,
            access_log_sink: None,
        }
    }

    /// Sets the relay to these providers, and returns the services that call them: those that come
    /// with `aisbreaker-services`.
    #[must_use]
    pub fn connect(&mut self, client: Client, options: Options) -> RegistryBuilder {
        let relay = Relay::new(client.clone(), options.providers.clone());
        self.relay = Some(relay.with_operator_origins(options.operator_origins.clone()));
        services::standard(client, options)
    }
}

fn quotas(per_client: [u32; 3], global: [u32; 3]) -> RequestQuotas {
    RequestQuotas {
        per_client_request_limits: limits(per_client),
        global_request_limits: limits(global),
    }
}

fn limits([minute, hour, day]: [u32; 3]) -> RequestLimits {
    let at_least_one = |limit| NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN);
    RequestLimits {
        requests_per_minute: at_least_one(minute),
        requests_per_hour: at_least_one(hour),
        requests_per_day: at_least_one(day),
    }
}
