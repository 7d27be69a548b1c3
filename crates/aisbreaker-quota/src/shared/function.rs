//! The function library in the store, and the commands that call it.

use std::time::Duration;

use redis::Cmd;

use super::{
    denied::{Denied, DeniedCursor, DeniedKeys, entry, page_len},
    keys::CounterKeys,
};
use crate::{charge::Charge, limits::Limits};

/// The source of the library, in which `@NAME@` stands for the library's name.
const SOURCE: &str = concat!(include_str!("quota.lua"), include_str!("ledger.lua"));

/// Bytes per charge in the first argument of a charge: an index, an amount and three limits.
const CHARGE_LEN: usize = 18;

/// The commands that load and call the library.
///
/// The library's name follows from its source. Versions of this crate with different sources
/// therefore use different libraries, and can share a store.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) load: Cmd,
    charge: String,
    peek: String,
    release: String,
    deny: String,
    denied: String,
    forget: String,
    reserve: String,
    settle: String,
}

/// What a charge in the store does in addition.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChargeOptions {
    /// How much to charge in advance, as far as the limits allow.
    pub(super) extra: u32,
    /// What to release before the charge, whether that is admitted or not.
    pub(super) unused: Option<Unused>,
    /// The time since the store's epoch to decide at, if it is not the store's own.
    pub(super) at: Option<Duration>,
}

/// What was charged in advance in a slot and not used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unused {
    pub(super) slot: u32,
    pub(super) amount: u32,
}

impl Unused {
    fn to_bytes(self) -> Vec<u8> {
        [self.slot.to_le_bytes(), self.amount.to_le_bytes()].concat()
    }
}

impl Function {
    pub(super) fn new() -> Self {
        let name = format!("aisbreaker_quota_{:08x}", fnv1a(SOURCE.as_bytes()));
        let mut load = redis::cmd("FUNCTION");
        load.arg("LOAD").arg(SOURCE.replace("@NAME@", &name));
        Self {
            load,
            charge: format!("{name}_charge"),
            peek: format!("{name}_peek"),
            release: format!("{name}_release"),
            deny: format!("{name}_deny"),
            denied: format!("{name}_denied"),
            forget: format!("{name}_forget"),
            reserve: format!("{name}_reserve"),
            settle: format!("{name}_settle"),
        }
    }

    /// Returns the command that charges every counter what is `needed` of it, or none. If one of the
    /// keys in `denied` exists, it charges none.
    pub(super) fn charge<K, const N: usize>(
        &self,
        keys: &CounterKeys<N>,
        charges: &[Charge<K>; N],
        needed: &[u32; N],
        options: ChargeOptions,
        denied: &[String],
    ) -> Cmd {
        let mut packed = Vec::with_capacity(N.saturating_mul(CHARGE_LEN));
        for ((charge, needed), position) in charges.iter().zip(needed).zip(&keys.positions) {
            // Lua counts from one.
            let index = u16::try_from(position.saturating_add(1)).unwrap_or(u16::MAX);
            packed.extend_from_slice(&index.to_le_bytes());
            packed.extend_from_slice(&needed.to_le_bytes());
            for limit in charge.limits.numbers() {
                packed.extend_from_slice(&limit.to_le_bytes());
            }
        }
        let ChargeOptions { extra, unused, at } = options;
        let mut command = redis::cmd("FCALL");
        command
            .arg(&self.charge)
            .arg(keys.names.len().saturating_add(denied.len()))
            .arg(&keys.names)
            .arg(denied)
            .arg(packed)
            .arg(extra)
            .arg(time_to_bytes(at))
            .arg(unused.map_or_else(Vec::new, Unused::to_bytes))
            .arg(denied.len());
        command
    }

    /// Returns the command that charges a counter no key can name, to find out whether the store
    /// can decide.
    pub(super) fn probe(&self, prefix: &str) -> Cmd {
        let keys = CounterKeys {
            names: vec![format!("{{{prefix}}}:probe")],
            positions: [0],
        };
        self.charge(
            &keys,
            &[Charge::new((), Limits::UNLIMITED)],
            &[1],
            ChargeOptions::default(),
            &[],
        )
    }

    /// Returns the command that reads counters. `at` is a time since the store's epoch, if it is
    /// not the store's own.
    pub(super) fn peek(&self, names: &[String], at: Option<Duration>) -> Cmd {
        let mut command = call("FCALL_RO", &self.peek, names);
        command.arg(time_to_bytes(at));
        command
    }

    /// Returns the command that releases what was charged in advance and not used.
    pub(super) fn release(&self, names: &[String], unused: Unused) -> Cmd {
        let mut command = call("FCALL", &self.release, names);
        command.arg(unused.to_bytes());
        command
    }

    /// Returns the command that reserves what is packed, of all accounts or of none.
    pub(super) fn reserve(&self, names: &[String], packed: Vec<u8>, at: Option<Duration>) -> Cmd {
        let mut command = call("FCALL", &self.reserve, names);
        command.arg(packed).arg(time_to_bytes(at));
        command
    }

    /// Returns the command that settles what is packed.
    pub(super) fn settle(&self, names: &[String], packed: Vec<u8>, at: Option<Duration>) -> Cmd {
        let mut command = call("FCALL", &self.settle, names);
        command.arg(packed).arg(time_to_bytes(at));
        command
    }

    /// Returns the command that denies names, unless there would be more than `most`.
    pub(super) fn deny(&self, keys: DeniedKeys<'_>, names: &[Denied], most: u32) -> Cmd {
        let mut in_store = vec![keys.list()];
        for denied in names {
            in_store.push(keys.of_name(&denied.name));
        }
        let mut command = call("FCALL", &self.deny, &in_store);
        command.arg(most);
        for denied in names {
            command.arg(denied.until_seconds()).arg(&denied.name);
        }
        command
    }

    /// Returns the command that reads the denied names after this place.
    pub(super) fn denied(&self, keys: DeniedKeys<'_>, after: DeniedCursor) -> Cmd {
        let mut command = call("FCALL_RO", &self.denied, &[keys.list()]);
        command.arg(after.0).arg(page_len());
        command
    }

    /// Returns the command that removes names from the list.
    pub(super) fn forget(&self, keys: DeniedKeys<'_>, names: &[Denied]) -> Cmd {
        let mut command = call("FCALL", &self.forget, &[keys.list()]);
        for denied in names {
            command.arg(entry(denied));
        }
        command
    }
}

fn call(command: &str, function: &str, names: &[String]) -> Cmd {
    let mut command = redis::cmd(command);
    command.arg(function).arg(names.len()).arg(names);
    command
}

/// Encodes a time since the store's epoch. No bytes stand for the store's own time.
fn time_to_bytes(at: Option<Duration>) -> Vec<u8> {
    let Some(at) = at else { return Vec::new() };
    let seconds = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
    [seconds.to_le_bytes(), at.subsec_micros().to_le_bytes()].concat()
}

/// The 32-bit FNV-1a hash. It only has to distinguish versions of the source.
fn fnv1a(bytes: &[u8]) -> u32 {
    let mut hash = 0x811c_9dc5_u32;
    for byte in bytes {
        hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    }
    hash
}
