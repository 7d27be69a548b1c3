//! Ledgers as bytes, so that accounts survive a restart.
//!
//! All numbers are little endian. The header has the magic, the format version, and the ledger's
//! clock and the wall clock in nanoseconds. An account is its key with a length of 16 bits, and then
//! as in `packed`. The trailer has the number of accounts and the CRC-32 of everything before it.

use std::hash::Hash;
use std::time::{Duration, Instant, SystemTime};

use crc32fast::Hasher;

use super::{Ledger, account::Account, policy::BudgetPolicy, shards::Shards};
use crate::{
    slots::{Epoch, Moment},
    snapshot::{Cursor, Frame, SnapshotError, nanos_since_1970},
};

const VERSION: u32 = 1;
/// Bytes of magic, version and two clocks.
const HEADER_LEN: usize = 28;
/// Bytes of the number of accounts and the checksum.
const TRAILER_LEN: usize = 12;

impl<K: Clone + Eq + Hash, B: BudgetPolicy> Ledger<K, B> {
    /// Writes all accounts, calling `write` with one piece of the snapshot after the other.
    ///
    /// `encode` appends the bytes of a key: at most 65535 of them, different for different keys.
    /// Other threads may go on. What is reserved and not settled yet is in the snapshot as reserved,
    /// and stays so in a ledger that is restored from it.
    ///
    /// # Errors
    /// Returns the first error of `write`, and writes nothing after it.
    pub fn snapshot<E>(
        &self,
        now: Instant,
        wall: SystemTime,
        mut encode: impl FnMut(&K, &mut Vec<u8>),
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let moment = self.shards.not_before_freed(self.epoch.moment(now));
        let mut checksum = Hasher::new();
        let mut send = |bytes: &[u8]| {
            checksum.update(bytes);
            write(bytes)
        };
        let mut buffer = Vec::with_capacity(HEADER_LEN);
        buffer.extend_from_slice(&B::MAGIC);
        buffer.extend_from_slice(&VERSION.to_le_bytes());
        buffer.extend_from_slice(&moment.nanos().to_le_bytes());
        buffer.extend_from_slice(&nanos_since_1970(wall).to_le_bytes());
        send(&buffer)?;
        let (mut count, mut bytes_of_key) = (0_u64, Vec::new());
        for index in 0..self.shards.count() {
            buffer.clear();
            self.shards.visit_active(index, moment, |key, account| {
                bytes_of_key.clear();
                encode(key, &mut bytes_of_key);
                push(&mut buffer, &bytes_of_key, account);
                count = count.saturating_add(1);
            });
            send(&buffer)?;
        }
        send(&count.to_le_bytes())?;
        write(&checksum.finalize().to_le_bytes())
    }

    /// Creates a ledger that continues from a [`snapshot`](Self::snapshot), at `now` and `wall`,
    /// which are the same moment on two clocks. `decode` reads a key.
    ///
    /// The time between snapshot and restore is taken from the wall clock; if that was set back, no
    /// time has passed. All accounts are kept, even if they are more than the capacity.
    ///
    /// # Errors
    /// [`SnapshotError`] if the bytes are anything but one whole snapshot. No bytes make this panic,
    /// or allocate more than a small multiple of their length.
    pub fn restore(
        bytes: &[u8],
        (now, wall): (Instant, SystemTime),
        capacity: usize,
        decode: impl FnMut(&[u8]) -> Option<K>,
    ) -> Result<Self, SnapshotError> {
        let (clock_nanos, wall_nanos, body) = read_header(B::MAGIC, bytes)?;
        let elapsed = nanos_since_1970(wall).saturating_sub(wall_nanos);
        let moment =
            Moment::at(Duration::from_nanos(clock_nanos)).after(Duration::from_nanos(elapsed));
        let shards = Shards::new(capacity);
        read_accounts(body, &shards, decode).ok_or(SnapshotError::Invalid)?;
        Ok(Self {
            epoch: Epoch::new(now, moment),
            shards,
        })
    }
}

fn push<B: BudgetPolicy>(to: &mut Vec<u8>, key: &[u8], account: &Account<B>) {
    let key_len = u16::try_from(key.len()).unwrap_or(u16::MAX);
    to.extend_from_slice(&key_len.to_le_bytes());
    to.extend_from_slice(key.get(..usize::from(key_len)).unwrap_or(key));
    account.pack(to);
}

/// Returns the two clocks and the bytes of the accounts with their number.
fn read_header(magic: [u8; 8], bytes: &[u8]) -> Result<(u64, u64, &[u8]), SnapshotError> {
    let frame = Frame {
        magic,
        version: VERSION,
        min_len: HEADER_LEN.saturating_add(TRAILER_LEN),
    };
    let mut cursor = Cursor::new(frame.open(bytes)?);
    let mut number = || cursor.u64().ok_or(SnapshotError::Damaged);
    let (clock, wall) = (number()?, number()?);
    Ok((clock, wall, cursor.rest()))
}

fn read_accounts<K: Clone + Eq + Hash, B: BudgetPolicy>(
    body: &[u8],
    shards: &Shards<K, B>,
    mut decode: impl FnMut(&[u8]) -> Option<K>,
) -> Option<()> {
    let (accounts, count) = body.split_last_chunk()?;
    let mut cursor = Cursor::new(accounts);
    for _ in 0..u64::from_le_bytes(*count) {
        let len = cursor.u16()?;
        let key = decode(cursor.take(usize::from(len))?)?;
        let account = Account::unpack(&mut cursor)?;
        shards.insert_unbounded(key, account).then_some(())?;
    }
    cursor.is_empty().then_some(())
}
