//! A cell as bytes, for a store or a file: the same for all of them, so that what one wrote another
//! can read.
//!
//! Numbers are little endian. Four words of 32 bits: the latest fine slot, what counts in the
//! minute, the hour and the day. Two of 16 bits: how many pairs are in slots of the day, and how
//! many in those or in slots of the hour. Then the pairs, oldest first, each a slot and a count of
//! 32 bits.

use super::{Cell, INLINE, List, MAX_PAIRS, Pair, narrow};

/// Bytes before the pairs.
const HEADER: usize = 20;

/// Bytes of a pair.
const PAIR: usize = 8;

impl Cell {
    /// Appends the cell.
    pub(crate) fn pack(&self, to: &mut Vec<u8>) {
        let parts = self.parts();
        to.reserve(
            parts
                .pairs
                .len()
                .saturating_mul(PAIR)
                .saturating_add(HEADER),
        );
        to.extend_from_slice(&self.last().to_le_bytes());
        for total in self.used() {
            to.extend_from_slice(&total.to_le_bytes());
        }
        to.extend_from_slice(&narrow(parts.hours).to_le_bytes());
        to.extend_from_slice(&narrow(parts.minutes).to_le_bytes());
        for pair in parts.pairs {
            to.extend_from_slice(&pair.slot.to_le_bytes());
            to.extend_from_slice(&pair.count.to_le_bytes());
        }
    }

    /// The cell in `bytes`; `None` if they are none that [`pack`](Self::pack) made.
    pub(crate) fn unpack(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        let (words, parts) = header.as_chunks::<4>();
        let [last, minute, hour, day, bounds] = *words else {
            return None;
        };
        let [hours_low, hours_high, minutes_low, minutes_high] = bounds;
        let hours = u16::from_le_bytes([hours_low, hours_high]);
        let minutes = u16::from_le_bytes([minutes_low, minutes_high]);
        let (pairs, cut) = rest.as_chunks::<PAIR>();
        let is_whole = parts.is_empty() && cut.is_empty() && pairs.len() <= MAX_PAIRS;
        if !is_whole || hours > minutes || usize::from(minutes) > pairs.len() {
            return None;
        }
        let last = u32::from_le_bytes(last);
        let list = List {
            totals: [minute, hour, day].map(u32::from_le_bytes),
            hours,
            minutes,
            pairs: pairs.iter().map(pair).collect(),
        };
        if !list.parts().are_in_order(last) || list.parts().totals() != list.totals {
            return None;
        }
        Some(if list.pairs.len() <= INLINE {
            Self::small(last, &list)
        } else {
            Self::Large {
                last,
                list: Box::new(list),
            }
        })
    }
}

fn pair(bytes: &[u8; PAIR]) -> Pair {
    let [a, b, c, d, e, f, g, h] = *bytes;
    Pair {
        slot: u32::from_le_bytes([a, b, c, d]),
        count: u32::from_le_bytes([e, f, g, h]),
    }
}
