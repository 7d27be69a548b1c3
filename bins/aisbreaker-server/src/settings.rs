//! The settings of the server as parsed types: strings end here. All faults are reported at once,
//! by name, without their values.

mod parse;
mod services;
mod state;
mod store;
mod values;

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU64,
    path::PathBuf,
};

use aisbreaker_egress::{Bounds, MemoryBudget, Policy, Timeouts};
use aisbreaker_gateway::{Config, Limits};
use aisbreaker_services::services::Options;
use aisbreaker_token::{KeyRing, ServerKey};
use tracing_subscriber::EnvFilter;

use crate::{args::Args, logging::Format};
use parse::Reader;
pub(crate) use state::StateSettings;
pub(crate) use store::StoreSettings;
use values::{Faults, Setting, Values};

const DEFAULT_PORT: u16 = 3000;
/// More than the default quotas let be charged, and some 20 GB a day if somebody floods the server.
const DEFAULT_LOG_PER_SECOND: NonZeroU64 = NonZeroU64::new(1_000).unwrap();
/// What all bodies hold together, unless set.
const DEFAULT_BUFFERED_BYTES: usize = 512 << 20;

/// Tables of the configuration file whose members are settings of their own.
const BRANCHES: [&str; 7] = [
    "egress", "quotas", "keys", "log", "metrics", "mint", "redis",
];

const CONFIG: &str = "AISBREAKER_CONFIG";
const PORT: &str = "PORT";

const LISTEN: Setting = Setting {
    key: "listen",
    variable: "AISBREAKER_LISTEN",
};
const SEALING_KEY: Setting = Setting {
    key: "keys.sealing",
    variable: "AUTH_ENCRYPTION_KEYPHRASE",
};
const OPENING_KEYS: Setting = Setting {
    key: "keys.opening",
    variable: "AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES",
};
const DEFAULT_KEY: Setting = Setting {
    key: "default_api_key",
    variable: "DEFAULT_AISBREAKER_API_KEY",
};
const PUBLIC_HOSTS: Setting = Setting {
    key: "public_hosts",
    variable: "AISBREAKER_PUBLIC_HOSTS",
};
const TRUSTED_PROXIES: Setting = Setting {
    key: "trusted_proxies",
    variable: "AISBREAKER_TRUSTED_PROXIES",
};
const EGRESS_ALLOW: Setting = Setting {
    key: "egress.allow",
    variable: "AISBREAKER_EGRESS_ALLOW",
};
const SERVER_QUOTAS: Setting = Setting {
    key: "quotas.server",
    variable: "AISBREAKER_SERVER_QUOTAS",
};
const DEFAULT_QUOTAS: Setting = Setting {
    key: "quotas.default",
    variable: "AISBREAKER_DEFAULT_QUOTAS",
};
const MINT_SECRET: Setting = Setting {
    key: "mint.secret",
    variable: "AISBREAKER_MINT_SECRET",
};
const MINT_SERVICES: Setting = Setting {
    key: "mint.services",
    variable: "AISBREAKER_MINT_SERVICES",
};
const MAX_EXPIRATION: Setting = Setting {
    key: "max_expiration",
    variable: "AISBREAKER_MAX_EXPIRATION",
};
const MAX_BODY: Setting = Setting {
    key: "max_body_bytes",
    variable: "AISBREAKER_MAX_BODY_BYTES",
};
const MAX_BUFFERED: Setting = Setting {
    key: "max_buffered_bytes",
    variable: "AISBREAKER_MAX_BUFFERED_BYTES",
};
const MAX_ANSWER: Setting = Setting {
    key: "max_answer_bytes",
    variable: "AISBREAKER_MAX_ANSWER_BYTES",
};
const MAX_REQUESTS: Setting = Setting {
    key: "max_requests",
    variable: "AISBREAKER_MAX_REQUESTS",
};
const MAX_PROVIDER_CONNECTIONS: Setting = Setting {
    key: "max_provider_connections",
    variable: "AISBREAKER_MAX_PROVIDER_CONNECTIONS",
};
const HEADER_TIMEOUT: Setting = Setting {
    key: "header_timeout",
    variable: "AISBREAKER_HEADER_TIMEOUT",
};
const BODY_TIMEOUT: Setting = Setting {
    key: "body_timeout",
    variable: "AISBREAKER_BODY_TIMEOUT",
};
const CONNECT_TIMEOUT: Setting = Setting {
    key: "connect_timeout",
    variable: "AISBREAKER_CONNECT_TIMEOUT",
};
const PROVIDER_TIMEOUT: Setting = Setting {
    key: "provider_timeout",
    variable: "AISBREAKER_PROVIDER_TIMEOUT",
};
const IDLE_TIMEOUT: Setting = Setting {
    key: "stream_idle_timeout",
    variable: "AISBREAKER_STREAM_IDLE_TIMEOUT",
};
const KEEP_ALIVE: Setting = Setting {
    key: "stream_keep_alive",
    variable: "AISBREAKER_STREAM_KEEP_ALIVE",
};
const MAX_CONNECTIONS: Setting = Setting {
    key: "max_connections",
    variable: "AISBREAKER_MAX_CONNECTIONS",
};
const MAX_COUNTERS: Setting = Setting {
    key: "max_counters",
    variable: "AISBREAKER_MAX_COUNTERS",
};
const DRAIN_TIMEOUT: Setting = Setting {
    key: "drain_timeout",
    variable: "AISBREAKER_DRAIN_TIMEOUT",
};
const METRICS_LISTEN: Setting = Setting {
    key: "metrics.listen",
    variable: "AISBREAKER_METRICS_LISTEN",
};
const LOG: Setting = Setting {
    key: "log.filter",
    variable: "AISBREAKER_LOG",
};
const LOG_PER_SECOND: Setting = Setting {
    key: "log.max_per_second",
    variable: "AISBREAKER_LOG_MAX_PER_SECOND",
};
const LOG_FORMAT: Setting = Setting {
    key: "log.format",
    variable: "AISBREAKER_LOG_FORMAT",
};

