//! The AIsBreaker gateway as one hyper service.
//!
//! [`Gateway::handle`] answers one request. Call it from any hyper server, or let [`serve`] or
//! [`serve_tls`] run the accept loop with connection limits, timeouts and graceful drain.
//!
//! A request passes a chain of stages. Each has a module of its own and consumes the value of the
//! stage before, so a stage left out does not compile:
//!
//! | Stage | Module | Creates | Refuses with |
//! |---|---|---|---|
//! | accept | `server` | a connection task | a closed connection |
//! | read the head | `request::head` | `Head` | 400, 415, 421, 426, 431 |
//! | authenticate | `authenticate`, `revocation` | `Authenticated` | 401 |
//! | restrict | `restrictions` | `Permitted` | 403, 413 |
//! | receive | `request::body` | `ReceivedBody` | 400, 408, 413, 503 |
//! | admit | `admission` | `Admitted` | 401, 429, 503 |
//! | resolve | `provider_api::resolve`, the registry | a service | 403, 404 |
//! | call | `api::process`, `provider_api::forward` | the head of the response | 401 to 504 |
//! | stream | `response` | the body of the response | an `error` event |
//!
//! A caller that cannot be authenticated is refused once its content is received, and a request with a
//! key that restricts services is resolved before it is admitted, so that what a key may not do is not
//! charged.
//!
//! The content of a resource is not received: it is passed on as it arrives (`request::upload`), so its
//! caller is refused before it.
//!
//! `pipeline` runs the stages from the head to admit for every surface. The surfaces are `api`, the
//! server's own API below `/api/v1`, and `provider_api`, the providers' APIs below `/v1`. They and all
//! else that a configuration decides are in `surfaces`, which a reload replaces as a whole;
//! `gateway_state` has what a reload keeps.
//!
//! Errors get their status in `status` and nowhere else, and `dialect` renders them for the clients
//! of each API. `telemetry::access_log` writes the log line.
#![doc = ""]
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

// The checks of the fuzz targets are also built into this crate's tests.
#[cfg(test)]
extern crate self as aisbreaker_gateway;

mod admin;
mod admission;
mod api;
mod authenticate;
mod budgets;
mod builder;
mod client_id;
mod clock;
mod config;
mod console;
mod cors;
mod dialect;
mod failure;
mod form_urlencoded;
#[cfg(test)]
mod fuzz_corpus;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod gateway_error;
mod gateway_state;
mod in_flight;
mod memory;
mod opened_key;
mod pipeline;
mod provider_api;
mod request;
mod response;
mod restrictions;
mod revocation;
mod route;
#[cfg(test)]
mod secrecy_tests;
mod server;
mod shared_store;
#[doc(hidden)]
pub mod stages;
mod status;
mod surfaces;
mod telemetry;
mod translation;
mod tunnel;
mod wake_filter;

// The crates whose types this one takes and returns, so that it can be used alone.
pub use aisbreaker_egress as egress;
pub use aisbreaker_services as services;
pub use aisbreaker_token as token;

pub use admin::serve_metrics;
pub use admission::{
    SavedCounters,
    backend::{OnStoreFailure, SharedQuotas},
};
pub use aisbreaker_quota::SnapshotError;
pub use api::token::{InvalidQuotas, MintPolicy, parse_rfc3339, quotas_from_json};
pub use budgets::ceilings::{CeilingLog, SavedCeilings};
pub use builder::GatewayBuilder;
pub use clock::{Clock, SystemClock};
pub use config::Config;
pub use gateway::Gateway;
pub use response::{ResponseBody, passthrough::ResponseCut};
pub use revocation::{Revocation, RevocationLog};
pub use server::{InvalidCertificate, Limits, TlsCertificate, serve, serve_tls};
pub use telemetry::{
    access_line::{AccessLine, AccessLogSink, CHARGED_TARGET, LineValue, UNCHARGED_TARGET},
    metrics::MetricsFormat,
    span::{Span, SpanKind, SpanSink, SpanValue},
};
