//! Wire types of the AIsBreaker HTTP API (`/api/v1`).
//!
//! - [`ServiceId`] names a service (`task:vendor/engine`); [`ServicePattern`] selects services by
//!   whole segments.
//! - [`ServiceUrl`] and [`Origin`] say where a service is called.
//! - [`ProcessCall`] is the body of `POST /api/v1/process`; [`Response`] and [`Progress`] are its
//!   answers.
//! - [`ConversationState`] is the opaque text that carries a conversation from turn to turn.
//! - [`ErrorObject`] is the body of every error.
//! - [`read`] reads JSON of callers with errors that name the member.
//!
//! No server, no runtime, no secrets: a client can use this crate alone.
#![doc = ""]
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod conversation;
mod error;
pub mod read;
mod request;
mod response;
mod service_id;
mod service_url;

pub use conversation::{ConversationState, InvalidState, Message};
pub use error::{ErrorBody, ErrorObject};
pub use request::{
    ImageSource, Input, InputImage, InputText, InvalidRequest, ProcessCall, Request, Role,
    ServiceProps,
};
pub use response::{Output, OutputImage, OutputText, Progress, Response, ServiceUsage, Usage};
pub use service_id::{InvalidServiceId, ServiceId, ServicePattern};
pub use service_url::{InvalidUrl, Origin, ServiceUrl};