const ALL: [Setting; 39] = [
    LISTEN,
    SEALING_KEY,
    OPENING_KEYS,
    DEFAULT_KEY,
    PUBLIC_HOSTS,
    TRUSTED_PROXIES,
    EGRESS_ALLOW,
    SERVER_QUOTAS,
    DEFAULT_QUOTAS,
    MINT_SECRET,
    MINT_SERVICES,
    MAX_EXPIRATION,
    MAX_BODY,
    MAX_BUFFERED,
    MAX_ANSWER,
    MAX_REQUESTS,
    MAX_PROVIDER_CONNECTIONS,
    HEADER_TIMEOUT,
    BODY_TIMEOUT,
    CONNECT_TIMEOUT,
    PROVIDER_TIMEOUT,
    IDLE_TIMEOUT,
    KEEP_ALIVE,
    MAX_CONNECTIONS,
    MAX_COUNTERS,
    DRAIN_TIMEOUT,
    LOG,
    LOG_FORMAT,
    LOG_PER_SECOND,
    METRICS_LISTEN,
    store::URL,
    store::AUTHORITY,
    store::PREFIX,
    store::TIMEOUT,
    store::ON_FAILURE,
    store::REPLICAS,
    store::LEASE,
    state::FILE,
    state::INTERVAL,
];
/// Variables of the original's clients, which often stand in the same environment.
const VARIABLES_OF_CLIENTS: [&str; 2] = ["AISBREAKER_SERVER_URL", "AISBREAKER_API_KEY"];

/// Everything the server is told.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) log_filter: EnvFilter,
    pub(crate) log_format: Format,
    /// How many lines the log takes in a second.
    pub(crate) log_per_second: NonZeroU64,
    pub(crate) gateway: Config,
    /// The quota store that several servers share.
    pub(crate) store: Option<StoreSettings>,
    /// Where counters outlive the process.
    pub(crate) state: Option<StateSettings>,
    /// Where metrics are told.
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) limits: Limits,
    pub(crate) egress: Policy,
    pub(crate) timeouts: Timeouts,
    pub(crate) bounds: Bounds,
    pub(crate) services: Options,
    /// Whether the sealing key is a random one that ends with this process.
    pub(crate) has_random_key: bool,
    /// Variables that look like settings but are none.
    pub(crate) unknown_variables: Vec<String>,
}

