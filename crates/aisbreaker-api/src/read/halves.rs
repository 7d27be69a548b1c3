//! Halves of characters: UTF-16 surrogates without their other half.
//!
//! JSON can spell them (`"\ud83d"`), and providers that count in UTF-16 cut characters in two. A
//! Rust string cannot hold them, so here each is one of the last 2048 characters of Unicode, which
//! are for private use. A genuine one of these is kept as its own two halves, so that nothing is
//! ambiguous.

use std::borrow::Cow;

use serde_json::{Map, Value};

const FIRST_HALF: u16 = 0xd800;
const LAST_HALF: u16 = 0xdfff;
/// The character that stands for the first half.
const FIRST_SUBSTITUTE: u32 = 0x10_f800;

pub(super) fn is_high(unit: u16) -> bool {
    (FIRST_HALF..0xdc00).contains(&unit)
}

pub(super) fn is_low(unit: u16) -> bool {
    (0xdc00..=LAST_HALF).contains(&unit)
}

/// Adds a half.
pub(super) fn push_half(text: &mut String, half: u16) {
    let offset = u32::from(half.saturating_sub(FIRST_HALF));
    text.extend(char::from_u32(FIRST_SUBSTITUTE.saturating_add(offset)));
}

/// Adds a character, and returns whether it had to be added as two halves.
pub(super) fn push_char(text: &mut String, c: char) -> bool {
    if half_of(c).is_none() {
        text.push(c);
        return false;
    }
    for half in c.encode_utf16(&mut [0; 2]) {
        push_half(text, *half);
    }
    true
}

/// Adds characters, and returns whether any had to be added as two halves.
pub(super) fn push_text(text: &mut String, more: &str) -> bool {
    if !more.contains(|c| half_of(c).is_some()) {
        text.push_str(more);
        return false;
    }
    for c in more.chars() {
        push_char(text, c);
    }
    true
}

/// Returns the half that a character stands for.
fn half_of(c: char) -> Option<u16> {
    let offset = u32::from(c).checked_sub(FIRST_SUBSTITUTE)?;
    u16::try_from(offset).ok()?.checked_add(FIRST_HALF)
}

/// Joins the halves of characters in texts that come in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct HalfJoiner {
    /// The first half of a character, at the end of the piece before.
    pending: Option<u16>,
}

impl HalfJoiner {
    /// Returns the whole characters of the next piece. A half without its other half becomes
    /// U+FFFD; one at the end waits for the next piece.
    pub(super) fn join(&mut self, piece: &str) -> String {
        let mut joined = String::with_capacity(piece.len());
        for c in piece.chars() {
            let half = half_of(c);
            if let (Some(high), Some(low)) = (self.pending, half.filter(|half| is_low(*half))) {
                self.pending = None;
                joined.extend(char::decode_utf16([high, low]).flatten());
                continue;
            }
            joined.extend(self.end());
            match half {
                Some(high) if is_high(high) => self.pending = Some(high),
                Some(_) => joined.push(char::REPLACEMENT_CHARACTER),
                None => joined.push(c),
            }
        }
        joined
    }

    /// Returns whether a half waits for the next piece.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Ends the text. Returns U+FFFD if a half waits in vain.
    pub fn end(&mut self) -> Option<char> {
        self.pending.take()?;
        Some(char::REPLACEMENT_CHARACTER)
    }
}

/// Replaces the halves in all strings by U+FFFD.
pub(super) fn remove(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(whole(&text)),
        Value::Array(values) => values.into_iter().map(remove).collect(),
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (whole(&name), remove(value)))
                .collect::<Map<_, _>>(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

fn whole(text: &str) -> String {
    let mut joiner = HalfJoiner::default();
    let mut joined = joiner.join(text);
    joined.extend(joiner.end());
    joined
}

/// A JSON value that is one piece of a stream, so that its texts may begin or end in the middle of
/// a character.
#[derive(Debug)]
pub struct Piece {
    pub(super) value: Value,
    pub(super) has_halves: bool,
}

impl Piece {
    /// Returns the value; texts of it that are shown must pass [`Piece::join`] first.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Returns the value with U+FFFD for every half of a character.
    #[must_use]
    pub fn into_value(self) -> Value {
        if self.has_halves {
            remove(self.value)
        } else {
            self.value
        }
    }

    /// Returns a copy of the value, as [`Piece::into_value`] does.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let value = self.value.clone();
        if self.has_halves {
            remove(value)
        } else {
            value
        }
    }

    /// Joins a text of this piece to what `joiner` has of the pieces before.
    pub fn join<'a>(&self, joiner: &mut HalfJoiner, text: Cow<'a, str>) -> Cow<'a, str> {
        let is_whole = !self.has_halves && !joiner.is_pending();
        if is_whole || text.is_empty() {
            return text;
        }
        if self.has_halves {
            return Cow::Owned(joiner.join(&text));
        }
        let mut joined = String::from_iter(joiner.end());
        joined.push_str(&text);
        Cow::Owned(joined)
    }
}
