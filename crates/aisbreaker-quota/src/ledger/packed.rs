//! An account as bytes. A store and a snapshot use the same format.
//!
//! Numbers are little endian. First come the latest moment and until when the account is kept, both in
//! microseconds, its generation, and its lifetime total, 64 bits each; then for each sliding period how many slots it
//! has in 16 bits and those, oldest first, each with its number in 32 bits and its amount in 64. The
//! account of an allowance begins with its window in milliseconds, in 32 bits, and has the numbers of
//! its slots in 64.

use std::time::Duration;

use super::{
    account::{Account, Slots},
    policy::BudgetPolicy,
};
use crate::{slots::Moment, snapshot::Cursor};

/// The most slots of a period: one for each that counts.
const MAX_SLOTS: usize = 101;

impl<B: BudgetPolicy> Account<B> {
    /// Appends the account to `to`.
    pub(crate) fn pack(&self, to: &mut Vec<u8>) {
        B::pack_window(self.window, to);
        for number in [
            micros(self.latest),
            micros(self.keep_until),
            self.generation,
            self.lifetime,
        ] {
            to.extend_from_slice(&number.to_le_bytes());
        }
        for slots in self.sliding.as_ref() {
            let len = u16::try_from(slots.amounts.len()).unwrap_or(u16::MAX);
            to.extend_from_slice(&len.to_le_bytes());
            for (slot, amount) in &slots.amounts {
                B::pack_slot(*slot, to);
                to.extend_from_slice(&amount.to_le_bytes());
            }
        }
    }

    /// Reads an account; `None` if [`pack`](Self::pack) cannot have written it.
    pub(crate) fn unpack(cursor: &mut Cursor<'_>) -> Option<Self> {
        let window = B::unpack_window(cursor)?;
        let mut moment = || Some(Moment::at(Duration::from_micros(cursor.u64()?)));
        let (latest, keep_until) = (moment()?, moment()?);
        let mut account = Self::new(window, latest, cursor.u64()?);
        account.keep_until = keep_until;
        account.lifetime = cursor.u64()?;
        for (slots, grid) in account.sliding.as_mut().iter_mut().zip(B::grids(window)) {
            *slots = unpack_slots::<B>(cursor, grid.slot(latest))?;
        }
        Some(account)
    }
}

/// Returns the microseconds since the epoch, rounded up so that time does not step back.
pub(crate) fn micros(moment: Moment) -> u64 {
    moment.nanos().div_ceil(1_000)
}

fn unpack_slots<B: BudgetPolicy>(cursor: &mut Cursor<'_>, latest: u64) -> Option<Slots> {
    let len = usize::from(cursor.u16()?);
    if len > MAX_SLOTS {
        return None;
    }
    let mut slots = Slots::default();
    for _ in 0..len {
        let (slot, amount) = (B::unpack_slot(cursor)?, cursor.u64()?);
        let is_later = |(last, _): &(u64, u64)| slot > *last;
        if slot > latest || !slots.amounts.back().is_none_or(is_later) {
            return None;
        }
        slots.push(slot, amount);
    }
    Some(slots)
}
