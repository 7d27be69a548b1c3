//! The providers' own APIs below `/v1`.

mod body_ambiguity;
mod body_formats;
mod broken_connections;
mod complete_urls;
mod credentials;
mod dummy;
mod early_answers;
mod errors;
mod fallback;
mod families;
mod headers;
mod limit_headers;
mod model_lists;
mod model_names;
mod not_served;
mod provider_table;
mod realtime;
mod requests;
mod responses;
mod responses_websocket;
mod stream_comments;
mod stream_ends;
mod stream_log;
mod stream_usage;
mod streams;
mod translation;
mod uploads;

use sha2::{Digest as _, Sha256};

use crate::support::ReceivedRequest;

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A number in the JSON body of a request.
fn number(request: &ReceivedRequest, name: &str) -> usize {
    let number = request.json()[name].as_u64().expect("a number");
    usize::try_from(number).expect("a small number")
}
