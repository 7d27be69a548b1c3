//! What a request may cost in tokens, as far as its body shows.
//!
//! The body is read once, without a copy of its texts. Names are compared in any case, as some
//! providers do, and the largest cap counts, whichever of them a provider obeys.

use std::{borrow::Cow, fmt};

use aisbreaker_api::InvalidRequest;
use aisbreaker_services::ServiceTier;
use serde::{
    Deserialize as _,
    de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

/// The tokens that an estimate has for an image, a recording or a document in the body.
const TOKENS_PER_MEDIUM: u64 = 2_000;
/// How many bytes of text an estimate takes for a token. Of the natural languages, none has fewer.
const BYTES_PER_TOKEN: u64 = 2;
/// How many answers a form is taken to ask for: the most that OpenAI's API makes.
const CHOICES_OF_FORM: u64 = 10;

/// The members that cap what is written.
const CAPS: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
/// The members that say how many answers are written.
const CHOICES: [&str; 2] = ["n", "best_of"];
/// The members that lead to content elsewhere, unless they are null.
const ELSEWHERE: [&str; 9] = [
    "previous_response_id",
    "conversation",
    "file_id",
    "file_ids",
    "vector_store_ids",
    "file_url",
    "mcp_servers",
    "web_search_options",
    "plugins",
];
/// The members that may hold a medium in base64.
const MEDIA: [&str; 6] = ["data", "url", "image_url", "file_data", "b64_json", "image"];

/// What a body shows of the tokens that may be read and written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Demand {
    /// The bytes of the body without its media.
    text_bytes: u64,
    media: u64,
    media_bytes: u64,
    /// The largest cap on what is written.
    cap: Option<u64>,
    /// How many answers are written.
    choices: u64,
    /// Whether something is read that is not in the body.
    reads_elsewhere: bool,
    pub(crate) writes_cache: bool,
    pub(crate) tier: Option<ServiceTier>,
}

/// Tokens to reserve.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct NeededTokens {
    pub(crate) input: u64,
    pub(crate) output: u64,
}

impl NeededTokens {
    pub(crate) fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// What has no upper bound.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unbounded {
    /// What is read: not all of it is in the body, and the context window of the model is unknown.
    Input,
    /// What is written: the request has no cap, and the most that the model writes is unknown.
    Output,
}

/// What is known of a model.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct ModelBounds {
    /// The most tokens that it writes.
    pub(crate) max_output: Option<u64>,
    /// The most that it reads.
    pub(crate) context: Option<u64>,
}

impl Demand {
    /// Reads a JSON body.
    ///
    /// # Errors
    /// [`InvalidRequest`] if a member that decides about the cost is there twice, of which the
    /// provider could obey the other one, or if the body is not a JSON object.
    pub(crate) fn of_json(body: &[u8]) -> Result<Self, InvalidRequest> {
        let mut found = Found::default();
        let mut deserializer = serde_json::Deserializer::from_slice(without_mark(body));
        let read = deserializer.deserialize_map(Top(&mut found));
        if let Some(member) = found.repeated {
            return Err(InvalidRequest::new(member, "is there twice"));
        }
        read.and_then(|()| deserializer.end())
            .map_err(|_problem| InvalidRequest::new("request body", "must be a JSON object"))?;
        Ok(found.demand(body.len()))
    }

    /// Takes a form for one medium of a request for as many answers as there can be.
    pub(crate) fn of_form() -> Self {
        Self {
            text_bytes: 0,
            media: 1,
            media_bytes: 0,
            cap: None,
            choices: CHOICES_OF_FORM,
            reads_elsewhere: true,
            writes_cache: false,
            tier: None,
        }
    }

    /// Adds texts that are sent beside this body.
    pub(crate) fn with_text(mut self, other: &Self) -> Self {
        self.text_bytes = self.text_bytes.saturating_add(other.text_bytes);
        self.media = self.media.saturating_add(other.media);
        self.media_bytes = self.media_bytes.saturating_add(other.media_bytes);
        self.reads_elsewhere |= other.reads_elsewhere;
        self
    }

    /// Returns how many answers are written.
    pub(crate) fn choices(&self) -> u64 {
        self.choices
    }

