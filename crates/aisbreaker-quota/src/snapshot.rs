//! Counters as bytes, so that an engine can go on after a restart of its process.
//!
//! Layout, all numbers little endian: the magic, the version of the format, the engine's clock and
//! the wall clock in nanoseconds, the seed of the classes of the shared overflow. Then entries,
//! each one byte of kind, two lengths of 16 bits, a key and a packed cell. Then the end: its kind,
//! the latest slot in which a cell was freed, since when the overflow matters, how many entries
//! there were, and the CRC-32 of all before it.
//!
//! The checksum finds what is torn, mixed up or altered by accident: any change within 32 bits for
//! certain, others but for one in four billion. It keeps nobody out who can write the file; what is
//! read is checked all the same.

use std::fmt;
use std::hash::Hash;
use std::time::{Duration, Instant, SystemTime};

use crc32fast::Hasher;

use crate::cell::Cell;
use crate::engine::Engine;
use crate::limits::{Charge, Limits};
use crate::overflow::Overflow;
use crate::slots::{Epoch, Moment};
use crate::table::Table;

const MAGIC: [u8; 8] = *b"aisbqta\x1a";
const VERSION: u32 = 1;
/// Magic, version, two clocks and the seed.
const HEAD: usize = 36;
/// Kind, freed at, used until, count and checksum.
const END: usize = 25;

const OWN: u8 = 1;
const SHARED: u8 = 2;
const OVERFLOW: u8 = 3;
const LAST: u8 = 0;

/// Why [`Engine::restored`] refused some bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// No snapshot at all.
    #[error("it is not a snapshot of counters")]
    Foreign,
    /// A snapshot in a format of another version of this library.
    #[error("it is in format {0}, and only format {VERSION} is known")]
    Version(u32),
    /// Cut short, or changed since it was written.
    #[error("it is cut short or damaged")]
    Damaged,
    /// Whole, but with something in it that no engine with keys of this kind writes.
    #[error("it holds something else than counters of this kind")]
    Unknown,
}

/// Where and how [`Engine::restored`] goes on.
#[expect(clippy::exhaustive_structs, reason = "all of it must be said")]
pub struct Restore<K> {
    /// The moment at which the engine starts; a `now` before it counts as it.
    pub now: Instant,
    /// The wall clock at that moment.
    pub wall: SystemTime,
    /// As in [`Engine::new`].
    pub capacity: usize,
    /// As in [`Engine::with_homes`]; it may be another one than before.
    pub home: Option<fn(&K) -> u64>,
}

impl<K> fmt::Debug for Restore<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restore")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl<K: Clone + Eq + Hash> Engine<K> {
    /// Writes down all counters, as `write` takes the bytes, in pieces. `encode` appends the bytes
    /// of a key, at most 65535 of them and different for different keys.
    ///
    /// Others go on charging meanwhile: of what they charge, each counter may have any first part
    /// in it. The locks of some 1600 keys are held at a time, for as long as their cells are
    /// copied; none while `write` runs. A counter that counts nothing any more is left out.
    ///
    /// # Errors
    /// The first error of `write`; nothing is written after it.
    pub fn snapshot<E>(
        &self,
        now: Instant,
        wall: SystemTime,
        mut encode: impl FnMut(&K, &mut Vec<u8>),
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let now = self.epoch.moment(now);
        let mut sum = Hasher::new();
        let mut send = |bytes: &[u8]| {
            sum.update(bytes);
            write(bytes)
        };
        let mut piece = Vec::with_capacity(HEAD);
        piece.extend_from_slice(&MAGIC);
        piece.extend_from_slice(&VERSION.to_le_bytes());
        for number in [now.nanos(), since_1970(wall), self.overflow.seed()] {
            piece.extend_from_slice(&number.to_le_bytes());
        }
        send(&piece)?;
        let (mut count, mut key_bytes, mut cell_bytes) = (0_u64, Vec::new(), Vec::new());
        let mut add = |piece: &mut Vec<u8>, kind: u8, key: Option<&K>, cell: &Cell| {
            key_bytes.clear();
            cell_bytes.clear();
            if let Some(key) = key {
                encode(key, &mut key_bytes);
            }
            cell.pack(&mut cell_bytes);
            entry(piece, kind, &key_bytes, &cell_bytes);
            count = count.saturating_add(1);
        };
        for turn in 0..self.table.tables() {
            piece.clear();
            self.table
                .each_of(turn, now.slot(), |key, cell, is_shared| {
                    add(
                        &mut piece,
                        if is_shared { SHARED } else { OWN },
                        Some(key),
                        cell,
                    );
                });
            send(&piece)?;
        }
        // Last: a key that moves from here to a cell of its own meanwhile leaves behind what it
        // counted here.
        piece.clear();
        let cells = self.overflow.lock();
        let used_until = self.overflow.used_until();
        cells
            .iter()
            .for_each(|cell| add(&mut piece, OVERFLOW, None, cell));
        drop(cells);
        piece.push(LAST);
        piece.extend_from_slice(&self.table.freed_at().to_le_bytes());
        piece.extend_from_slice(&used_until.to_le_bytes());
        piece.extend_from_slice(&count.to_le_bytes());
        send(&piece)?;
        write(&sum.finalize().to_le_bytes())
    }

    /// An engine that goes on where [`snapshot`](Self::snapshot) stood: what was charged since then
    /// is forgotten, and nothing else. `decode` reads a key.
    ///
    /// The time since then is that of the wall clock, which is the only one that two processes
    /// share. If it was set back, no time has passed, so that counters last longer and nobody is
    /// admitted for it; if it was set forward, that time counts as passed.
    ///
    /// All keys are tracked, even if they are more than `capacity`; new keys then share counters
    /// until enough of those are freed.
    ///
    /// # Errors
    /// [`SnapshotError`] if the bytes are anything but one whole snapshot. They never make this
    /// panic, nor take more memory than some times their length.
    pub fn restored(
        bytes: &[u8],
        restore: &Restore<K>,
        decode: impl FnMut(&[u8]) -> Option<K>,
    ) -> Result<Self, SnapshotError> {
        let (clock, written, seed, entries) = opened(bytes)?;
        let Restore {
            now,
            wall,
            capacity,
            home,
        } = *restore;
        let passed = Duration::from_nanos(since_1970(wall).saturating_sub(written));
        let before = Moment::at(Duration::from_nanos(clock)).after(passed);
        let mut table = Table::new(capacity, home);
        let overflow = filled(entries, &mut table, seed, decode).ok_or(SnapshotError::Unknown)?;
        Ok(Self {
            epoch: Epoch::new(now, before),
            table,
            overflow,
        })
    }
}

