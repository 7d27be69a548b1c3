//! The body of a response: where it ends (RFC 9112 section 6.3), and its content.

use std::{io, ops::Range};

use bytes::{Bytes, BytesMut};
use http_body::SizeHint;

use super::chunked::ChunkedDecoder;

/// Finds the content of a body in what is read, and its end.
#[derive(Debug)]
pub(crate) enum BodyDecoder {
    /// This number of bytes is left.
    Length(u64),
    Chunked(ChunkedDecoder),
    /// The end of the connection is the end of the body.
    UntilClose,
    /// The connection has ended, and the body with it.
    Closed,
}

/// What is in some bytes of a body.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) content: Option<Bytes>,
    /// Whether the body ends before the bytes do.
    pub(crate) is_followed: bool,
}

/// What was read of a body.
pub(crate) trait Input {
    fn bytes(&self) -> &[u8];

    /// Returns these bytes of it as a buffer of their own.
    fn piece(&self, range: Range<usize>) -> Bytes;
}

/// Bytes that are copied.
impl Input for [u8] {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn piece(&self, range: Range<usize>) -> Bytes {
        Bytes::copy_from_slice(&self[range])
    }
}

/// Bytes that are shared, unless most of them would be kept for little.
impl Input for Bytes {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn piece(&self, range: Range<usize>) -> Self {
        if range.len() < self.len() / 2 {
            return Self::copy_from_slice(&self[range]);
        }
        self.slice(range)
    }
}

impl BodyDecoder {
    pub(crate) fn chunked() -> Self {
        Self::Chunked(ChunkedDecoder::default())
    }

    /// Whether the message defines its own length (RFC 9112 section 9.3), so that the end of the
    /// connection is not needed.
    pub(crate) fn is_self_delimited(&self) -> bool {
        matches!(self, Self::Length(_) | Self::Chunked(_))
    }

    /// Whether nothing of the body is left.
    pub(crate) fn is_ended(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(decoder) => decoder.is_ended(),
            Self::UntilClose => false,
            Self::Closed => true,
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Length(left) => SizeHint::with_exact(*left),
            Self::Closed => SizeHint::with_exact(0),
            Self::Chunked(decoder) if decoder.is_ended() => SizeHint::with_exact(0),
            Self::Chunked(_) | Self::UntilClose => SizeHint::default(),
        }
    }

    /// Checks what was decoded so far.
    ///
    /// # Errors
    /// The body is not coded as its head says.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self {
            Self::Chunked(decoder) => decoder.check(),
            Self::Length(_) | Self::UntilClose | Self::Closed => Ok(()),
        }
    }

    /// Returns the content in `input`, up to the first byte that is not valid, which
    /// [`check`](Self::check) then reports.
    pub(crate) fn decode(&mut self, input: &(impl Input + ?Sized)) -> Decoded {
        let length = input.bytes().len();
        let taken = match self {
            Self::Chunked(decoder) => return decode_chunks(decoder, input),
            Self::Length(left) => {
                let taken = usize::try_from(*left).map_or(length, |left| left.min(length));
                *left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
                taken
            }
            Self::UntilClose => length,
            Self::Closed => 0,
        };
        Decoded {
            content: (taken > 0).then(|| input.piece(0..taken)),
            is_followed: taken < length,
        }
    }

    /// Ends the body with the connection.
    ///
    /// # Errors
    /// The body is not complete.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        match self {
            Self::UntilClose => *self = Self::Closed,
            Self::Length(_) | Self::Chunked(_) | Self::Closed => {
                if !self.is_ended() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        Ok(())
    }
}

/// Returns the content of all chunks in `input` together, so that it is passed on at once.
fn decode_chunks(decoder: &mut ChunkedDecoder, input: &(impl Input + ?Sized)) -> Decoded {
    let (bytes, mut at) = (input.bytes(), 0);
    let first = decoder.next_data(bytes, &mut at);
    let second = decoder.next_data(bytes, &mut at);
    let content = match (first, second) {
        (Some(first), Some(second)) => {
            let mut joined = BytesMut::with_capacity(bytes.len() - first.start);
            joined.extend_from_slice(&bytes[first]);
            joined.extend_from_slice(&bytes[second]);
            while let Some(data) = decoder.next_data(bytes, &mut at) {
                joined.extend_from_slice(&bytes[data]);
            }
            Some(joined.freeze())
        }
        (first, _) => first.map(|data| input.piece(data)),
    };
    Decoded {
        content,
        is_followed: at < bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_content_does_not_keep_all_that_was_read() {
        let read = Bytes::from(vec![b'x'; 100]);
        for (length, is_shared) in [(49, false), (50, true), (100, true)] {
            let mut decoder = BodyDecoder::Length(length);
            let content = decoder.decode(&read).content.unwrap();
            assert_eq!(content.as_ptr() == read.as_ptr(), is_shared, "{length}");
        }
    }
}
