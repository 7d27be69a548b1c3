//! The AIsBreaker HTTP surface as one hyper service.
//!
//! [`Gateway::handle`] answers one request; call it from any hyper server, or let [`serve`] run the
//! accept loop with connection cap, timeouts and graceful drain. One request is a chain of stages,
//! each in a module of its own and each consuming the value of the one before:
//!
//! | Stage | Module | Makes | Refuses with |
//! |---|---|---|---|
//! | accept | `serve` | a connection task | a closed connection |
//! | parse | `parse`, `receive` | `Asked`, and of its body what it says | 400, 408, 413, 415, 421, 431, 503 |
//! | authenticate | `authenticate` | `Caller` | 401 |
//! | admit | `admit` | `Admission` | 429 |
//! | resolve, call | `process`, `relay`, `mint` | the answer's head | 401 to 504 |
//! | stream | `events`, `relay::passing` | the answer's body | an `error` event |
//!
//! A body that takes its time to read is read after it was admitted, so that it is paid for.
//!
//! Requests under `/v1` are in the protocol of a provider, and passed on as they are: `operation`
//! has their paths, `model` finds the model in their bodies, `relay` does the rest, and `dialect`
//! says errors as their clients understand them.
//!
//! Errors become statuses in one place, `status`. What is logged is in one place, `record`.
#![doc = ""]
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

// For the checks of the fuzz targets, which are built inside this crate's tests as well.
#[cfg(test)]
extern crate self as aisbreaker_gateway;

mod admit;
mod answer;
mod authenticate;
mod body;
mod clock;
mod config;
mod dialect;
mod events;
mod form;
#[cfg(test)]
mod fuzz_corpus;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod greet;
mod identity;
mod inflate;
mod lifecycle;
mod metrics;
mod mint;
mod model;
mod operation;
mod parse;
mod process;
mod quota;
mod quotas;
mod receive;
mod record;
mod relay;
mod route;
mod serve;
mod serve_metrics;
mod shares;
mod span;
mod status;
mod wiped;

pub use admit::SavedCounters;
pub use aisbreaker_quota::SnapshotError;
pub use body::ResponseBody;
pub use clock::{Clock, SystemClock};
pub use config::Config;
pub use gateway::Gateway;
pub use mint::{InvalidQuotas, MintPolicy, quotas_from_json};
pub use quotas::{OnStoreFailure, SharedQuotas};
pub use record::FREE_TARGET;
pub use relay::CutOff;
pub use serve::{Limits, serve};
pub use serve_metrics::serve_metrics;
