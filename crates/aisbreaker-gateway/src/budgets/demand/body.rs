//! The members of a body that decide what it may cost.
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

use super::{CAPS, Demand};

/// The members that say how many answers are written.
const CHOICES: [&str; 6] = [
    "n",
    "best_of",
    "candidateCount",
    "candidate_count",
    "num_outputs",
    "samples",
];
/// The members of the body with such members.
const CONFIGS: [&str; 4] = [
    "generationConfig",
    "generation_config",
    "parameters",
    "extra_body",
];
/// The members that choose a dearer tier.
const TIERS: [&str; 2] = ["service_tier", "speed"];
/// The members of a tool that the caller runs itself.
const OWN_TOOL: [&str; 12] = [
    "type",
    "function",
    "custom",
    "name",
    "description",
    "parameters",
    "input_schema",
    "format",
    "strict",
    "cache_control",
    "functionDeclarations",
    "function_declarations",
];
/// The members that lead to content elsewhere, unless they are null.
const ELSEWHERE: [&str; 16] = [
    "audio",
    "container",
    "skills",
    "fileUri",
    "file_uri",
    "cachedContent",
    "cached_content",
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
const MEDIA: [&str; 7] = [
    "data",
    "url",
    "image_url",
    "file_data",
    "b64_json",
    "image",
    "base64",
];

/// Reads a JSON body.
pub(super) fn read(body: &[u8]) -> Result<Demand, InvalidRequest> {
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

/// What was found in a body so far.
#[derive(Default)]
struct Found {
    media: u64,
    media_bytes: u64,
    /// Those of the body itself.
    caps: [Option<u64>; CAPS.len()],
    /// The largest one inside of a member of the body.
    inner_cap: u64,
    /// Whether a cap is not a positive number, which some providers take for none.
    has_no_cap: bool,
    choices: u64,
    /// How many prompts are to be answered.
    prompts: u64,
    /// Which members that decide were there.
    seen: u32,
    reads_elsewhere: bool,
    writes_cache: bool,
    tier: Option<ServiceTier>,
    repeated: Option<&'static str>,
}

impl Found {
    fn demand(&self, body_len: usize) -> Demand {
        let body = u64::try_from(body_len).unwrap_or(u64::MAX);
        let caps = self.caps.iter().flatten().copied();
        let largest_cap = caps.max().unwrap_or(0).max(self.inner_cap);
        Demand {
            text_bytes: body.saturating_sub(self.media_bytes),
            media: self.media,
            media_bytes: self.media_bytes,
            caps: self.caps.map(|cap| cap.is_some()),
            has_no_cap: self.has_no_cap,
            is_capped: false,
            largest_cap,
            choices: self.choices.max(1).saturating_mul(self.prompts.max(1)),
            reads_elsewhere: self.reads_elsewhere,
            writes_cache: self.writes_cache,
            tier: self.tier,
        }
    }

    /// Notes that a member is there, and whether it was there before.
    fn note_member(&mut self, member: &'static str, bit: usize) {
        let mask = 1_u32 << bit;
        if self.seen & mask != 0 {
            self.repeated = Some(member);
        }
        self.seen |= mask;
    }

    /// Notes a cap, and returns it if it is one.
    fn note_cap(&mut self, cap: &Count) -> Option<u64> {
        match cap {
            Count::Missing => None,
            Count::Of(cap) if *cap > 0 => Some(*cap),
            Count::Of(_) | Count::Unreadable => {
                self.has_no_cap = true;
                None
            }
        }
    }

    fn note_choices(&mut self, count: &Count) {
        if let Count::Of(count) = count {
            self.choices = self.choices.max(*count);
        }
    }

    fn note_text(&mut self, name: &str, text: &str) {
        if is_medium(name, text) {
            self.media = self.media.saturating_add(1);
            let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
            self.media_bytes = self.media_bytes.saturating_add(bytes);
        } else if is_any(&MEDIA, name) {
            // An address, or a medium in a form that is not known. Text has blanks.
            self.reads_elsewhere |= !text.is_empty() && !text.trim().contains(' ');
        } else if name == "type" && text == "item_reference" {
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
                found.note_member(member, index);
                let cap = map.next_value_seed(Number)?;
                let cap = found.note_cap(&cap);
                if let Some(place) = found.caps.get_mut(index) {
                    *place = cap;
                }
            } else if let Some((index, member)) = position(&CHOICES, &name) {
                found.note_member(member, CAPS.len() + index);
                let count = map.next_value_seed(Number)?;
                found.note_choices(&count);
            } else if let Some((index, member)) = position(&TIERS, &name) {
                found.note_member(member, CAPS.len() + CHOICES.len() + index);
                let tier = map.next_value_seed(Tier)?;
                // The dearest one counts.
                if found.tier != Some(ServiceTier::Priority) {
                    found.tier = tier.or(found.tier);
                }
            } else {
                let place = Place::of_member(&name);
                map.next_value_seed(Walk {
                    found: &mut *found,
                    name: &name,
                    is_element: false,
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
    /// What is to be completed: one prompt, or a list of them.
    Prompt,
    /// One of the list: a text, or a list of tokens.
    OnePrompt,
    /// An object with caps.
    Config,
    /// The list of tools.
    Tools,
    /// One of them.
    Tool,
    Elsewhere,
}

impl Place {
    /// Returns the place of a member of the body.
    fn of_member(name: &str) -> Self {
        if name.eq_ignore_ascii_case("tools") {
            Self::Tools
        } else if name.eq_ignore_ascii_case("prompt") {
            Self::Prompt
        } else if is_any(&CONFIGS, name) {
            Self::Config
        } else {
            Self::Elsewhere
        }
    }
}

/// Goes through a value, for media and for what leads elsewhere.
struct Walk<'a> {
    found: &'a mut Found,
    /// The name of the member that the value belongs to.
    name: &'a str,
    /// Whether that member is a list, and the value is in it.
    is_element: bool,
    place: Place,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Walk<'_> {
    fn note_prompt(&mut self) {
        let is_prompt = self.place == Place::OnePrompt;
        self.found.prompts = self.found.prompts.saturating_add(is_prompt.into());
    }

    /// Notes a value that is not null. Elements of a list were noted with it.
    fn note_value(&mut self) {
        if self.is_element {
            return;
        }
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
        self.note_prompt();
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
            Place::Prompt => Place::OnePrompt,
            Place::Tool | Place::OnePrompt | Place::Config | Place::Elsewhere => Place::Elsewhere,
        };
        self.note_prompt();
        loop {
            let walk = Walk {
                found: &mut *self.found,
                name: self.name,
                is_element: true,
                place,
            };
            if values.next_element_seed(walk)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.note_value();
        // A prompt that the provider keeps.
        self.found.reads_elsewhere |= self.place == Place::Prompt;
        while let Some(name) = map.next_key_seed(Name)? {
            if self.place == Place::Config && position(&CAPS, &name).is_some() {
                // Null may undo a cap of the body.
                let cap = match map.next_value_seed(Number)? {
                    Count::Missing => Count::Unreadable,
                    cap @ (Count::Of(_) | Count::Unreadable) => cap,
                };
                let cap = self.found.note_cap(&cap).unwrap_or(0);
                self.found.inner_cap = self.found.inner_cap.max(cap);
                continue;
            }
            if self.place == Place::Config && position(&CHOICES, &name).is_some() {
                let count = map.next_value_seed(Number)?;
                self.found.note_choices(&count);
                continue;
            }
            self.found.reads_elsewhere |= self.place == Place::Tool && !OWN_TOOL.contains(&&*name);
            // The type of a tool is beside its name; what is inside belongs to its schema.
            let is_type = self.place == Place::Tool && name == "type";
            map.next_value_seed(Walk {
                found: &mut *self.found,
                name: &name,
                is_element: false,
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

/// A number as a body has it.
enum Count {
    /// Null.
    Missing,
    /// Rounded up; a negative one is zero.
    Of(u64),
    Unreadable,
}

/// Reads a whole number in whatever form a provider may take it.
struct Number;

impl<'de> DeserializeSeed<'de> for Number {
    type Value = Count;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let count = match value {
            Value::Null => return Ok(Count::Missing),
            Value::Number(number) => number.as_u64().or_else(|| rounded_up(number.as_f64()?)),
            Value::String(text) => text.trim().parse().ok(),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        Ok(count.map_or(Count::Unreadable, Count::Of))
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
        let name = value.as_str().map(str::to_ascii_lowercase);
        Ok(name.and_then(|name| ServiceTier::of_name(&name)))
    }
}
