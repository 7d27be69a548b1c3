//! Content of any length that nobody holds whole: each byte follows from its offset.

use std::{
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// The content repeats these bytes. Their number is prime, so that no buffer is a divisor of it.
static BLOCK: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    let bytes = (0..1_048_583).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    });
    bytes.collect()
});

/// Returns at most `max` bytes of the content at this offset.
pub(crate) fn content_at(offset: usize, max: usize) -> Bytes {
    let start = offset % BLOCK.len();
    let end = start.saturating_add(max).min(BLOCK.len());
    BLOCK.slice(start..end)
}

/// Returns whether these bytes are the content at this offset.
pub(crate) fn is_content_at(mut offset: usize, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let expected = content_at(offset, bytes.len());
        let (piece, rest) = bytes.split_at(expected.len());
        if piece != expected {
            return false;
        }
        offset += piece.len();
        bytes = rest;
    }
    true
}

/// The content as the body of an HTTP library.
pub(crate) struct ContentBody {
    offset: usize,
    length: usize,
    frame_bytes: usize,
    is_announced: bool,
}

impl ContentBody {
    /// Creates a body of this length, in frames of `frame_bytes`. Its length is announced or not.
    pub(crate) fn new(length: usize, frame_bytes: usize, is_announced: bool) -> Self {
        Self {
            offset: 0,
            length,
            frame_bytes,
            is_announced,
        }
    }
}

impl Body for ContentBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let left = self.length - self.offset;
        if left == 0 {
            return Poll::Ready(None);
        }
        let data = content_at(self.offset, left.min(self.frame_bytes));
        self.offset += data.len();
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_announced {
            SizeHint::with_exact((self.length - self.offset) as u64)
        } else {
            SizeHint::default()
        }
    }
}