/// Reads all settings.
///
/// # Errors
/// [`Faults`] with everything that is wrong.
pub(crate) fn load(
    args: &Args,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Settings, Faults> {
    let mut faults = Faults::default();
    let mut values = Values::new(environment);
    let from_environment = values.variable(CONFIG).map(PathBuf::from);
    if let Some(path) = args.config.clone().or(from_environment) {
        values.read_file(&path, &BRANCHES, &mut faults);
    }
    let unknown_variables = unknown_variables(&values);
    let mut reader = Reader { values, faults };
    let settings = read(args, &mut reader, unknown_variables);
    let Reader { values, mut faults } = reader;
    values.refuse_rest(&mut faults);
    settings.filter(|_| faults.is_empty()).ok_or(faults)
}

fn unknown_variables(values: &Values) -> Vec<String> {
    let known: Vec<&str> = ALL
        .iter()
        .map(|setting| setting.variable)
        .chain(VARIABLES_OF_CLIENTS)
        .chain([CONFIG])
        .collect();
    values
        .unknown_variables(&known)
        .map(str::to_owned)
        .collect()
}

/// Reads every setting, so that every fault is found; `None` if there is no server key to go on
/// with.
fn read(args: &Args, reader: &mut Reader, unknown_variables: Vec<String>) -> Option<Settings> {
    let listen = listen(args, reader);
    let log_filter = reader.parsed(LOG, |text| {
        EnvFilter::try_new(text).map_err(|_syntax| "is not a log filter such as info or debug")
    });
    let log_format = reader.parsed(LOG_FORMAT, str::parse);
    let log_per_second = reader
        .given_count(LOG_PER_SECOND)
        .and_then(|count| NonZeroU64::new(count as u64));
    let limits = limits(reader);
    let timeouts = timeouts(reader);
    let bounds = bounds(reader);
    let max_buffered = reader.given_count(MAX_BUFFERED);
    let egress = reader.egress(EGRESS_ALLOW);
    let services = reader.services();
    let store = store::store(reader);
    let state = state::state(reader);
    let metrics_listen = reader.address(METRICS_LISTEN);
    let keys = key_ring(reader);
    let has_random_key = keys.as_ref().is_some_and(|(_, is_random)| *is_random);
    let gateway = gateway(reader, keys.map(|(ring, _)| ring));
    let mut gateway = gateway?;
    share_budget(reader, max_buffered, &mut gateway, &bounds);
    Some(Settings {
        listen,
        log_filter: log_filter.unwrap_or_else(|| EnvFilter::new("info")),
        log_format: log_format.unwrap_or(Format::Text),
        log_per_second: log_per_second.unwrap_or(DEFAULT_LOG_PER_SECOND),
        gateway,
        store,
        state,
        metrics_listen,
        limits,
        egress,
        timeouts,
        bounds,
        services,
        has_random_key,
        unknown_variables,
    })
}

fn listen(args: &Args, reader: &mut Reader) -> SocketAddr {
    let given = reader.text(LISTEN, false);
    let is_from_file = given
        .as_ref()
        .is_none_or(|(name, _)| name != LISTEN.variable);
    let configured = given.and_then(|(name, text)| reader.parse_address(&name, &text));
    let port = reader.port(PORT);
    let flag = args
        .listen
        .as_deref()
        .and_then(|text| reader.parse_address("--listen", text));
    let mut address =
        configured.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)));
    if let Some(port) = port.filter(|_| is_from_file) {
        address.set_port(port);
    }
    flag.unwrap_or(address)
}

fn limits(reader: &mut Reader) -> Limits {
    let mut limits = Limits::default();
    reader.duration(HEADER_TIMEOUT, &mut limits.header_timeout);
    reader.duration(DRAIN_TIMEOUT, &mut limits.drain_timeout);
    reader.count(MAX_CONNECTIONS, &mut limits.max_connections);
    limits
}

fn timeouts(reader: &mut Reader) -> Timeouts {
    let mut timeouts = Timeouts::default();
    reader.duration(CONNECT_TIMEOUT, &mut timeouts.connect);
    reader.duration(PROVIDER_TIMEOUT, &mut timeouts.response);
    reader.duration(IDLE_TIMEOUT, &mut timeouts.idle);
    timeouts
}

fn bounds(reader: &mut Reader) -> Bounds {
    let mut bounds = Bounds::default();
    reader.count(MAX_ANSWER, &mut bounds.max_collected_bytes);
    reader.count(MAX_PROVIDER_CONNECTIONS, &mut bounds.max_calls_per_origin);
    bounds
}

/// Gives requests and answers one budget. Where it is not set, each of them fits with all that is
/// made of it; where it is set, each by itself must.
fn share_budget(
    reader: &mut Reader,
    max_buffered: Option<usize>,
    gateway: &mut Config,
    bounds: &Bounds,
) {
    let bodies = [
        (MAX_BODY, gateway.max_body_bytes),
        (MAX_ANSWER, bounds.max_collected_bytes),
    ];
    let [body, answer] = bodies.map(|(_, bytes)| bytes);
    // Of an answer: its text, the whole of it, and both in the state, in base64, with what was
    // asked. And a service that repeats its request, as it streams.
    let largest = ((answer * 13 + body * 7) / 3).max(body * 6);
    let limit_bytes = max_buffered.unwrap_or(largest.max(DEFAULT_BUFFERED_BYTES));
    for (setting, _) in bodies.iter().filter(|(_, bytes)| *bytes > limit_bytes) {
        let problem = format_args!("must not be larger than {}", MAX_BUFFERED.variable);
        reader.faults.add(setting.variable, problem);
    }
    gateway.budget = MemoryBudget::new(limit_bytes);
    // No client keeps all others out, and each can do what is allowed at all.
    gateway.max_client_bytes = (limit_bytes / 4).max(largest);
}

