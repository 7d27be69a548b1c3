//! Why a request cannot be read.

use aisbreaker_api::InvalidRequest;
use aisbreaker_egress::BudgetSpent;
use aisbreaker_token::Host;
use http::HeaderName;

use crate::failure::Failure;

/// Why a handshake cannot be answered with a WebSocket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HandshakeError {
    /// It is none, or not by HTTP/1.1, or a proxy in front removed the fields of the connection.
    NoUpgrade,
    /// Another version than 13.
    Version,
    /// No key, or none of 16 bytes.
    Key,
    /// A subprotocol is not a token, or the credential is there twice.
    Protocols,
    /// An extension holds a key, which would go to the provider.
    Extensions,
    /// The request has content.
    Content,
}

/// Why the host of a request is not known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum HostError {
    /// Missing, repeated, or not a host name.
    Invalid,
    /// Not a host name of this server.
    Misdirected(Host),
}

/// Why a request cannot be read.
#[derive(Debug)]
pub(crate) enum RequestError {
    Host(HostError),
    /// The header section has too many bytes or fields.
    HeadTooLarge,
    /// A header field is repeated or malformed.
    InvalidField {
        name: HeaderName,
    },
    /// The media type is not one that the route accepts.
    MediaType {
        accepted: &'static str,
    },
    /// The content coding is not supported.
    ContentCoding,
    /// The content is not in the coding that `Content-Encoding` names.
    Inflate,
    /// The content is larger than the limit, in bytes.
    TooLarge {
        limit: usize,
    },
    /// The content is larger than the key allows.
    TooLargeForKey,
    /// The content paused or trickled.
    Timeout,
    /// The client's memory, or that of all bodies, is in use.
    OutOfMemory(BudgetSpent),
    /// All workers for large bodies stayed busy.
    Busy,
    /// The connection broke before the content was complete.
    Incomplete,
    /// The content is not what the route accepts.
    Content(InvalidRequest),
    /// The handshake of a WebSocket that cannot be answered with one.
    Handshake(HandshakeError),
    /// The route refuses the content, and says so in its own way.
    Refused(Box<Failure>),
}

impl From<HandshakeError> for RequestError {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl From<HostError> for RequestError {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

impl From<BudgetSpent> for RequestError {
    fn from(spent: BudgetSpent) -> Self {
        Self::OutOfMemory(spent)
    }
}

impl From<InvalidRequest> for RequestError {
    fn from(invalid: InvalidRequest) -> Self {
        Self::Content(invalid)
    }
}
