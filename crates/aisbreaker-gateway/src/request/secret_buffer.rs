//! A growing buffer for content that may hold secrets.
//!
//! The HTTP library's own read buffers are not zeroized; content that arrived in one piece is a
//! slice of one.

use std::io::{self, Read};

use bytes::Bytes;
use secrecy::zeroize::Zeroize as _;

const READ_BYTES: usize = 32 << 10;

/// A buffer that is zeroized when it is dropped, and whenever it moves to grow.
#[derive(Default)]
pub(crate) struct SecretBuffer(Vec<u8>);

impl SecretBuffer {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Reads once from the reader. Returns false at its end.
    pub(crate) fn read_from(&mut self, reader: &mut impl Read) -> io::Result<bool> {
        let filled = self.0.len();
        loop {
            self.reserve(READ_BYTES);
            self.0.resize(filled.saturating_add(READ_BYTES), 0);
            let outcome = reader.read(self.0.get_mut(filled..).unwrap_or_default());
            let read = *outcome.as_ref().unwrap_or(&0);
            self.0.truncate(filled.saturating_add(read));
            match outcome {
                Ok(bytes) => return Ok(bytes > 0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Moves to a larger allocation if there is no room for so many more bytes.
    fn reserve(&mut self, bytes: usize) {
        let needed = self.0.len().saturating_add(bytes);
        if needed <= self.0.capacity() {
            return;
        }
        let capacity = needed.max(self.0.capacity().saturating_mul(2));
        let mut larger = Self(Vec::with_capacity(capacity));
        larger.0.extend_from_slice(&self.0);
        *self = larger;
    }
}

impl Drop for SecretBuffer {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl AsRef<[u8]> for SecretBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<SecretBuffer> for Bytes {
    fn from(buffer: SecretBuffer) -> Self {
        Self::from_owner(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_appended_and_read() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();

        let mut appended = SecretBuffer::default();
        assert!(appended.is_empty());
        for piece in text.chunks(777) {
            appended.extend(piece);
        }
        assert_eq!(appended.len(), text.len());
        assert_eq!(Bytes::from(appended), text);

        let mut read = SecretBuffer::default();
        let mut reader = text.as_slice();
        while read.read_from(&mut reader).unwrap() {}
        assert_eq!(Bytes::from(read), text);
    }
}
