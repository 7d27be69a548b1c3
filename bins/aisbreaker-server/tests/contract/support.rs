//! Shared fixtures: the server in its own process, clients that may violate the protocol, and
//! scripted providers.

mod canaries;
mod client_socket;
mod config_file;
mod connection;
mod content;
mod encoding;
pub(crate) mod families;
mod gate;
mod http2;
pub(crate) mod http2_frames;
pub(crate) mod offline_key;
pub(crate) mod openai;
pub(crate) mod original_keys;
mod payload;
mod process_memory;
mod provider;
pub(crate) mod provider_api;
mod reloadable;
mod request;
mod response;
mod server;
mod ticker;
pub(crate) mod tls;
mod unreachable;
pub(crate) mod websocket;

use std::time::Duration;

pub(crate) use canaries::Canaries;
pub(crate) use config_file::ConfigFile;
pub(crate) use connection::Connection;
pub(crate) use content::{ContentBody, content_at, is_content_at};
pub(crate) use encoding::{base64, chunked, deflate, gzip};
pub(crate) use gate::{Gate, gate};
pub(crate) use http2::{
    Http2Streams, http2_first_piece_then_reset, http2_unread_response, http2_upload,
    send_over_http2,
};
pub(crate) use payload::{
    ample_quotas, call, dummy_call, grant, hop, quotas, service, service_at, state_of, streamed,
    user_text,
};
pub(crate) use provider::{Provider, ReceivedRequest, UploadProvider, Wire, sse};
pub(crate) use reloadable::ReloadableServer;
pub(crate) use request::Request;
pub(crate) use response::{Event, Response, assert_error, output_text};
pub(crate) use server::{KEY, Server, open_files_limit, refused_start, run};
pub(crate) use ticker::Ticker;
pub(crate) use unreachable::{UnreachableAddresses, closed_url};

/// Upper bound on every wait; only a server that hangs reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the value of a header field, which must occur at most once.
#[track_caller]
fn only_value<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut values = headers
        .iter()
        .filter(|(present, _)| present.eq_ignore_ascii_case(name));
    let value = values.next().map(|(_, value)| value.as_str());
    assert!(values.next().is_none(), "{name} occurs twice: {headers:?}");
    value
}

pub(crate) fn current_thread_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}
