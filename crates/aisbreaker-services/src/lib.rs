//! AI services behind one trait.
//!
//! - [`Service`] is what answers a call; [`Registry`] finds it by id, longest match on whole
//!   segments first.
//! - [`Credentials`] are the secrets of a caller; each service gets its own, and only where it may
//!   be sent.
//! - [`services`] has the services: dummies, echo, chats in the protocols of OpenAI, Anthropic,
//!   Gemini and Replicate, pictures of texts, other AIsBreaker servers, and filters.
//!
//! Every connection is made by an [`aisbreaker_egress::Client`] and passes its policy.
//!
//! It knows nothing of tokens, quotas or the listener.
#![doc = ""]
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod credentials;
mod destination;
mod error;
mod fallback;
mod providers;
mod registry;
mod relay;
mod request_uri;
mod service;
pub mod services;
pub mod sse;
mod usage;

pub use credentials::{Credential, Credentials, SealedSecret};
pub use destination::{Destination, Endpoint, SecretNeed, mask, secret_header};
pub use error::ServiceError;
pub use fallback::{Attempts, is_worth_another};
pub use providers::{
    AuthScheme, Dialect, InvalidProvider, Provider, ProviderRows, Providers, Spoken,
};
pub use registry::{Builder, Registry};
pub use relay::{Passing, Relay};
pub use service::{Call, Event, EventStream, Reply, ReplyFuture, Service};
pub use usage::{Tokens, UsageRule, last_usage};
