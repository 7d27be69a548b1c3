//! The bytes of a snapshot.
//!
//! All numbers are little endian. The header has the magic, the format version, the engine's clock
//! and the wall clock in nanoseconds, and the seed of the overflow. Entries follow, each a byte for
//! its kind, the lengths of key and cell in 16 bits each, the key, and the packed cell. The trailer
//! has a kind of its own, the latest tick at which a cell was freed, one more than the latest tick at
//! which an overflow cell was charged, the number of entries, and the CRC-32 of everything
//! before it.
//!
//! The checksum detects accidental damage: every change within 32 bits for certain, any other with
//! a chance of error of one in four billion. It does not protect against someone who can write the
//! file. So the reader validates everything else as well.

use super::{Cursor, SnapshotError, frame::Frame};
use crate::policy::{CounterCell, Tick};

pub(super) const VERSION: u32 = 1;

/// Bytes of magic, version, two clocks and seed.
const HEADER_LEN: usize = 36;

/// Bytes of the shortest trailer and the checksum.
const TRAILER_LEN: usize = 25;

const TRAILER: u8 = 0;
const INDIVIDUAL: u8 = 1;
const SHARED: u8 = 2;
const OVERFLOW: u8 = 3;

/// The kind of counter in an entry.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Individual,
    Shared,
    Overflow,
}

/// What a snapshot begins with, besides magic and version.
pub(super) struct Header {
    pub(super) clock_nanos: u64,
    pub(super) wall_nanos: u64,
    pub(super) overflow_seed: u64,
}

impl Header {
    pub(super) fn to_bytes(&self, magic: [u8; 8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(&magic);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        for number in [self.clock_nanos, self.wall_nanos, self.overflow_seed] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// Reads the header of a snapshot that is whole. Returns the bytes between it and the checksum
    /// as well.
    pub(super) fn read(magic: [u8; 8], bytes: &[u8]) -> Result<(Self, &[u8]), SnapshotError> {
        let frame = Frame {
            magic,
            version: VERSION,
            min_len: HEADER_LEN.saturating_add(TRAILER_LEN),
        };
        let mut cursor = Cursor::new(frame.open(bytes)?);
        let mut number = || cursor.u64().ok_or(SnapshotError::Damaged);
        let header = Self {
            clock_nanos: number()?,
            wall_nanos: number()?,
            overflow_seed: number()?,
        };
        Ok((header, cursor.rest()))
    }
}

/// What a snapshot ends with, besides the number of entries and the checksum.
pub(super) struct Trailer<T> {
    pub(super) freed_at: T,
    pub(super) overflow_used_until: u64,
}

/// Writes entries to a buffer, and counts them.
#[derive(Default)]
pub(super) struct EntryWriter {
    bytes: Vec<u8>,
    key: Vec<u8>,
    cell: Vec<u8>,
    count: u64,
}

impl EntryWriter {
    /// Appends an entry. A cell has at most 298 pairs, which is 2404 bytes.
    pub(super) fn push<W>(
        &mut self,
        kind: Kind,
        encode: impl FnOnce(&mut Vec<u8>),
        cell: &impl CounterCell<W>,
    ) {
        self.key.clear();
        self.cell.clear();
        encode(&mut self.key);
        cell.pack(&mut self.cell);
        self.bytes.push(match kind {
            Kind::Individual => INDIVIDUAL,
            Kind::Shared => SHARED,
            Kind::Overflow => OVERFLOW,
        });
        for part in [&self.key, &self.cell] {
            let len = u16::try_from(part.len()).unwrap_or(u16::MAX);
            self.bytes.extend_from_slice(&len.to_le_bytes());
        }
        let key = self.key.get(..usize::from(u16::MAX)).unwrap_or(&self.key);
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(&self.cell);
        self.count = self.count.saturating_add(1);
    }

    /// Returns the entries since the buffer was last cleared.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Empties the buffer. The count goes on.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Appends the trailer and returns the buffer.
    pub(super) fn finish<T: Tick>(mut self, trailer: &Trailer<T>) -> Vec<u8> {
        self.bytes.push(TRAILER);
        trailer.freed_at.pack(&mut self.bytes);
        self.bytes
            .extend_from_slice(&trailer.overflow_used_until.to_le_bytes());
        self.bytes.extend_from_slice(&self.count.to_le_bytes());
        self.bytes
    }
}

/// Reads all entries and the trailer; `None` if any byte is invalid or `visit` rejects an entry by
/// returning `None`.
pub(super) fn read_entries<'a, W, C: CounterCell<W>>(
    bytes: &'a [u8],
    mut visit: impl FnMut(Kind, &'a [u8], C) -> Option<()>,
) -> Option<Trailer<C::Tick>>
where
    C::Tick: Tick,
{
    let mut cursor = Cursor::new(bytes);
    let mut entries = 0_u64;
    loop {
        let kind = match cursor.u8()? {
            TRAILER => break,
            INDIVIDUAL => Kind::Individual,
            SHARED => Kind::Shared,
            OVERFLOW => Kind::Overflow,
            _ => return None,
        };
        let (key_len, cell_len) = (cursor.u16()?, cursor.u16()?);
        let key = cursor.take(usize::from(key_len))?;
        let cell = C::unpack(cursor.take(usize::from(cell_len))?)?;
        visit(kind, key, cell)?;
        entries = entries.checked_add(1)?;
    }
    let trailer = Trailer {
        freed_at: Tick::unpack(&mut cursor)?,
        overflow_used_until: cursor.u64()?,
    };
    let count = cursor.u64()?;
    (count == entries && cursor.is_empty()).then_some(trailer)
}
