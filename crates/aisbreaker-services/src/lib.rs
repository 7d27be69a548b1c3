//! AI services behind one trait.
//!
//! - [`Service`] answers calls; [`Registry`] finds a service by its id, the longest match on whole
//!   segments first.
//! - [`Credentials`] are the secrets of a caller. Each service gets its own, and sends it only to
//!   the origins that it is bound to.
//! - [`services`] has the services: dummies, an echo, chats in the protocols of OpenAI, Anthropic,
//!   Gemini and Replicate, images from texts, other AIsBreaker servers, and filters.
//! - [`Relay`] forwards requests in a provider's own protocol.
//!
//! An [`aisbreaker_egress::Client`] makes every connection, so that each passes its policy.
//! The crate knows nothing of tokens, quotas or the listener.
#![doc = ""]
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod call_failure;
mod credentials;
mod destination;
mod dummy_api;
mod endpoint;
mod error;
mod json_scan;
pub mod prices;
mod providers;
mod relay;
mod secret;
mod service;
pub mod services;
mod sniff;
pub mod sse;
mod stream_end;
mod trace;
mod upstream;
mod usage;
mod usage_chunk;

// The crates whose types this one takes and returns, so that it can be used alone.
pub use aisbreaker_api as api;
pub use aisbreaker_egress as egress;
pub use call_failure::CallFailure;
pub use credentials::{Allowance, Credential, Credentials, SealedSecret, ServiceRestrictions};
pub use destination::Destination;
pub use dummy_api::DUMMY_MODELS;
pub use endpoint::{Endpoint, PathJoin, SecretNeed};
pub use error::{ErrorDetail, ServiceError, is_retryable_status};
pub use providers::{
    AuthScheme, DUMMY_PROVIDER, Dialect, DialectConfig, InvalidProvider, Provider, ProviderRows,
    Providers,
};
pub use relay::{ForwardedRequest, Relay};
pub use secret::{mask, secret_header};
pub use service::{
    Attempts, Call, CallInProgress, CallOutcome, Event, EventStream, ProviderCall, ProviderCalls,
    Reached, ReachedService, Registry, RegistryBuilder, Reply, ReplyFuture, Service, Target,
    chooses_other_models, printable_id,
};
pub use sniff::{MAX_SNIFFED_BYTES, Sniffed, sniff};
pub use stream_end::{LongEvent, StreamKind, StreamProgress, StreamState};
pub use trace::{CallSpan, TRACEPARENT, TRACESTATE, Trace, TraceContext, trace_state};
pub use usage::{ReportedTokens, ServiceTier, Tokens, UsageReader, UsageRule};
pub use usage_chunk::is_usage_chunk;
