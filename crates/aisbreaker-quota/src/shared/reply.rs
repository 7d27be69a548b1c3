//! The replies of the function.
//!
//! A reply is a list of byte strings. The first one begins with a byte that is one if the charge
//! was admitted, two if a name is denied and zero otherwise, followed by the store's time in seconds and microseconds. In
//! an admitted charge, the amount charged in advance and the standing of every counter follow it.
//! Otherwise the other strings are the counters themselves.

use std::time::Duration;

use redis::Value;

use super::error::StoreError;
use super::keys::CounterKeys;
use crate::{
    cell::Cell,
    charge::Charge,
    decision::{Violation, find_violation},
    outcome::Refusal,
    slots::Moment,
    standings::{CellState, Standings},
};

/// Bytes of the standing of one counter in the reply to an admitted charge.
const STANDING_LEN: usize = 24;

const ADMITTED: u8 = 1;
const REFUSED: u8 = 0;
const DENIED: u8 = 2;

/// The reply to a charge.
#[derive(Debug)]
pub(super) enum ChargeReply<const N: usize> {
    /// The charge was admitted, and `extra` was charged in advance.
    Admitted {
        standings: Standings<N>,
        extra: u32,
    },
    Refused(Refusal<N>),
    /// One of the names is denied.
    Denied,
}

/// Reads the reply to a charge; `None` if it is malformed.
pub(super) fn read_charge<K, const N: usize>(
    reply: &Value,
    keys: &CounterKeys<N>,
    charges: &[Charge<K>; N],
    needed: &[u32; N],
) -> Option<ChargeReply<N>> {
    let parts = byte_strings(reply)?;
    let (head, counters) = parts.split_first()?;
    match head.split_first()? {
        (&ADMITTED, rest) => read_admitted(rest, keys, charges),
        (&REFUSED, rest) => read_refused(rest, counters, keys, charges, needed),
        (&DENIED, _) => Some(ChargeReply::Denied),
        _ => None,
    }
}

/// Reports whether `reply` is that to an admitted charge.
pub(super) fn is_admitted(reply: &Value) -> bool {
    match byte_strings(reply).as_deref() {
        Some([head, ..]) => head.first() == Some(&ADMITTED),
        _ => false,
    }
}

/// Reads a reply that is one flag and the time; `None` if it is malformed.
pub(super) fn read_flag_and_time(reply: &Value) -> Option<(bool, Moment)> {
    let parts = byte_strings(reply)?;
    let (flag, rest) = parts.first()?.split_first()?;
    let ([seconds, micros], _) = words(rest)?;
    Some((*flag == 1, moment(seconds, micros)))
}

/// Reads the reply to a peek; `None` if it is malformed.
pub(super) fn read_peek<K, const N: usize>(
    reply: &Value,
    keys: &CounterKeys<N>,
    charges: &[Charge<K>; N],
) -> Option<Standings<N>> {
    let parts = byte_strings(reply)?;
    let (head, counters) = parts.split_first()?;
    let (_, rest) = head.split_first()?;
    let ([seconds, micros], _) = words(rest)?;
    let now = moment(seconds, micros);
    standings(&cells(counters, now)?, keys, charges, now)
}

/// The error for a malformed reply.
pub(super) fn unreadable() -> StoreError {
    StoreError::Failed("it answered what nobody can read".to_owned())
}

fn read_admitted<K, const N: usize>(
    rest: &[u8],
    keys: &CounterKeys<N>,
    charges: &[Charge<K>; N],
) -> Option<ChargeReply<N>> {
    let ([seconds, micros, extra], packed) = words(rest)?;
    let mut states = Vec::with_capacity(keys.names.len());
    for standing in packed.as_chunks::<STANDING_LEN>().0 {
        states.push(state(standing)?);
    }
    let standings = Standings::new(moment(seconds, micros), charges, keys.per_charge(&states)?);
    Some(ChargeReply::Admitted { standings, extra })
}

fn read_refused<K, const N: usize>(
    rest: &[u8],
    counters: &[&[u8]],
    keys: &CounterKeys<N>,
    charges: &[Charge<K>; N],
    needed: &[u32; N],
) -> Option<ChargeReply<N>> {
    let ([seconds, micros], _) = words(rest)?;
    let now = moment(seconds, micros);
    let cells = cells(counters, now)?;
    let used: Vec<[u32; 3]> = cells.iter().map(Cell::used).collect();
    let clears_at = |index: usize, excess, window| {
        let Some(position) = keys.positions.get(index) else {
            return 0;
        };
        match cells.get(*position) {
            Some(cell) => cell.clears_at(excess, window),
            None => 0,
        }
    };
    let violation = find_violation(
        charges,
        &needed.map(u64::from),
        &keys.per_charge(&used)?,
        clears_at,
    )?;
    match violation {
        Violation::Exceeded(exceeded) => {
            let refusal = exceeded.refusal(standings(&cells, keys, charges, now)?);
            Some(ChargeReply::Refused(refusal))
        }
        // Such a request is never sent.
        Violation::TooHeavy { .. } => None,
    }
}

fn standings<K, const N: usize>(
    cells: &[Cell],
    keys: &CounterKeys<N>,
    charges: &[Charge<K>; N],
    now: Moment,
) -> Option<Standings<N>> {
    let states: Vec<CellState> = cells.iter().map(|cell| cell.state(cell.used())).collect();
    Some(Standings::new(now, charges, keys.per_charge(&states)?))
}

/// Reads counters as the store has them, and advances them to `now`.
fn cells(packed: &[&[u8]], now: Moment) -> Option<Vec<Cell>> {
    let mut cells = Vec::with_capacity(packed.len());
    for bytes in packed {
        let mut cell = match *bytes {
            [] => Cell::fresh(now.slot()),
            bytes => Cell::unpack(bytes)?,
        };
        cell.advance(now.slot());
        cells.push(cell);
    }
    Some(cells)
}

fn state(standing: &[u8; STANDING_LEN]) -> Option<CellState> {
    let ([minute, hour, day, oldest_day, oldest_hour, oldest_minute], _) = words(standing)?;
    Some(CellState {
        used: [minute, hour, day],
        slots: [oldest_day, oldest_hour, oldest_minute],
        hours_start: 1,
        minutes_start: 2,
    })
}

fn moment(seconds: u32, micros: u32) -> Moment {
    let since = Duration::from_secs(u64::from(seconds))
        .saturating_add(Duration::from_micros(u64::from(micros)));
    Moment::at(since)
}

pub(super) fn byte_strings(reply: &Value) -> Option<Vec<&[u8]>> {
    let Value::Array(parts) = reply else {
        return None;
    };
    let mut strings = Vec::with_capacity(parts.len());
    for part in parts {
        let Value::BulkString(bytes) = part else {
            return None;
        };
        strings.push(bytes.as_slice());
    }
    Some(strings)
}

/// Splits off `W` numbers of 32 bits.
fn words<const W: usize>(bytes: &[u8]) -> Option<([u32; W], &[u8])> {
    let (words, rest) = bytes.split_at_checked(W.saturating_mul(4))?;
    let (words, _) = words.as_chunks::<4>();
    let words: &[[u8; 4]; W] = words.try_into().ok()?;
    Some((words.map(u32::from_le_bytes), rest))
}
