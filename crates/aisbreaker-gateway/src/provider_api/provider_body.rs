//! Reads the body of a provider's response that is translated.

use std::{pin::Pin, time::Duration};

use aisbreaker_egress::{Body, CollectError, MemoryReservation, SendError};
use aisbreaker_services::{MAX_SNIFFED_BYTES, ServiceError, Sniffed, sniff};
use bytes::{Bytes, BytesMut};
use http::{header::CONTENT_ENCODING, response};
use http_body::Body as _;

use super::body_kind::BodyKind;

/// How much of the body of an error is read, in bytes.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// How long the body of an error may take.
const ERROR_TIMEOUT: Duration = Duration::from_secs(10);

/// A provider's answer, as far as it is read before the client's response begins.
pub(super) enum ReadAnswer {
    /// A stream, with its first bytes.
    Events(Bytes, Box<Body>),
    /// A whole answer, with the memory that it holds.
    Whole(Bytes, MemoryReservation),
}

/// Reads an answer that is no stream, or as much of one as shows that it is.
///
/// # Errors
/// [`ServiceError::BadAnswer`] for an answer with a content coding, though none was asked for, and
/// those of the body.
pub(super) async fn read_answer(
    is_stream_asked: bool,
    parts: &response::Parts,
    mut body: Body,
) -> Result<ReadAnswer, ServiceError> {
    if parts.headers.contains_key(CONTENT_ENCODING) {
        let problem = "the provider's answer has a content coding, so it cannot be translated";
        return Err(ServiceError::BadAnswer(problem.into()));
    }
    let mut start = Bytes::new();
    let is_stream = match BodyKind::of(parts) {
        _ if !is_stream_asked => false,
        BodyKind::Json => false,
        BodyKind::EventStream => true,
        BodyKind::Unlabelled | BodyKind::Opaque => {
            let sniffed;
            (start, sniffed) = read_start(&mut body).await?;
            sniffed == Some(Sniffed::Events)
        }
    };
    if is_stream {
        return Ok(ReadAnswer::Events(start, Box::new(body)));
    }
    let (whole, reservation) = read_whole(start, body).await?;
    Ok(ReadAnswer::Whole(whole, reservation))
}

/// Reads the first bytes, and what they show; `None` if they show nothing.
async fn read_start(body: &mut Body) -> Result<(Bytes, Option<Sniffed>), SendError> {
    let mut start = BytesMut::new();
    loop {
        let sniffed = sniff(&start);
        if sniffed.is_some() || start.len() >= MAX_SNIFFED_BYTES {
            return Ok((start.freeze(), sniffed));
        }
        match next_data(body).await? {
            Some(data) => start.extend_from_slice(&data),
            None => return Ok((start.freeze(), None)),
        }
    }
}

/// Reads the whole of a body that began with `start`. Returns it with the memory that it holds.
async fn read_whole(
    start: Bytes,
    mut body: Body,
) -> Result<(Bytes, MemoryReservation), CollectError> {
    if start.is_empty() {
        return body.collect_bounded().await;
    }
    let limit_bytes = body.max_collected_bytes();
    let mut reservation = body.budget().reservation();
    let mut whole = BytesMut::from(&start[..]);
    loop {
        if whole.len() > limit_bytes {
            return Err(CollectError::TooLong { limit_bytes });
        }
        reservation.hold(whole.len())?;
        match next_data(&mut body).await? {
            Some(data) => whole.extend_from_slice(&data),
            None => return Ok((whole.freeze(), reservation)),
        }
    }
}

/// Reads the beginning of an error's body. What is missing of it is not worth an error of its own,
/// since the status is known.
pub(super) async fn read_error(mut body: Body) -> Bytes {
    let mut text = BytesMut::new();
    let reading = async {
        while text.len() < MAX_ERROR_BYTES
            && let Ok(Some(data)) = next_data(&mut body).await
        {
            text.extend_from_slice(&data);
        }
    };
    let _read_or_elapsed = tokio::time::timeout(ERROR_TIMEOUT, reading).await;
    text.truncate(MAX_ERROR_BYTES);
    text.freeze()
}

/// Reads on to the next data frame; `None` at the end. Trailers are skipped.
async fn next_data(body: &mut Body) -> Result<Option<Bytes>, SendError> {
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        match frame {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(data) = frame?.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}
