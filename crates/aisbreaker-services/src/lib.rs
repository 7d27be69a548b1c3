//! AI services behind one trait.
//!
//! - [`Service`] is what answers a call; [`Registry`] finds it by id, longest match on whole
//!   segments first.
//! - [`Credentials`] are the secrets of a caller; each service gets its own, and only where it may
//!   be sent.
//! - [`services`] has the services: dummies, echo, chats in the protocols of OpenAI, Anthropic,
//!   Gemini and Replicate, pictures of texts, other AIsBreaker servers, and filters.
//! - [`egress`] is the outbound HTTP client; every connection it makes passes the
//!   [`egress::Policy`].
//!
//! It knows nothing of tokens, quotas or the listener.
#![doc = ""]
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod budget;
mod credentials;
mod destination;
pub mod egress;
mod error;
mod fallback;
mod latch;
mod providers;
mod registry;
mod relay;
mod service;
pub mod services;
pub mod sse;
mod usage;

pub use budget::{Budget, BudgetSpent, Reservation};
pub use credentials::{Credential, Credentials, SealedSecret};
pub use destination::{Destination, Endpoint, SecretNeed, mask, secret_header};
pub use error::ServiceError;
pub use fallback::{Attempts, is_worth_another};
pub use latch::Latch;
pub use providers::{
    AuthScheme, Dialect, InvalidProvider, Provider, ProviderRows, Providers, Spoken,
};
pub use registry::{Builder, Registry};
pub use relay::{Passing, Relay};
pub use service::{Call, Event, EventStream, Reply, ReplyFuture, Service};
pub use usage::{Tokens, UsageRule, last_usage};
