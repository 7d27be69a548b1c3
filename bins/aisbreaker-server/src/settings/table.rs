//! Every setting of the server, one row each.
//!
//! To add a setting:
//! 1. Add a row to [`SETTINGS`]. Loading, `--help`, its flag and the check for unknown names follow
//!    from it.
//! 2. If it needs a parser that `Given` does not have, add that in `given.rs`.
//! 3. If it needs a new place, add a field to `Settings`, with its default in `Settings::new`. If
//!    it only makes sense together with another setting, add the field to `Draft` and combine the
//!    two in `Draft::finish`.
//! 4. If SIGHUP is to apply a changed value, the row says `OnReload::Apply`, and the value must be
//!    one that `Reload` and `Gateway::reconfigure` pass on. Otherwise a change is refused.
//! 5. If it is or may contain a secret, mark it: then `NAME_FILE`, credentials and the care of
//!    `check --print` follow. If it has no single default, give an example, in TOML.
//! 6. Write the tables of `docs/configuration.md` anew: `UPDATE_DOCS=1 cargo test -p aisbreaker-server
//!    settings::table`, and the example file: `aisbreaker-server check --example >
//!    bins/aisbreaker-server/contrib/aisbreaker.toml`. Tests fail until both are done.
//!
//! Services and providers are not here but in `services.rs`, and prices in `prices.rs`: they are whole
//! tables, which only the configuration file can hold.

mod budgets;
mod key_lifecycle;
mod times;
mod tls;

use aisbreaker_token::RequestQuotas;

use super::{
    ConsoleMode,
    setting::{Flag, OnReload, PLAIN, Setting},
    store,
};
use crate::logging;

/// Names the configuration file, so it is read before all others.
pub(super) const CONFIG: Setting = Setting {
    variable: "AISBREAKER_CONFIG",
    flag: Some(Flag {
        name: "config",
        value: Some("FILE"),
    }),
    help: "Configuration file (TOML)",
    ..PLAIN
};

/// The quotas of a gateway that are not set, in TOML.
const SERVER_QUOTAS: &str = "{ \
    perClientRequestLimits = { requestsPerMinute = 60, requestsPerHour = 360, requestsPerDay = 8640 }, \
    globalRequestLimits = { requestsPerMinute = 600, requestsPerHour = 3600, requestsPerDay = 86400 } }";
const DEFAULT_QUOTAS: &str = "{ \
    perClientRequestLimits = { requestsPerMinute = 10, requestsPerHour = 60, requestsPerDay = 120 }, \
    globalRequestLimits = { requestsPerMinute = 100, requestsPerHour = 600, requestsPerDay = 1200 } }";
const MINT_QUOTAS: &str = "{ \
    perClientRequestLimits = { requestsPerMinute = 30, requestsPerHour = 300, requestsPerDay = 1200 }, \
    globalRequestLimits = { requestsPerMinute = 300, requestsPerHour = 3000, requestsPerDay = 12000 } }";

