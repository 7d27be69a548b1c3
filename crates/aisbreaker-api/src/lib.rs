//! The wire types of the AIsBreaker HTTP API (`/api/v1`).
//!
//! AIsBreaker is a gateway to AI services: one request format, whichever provider responds. This
//! crate defines what travels between a client and the gateway. It contains no server, no async
//! runtime and no secrets, so a client can use it alone.
//!
//! | Type | Purpose |
//! |---|---|
//! | [`ServiceId`] | the name of a service: `task:vendor/engine` |
//! | [`ServicePattern`] | a prefix of service ids, by whole segments |
//! | [`ServiceUrl`], [`Origin`] | where a service is called, and what a secret is bound to |
//! | [`ProcessCall`], [`Request`] | the body of `POST /api/v1/process` |
//! | [`Response`], [`Progress`] | the response, and the events of a streamed one |
//! | [`JsonText`] | the provider's own response, as it is sent on |
//! | [`ConversationState`] | the text that carries a conversation from request to request |
//! | [`ErrorBody`], [`ErrorObject`] | the body of every error response |
//!
//! # Example
//!
//! A client serializes a call, and a server reads it:
//!
//! ```
//! use aisbreaker_api::{ProcessCall, Request, ServiceProps};
//!
//! let call = ProcessCall {
//!     service: ServiceProps::new("chat:openai.com/gpt-4o"),
//!     request: Request::user_text("Hello!").with_stream(true),
//! };
//! let body = serde_json::to_vec(&call)?;
//!
//! assert_eq!(ProcessCall::from_json(&body)?, call);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Services and secrets are selected by whole segments of the service id, never by a prefix of the
//! text:
//!
//! ```
//! use aisbreaker_api::{ServiceId, ServicePattern};
//!
//! let pattern = ServicePattern::parse("chat:openai.com")?;
//! assert!(pattern.matches(&ServiceId::parse("chat:openai.com/gpt-4o")?));
//! assert!(!pattern.matches(&ServiceId::parse("chat:openai.community")?));
//! # Ok::<(), aisbreaker_api::InvalidServiceId>(())
//! ```
//!
//! # Guarantees
//!
//! - **Bounded memory.** [`ProcessCall::from_json`] refuses a body of more than 200 000 JSON values
//!   before it parses it, so parsing takes at most a small multiple of the body's length.
//! - **Canonical URLs.** A [`ServiceUrl`] means the same to every parser: its text is canonical by
//!   the WHATWG URL standard, and neither a path nor an engine can change its [`Origin`].
//! - **No echo.** No error of this crate repeats content that a client sent.
//!
//! # Errors
//!
//! [`InvalidRequest`] names the member at fault by its path, such as
//! `request.inputs[0].text.content`. [`InvalidServiceId`], [`InvalidUrl`] and [`InvalidState`] say
//! why a single text is refused. The readers in [`read`] let other request bodies be read by the
//! same rules.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod base64;
mod conversation;
mod direct;
mod encode;
mod error;
mod json_text;
mod json_tree;
mod message;
mod process_call;
pub mod read;
mod request;
mod response;
mod service_id;
mod service_url;
pub mod write;

pub use conversation::{ConversationState, InvalidState};
pub use error::{ErrorBody, ErrorObject, InvalidRequest};
pub use json_text::JsonText;
pub use json_tree::JsonTree;
pub use message::Message;
pub use process_call::ProcessCall;
pub use request::{ImageSource, Input, InputImage, InputText, Request, Role, ServiceProps};
pub use response::{Output, OutputImage, OutputText, Progress, Response, ServiceUsage, Usage};
pub use service_id::{InvalidServiceId, ServiceId, ServicePattern};
pub use service_url::{InvalidUrl, Origin, ServiceUrl};

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
