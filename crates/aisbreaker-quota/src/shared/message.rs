//! What goes to the store and comes back: the calls of the function and its answers.

use std::{fmt::Display, num::NonZeroU32, time::Duration};

use redis::{Cmd, Value};

use super::error::StoreError;
use crate::{
    answer::{CellState, Refusal, Standings},
    cell::Cell,
    decision::{self, Obstacle, Verdict},
    limits::{Charge, Limits, Window},
    slots::Moment,
};

/// The function library, in which `@NAME@` stands for its name.
const SOURCE: &str = include_str!("quota.lua");

/// Bytes of the standing of one counter in the answer to an admitted charge.
const STANDING: usize = 24;

/// What of a store's function all processes with the same source share: its name follows from the
/// source, so that others do not get in each other's way.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) load: Cmd,
    charge: String,
    peek: String,
    give_back: String,
}

/// The counters of a decision as the store knows them. A counter named twice is there once.
#[derive(Debug)]
pub(super) struct Names<const N: usize> {
    pub(super) keys: Vec<String>,
    /// Which of the keys each charge is about.
    pub(super) places: [usize; N],
}

/// What a charge brings along.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Besides {
    /// To be charged besides, if that much remains.
    pub(super) extra: u32,
    /// To be given back before, whatever comes of the charge.
    pub(super) back: Option<Back>,
    /// The time to go by, if it is not the store's own.
    pub(super) at: Option<Duration>,
}

/// What was charged in a slot and not used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Back {
    pub(super) slot: u32,
    pub(super) amount: u32,
}

/// What the store answered to a charge.
#[derive(Debug)]
pub(super) enum Decided<const N: usize> {
    /// Charged, and this much besides.
    Admitted {
        standings: Standings<N>,
        extra: u32,
    },
    Refused(Refusal<N>),
}

impl Function {
    pub(super) fn new() -> Self {
        let name = format!("aisbreaker_quota_{:08x}", digest(SOURCE.as_bytes()));
        let mut load = redis::cmd("FUNCTION");
        load.arg("LOAD").arg(SOURCE.replace("@NAME@", &name));
        let function = |what: &str| format!("{name}_{what}");
        Self {
            load,
            charge: function("charge"),
            peek: function("peek"),
            give_back: function("give_back"),
        }
    }

    /// Charges what each charge asks.
    pub(super) fn charge<K, const N: usize>(
        &self,
        names: &Names<N>,
        charges: &[Charge<K>; N],
        asked: &[u32; N],
        besides: Besides,
    ) -> Cmd {
        let mut asks = Vec::with_capacity(charges.len().saturating_mul(18));
        for ((charge, asked), place) in charges.iter().zip(asked).zip(&names.places) {
            let place = u16::try_from(place.saturating_add(1)).unwrap_or(u16::MAX);
            asks.extend_from_slice(&place.to_le_bytes());
            asks.extend_from_slice(&asked.to_le_bytes());
            for limit in charge.limits.numbers() {
                asks.extend_from_slice(&limit.to_le_bytes());
            }
        }
        let mut command = call("FCALL", &self.charge, &names.keys);
        let Besides { extra, back, at } = besides;
        command
            .arg(asks)
            .arg(extra)
            .arg(packed_time(at))
            .arg(back.map_or_else(Vec::new, Back::packed));
        command
    }

    /// Charges a counter that no key names.
    pub(super) fn probe(&self, prefix: &str) -> Cmd {
        let names = Names {
            keys: vec![format!("{{{prefix}}}:probe")],
            places: [0],
        };
        self.charge(
            &names,
            &[Charge::new((), Limits::UNLIMITED)],
            &[1],
            Besides::default(),
        )
    }

    pub(super) fn peek(&self, keys: &[String], at: Option<Duration>) -> Cmd {
        let mut command = call("FCALL_RO", &self.peek, keys);
        command.arg(packed_time(at));
        command
    }

    pub(super) fn give_back(&self, keys: &[String], back: Back) -> Cmd {
        let mut command = call("FCALL", &self.give_back, keys);
        command.arg(back.packed());
        command
    }
}

