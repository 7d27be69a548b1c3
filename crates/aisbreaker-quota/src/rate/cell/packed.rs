//! A cell as bytes in a snapshot.
//!
//! Numbers are little endian: the latest moment in 64 bits, the length of the window in
//! milliseconds in 32, then the slots, oldest first, each the lower 32 bits of its number and a
//! count of 32 bits.

use std::time::Duration;

use super::{MAX_SLOTS, RateCell, SlotCount};
use crate::policy::CounterCell;
use crate::slots::{Moment, REACH};
use crate::snapshot::Cursor;
use crate::window_length::WindowLength;

impl RateCell {
    /// Appends the cell to `to`.
    pub(super) fn pack(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.last.to_le_bytes());
        to.extend_from_slice(&self.window_millis.to_le_bytes());
        for SlotCount { slot, count } in self.counts() {
            to.extend_from_slice(&slot.to_le_bytes());
            to.extend_from_slice(&count.to_le_bytes());
        }
    }

    /// Reads a cell; `None` if [`pack`](Self::pack) cannot have produced `bytes`.
    pub(super) fn unpack(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let (last, window_millis) = (cursor.u64()?, cursor.u32()?);
        let is_moment = Moment::at(Duration::from_nanos(last)).nanos() == last;
        if !is_moment || WindowLength::from_millis(window_millis).is_none() {
            return None;
        }
        let mut cell = Self::fresh(window_millis, last);
        let mut age = REACH.saturating_add(1);
        for _ in 0..MAX_SLOTS {
            if cursor.is_empty() {
                return Some(cell);
            }
            let (slot, count) = (cursor.u32()?, cursor.u32()?);
            let is_later = cell.age(slot) < age;
            if count == 0 || !is_later || cell.total.checked_add(count).is_none() {
                return None;
            }
            age = cell.age(slot);
            cell.push(slot, count);
        }
        cursor.is_empty().then_some(cell)
    }
}
