//! Response bodies of limited size.

use std::{ops::Deref, time::Duration};

use aisbreaker_egress::{Body, MemoryReservation, SendError};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use crate::error::ServiceError;

/// How much of an error's body is read, in bytes.
const MAX_ERROR_BODY_BYTES: usize = 64 * 1024;
/// How long the body of an error may take.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A whole body, and the memory reserved for it.
///
/// Keep it as long as what is parsed from it, which takes memory as well.
pub(crate) struct CollectedBody {
    bytes: Bytes,
    _reservation: MemoryReservation,
}

impl CollectedBody {
    pub(super) fn new(bytes: Bytes, reservation: MemoryReservation) -> Self {
        Self {
            bytes,
            _reservation: reservation,
        }
    }

    /// Returns the bytes, and releases the reservation.
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
pub(crate) async fn read_whole(body: Body) -> Result<CollectedBody, ServiceError> {
    let (bytes, reservation) = body.collect_bounded().await?;
    Ok(CollectedBody::new(bytes, reservation))
}

/// Reads the beginning of an error's body.
///
/// If the body breaks or takes too long, the bytes so far are returned: the status is known, so the
/// error can be reported without the rest.
pub(crate) async fn read_error(mut body: Body) -> Bytes {
    let mut collected = BytesMut::new();
    let reading = async {
        while collected.len() < MAX_ERROR_BODY_BYTES
            && let Ok(Some(data)) = next_data(&mut body).await
        {
            collected.extend_from_slice(&data);
        }
    };
    let _read_or_elapsed = tokio::time::timeout(ERROR_BODY_TIMEOUT, reading).await;
    collected.freeze()
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