impl Back {
    fn packed(self) -> Vec<u8> {
        [self.slot.to_le_bytes(), self.amount.to_le_bytes()].concat()
    }
}

impl<const N: usize> Names<N> {
    pub(super) fn new<K: Display>(prefix: &str, charges: &[Charge<K>; N]) -> Self {
        let mut keys = Vec::with_capacity(N);
        let places = charges.each_ref().map(|charge| {
            let kind = if charge.shared { "all" } else { "own" };
            let key = format!("{{{prefix}}}:{kind}:{}", charge.key);
            keys.iter()
                .position(|known| *known == key)
                .unwrap_or_else(|| {
                    keys.push(key);
                    keys.len().saturating_sub(1)
                })
        });
        Self { keys, places }
    }

    /// How many charges up to each one name its counter.
    pub(super) fn times(&self) -> [u32; N] {
        let mut seen = vec![0_u32; self.keys.len()];
        self.places.map(|place| {
            let times = seen.get_mut(place);
            times.map_or(1, |times| {
                *times = times.saturating_add(1);
                *times
            })
        })
    }
}

/// What each charge asks of its counter together with those before it, unless that can never be
/// admitted.
pub(super) fn asked<K, const N: usize>(
    names: &Names<N>,
    charges: &[Charge<K>; N],
    weight: NonZeroU32,
) -> Result<[u32; N], Refusal<N>> {
    let asked = names
        .times()
        .map(|times| u64::from(times).saturating_mul(u64::from(weight.get())));
    let alone = [u64::from(weight.get()); N];
    // As in memory: a weight that is too much by itself is told first.
    for asked in [alone, asked] {
        for ((index, charge), asked) in charges.iter().enumerate().zip(asked) {
            for window in Window::ALL {
                let limit = charge.limits.of(window);
                if asked > u64::from(limit.get()) {
                    return Err(Refusal::TooHeavy {
                        charge: index,
                        window,
                        limit,
                    });
                }
            }
        }
    }
    Ok(asked.map(|asked| u32::try_from(asked).unwrap_or(u32::MAX)))
}

/// Reads the answer to a charge; `None` if it is none.
pub(super) fn decided<K, const N: usize>(
    answer: &Value,
    names: &Names<N>,
    charges: &[Charge<K>; N],
    asked: &[u32; N],
) -> Option<Decided<N>> {
    let parts = parts(answer)?;
    let (head, counters) = parts.split_first()?;
    match head.split_first()? {
        (1, rest) => {
            let ([seconds, micros, extra], rest) = words(rest)?;
            let states = rest
                .as_chunks::<STANDING>()
                .0
                .iter()
                .map(state)
                .collect::<Option<Vec<_>>>()?;
            let states = states_of(&states, names)?;
            let standings = Standings::new(Moment::at(time(seconds, micros)), charges, states);
            Some(Decided::Admitted { standings, extra })
        }
        (0, rest) => {
            let ([seconds, micros], _) = words(rest)?;
            let now = Moment::at(time(seconds, micros));
            let cells = cells(counters, now)?;
            let used: Vec<[u32; 3]> = cells.iter().map(Cell::used).collect();
            let cell_of =
                |index: usize| names.places.get(index).and_then(|place| cells.get(*place));
            let used = states_of(&used, names)?;
            let asked = asked.map(u64::from);
            let frees =
                |index, excess, window| cell_of(index).map_or(0, |cell| cell.frees(excess, window));
            let Verdict::Exceeded(Obstacle {
                charge,
                window,
                remaining,
                clears,
            }) = decision::verdict(charges, &asked, &used, frees)?
            else {
                return None;
            };
            let limit = charges.get(charge)?.limits.of(window);
            let retry_after = now.until(clears);
            let standings = standings(&cells, names, charges, now)?;
            Some(Decided::Refused(Refusal::Exceeded {
                charge,
                window,
                limit,
                remaining,
                retry_after,
                standings,
            }))
        }
        _ => None,
    }
}

