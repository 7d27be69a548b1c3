//! Private functions that read what strangers send, for the fuzz targets in `fuzz/`. Not part of
//! the crate's interface: it is built only by the fuzzer, and by the test that replays the corpora.

use std::{net::IpAddr, time::Duration};

use aisbreaker_token::{Grant, Host};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Uri};
use ipnet::IpNet;

use crate::{identity, inflate::Coding, mint, model, parse::ParseFault, relay};

/// The address of the client of a request.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    identity::client_address(peer, headers, proxies)
}

/// What the client at this address is counted by.
pub fn client_number(address: IpAddr) -> u64 {
    identity::ClientId::of(address).number()
}

/// The host of a request.
pub fn host(
    uri: &Uri,
    headers: &HeaderMap,
    is_trusted: bool,
    public_hosts: &[Host],
) -> Option<Host> {
    identity::host(uri, headers, is_trusted, public_hosts).ok()
}

/// A span of time.
pub fn span(text: &str) -> Option<Duration> {
    crate::span::parse(text)
}

/// The grant, the lifetime and the warnings of a request for a key.
///
/// # Errors
/// The message of its refusal.
pub fn mint(
    body: &[u8],
    max_expiration: Duration,
) -> Result<(Grant, Duration, Vec<String>), String> {
    mint::parse(body, max_expiration)
        .map(mint::MintRequest::into_parts)
        .map_err(|refusal| refusal.to_string())
}

/// What became of a body with a content coding.
#[derive(Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the fuzz target answers every variant"
)]
pub enum Inflated {
    /// The coding is not known.
    Unknown,
    /// The body without its coding.
    Body(Bytes),
    /// It is over the limit.
    TooLarge,
    /// It is not of that coding.
    Corrupt,
}

/// Undoes a content coding.
pub fn inflate(coding: &[u8], body: Bytes, limit: usize) -> Inflated {
    let Some(coding) = Coding::parse(coding) else {
        return Inflated::Unknown;
    };
    match coding.decode(body, limit, |_| Ok(())) {
        Ok(body) => Inflated::Body(body),
        Err(ParseFault::TooLarge { .. }) => Inflated::TooLarge,
        Err(_) => Inflated::Corrupt,
    }
}

/// The model that a body names, and the body with another one in three pieces.
///
/// # Errors
/// The message of its refusal.
pub fn renamed(
    body: &Bytes,
    content_type: Option<&HeaderValue>,
    other: &str,
) -> Result<Option<(String, [Bytes; 3])>, String> {
    let model = match content_type {
        Some(content_type) => model::of_multipart(body, content_type),
        None => model::of_json(body),
    };
    let model = model.map_err(|refusal| refusal.to_string())?;
    Ok(model.map(|model| (model.name.clone(), model::renamed(body, &model, other))))
}

/// What of a stream of events is passed on of each piece, and at its end, with how much of it is
/// held back meanwhile.
pub fn passed_on(pieces: &[Bytes]) -> (Vec<(Bytes, usize)>, Bytes) {
    relay::passed_on(pieces)
}