/// The ring of all server keys, and whether its sealing key is random.
fn key_ring(reader: &mut Reader) -> Option<(KeyRing, bool)> {
    let sealing = reader.text(SEALING_KEY, true);
    let opening = reader.list(OPENING_KEYS, false, char::is_whitespace);
    let is_random = sealing.is_none();
    let key = match sealing {
        Some((name, text)) => ServerKey::parse(&text).map_err(|error| {
            reader
                .faults
                .add(&name, format_args!("is unusable: {error}"))
        }),
        None => ServerKey::generate().map_err(|error| reader.faults.add("sealing key", error)),
    };
    let mut ring = key.ok().map(KeyRing::new);
    for text in opening.iter().flat_map(|(_, texts)| texts) {
        let added = ServerKey::parse_for_opening(text)
            .map_err(|error| error.to_string())
            .and_then(|key| {
                ring.take()
                    .map(|ring| ring.with_opening_key(key))
                    .transpose()
                    .map_err(|error| error.to_string())
            });
        match added {
            Ok(with_key) => ring = with_key,
            Err(error) => reader.faults.add(
                OPENING_KEYS.variable,
                format_args!("has an unusable entry: {error}"),
            ),
        }
    }
    Some((ring?, is_random))
}

fn gateway(reader: &mut Reader, keys: Option<KeyRing>) -> Option<Config> {
    // Without a key ring all the rest is still read for its faults, so a throw-away one stands in.
    let is_usable = keys.is_some();
    let keys = keys.or_else(|| ServerKey::generate().ok().map(KeyRing::new))?;
    let mut config = Config::new(keys);
    config.default_key = reader.api_key(DEFAULT_KEY);
    config.public_hosts = reader.hosts(PUBLIC_HOSTS);
    config.trusted_proxies = reader.networks(TRUSTED_PROXIES);
    reader.quotas(SERVER_QUOTAS, &mut config.server_quotas);
    reader.quotas(DEFAULT_QUOTAS, &mut config.default_quotas);
    config.minting.secret = reader.mint_secret(MINT_SECRET);
    config.minting.services = reader.service_patterns(MINT_SERVICES);
    reader.duration(MAX_EXPIRATION, &mut config.max_expiration);
    reader.count(MAX_COUNTERS, &mut config.max_counters);
    reader.count(MAX_BODY, &mut config.max_body_bytes);
    reader.duration(BODY_TIMEOUT, &mut config.body_timeout);
    reader.count(MAX_REQUESTS, &mut config.max_requests);
    reader.duration(KEEP_ALIVE, &mut config.stream_keep_alive);
    is_usable.then_some(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_piece_of_a_secret() {
        const SEALING: &str = "Xv4kRz8mTq2wNb7pJc9yHd5gLf3s";
        const OPENING: &str = "Gy6nWt3xKp9vZm2bQr8cJh4dSl7f";
        const RAW: &str = "QmV4Tz9rWk2LpXc7Nf5JhYb8DgSs3vUa6EoRtKi1Gqw";
        const DEFAULT: &str = "aisbreaker_Pz7tBk4xMv9qWn2rLc6yGh8jDf5s";
        let opening = format!("{OPENING} {RAW}");
        let good = [
            (SEALING_KEY.variable, SEALING),
            (OPENING_KEYS.variable, &opening),
            (DEFAULT_KEY.variable, DEFAULT),
            ("AISBREAKER_NO_SETTING", SEALING),
        ];
        // Each of them where it cannot be, as it happens when lines of a file are mixed up.
        let bad = ALL.map(|setting| (setting.variable, SEALING));
        let args = Args {
            config: None,
            listen: None,
            command: None,
        };
        for (row, given) in [("good", good.to_vec()), ("bad", bad.to_vec())] {
            let environment = given
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()));

            let loaded = load(&args, environment);

            assert_eq!(loaded.is_ok(), row == "good", "{loaded:?}");
            let faults = loaded.as_ref().err().map(ToString::to_string);
            let shown = format!("{loaded:?} {loaded:#?} {faults:?}");
            for secret in [SEALING, OPENING, RAW, DEFAULT] {
                for piece in secret
                    .strip_prefix("aisbreaker_")
                    .unwrap_or(secret)
                    .as_bytes()
                    .windows(12)
                {
                    let piece = str::from_utf8(piece).unwrap();
                    assert!(!shown.contains(piece), "{row}: {piece} in {shown}");
                }
            }
        }
    }
}