/// Whether this is the answer to a charge that was admitted.
pub(super) fn is_admitted(answer: &Value) -> bool {
    parts(answer).is_some_and(|parts| parts.first().is_some_and(|head| head.first() == Some(&1)))
}

/// What came is no answer of the function.
pub(super) fn unreadable() -> StoreError {
    StoreError::Failed("it answered what nobody can read".to_owned())
}

/// Reads the answer to a peek; `None` if it is none.
pub(super) fn peeked<K, const N: usize>(
    answer: &Value,
    names: &Names<N>,
    charges: &[Charge<K>; N],
) -> Option<Standings<N>> {
    let parts = parts(answer)?;
    let (head, counters) = parts.split_first()?;
    let (_, rest) = head.split_first()?;
    let ([seconds, micros], _) = words(rest)?;
    let now = Moment::at(time(seconds, micros));
    standings(&cells(counters, now)?, names, charges, now)
}

fn call(command: &str, function: &str, keys: &[String]) -> Cmd {
    let mut command = redis::cmd(command);
    command.arg(function).arg(keys.len()).arg(keys);
    command
}

/// A time since the store's epoch as the function reads it; nothing for the store's own.
fn packed_time(at: Option<Duration>) -> Vec<u8> {
    let Some(at) = at else { return Vec::new() };
    let seconds = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
    [seconds.to_le_bytes(), at.subsec_micros().to_le_bytes()].concat()
}

fn time(seconds: u32, micros: u32) -> Duration {
    Duration::from_secs(u64::from(seconds)).saturating_add(Duration::from_micros(u64::from(micros)))
}

fn parts(answer: &Value) -> Option<Vec<&[u8]>> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let mut bytes = Vec::with_capacity(parts.len());
    for part in parts {
        let Value::BulkString(part) = part else {
            return None;
        };
        bytes.push(part.as_slice());
    }
    Some(bytes)
}

fn words<const W: usize>(bytes: &[u8]) -> Option<([u32; W], &[u8])> {
    let (words, rest) = bytes.split_at_checked(W.saturating_mul(4))?;
    let words: Vec<u32> = words
        .as_chunks::<4>()
        .0
        .iter()
        .map(|word| u32::from_le_bytes(*word))
        .collect();
    Some((words.try_into().ok()?, rest))
}

fn state(bytes: &[u8; STANDING]) -> Option<CellState> {
    let ([minute, hour, day, oldest_day, oldest_hour, oldest_minute], _) = words(bytes)?;
    let slots = [oldest_day, oldest_hour, oldest_minute];
    Some(CellState {
        used: [minute, hour, day],
        slots,
        hours: 1,
        minutes: 2,
    })
}

/// The counters as the store has them, moved on to now.
fn cells(packed: &[&[u8]], now: Moment) -> Option<Vec<Cell>> {
    let cell = |bytes: &&[u8]| {
        let mut cell = if bytes.is_empty() {
            Cell::fresh(now.slot())
        } else {
            Cell::unpack(bytes)?
        };
        cell.advance(now.slot());
        Some(cell)
    };
    packed.iter().map(cell).collect()
}

fn standings<K, const N: usize>(
    cells: &[Cell],
    names: &Names<N>,
    charges: &[Charge<K>; N],
    now: Moment,
) -> Option<Standings<N>> {
    let states: Vec<CellState> = cells.iter().map(|cell| cell.state(cell.used())).collect();
    Some(Standings::new(now, charges, states_of(&states, names)?))
}

/// For each charge what is known of its counter.
fn states_of<T: Copy, const N: usize>(of_keys: &[T], names: &Names<N>) -> Option<[T; N]> {
    let of_charges: Option<Vec<T>> = names
        .places
        .iter()
        .map(|place| of_keys.get(*place).copied())
        .collect();
    of_charges?.try_into().ok()
}

/// FNV-1a with 32 bits: it tells versions of the source apart, no more.
fn digest(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |digest, byte| {
        (digest ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}
