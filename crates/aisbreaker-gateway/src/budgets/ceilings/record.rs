//! Ceilings as bytes: records of one length, so that a damaged one hides no other.
//!
//! A record has the version of its format in one byte, the length of the account's name in another
//! and 26 bytes for the name itself, the total and the second since 1970 until which it is kept in
//! 64 bits each, and the CRC-32 of all before it. Numbers are little endian.

use super::Ceiling;
use crate::budgets::account::AccountId;

/// Bytes of a record.
pub(super) const RECORD_LEN: usize = 48;
const VERSION: u8 = 1;
/// Bytes of the name with what fills it up.
const NAME_LEN: usize = 26;

/// Appends a record to `to`.
pub(super) fn push(to: &mut Vec<u8>, account: &AccountId, ceiling: Ceiling) {
    let mut name = Vec::with_capacity(NAME_LEN);
    account.encode(&mut name);
    let mut record = Vec::with_capacity(RECORD_LEN);
    record.push(VERSION);
    // A name has 25 bytes at most.
    record.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    name.resize(NAME_LEN, 0);
    record.extend_from_slice(&name);
    record.extend_from_slice(&ceiling.total.to_le_bytes());
    record.extend_from_slice(&ceiling.keep_until.to_le_bytes());
    record.extend_from_slice(&crc32fast::hash(&record).to_le_bytes());
    to.extend_from_slice(&record);
}

/// Reads one record; `None` if it is torn, altered, or of another version.
pub(super) fn read(record: &[u8; RECORD_LEN]) -> Option<(AccountId, Ceiling)> {
    let (content, checksum) = record.split_last_chunk()?;
    if crc32fast::hash(content) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (version, rest) = content.split_first()?;
    let (len, rest) = rest.split_first()?;
    let (name, rest) = rest.split_at_checked(NAME_LEN)?;
    let (total, keep_until) = rest.split_first_chunk()?;
    if *version != VERSION {
        return None;
    }
    let account = AccountId::decode(name.get(..usize::from(*len))?)?;
    let ceiling = Ceiling {
        total: u64::from_le_bytes(*total),
        keep_until: u64::from_le_bytes(keep_until.try_into().ok()?),
    };
    Some((account, ceiling))
}
