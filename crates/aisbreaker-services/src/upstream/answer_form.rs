//! Whether an answer is a stream of events or a whole one: by its first bytes, since providers label
//! streams with other media types, and errors as streams.

use aisbreaker_egress::{Body, MemoryReservation};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header::CONTENT_LENGTH};

use super::{
    body::{CollectedBody, next_data, read_whole},
    headers::is_event_stream,
    send_error::too_long,
};
use crate::{
    error::ServiceError,
    sniff::{MAX_SNIFFED_BYTES, Sniffed, sniff},
    sse::Decoder,
};

/// The answer to a request for a stream.
pub(crate) enum StreamedAnswer {
    /// Server-sent events, of which the decoder has the first bytes.
    Events(Body, Decoder),
    /// A whole answer.
    Whole(CollectedBody),
}

/// Reads the beginning of an answer to a request for a stream, and all of it if it is no stream.
///
/// # Errors
/// As [`read_whole`].
pub(crate) async fn read_streamed(
    headers: &HeaderMap,
    mut body: Body,
) -> Result<StreamedAnswer, ServiceError> {
    let default = if is_event_stream(headers) {
        Form::Events
    } else {
        Form::Whole
    };
    if default == Form::Whole && announced_bytes(headers) > body.max_collected_bytes() {
        // Refuses the announced length.
        return Ok(StreamedAnswer::Whole(read_whole(body).await?));
    }
    let mut start = Bytes::new();
    let mut form = None;
    while form.is_none() && start.len() < MAX_SNIFFED_BYTES {
        let Some(data) = next_data(&mut body).await? else {
            break;
        };
        start = joined(&start, data);
        form = form_of(&start, default);
    }
    match form.unwrap_or(default) {
        Form::Events => {
            let mut decoder = Decoder::with_limit(body.max_collected_bytes());
            decoder.feed(start);
            Ok(StreamedAnswer::Events(body, decoder))
        }
        Form::Whole => Ok(StreamedAnswer::Whole(read_rest(start, body).await?)),
    }
}

/// Returns the announced length of a body; 0 without one.
fn announced_bytes(headers: &HeaderMap) -> usize {
    let Some(Ok(length)) = headers.get(CONTENT_LENGTH).map(HeaderValue::to_str) else {
        return 0;
    };
    length.parse().unwrap_or_default()
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    Events,
    Whole,
}

/// Returns the form of an answer that begins with these bytes; `None` when they are too few.
fn form_of(start: &[u8], default: Form) -> Option<Form> {
    match sniff(start)? {
        Sniffed::Events => Some(Form::Events),
        Sniffed::Json => Some(Form::Whole),
        Sniffed::Other => Some(default),
    }
}

fn joined(start: &Bytes, more: Bytes) -> Bytes {
    if start.is_empty() {
        return more;
    }
    let mut joined = BytesMut::from(&start[..]);
    joined.extend_from_slice(&more);
    joined.freeze()
}

/// Reads the rest of a body that began with `start`.
async fn read_rest(start: Bytes, mut body: Body) -> Result<CollectedBody, ServiceError> {
    if start.is_empty() {
        return read_whole(body).await;
    }
    let limit_bytes = body.max_collected_bytes();
    let mut reservation: MemoryReservation = body.budget().reservation();
    let mut collected = BytesMut::from(&start[..]);
    loop {
        if collected.len() > limit_bytes {
            return Err(too_long(limit_bytes));
        }
        reservation.hold(collected.len())?;
        match next_data(&mut body).await? {
            Some(data) => collected.extend_from_slice(&data),
            None => return Ok(CollectedBody::new(collected.freeze(), reservation)),
        }
    }
}
