//! An outbound HTTP client for URLs that others chose.
//!
//! - [`Client`] sends an [`Outgoing`] request to a URL and returns the head of the response with a
//!   [`Body`] that streams.
//!   [`Client::upgrade`] switches a connection to another protocol, such as WebSocket.
//! - [`Policy`] decides which addresses may be dialled. It judges the address of every new
//!   connection, after the only name resolution there is, so a name that changes its answer gains
//!   nothing.
//! - [`Timeouts`] and [`Bounds`] limit how long a call takes and how much it collects;
//!   [`MemoryBudget`] limits what all calls hold together.
//! - [`parse_url`] reads a URL as browsers do.
//!
//! The client does not follow redirects, read proxy variables of the environment, or decompress
//! bodies. Dropping the future of [`Client::send`] or a [`Body`] closes the connection at once. A
//! body that ends before its announced end is an error ([`SendError::Cut`]), never a clean end.
//!
//! It speaks HTTP/1.1 (RFC 9112); the system's TLS library verifies certificates.
#![doc = ""]
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod body;
mod client;
mod connect;
mod connection;
mod dial;
mod error;
mod headers;
mod http1;
mod limits;
mod local_body;
mod memory_budget;
mod observer;
mod origin;
mod outgoing;
mod payload;
mod policy;
mod pool;
mod resolve;
mod stream;
mod streamed_body;
mod sync;
mod tcp;
mod tls;
mod url;

pub use self::{
    body::Body,
    client::{Client, PreparedUrl, Upgrade, UpgradedStream},
    error::{CollectError, Failure, Refusal, SendError, Stage, TlsUnavailable},
    headers::{
        API_KEY, X_API_KEY, X_GOOG_API_KEY, has_media_type, is_configurable_header, is_framed,
    },
    limits::{Bounds, Timeouts},
    memory_budget::{BudgetSpent, MemoryBudget, MemoryReservation},
    observer::{ExchangeEnd, ExchangeStart, Observer},
    outgoing::Outgoing,
    payload::Payload,
    policy::{InvalidException, Policy, UrlSource},
    resolve::{Resolve, ResolveFuture, SystemResolver},
    url::{InvalidUrl, parse_url},
};
