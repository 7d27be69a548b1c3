//! The members of a usage object that a rule reads.

use serde_json::Value;

use super::{money, tier::ServiceTier};
use crate::json_scan;

/// The names of the members that a rule reads, and of the objects that they are in.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Members(Vec<Member>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Member {
    /// The name as JSON.
    quoted: String,
    /// Whether the value is a list of objects, of which the members are added up.
    is_list: bool,
    slots: Vec<Slot>,
    inner: Members,
}

/// Where the value of a member goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Slot {
    pub(super) kind: PartKind,
    /// The position in [`Parts`]. A tier has a place of its own.
    pub(super) index: usize,
}

/// What the value of a member is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PartKind {
    /// A whole number.
    Count,
    /// A decimal, kept as a [`money::Amount`].
    Amount,
    /// Present only if it is `true`.
    Flag,
    /// The name of a [`ServiceTier`].
    Tier,
    /// Anthropic's name of a speed, of which `fast` has a price of its own in any tier.
    Speed,
}

/// The values that one or more usage objects have for the members of a rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    values: Vec<Option<u128>>,
    pub(super) tier: Option<ServiceTier>,
}

impl Members {
    /// Adds the member that `path` leads to; dots lead into objects, and `[]` into the objects of a
    /// list.
    pub(super) fn add(&mut self, path: &str, slot: Slot) {
        let (name, rest) = match path.split_once('.') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path, None),
        };
        let (name, is_list) = match name.trim().strip_suffix("[]") {
            Some(name) => (name, true),
            None => (name.trim(), false),
        };
        let quoted = format!("\"{name}\"");
        let is_known = |member: &Member| member.quoted == quoted && member.is_list == is_list;
        let position = match self.0.iter().position(is_known) {
            Some(position) => position,
            None => {
                self.0.push(Member {
                    quoted,
                    is_list,
                    slots: Vec::new(),
                    inner: Self::default(),
                });
                self.0.len() - 1
            }
        };
        match (self.0.get_mut(position), rest) {
            (Some(member), Some(rest)) => member.inner.add(rest, slot),
            (Some(member), None) => member.slots.push(slot),
            (None, _) => {}
        }
    }

    fn read(&self, object: &[u8], parts: &mut Parts) {
        for (name, value) in json_scan::members(object) {
            let Some(member) = self.0.iter().find(|known| known.quoted.as_bytes() == name) else {
                continue;
            };
            for slot in &member.slots {
                match slot.kind {
                    PartKind::Count => parts.add(slot.index, count(value)),
                    PartKind::Amount => parts.add(slot.index, money::parse(value)),
                    PartKind::Flag => parts.add(slot.index, (value == b"true").then_some(1)),
                    PartKind::Tier => {
                        let name = json_scan::text(value);
                        parts.add_tier(name.and_then(|name| ServiceTier::of_name(&name)));
                    }
                    PartKind::Speed => parts.add_speed(value == b"\"fast\""),
                }
            }
            if member.is_list {
                for element in json_scan::elements(value) {
                    member.inner.read(element, parts);
                }
            } else {
                member.inner.read(value, parts);
            }
        }
    }

    fn read_value(&self, object: &Value, parts: &mut Parts) {
        for member in &self.0 {
            let Some(value) = object.get(member.name()) else {
                continue;
            };
            for slot in &member.slots {
                match slot.kind {
                    PartKind::Count => parts.add(slot.index, count_of(value)),
                    PartKind::Amount => parts.add(slot.index, amount_of(value)),
                    PartKind::Flag => {
                        parts.add(slot.index, (*value == Value::Bool(true)).then_some(1));
                    }
                    PartKind::Tier => {
                        parts.add_tier(value.as_str().and_then(ServiceTier::of_name));
                    }
                    PartKind::Speed => parts.add_speed(value == "fast"),
                }
            }
            if member.is_list {
                for element in value.as_array().into_iter().flatten() {
                    member.inner.read_value(element, parts);
                }
            } else {
                member.inner.read_value(value, parts);
            }
        }
    }
}

impl Member {
    fn name(&self) -> &str {
        self.quoted.trim_matches('"')
    }
}

impl Parts {
    /// Reads the members of a usage object in JSON.
    pub(super) fn of_json(members: &Members, length: usize, usage: &[u8]) -> Self {
        let mut parts = Self::with_length(length);
        members.read(usage, &mut parts);
        parts
    }

    /// Reads the members of a usage object.
    pub(super) fn of_value(members: &Members, length: usize, usage: &Value) -> Self {
        let mut parts = Self::with_length(length);
        members.read_value(usage, &mut parts);
        parts
    }

    fn with_length(length: usize) -> Self {
        // Not `vec![None; length]`: that asks for zeroed memory, which allocators keep no cache of.
        let mut values = Vec::with_capacity(length);
        values.resize(length, None);
        Self { values, tier: None }
    }

    pub(super) fn get(&self, index: usize) -> Option<u128> {
        self.values.get(index).copied().flatten()
    }

    /// Adds a value, of which a member of a list has several.
    fn add(&mut self, index: usize, value: Option<u128>) {
        if let (Some(place), Some(value)) = (self.values.get_mut(index), value) {
            *place = Some(place.unwrap_or(0).saturating_add(value));
        }
    }

    fn add_tier(&mut self, tier: Option<ServiceTier>) {
        self.tier = self.tier.or(tier);
    }

    fn add_speed(&mut self, is_fast: bool) {
        if is_fast {
            self.tier = Some(ServiceTier::Priority);
        }
    }

    /// Keeps the larger of both values of each member.
    pub(super) fn grow(&mut self, more: Self) {
        if self.values.len() < more.values.len() {
            self.values.resize(more.values.len(), None);
        }
        for (known, value) in self.values.iter_mut().zip(more.values) {
            *known = value.max(*known);
        }
    }
}

fn count(number: &[u8]) -> Option<u128> {
    let is_plain = (1..=19).contains(&number.len()) && number.iter().all(u8::is_ascii_digit);
    if is_plain {
        let digits = number.iter().map(|digit| u64::from(digit - b'0'));
        return Some(digits.fold(0, |count, digit| count * 10 + digit).into());
    }
    count_of(&serde_json::from_slice(number).ok()?)
}

fn count_of(value: &Value) -> Option<u128> {
    let whole = value.as_u64().or_else(|| whole_number(value.as_f64()?));
    whole.map(u128::from)
}

fn amount_of(value: &Value) -> Option<u128> {
    money::parse(value.as_number()?.to_string().as_bytes())
}

/// Returns a number such as `3.0` or `3e0`, which some providers write, as the whole number it is.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "only whole numbers up to 2^53 are cast"
)]
fn whole_number(number: f64) -> Option<u64> {
    const MAX: f64 = 9_007_199_254_740_992.0;
    ((0.0..=MAX).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}
