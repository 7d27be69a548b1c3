//! Response bodies of limited size.

use std::{ops::Deref, time::Duration};

use aisbreaker_egress::{Body, MemoryReservation, SendError};
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::error::ServiceError;

/// How much of an error's body is read, in bytes.
const MAX_ERROR_BODY_BYTES: usize = 64 * 1024;
/// How long the body of an error may take.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A whole body, and the memory reserved for it.
///
/// It should live as long as what is parsed from it.
pub(crate) struct CollectedBody {
    bytes: Bytes,
    _reservation: MemoryReservation,
}

impl CollectedBody {
    /// Returns the bytes, and gives the reservation back.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl Deref for CollectedBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a whole body.
///
/// # Errors
/// [`ServiceError::BadAnswer`] when the body is too long or cut short, [`ServiceError::Overloaded`]
/// when the memory budget is spent.
pub(crate) async fn read_whole(mut body: Body) -> Result<CollectedBody, ServiceError> {
    let limit = body.max_collected_bytes();
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(too_long(limit));
    }
    let mut reservation = body.budget().reservation();
    let mut collected = JoinedBytes::default();
    while let Some(data) = next_data(&mut body).await? {
        let length = collected.length.saturating_add(data.len());
        if length > limit {
            return Err(too_long(limit));
        }
        reservation.hold(length)?;
        collected.push(data);
    }
    Ok(CollectedBody {
        bytes: collected.into_bytes(),
        _reservation: reservation,
    })
}

/// Reads the beginning of an error's body.
///
/// If the body breaks or takes too long, the bytes so far are returned: the status is known, so the
/// error can be reported without them.
pub(crate) async fn read_error(mut body: Body) -> Bytes {
    let mut collected = JoinedBytes::default();
    let reading = async {
        while collected.length < MAX_ERROR_BODY_BYTES
            && let Ok(Some(data)) = next_data(&mut body).await
        {
            collected.push(data);
        }
    };
    let _read_or_elapsed = tokio::time::timeout(ERROR_BODY_TIMEOUT, reading).await;
    collected.into_bytes()
}

/// Reads on to the next data frame; `None` at the end. Trailers are skipped.
pub(crate) async fn next_data(body: &mut Body) -> Result<Option<Bytes>, SendError> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Returns the error of an answer that is over its limit.
pub(crate) fn too_long(limit_bytes: usize) -> ServiceError {
    let text = format!("the service's answer is longer than {limit_bytes} bytes");
    ServiceError::BadAnswer(text.into())
}

/// Bytes that come in pieces; a single piece is not copied.
#[derive(Default)]
struct JoinedBytes {
    first: Bytes,
    /// All pieces, once there is more than one.
    all: BytesMut,
    length: usize,
}

impl JoinedBytes {
    fn push(&mut self, piece: Bytes) {
        self.length = self.length.saturating_add(piece.len());
        if self.first.is_empty() {
            self.first = piece;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&piece);
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() {
            self.first
        } else {
            self.all.freeze()
        }
    }
}
