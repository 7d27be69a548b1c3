//! What all snapshots have in common: a magic, a version, and a checksum of all before it at the end.

use super::{Cursor, SnapshotError};

/// The kind of a snapshot.
pub(crate) struct Frame {
    pub(crate) magic: [u8; 8],
    pub(crate) version: u32,
    /// Bytes of the shortest snapshot.
    pub(crate) min_len: usize,
}

impl Frame {
    /// Checks that a snapshot is whole. Returns the bytes between its version and its checksum.
    ///
    /// # Errors
    /// [`SnapshotError`] for anything else.
    pub(crate) fn open<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], SnapshotError> {
        let Some(rest) = bytes.strip_prefix(&self.magic) else {
            return Err(SnapshotError::NotASnapshot);
        };
        let version = Cursor::new(rest).u32().ok_or(SnapshotError::Damaged)?;
        if version != self.version {
            return Err(SnapshotError::Version(version));
        }
        let (whole, checksum) = bytes.split_last_chunk().ok_or(SnapshotError::Damaged)?;
        if bytes.len() < self.min_len || crc32fast::hash(whole) != u32::from_le_bytes(*checksum) {
            return Err(SnapshotError::Damaged);
        }
        // Past the magic and the version.
        Ok(whole.get(12..).unwrap_or_default())
    }
}
