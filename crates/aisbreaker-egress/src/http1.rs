//! HTTP/1.1 messages (RFC 9112) as bytes: writes requests, and reads the heads and the bodies of
//! responses.

mod body_decoder;
mod chunked;
mod request_writer;
mod response_head;

pub(crate) use self::{
    body_decoder::{BodyDecoder, Decoded},
    request_writer::{PreparedRequest, RequestWriter},
    response_head::{MAX_HEAD_BYTES, ResponseHead},
};

use std::{error::Error, io};

/// Returns the error of a message that does not follow the protocol.
fn invalid(error: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
