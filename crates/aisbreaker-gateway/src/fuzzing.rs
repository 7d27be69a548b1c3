//! Private functions that parse untrusted input, for the fuzz targets in `fuzz/`.
//!
//! Not part of the public API: it is built only for the fuzzer, and for the tests that replay the
//! corpora.

use std::{net::IpAddr, time::Duration};

use aisbreaker_token::{Grant, Host};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Uri};
use ipnet::IpNet;

use crate::{
    api::token::{lifetime, mint_request::MintRequest},
    client_id::ClientId,
    provider_api::model,
    request::{
        client,
        error::RequestError,
        host::{self, Sender},
        inflate::ContentCoding,
    },
    response::{sse_boundary, usage_filter::UsageChunk},
};

/// Returns the address of the client of a request.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    client::client_address(peer, headers, proxies)
}

/// Returns the number that the client at this address is counted by.
pub fn client_number(address: IpAddr) -> u64 {
    ClientId::of(address).as_u64()
}

/// Returns the host of a request.
pub fn host(
    uri: &Uri,
    headers: &HeaderMap,
    is_trusted: bool,
    public_hosts: &[Host],
) -> Option<Host> {
    let sender = if is_trusted {
        Sender::TrustedProxy
    } else {
        Sender::Untrusted
    };
    host::host(uri, headers, sender, public_hosts).ok()
}

/// Parses a lifetime.
pub fn lifetime(text: &str) -> Option<Duration> {
    lifetime::parse(text)
}

/// Returns the grant, the lifetime and the warnings of a request for a key.
///
/// # Errors
/// The message of the refusal.
pub fn mint(
    body: &[u8],
    max_expiration: Duration,
) -> Result<(Grant, Duration, Vec<String>), String> {
    match MintRequest::parse(body, max_expiration) {
        Ok(request) => Ok((request.grant, request.lifetime, request.warnings)),
        Err(error) => Err(error.to_string()),
    }
}

/// The outcome of decoding a body.
#[derive(Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the fuzz target answers every variant"
)]
pub enum Inflated {
    /// The coding is not supported.
    Unsupported,
    /// The decoded body.
    Body(Bytes),
    /// The decoded body is over the limit.
    TooLarge,
    /// The body is not in that coding.
    Corrupt,
}

/// Decodes a body.
pub fn inflate(coding: &[u8], body: Bytes, limit: usize) -> Inflated {
    let Some(coding) = ContentCoding::parse(coding) else {
        return Inflated::Unsupported;
    };
    match coding.decode(body, limit, |_| Ok(())) {
        Ok(body) => Inflated::Body(body),
        Err(RequestError::TooLarge { .. }) => Inflated::TooLarge,
        Err(_) => Inflated::Corrupt,
    }
}

/// Returns the model that a body names, and the body with another name in its place, in three pieces.
///
/// # Errors
/// The message of the refusal.
pub fn replace_model(
    body: &Bytes,
    content_type: Option<&HeaderValue>,
    other: &str,
) -> Result<Option<(String, [Bytes; 3])>, String> {
    let model = match content_type {
        Some(content_type) => model::model_in_multipart(body, content_type),
        None => model::model_in_json(body),
    };
    let model = model.map_err(|refusal| refusal.to_string())?;
    Ok(model.map(|model| {
        (
            model.name.clone(),
            model::replace_model(body, &model, other),
        )
    }))
}

/// Returns what is forwarded of each piece of an event stream, with how much is held back then, and
/// what is forwarded at its end.
pub fn forwarded(pieces: &[Bytes]) -> (Vec<(Bytes, usize)>, Bytes) {
    sse_boundary::forwarded(pieces, UsageChunk::Forward)
}

/// Returns what is forwarded of an event stream to a client that did not ask for its usage.
pub fn forwarded_without_usage(pieces: &[Bytes]) -> Vec<u8> {
    let (pieces, last) = sse_boundary::forwarded(pieces, UsageChunk::Drop);
    let mut forwarded: Vec<u8> = pieces
        .iter()
        .flat_map(|(bytes, _)| bytes)
        .copied()
        .collect();
    forwarded.extend_from_slice(&last);
    forwarded
}