/// All settings, in the order in which they are read and listed.
pub(crate) static SETTINGS: &[Setting] = &[
    CONFIG,
    Setting {
        key: Some("strict"),
        variable: "AISBREAKER_STRICT",
        flag: Some(Flag {
            name: "strict",
            value: None,
        }),
        help: "Whether unknown variables AISBREAKER_* prevent the start; otherwise they are warned about",
        default: Some("false"),
        apply: |draft, value| {
            draft.is_strict = value.flag()?;
            Ok(())
        },
        ..PLAIN
    },
    // Where it listens.
    // Before `listen`, which it changes.
    Setting {
        variable: "PORT",
        help: "Port to listen on, unless --listen or AISBREAKER_LISTEN is given",
        apply: |draft, value| {
            draft.set_port(value.port()?);
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("listen"),
        variable: "AISBREAKER_LISTEN",
        flag: Some(Flag {
            name: "listen",
            value: Some("ADDRESS:PORT"),
        }),
        help: "Address and port to listen on: an IP address, or a name that is resolved once",
        default: Some("127.0.0.1:3000"),
        effective: Some(|settings| Some(settings.listen.to_string())),
        apply: |draft, value| draft.set_listen(value),
        ..PLAIN
    },
    tls::CERTIFICATE_FILE,
    tls::KEY_FILE,
    Setting {
        key: Some("metrics.listen"),
        variable: "AISBREAKER_METRICS_LISTEN",
        help: "Address and port that serve GET /metrics; none if unset",
        example: r#""127.0.0.1:9090""#,
        effective: Some(|settings| Some(settings.metrics_listen?.to_string())),
        apply: |draft, value| draft.set_metrics_listen(value),
        ..PLAIN
    },
    Setting {
        key: Some("metrics.hosts"),
        variable: "AISBREAKER_METRICS_HOSTS",
        help: "Host names under which metrics may be read, separated by commas; IP addresses and \
               localhost always are",
        example: r#"["aisbreaker"]"#,
        apply: |draft, value| {
            draft.settings.metrics_hosts = value.hosts()?;
            Ok(())
        },
        ..PLAIN
    },
    // API keys.
    Setting {
        key: Some("keys.sealing"),
        variable: "AUTH_ENCRYPTION_KEYPHRASE",
        help: "Phrase (10 characters or more) or 32-byte key that seals API keys; if unset, a \
               random one that ends with the process",
        ignores_empty: false,
        on_reload: OnReload::Apply,
        example: r#""""#,
        is_secret: true,
        apply: |draft, value| {
            draft.set_sealing_key(value.sealing_key()?)?;
            draft.note_nearly_raw_key(value)
        },
        ..PLAIN
    },
    Setting {
        key: Some("keys.opening"),
        variable: "AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES",
        help: "Former phrases or keys that still open API keys, separated by spaces",
        on_reload: OnReload::Apply,
        example: r#"[""]"#,
        is_secret: true,
        apply: |draft, value| {
            draft.opening_keys.extend(value.opening_keys()?);
            draft.note_nearly_raw_key(value)
        },
        ..PLAIN
    },
    key_lifecycle::SEALING_FILE,
    key_lifecycle::OPENING_FILES,
    Setting {
        key: Some("default_api_key"),
        variable: "DEFAULT_AISBREAKER_API_KEY",
        help: "API key of requests without an Authorization header",
        on_reload: OnReload::Apply,
        example: r#""""#,
        is_secret: true,
        apply: |draft, value| {
            draft.settings.gateway.default_key = Some(value.api_key()?);
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("require_key"),
        variable: "AISBREAKER_REQUIRE_KEY",
        help: "Whether callers without an API key of this server are refused (401); that of \
               DEFAULT_AISBREAKER_API_KEY counts as one",
        default: Some("false"),
        on_reload: OnReload::Apply,
        apply: |draft, value| {
            draft.settings.gateway.require_key = value.flag()?;
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("mint.secret"),
        variable: "AISBREAKER_MINT_SECRET",
        help: "Secret (10 characters or more) that is required to mint API keys; if unset, anyone \
               may mint",
        ignores_empty: false,
        on_reload: OnReload::Apply,
        example: r#""""#,
        is_secret: true,
        apply: |draft, value| {
            draft.settings.gateway.minting.secret = Some(value.mint_secret()?);
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("mint.services"),
        variable: "AISBREAKER_MINT_SERVICES",
        help: "Services whose secrets may be sealed, separated by commas; all if unset",
        ignores_empty: false,
        on_reload: OnReload::Apply,
        example: r#"["chat:openai.com", "chat:anthropic.com"]"#,
        apply: |draft, value| {
            draft.settings.gateway.minting.services = Some(value.service_patterns()?);
            Ok(())
        },
        ..PLAIN
    },
    key_lifecycle::ADMIN_SECRET,
    key_lifecycle::REVOKED_FILE,
    key_lifecycle::REVOKED_BEFORE,
    Setting {
        key: Some("max_expiration"),
        variable: "AISBREAKER_MAX_EXPIRATION",
        help: "Longest lifetime of an API key",
        default: Some("400d"),
        on_reload: OnReload::Apply,
        apply: |draft, value| {
            draft.settings.gateway.max_expiration = value.duration()?;
            Ok(())
        },
        ..PLAIN
    },
    // Hosts, clients and destinations.
    Setting {
        key: Some("public_hosts"),
        variable: "AISBREAKER_PUBLIC_HOSTS",
        help: "Host names this server answers to, separated by commas; any if unset",
        on_reload: OnReload::Apply,
        example: r#"["api.example.com"]"#,
        apply: |draft, value| {
            draft.settings.gateway.public_hosts = value.hosts()?;
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("openapi"),
        variable: "AISBREAKER_OPENAPI",
        help: "Whether /openapi.json describes the API; 404 otherwise",
        default: Some("true"),
        apply: |draft, value| {
            draft.settings.gateway.openapi = value.flag()?;
            Ok(())
        },
        on_reload: OnReload::Apply,
        ..PLAIN
    },
    Setting {
        key: Some("console"),
        variable: "AISBREAKER_CONSOLE",
        flag: Some(Flag {
            name: "console",
            value: Some("auto|on|off"),
        }),
        help: "Whether /console/ serves the console, and a live page where metrics are served: auto \
               (where the listener's address is a loopback one), on or off",
        default: Some("auto"),
        on_reload: OnReload::Apply,
        apply: |draft, value| {
            draft.settings.console = value.parsed(ConsoleMode::parse)?;
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("trusted_proxies"),
        variable: "AISBREAKER_TRUSTED_PROXIES",
        help: "Networks of the proxies in front of this server, separated by commas",
        on_reload: OnReload::Apply,
        example: r#"["127.0.0.1", "10.0.0.0/8"]"#,
        apply: |draft, value| {
            draft.settings.gateway.trusted_proxies = value.networks()?;
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("egress.allow"),
        variable: "AISBREAKER_EGRESS_ALLOW",
        help: "Origins or networks that may be called although they are not public or not https, \
               separated by commas",
        on_reload: OnReload::Apply,
        example: r#"["http://localhost:11434", "10.1.0.0/16"]"#,
        apply: |draft, value| {
            draft.settings.egress = value.egress_policy()?;
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("egress.allow_callers"),
        variable: "AISBREAKER_EGRESS_ALLOW_CALLERS",
        help: "Whether callers may name such origins and addresses in url; otherwise only the \
               operator's rows and, where mint.secret is set, keys may",
        default: Some("false"),
        on_reload: OnReload::Apply,
        apply: |draft, value| {
            draft.egress_allow_callers = value.flag()?;
            Ok(())
        },
        ..PLAIN
    },
    // Quotas.
    Setting {
        key: Some("quotas.server"),
        variable: "AISBREAKER_SERVER_QUOTAS",
        help: "Quotas of the whole server, as JSON requestQuotas",
        on_reload: OnReload::Apply,
        example: SERVER_QUOTAS,
        effective: Some(|settings| quotas(&settings.gateway.server_quotas)),
        apply: |draft, value| {
            draft.settings.gateway.server_quotas = value.quotas()?;
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("quotas.default"),
        variable: "AISBREAKER_DEFAULT_QUOTAS",
        help: "Quotas of requests without an API key and of keys that carry none, as JSON \
               requestQuotas",
        on_reload: OnReload::Apply,
        example: DEFAULT_QUOTAS,
        effective: Some(|settings| quotas(&settings.gateway.default_quotas)),
        apply: |draft, value| {
            draft.settings.gateway.default_quotas = value.quotas()?;
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("quotas.mint"),
        variable: "AISBREAKER_MINT_QUOTAS",
        help: "Quotas of minting and of exchanging API keys, as JSON requestQuotas",
        on_reload: OnReload::Apply,
        example: MINT_QUOTAS,
        effective: Some(|settings| quotas(&settings.gateway.mint_quotas)),
        apply: |draft, value| {
            draft.settings.gateway.mint_quotas = value.quotas()?;
            Ok(())
        },
        ..PLAIN
    },
    budgets::VOLATILE,
    Setting {
        key: Some("max_counters"),
        variable: "AISBREAKER_MAX_COUNTERS",
        help: "Most quota counters kept in memory; beyond it, new clients share some",
        default: Some("4000000"),
        apply: |draft, value| {
            draft.settings.gateway.max_counters = value.count()?;
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("state_file"),
        variable: "AISBREAKER_STATE_FILE",
        help: "File in which quota counters outlive a restart; none if unset",
        example: r#""/var/lib/aisbreaker/state""#,
        apply: |draft, value| {
            draft.state_file = Some(value.path()?);
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("state_interval"),
        variable: "AISBREAKER_STATE_INTERVAL",
        help: "Time between two writes of the state file",
        default: Some("1m"),
        requires: Some("AISBREAKER_STATE_FILE"),
        apply: |draft, value| {
            draft.state_interval = value.duration()?;
            Ok(())
        },
        ..PLAIN
    },
    budgets::CEILINGS,
    // The quota store that several servers share.
    Setting {
        key: Some("redis.url"),
        variable: "AISBREAKER_REDIS_URL",
        help: "Redis or Valkey in which several servers count together; none if unset",
        example: r#""redis://localhost:6379/0""#,
        is_secret: true,
        apply: |draft, value| {
            draft.store.url = Some(value.named_text()?);
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("redis.ca_file"),
        variable: "AISBREAKER_REDIS_CA_FILE",
        help: "Certificate (PEM) of the only authority trusted for Redis, but not for a cluster; the \
               system's if unset",
        requires: Some("AISBREAKER_REDIS_URL"),
        example: r#""/etc/aisbreaker/redis-ca.pem""#,
        apply: |draft, value| {
            let file = value.named_file()?;
            let restart_values = &mut draft.settings.restart_values;
            restart_values.note_content("redis.ca_file", &file.value);
            draft.store.ca_file = Some(file);
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("redis.prefix"),
        variable: "AISBREAKER_REDIS_PREFIX",
        help: "Prefix of the counters' names in Redis",
        default: Some("aisbreaker"),
        requires: Some("AISBREAKER_REDIS_URL"),
        apply: |draft, value| draft.store.set_prefix(&value.text()?),
        ..PLAIN
    },
    Setting {
        key: Some("redis.timeout"),
        variable: "AISBREAKER_REDIS_TIMEOUT",
        help: "Longest wait for Redis",
        default: Some("20ms"),
        requires: Some("AISBREAKER_REDIS_URL"),
        apply: |draft, value| {
            draft.store.options.deadline = value.duration()?;
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("quotas.on_store_failure"),
        variable: "AISBREAKER_QUOTA_ON_STORE_FAILURE",
        help: "Requests while Redis is unreachable: local (a share of each limit), closed \
               (refused) or open (admitted)",
        default: Some("local"),
        requires: Some("AISBREAKER_REDIS_URL"),
        apply: |draft, value| {
            draft.store.on_failure = value.parsed(store::on_failure)?;
            Ok(())
        },
        ..PLAIN
    },
    budgets::ON_STORE_FAILURE,
    Setting {
        key: Some("replicas"),
        variable: "AISBREAKER_REPLICAS",
        help: "Number of servers that share Redis; 1, with a warning, if unset",
        requires: Some("AISBREAKER_REDIS_URL"),
        example: "2",
        apply: |draft, value| {
            draft.store.servers = Some(value.number()?);
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("quotas.lease"),
        variable: "AISBREAKER_QUOTA_LEASE",
        help: "Most charges taken from Redis in advance for a busy counter; none if unset",
        requires: Some("AISBREAKER_REDIS_URL"),
        example: "50",
        apply: |draft, value| {
            draft.store.options.lease = Some(value.number()?);
            Ok(())
        },
        ..PLAIN
    },
    // Sizes and counts.
    Setting {
        key: Some("max_connections"),
        variable: "AISBREAKER_MAX_CONNECTIONS",
        help: "Most open connections from clients; beyond it, one that only waits for its client is \
               closed, or the new one gets 503",
        default: Some("10000"),
        apply: |draft, value| {
            draft.settings.limits.max_connections = value.count()?;
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("max_requests"),
        variable: "AISBREAKER_MAX_REQUESTS",
        help: "Most requests in progress; further ones get 503",
        default: Some("10000"),
        apply: |draft, value| {
            draft.settings.gateway.max_requests = value.count()?;
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("max_provider_connections"),
        variable: "AISBREAKER_MAX_PROVIDER_CONNECTIONS",
        help: "Most calls in progress to one provider (scheme, host and port)",
        default: Some("5000"),
        apply: |draft, value| {
            draft.settings.bounds.max_calls_per_origin = value.count()?;
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("max_body_bytes"),
        variable: "AISBREAKER_MAX_BODY_BYTES",
        help: "Largest request body, in bytes",
        default: Some("33554432"),
        apply: |draft, value| {
            draft.settings.gateway.max_body_bytes = value.count()?;
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("max_upload_bytes"),
        variable: "AISBREAKER_MAX_UPLOAD_BYTES",
        help: "Largest request body that is passed on to a provider as it arrives, such as a file, in \
               bytes",
        default: Some("537919488"),
        apply: |draft, value| {
            draft.settings.gateway.max_upload_bytes = value.count()?;
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("max_answer_bytes"),
        variable: "AISBREAKER_MAX_ANSWER_BYTES",
        help: "Largest response of a provider that is buffered before it is sent on, in bytes",
        default: Some("16777216"),
        apply: |draft, value| {
            draft.settings.bounds.max_collected_bytes = value.count()?;
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("max_buffered_bytes"),
        variable: "AISBREAKER_MAX_BUFFERED_BYTES",
        help: "Memory of all bodies together, in bytes, of which one client gets a quarter; if unset, \
               536870912, or more where larger bodies are allowed",
        example: "536870912",
        effective: Some(|settings| Some(settings.max_buffered_bytes.to_string())),
        apply: |draft, value| {
            draft.max_buffered_bytes = Some(value.count()?);
            Ok(())
        },
        ..PLAIN
    },
    // Times.
    times::HEADER_TIMEOUT,
    times::IDLE_TIMEOUT,
    times::BODY_TIMEOUT,
    times::CONNECT_TIMEOUT,
    times::PROVIDER_TIMEOUT,
    times::STREAM_IDLE_TIMEOUT,
    times::POOL_IDLE_TIMEOUT,
    times::POOL_IDLE_TIMEOUT_HTTPS,
    times::STREAM_KEEP_ALIVE,
    times::WEBSOCKET_IDLE_TIMEOUT,
    times::WEBSOCKET_LIFETIME,
    times::DRAIN_DELAY,
    times::DRAIN_TIMEOUT,
    // The log.
    Setting {
        key: Some("log.filter"),
        variable: "AISBREAKER_LOG",
        help: "Log filter, such as info or debug",
        default: Some("info"),
        on_reload: OnReload::Apply,
        apply: |draft, value| {
            draft.settings.log.filter = value.parsed(logging::parse_filter)?;
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("log.format"),
        variable: "AISBREAKER_LOG_FORMAT",
        help: "Log format: text or json",
        default: Some("text"),
        apply: |draft, value| {
            draft.settings.log.format = value.parsed(str::parse)?;
            Ok(())
        },
        ..PLAIN
    },
    Setting {
        key: Some("log.max_per_second"),
        variable: "AISBREAKER_LOG_MAX_PER_SECOND",
        help: "Most log lines in a second; a line counts those left out",
        default: Some("1000"),
        apply: |draft, value| {
            draft.settings.log.max_per_second = value.number()?;
            Ok(())
        },
        ..PLAIN
    },
];

/// Returns whether this variable names the file of a secret.
pub(super) fn is_file_variable(name: &str) -> bool {
    let mut secrets = SETTINGS.iter().filter(|setting| setting.is_secret);
    secrets.any(|setting| setting.file_variable() == name)
}

/// Returns quotas as the JSON that sets them.
fn quotas(quotas: &RequestQuotas) -> Option<String> {
    serde_json::to_string(quotas).ok()
}

#[cfg(test)]
mod tests;