    /// Returns the tokens that natural text and common media have, and as output the cap, or what is
    /// to be reserved without one.
    pub(crate) fn estimate(&self, output_reserve: u64, bounds: ModelBounds) -> NeededTokens {
        let media = self.media.saturating_mul(TOKENS_PER_MEDIUM);
        let text = self.text_bytes.div_ceil(BYTES_PER_TOKEN);
        let uncapped = bounds
            .max_output
            .map_or(output_reserve, |most| most.min(output_reserve));
        NeededTokens {
            input: text.saturating_add(media),
            output: self.cap.unwrap_or(uncapped).saturating_mul(self.choices),
        }
    }

    /// Returns the most tokens that can be read and written.
    pub(crate) fn bound(&self, bounds: ModelBounds) -> Result<NeededTokens, Unbounded> {
        let input = if self.reads_elsewhere || self.media > 0 {
            bounds.context.ok_or(Unbounded::Input)?
        } else {
            // No byte-level tokenizer has more tokens than bytes.
            self.text_bytes
        };
        let most = self.cap.or(bounds.max_output).ok_or(Unbounded::Output)?;
        Ok(NeededTokens {
            input,
            output: most.saturating_mul(self.choices),
        })
    }
}

/// What was found in a body so far.
#[derive(Default)]
struct Found {
    media: u64,
    media_bytes: u64,
    caps: [Option<u64>; CAPS.len()],
    choices: [Option<u64>; CHOICES.len()],
    /// Which of those, and of `service_tier`, were there.
    seen: u8,
    reads_elsewhere: bool,
    writes_cache: bool,
    tier: Option<ServiceTier>,
    repeated: Option<&'static str>,
}

impl Found {
    fn demand(&self, body_len: usize) -> Demand {
        let body = u64::try_from(body_len).unwrap_or(u64::MAX);
        let choices = self.choices.iter().flatten().max();
        Demand {
            text_bytes: body.saturating_sub(self.media_bytes),
            media: self.media,
            media_bytes: self.media_bytes,
            cap: self.caps.iter().flatten().max().copied(),
            choices: choices.copied().unwrap_or(1).max(1),
            reads_elsewhere: self.reads_elsewhere,
            writes_cache: self.writes_cache,
            tier: self.tier,
        }
    }

    /// Notes that a member is there. Returns whether it is for the first time.
    fn is_first(&mut self, member: &'static str, bit: usize) -> bool {
        let mask = 1_u8 << bit;
        if self.seen & mask != 0 {
            self.repeated = Some(member);
            return false;
        }
        self.seen |= mask;
        true
    }

    fn note_text(&mut self, name: &str, text: &str) {
        if is_medium(name, text) {
            self.media = self.media.saturating_add(1);
            let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
            self.media_bytes = self.media_bytes.saturating_add(bytes);
        } else if is_any(&MEDIA, name) && text.starts_with("http") {
            self.reads_elsewhere = true;
        }
    }
}

fn is_any(names: &[&str], name: &str) -> bool {
    names.iter().any(|one| one.eq_ignore_ascii_case(name))
}

fn position(names: &[&'static str], name: &str) -> Option<(usize, &'static str)> {
    let mut names = names.iter().enumerate();
    let (index, name) = names.find(|(_, one)| one.eq_ignore_ascii_case(name))?;
    Some((index, name))
}

/// Returns whether a text is a medium in base64: a `data:` URL of one, or the content of a member
/// that holds nothing else.
fn is_medium(name: &str, text: &str) -> bool {
    const SAMPLE: usize = 64;
    const KINDS: [&str; 4] = [
        "data:image/",
        "data:audio/",
        "data:video/",
        "data:application/",
    ];
    if text.starts_with("data:") {
        let head = text
            .as_bytes()
            .get(..text.len().min(128))
            .unwrap_or_default();
        let is_kind = KINDS.iter().any(|kind| text.starts_with(kind));
        return is_kind && memchr::memmem::find(head, b";base64,").is_some();
    }
    let bytes = text.as_bytes();
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte);
    is_any(&MEDIA, name)
        && bytes.len() >= 2 * SAMPLE
        && bytes.iter().take(SAMPLE).all(is_base64)
        && bytes.iter().rev().take(SAMPLE).all(is_base64)
}

fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// Reads the members of the body.
struct Top<'a>(&'a mut Found);

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let found = self.0;
        while let Some(name) = map.next_key_seed(Name)? {
            if let Some((index, member)) = position(&CAPS, &name) {
                found.is_first(member, index);
                let cap = map.next_value_seed(Number)?;
                if let Some(place) = found.caps.get_mut(index) {
                    *place = cap.max(*place);
                }
            } else if let Some((index, member)) = position(&CHOICES, &name) {
                found.is_first(member, CAPS.len() + index);
                let count = map.next_value_seed(Number)?;
                if let Some(place) = found.choices.get_mut(index) {
                    *place = count.max(*place);
                }
            } else if name.eq_ignore_ascii_case("service_tier") {
                found.is_first("service_tier", CAPS.len() + CHOICES.len());
                found.tier = map.next_value_seed(Tier)?;
            } else {
                let place = match name.eq_ignore_ascii_case("tools") {
                    true => Place::Tools,
                    false => Place::Elsewhere,
                };
                map.next_value_seed(Walk {
                    found: &mut *found,
                    name: &name,
                    place,
                })?;
            }
            if found.repeated.is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        Ok(())
    }
}

/// Where a value is, as far as that matters.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Place {
    /// The list of tools.
    Tools,
    /// One of them.
    Tool,
    Elsewhere,
}

/// Goes through a value, for media and for what leads elsewhere.
struct Walk<'a> {
    found: &'a mut Found,
    /// The name of the member that the value belongs to.
    name: &'a str,
    place: Place,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Walk<'_> {
    /// Notes a value that is not null.
    fn note_value(&mut self) {
        self.found.reads_elsewhere |= is_any(&ELSEWHERE, self.name);
        self.found.writes_cache |= self.name.eq_ignore_ascii_case("cache_control");
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(mut self, _: bool) -> Result<(), E> {
        self.note_value();
        Ok(())
    }

    fn visit_u64<E>(mut self, _: u64) -> Result<(), E> {
        self.note_value();
        Ok(())
    }

    fn visit_i64<E>(mut self, _: i64) -> Result<(), E> {
        self.note_value();
        Ok(())
    }

    fn visit_f64<E>(mut self, _: f64) -> Result<(), E> {
        self.note_value();
        Ok(())
    }

    fn visit_str<E>(mut self, text: &str) -> Result<(), E> {
        const OWN_TOOLS: [&str; 2] = ["function", "custom"];
        self.note_value();
        if self.place == Place::Tool && self.name == "type" && !OWN_TOOLS.contains(&text) {
            // A tool of the provider reads what it finds.
            self.found.reads_elsewhere = true;
        }
        self.found.note_text(self.name, text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut values: A) -> Result<(), A::Error> {
        self.note_value();
        let place = match self.place {
            Place::Tools => Place::Tool,
            Place::Tool | Place::Elsewhere => Place::Elsewhere,
        };
        loop {
            let walk = Walk {
                found: &mut *self.found,
                name: self.name,
                place,
            };
            if values.next_element_seed(walk)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.note_value();
        while let Some(name) = map.next_key_seed(Name)? {
            // The type of a tool is beside its name; what is inside belongs to its schema.
            let is_type = self.place == Place::Tool && name == "type";
            map.next_value_seed(Walk {
                found: &mut *self.found,
                name: &name,
                place: if is_type {
                    Place::Tool
                } else {
                    Place::Elsewhere
                },
            })?;
        }
        Ok(())
    }
}

/// Reads a name, without a copy where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// Reads a whole number in whatever form a provider may take it, rounded up; `None` for null.
struct Number;

impl<'de> DeserializeSeed<'de> for Number {
    type Value = Option<u64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(match value {
            Value::Number(number) => number.as_u64().or_else(|| {
                let number = number.as_f64()?;
                rounded_up(number)
            }),
            Value::String(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number above the largest integer becomes that, and a negative one zero"
)]
fn rounded_up(number: f64) -> Option<u64> {
    number.is_finite().then(|| number.ceil() as u64)
}

/// Reads a service tier; `None` for one that is not known.
struct Tier;

impl<'de> DeserializeSeed<'de> for Tier {
    type Value = Option<ServiceTier>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(value.as_str().and_then(ServiceTier::of_name))
    }
}

#[cfg(test)]
mod tests;
