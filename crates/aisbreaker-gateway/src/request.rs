//! The parse stage: everything that is read of a request before its caller is known.
//!
//! `head` reads the header section once. `body` receives the content within bounds of time and
//! memory, and parses it where that does not stall other requests. `upload` passes it on instead, as it
//! arrives.

pub(crate) mod basic;
pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod credentials;
pub(crate) mod error;
mod field;
mod forwarded_warning;
pub(crate) mod head;
pub(crate) mod host;
pub(crate) mod inflate;
pub(crate) mod media_type;
pub(crate) mod secret_buffer;
pub(crate) mod upload;
pub(crate) mod websocket;