/// The engine's clock, the wall clock, the seed and the entries of a snapshot that is whole.
fn opened(bytes: &[u8]) -> Result<(u64, u64, u64, &[u8]), SnapshotError> {
    let (magic, rest) = bytes.split_first_chunk().ok_or(SnapshotError::Foreign)?;
    if *magic != MAGIC {
        return Err(SnapshotError::Foreign);
    }
    let mut head = Reader(rest);
    let version = head.u32().ok_or(SnapshotError::Damaged)?;
    if version != VERSION {
        return Err(SnapshotError::Version(version));
    }
    let (whole, sum) = bytes.split_last_chunk().ok_or(SnapshotError::Damaged)?;
    if crc32fast::hash(whole) != u32::from_le_bytes(*sum) || bytes.len() < HEAD.saturating_add(END)
    {
        return Err(SnapshotError::Damaged);
    }
    let mut number = || head.u64().ok_or(SnapshotError::Damaged);
    let (clock, written, seed) = (number()?, number()?, number()?);
    Ok((clock, written, seed, whole.get(HEAD..).unwrap_or_default()))
}

/// Puts all entries where they belong; `None` if one of them belongs nowhere.
fn filled<K: Clone + Eq + Hash>(
    entries: &[u8],
    table: &mut Table<K>,
    seed: u64,
    mut decode: impl FnMut(&[u8]) -> Option<K>,
) -> Option<Overflow> {
    let mut reader = Reader(entries);
    let (mut cells, mut count) = (Vec::new(), 0_u64);
    loop {
        let kind = reader.u8()?;
        if kind == LAST {
            break;
        }
        let (key_len, cell_len) = (reader.u16()?, reader.u16()?);
        let key = reader.take(usize::from(key_len))?;
        let cell = Cell::unpack(reader.take(usize::from(cell_len))?)?;
        let is_new = match kind {
            OWN => table.put(Charge::new(decode(key)?, Limits::UNLIMITED), cell),
            SHARED => table.put(Charge::shared(decode(key)?, Limits::UNLIMITED), cell),
            OVERFLOW if key.is_empty() && cells.len() < Overflow::CELLS => {
                cells.push(cell);
                true
            }
            _ => false,
        };
        if !is_new {
            return None;
        }
        count = count.checked_add(1)?;
    }
    table.set_freed_at(reader.u32()?);
    let used_until = reader.u64()?;
    let is_all = reader.u64()? == count && reader.0.is_empty();
    is_all.then(|| Overflow::restored(seed, cells, used_until))
}

/// Appends an entry. A cell has at most 298 pairs, which is 2404 bytes.
fn entry(to: &mut Vec<u8>, kind: u8, key: &[u8], cell: &[u8]) {
    to.push(kind);
    for part in [key, cell] {
        to.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_le_bytes());
    }
    to.extend_from_slice(key.get(..usize::from(u16::MAX)).unwrap_or(key));
    to.extend_from_slice(cell);
}

/// Nanoseconds since 1970 on the wall clock, up to the year 2554.
fn since_1970(wall: SystemTime) -> u64 {
    let since = wall
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What is not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.chunk::<1>().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.chunk().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }
}
