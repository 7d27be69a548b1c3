//! A cell as bytes. A store and a snapshot use the same format.
//!
//! Numbers are little endian. First come four words of 32 bits: the latest fine slot, and what
//! counts in the minute, the hour and the day. Two words of 16 bits follow: how many pairs are in
//! day slots, and how many in day or hour slots. Then come the pairs, oldest first, each a slot and
//! a count of 32 bits.

use super::list::{List, MAX_PAIRS, to_u16};
use super::pair::Pair;
use super::{Cell, INLINE};

/// Bytes before the pairs.
const HEADER_LEN: usize = 20;

/// Bytes of a pair.
const PAIR_LEN: usize = 8;

impl Cell {
    /// Appends the cell to `to`.
    pub(crate) fn pack(&self, to: &mut Vec<u8>) {
        let parts = self.parts();
        let pairs_len = parts.pairs.len().saturating_mul(PAIR_LEN);
        to.reserve(pairs_len.saturating_add(HEADER_LEN));
        to.extend_from_slice(&self.last().to_le_bytes());
        for total in self.used() {
            to.extend_from_slice(&total.to_le_bytes());
        }
        to.extend_from_slice(&to_u16(parts.hours_start).to_le_bytes());
        to.extend_from_slice(&to_u16(parts.minutes_start).to_le_bytes());
        for pair in parts.pairs {
            to.extend_from_slice(&pair.slot.to_le_bytes());
            to.extend_from_slice(&pair.count.to_le_bytes());
        }
    }

    /// Reads a cell; `None` if [`pack`](Self::pack) cannot have produced `bytes`.
    pub(crate) fn unpack(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>()?;
        let (words, excess) = header.as_chunks::<4>();
        let [last, minute, hour, day, starts] = *words else {
            return None;
        };
        let [hours_low, hours_high, minutes_low, minutes_high] = starts;
        let hours_start = u16::from_le_bytes([hours_low, hours_high]);
        let minutes_start = u16::from_le_bytes([minutes_low, minutes_high]);
        let (pairs, partial_pair) = rest.as_chunks::<PAIR_LEN>();
        if !excess.is_empty() || !partial_pair.is_empty() || pairs.len() > MAX_PAIRS {
            return None;
        }
        if hours_start > minutes_start || usize::from(minutes_start) > pairs.len() {
            return None;
        }
        let last = u32::from_le_bytes(last);
        let list = List {
            totals: [minute, hour, day].map(u32::from_le_bytes),
            hours_start,
            minutes_start,
            pairs: pairs.iter().map(unpack_pair).collect(),
        };
        if !list.parts().are_in_order(last) || list.parts().totals() != list.totals {
            return None;
        }
        if list.pairs.len() <= INLINE {
            return Some(Self::small(last, &list));
        }
        Some(Self::Large {
            last,
            list: Box::new(list),
        })
    }
}

fn unpack_pair(bytes: &[u8; PAIR_LEN]) -> Pair {
    let [a, b, c, d, e, f, g, h] = *bytes;
    Pair {
        slot: u32::from_le_bytes([a, b, c, d]),
        count: u32::from_le_bytes([e, f, g, h]),
    }
}
