//! The model in a JSON object (RFC 8259): the member `model` of the object itself, however its name
//! is escaped. Where it is asked for, also what the object says of its stream, or its member `type`.

use std::{borrow::Cow, fmt, ops::Range};

use aisbreaker_api::{InvalidRequest, read::JsonFault};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{BodyModel, NameEncoding, json_scanner::JsonScanner, other_models, repeated};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The place after a member of a JSON object, where another one can be added.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct MemberEnd(usize);

impl MemberEnd {
    /// Splits the body that this is a place of.
    pub(crate) fn split(self, body: &Bytes) -> [Bytes; 2] {
        let mut before = body.clone();
        let after = before.split_off(self.0.min(body.len()));
        [before, after]
    }
}

/// Finds the model in a JSON object in UTF-8; `None` if it names none, or `null`.
///
/// Only the name is copied. Values are skipped whatever they hold, however deep.
pub(crate) fn model_in_json(body: &[u8]) -> Result<Option<BodyModel>, InvalidRequest> {
    let found = find_members::<MODEL_ONLY>(text_of(body)?)?;
    model(body, &found)
}

/// Finds the model as [`model_in_json`] does. If the object asks for a stream and has no
/// `stream_options`, however they are written, the place is where to add them: after the model, or
/// after `stream` in an object without a model.
pub(crate) fn model_and_stream_in_json(
    body: &[u8],
) -> Result<(Option<BodyModel>, Option<MemberEnd>), InvalidRequest> {
    let found = find_members::<WITH_STREAM>(text_of(body)?)?;
    let model = model(body, &found)?;
    let stream = match found.stream {
        Some("true") if !found.has_stream_options => found.stream.unwrap_or_default(),
        Some(_) | None => return Ok((model, None)),
    };
    let span = match &model {
        Some(model) => Some(model.span.clone()),
        None => span_in(body, stream),
    };
    Ok((model, span.map(|span| MemberEnd(span.end))))
}

/// Finds the model as [`model_in_json`] does, and the member `type`; `None` if there is none, or `null`.
pub(crate) fn model_and_type_in_json(
    body: &[u8],
) -> Result<(Option<BodyModel>, Option<Cow<'_, str>>), InvalidRequest> {
    let found = find_members::<WITH_TYPE>(text_of(body)?)?;
    let kind = match found.kind {
        Some(raw) => serde_json::from_str::<Option<Text<'_>>>(raw)
            .map_err(|_other_type| InvalidRequest::new(TYPE, "must be a string"))?,
        None => None,
    };
    Ok((model(body, &found)?, kind.map(|Text(kind)| kind)))
}

/// A string, copied only if it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn text_of(body: &[u8]) -> Result<&str, InvalidRequest> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(InvalidRequest::new("request body", "must be JSON in UTF-8"));
    };
    Ok(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text))
}

fn model(body: &[u8], found: &Members<'_>) -> Result<Option<BodyModel>, InvalidRequest> {
    let Some(raw) = found.model else {
        return Ok(None);
    };
    let name = match plain_string(raw) {
        Some(name) => Some(Text(name.into())),
        None => serde_json::from_str(raw)
            .map_err(|_other_type| InvalidRequest::new("model", "must be a string"))?,
    };
    let Some(Text(name)) = name else {
        return Ok(None);
    };
    let Some(span) = span_in(body, raw) else {
        return Err(InvalidRequest::new(
            "model",
            "cannot be found in the request body",
        ));
    };
    let model = BodyModel::new(name.into_owned(), span, NameEncoding::JsonString)?;
    Ok(Some(BodyModel {
        other_models: found.other_models,
        ..model
    }))
}

/// Returns the text of a valid JSON string without escapes.
fn plain_string(raw: &str) -> Option<&str> {
    let text = raw.strip_prefix('"')?.strip_suffix('"')?;
    if text.contains('\\') {
        return None;
    }
    Some(text)
}

/// Which members are looked for. A constant, so that a search for the model costs no more than that.
const MODEL_ONLY: u8 = 0;
const WITH_STREAM: u8 = 1;
const WITH_TYPE: u8 = 2;

/// What an object says about models, and about its stream or its type if that is looked for.
#[derive(Debug, Default, Eq, PartialEq)]
struct Members<'a> {
    /// As it is written, as are the others.
    model: Option<&'a str>,
    other_models: Option<&'static str>,
    stream: Option<&'a str>,
    kind: Option<&'a str>,
    has_stream_options: bool,
}

/// Why an object does not have one member of this name that every parser finds.
#[derive(Clone, Copy)]
enum Ambiguity {
    Repeated(&'static str),
    /// The name is in another case, which the parsers of Go and .NET accept.
    OtherCase(&'static str),
}

fn find_members<const SOUGHT: u8>(text: &str) -> Result<Members<'_>, InvalidRequest> {
    match scan::<SOUGHT>(text) {
        Some(members) => Ok(members),
        // There is something wrong or unusual, which the parser can name.
        None => parse_members::<SOUGHT>(text),
    }
}

/// Finds members in an object that is written as usual: `None` if it is no object or not JSON, if
/// members are ambiguous, and if the name of one is written with escapes.
fn scan<const SOUGHT: u8>(text: &str) -> Option<Members<'_>> {
    let mut scanner = JsonScanner::new(text);
    let mut found = Members::default();
    scanner.begin_object()?;
    while let Some(name) = scanner.next_name()? {
        let value = scanner.value()?;
        match Name::of::<SOUGHT>(name) {
            Name::Other => {}
            Name::OtherModels(name) => found.other_models = Some(name),
            Name::OtherCase(_) => return None,
            Name::Model => set_once(&mut found.model, value)?,
            Name::Stream => set_once(&mut found.stream, value)?,
            Name::Type => set_once(&mut found.kind, value)?,
            Name::StreamOptions => found.has_stream_options = true,
        }
    }
    scanner.end()?;
    Some(found)
}

fn set_once<'a>(member: &mut Option<&'a str>, value: &'a str) -> Option<()> {
    member.replace(value).is_none().then_some(())
}

fn parse_members<const SOUGHT: u8>(text: &str) -> Result<Members<'_>, InvalidRequest> {
    let mut ambiguity = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = deserializer
        .deserialize_map(MemberVisitor::<SOUGHT>(&mut ambiguity))
        .and_then(|members| deserializer.end().map(|()| members));
    match ambiguity {
        None => {}
        Some(Ambiguity::Repeated(member)) => return Err(repeated(member)),
        Some(Ambiguity::OtherCase(member)) => {
            return Err(InvalidRequest::new(
                member,
                "must be written in small letters; some take any case for it",
            ));
        }
    }
    match parsed {
        Ok(members) => Ok(members),
        Err(error) if error.is_data() => {
            Err(InvalidRequest::new("request body", "must be a JSON object"))
        }
        Err(error) => {
            let fault = JsonFault::Syntax {
                line: error.line(),
                column: error.column(),
            };
            Err(InvalidRequest::new("request body", fault.to_string()))
        }
    }
}

/// Returns where a value is in the body that it was parsed from.
fn span_in(body: &[u8], value: &str) -> Option<Range<usize>> {
    // The value borrows from the body, so the distance of the two is its place.
    let start = (value.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
    let span = start..start.checked_add(value.len())?;
    if body.get(span.clone())? == value.as_bytes() {
        Some(span)
    } else {
        None
    }
}

/// Finds members among those of an object. An ambiguity ends the search.
struct MemberVisitor<'a, const SOUGHT: u8>(&'a mut Option<Ambiguity>);

impl<const SOUGHT: u8> MemberVisitor<'_, SOUGHT> {
    fn stop<E: de::Error>(self, ambiguity: Ambiguity) -> E {
        *self.0 = Some(ambiguity);
        E::custom("ambiguous member")
    }
}

impl<'de, const SOUGHT: u8> Visitor<'de> for MemberVisitor<'_, SOUGHT> {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = Members::default();
        while let Some(name) = members.next_key_seed(NameVisitor::<SOUGHT>)? {
            match name {
                Name::Other => {
                    members.next_value::<IgnoredAny>()?;
                }
                Name::OtherModels(name) => {
                    members.next_value::<IgnoredAny>()?;
                    found.other_models = Some(name);
                }
                Name::OtherCase(member) => return Err(self.stop(Ambiguity::OtherCase(member))),
                Name::Model => {
                    if found
                        .model
                        .replace(members.next_value::<&RawValue>()?.get())
                        .is_some()
                    {
                        return Err(self.stop(Ambiguity::Repeated(MODEL)));
                    }
                }
                Name::Stream => {
                    if found
                        .stream
                        .replace(members.next_value::<&RawValue>()?.get())
                        .is_some()
                    {
                        return Err(self.stop(Ambiguity::Repeated(STREAM_MEMBER)));
                    }
                }
                Name::Type => {
                    if found
                        .kind
                        .replace(members.next_value::<&RawValue>()?.get())
                        .is_some()
                    {
                        return Err(self.stop(Ambiguity::Repeated(TYPE)));
                    }
                }
                Name::StreamOptions => {
                    members.next_value::<IgnoredAny>()?;
                    found.has_stream_options = true;
                }
            }
        }
        Ok(found)
    }
}

const MODEL: &str = "model";
const STREAM_MEMBER: &str = "stream";
const STREAM_OPTIONS: &str = "stream_options";
const TYPE: &str = "type";

/// The name of a member, compared with those that are looked for.
enum Name {
    Model,
    Stream,
    Type,
    /// In any case.
    StreamOptions,
    /// One of the members before in another case.
    OtherCase(&'static str),
    OtherModels(&'static str),
    Other,
}

struct NameVisitor<const SOUGHT: u8>;

impl<'de, const SOUGHT: u8> DeserializeSeed<'de> for NameVisitor<SOUGHT> {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<const SOUGHT: u8> Visitor<'_> for NameVisitor<SOUGHT> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Name, E> {
        Ok(Name::of::<SOUGHT>(text))
    }
}

impl Name {
    fn of<const SOUGHT: u8>(text: &str) -> Self {
        match text {
            MODEL => Self::Model,
            TYPE if SOUGHT == WITH_TYPE => Self::Type,
            STREAM_MEMBER if SOUGHT == WITH_STREAM => Self::Stream,
            text if text.eq_ignore_ascii_case(MODEL) => Self::OtherCase(MODEL),
            text if SOUGHT == WITH_TYPE && text.eq_ignore_ascii_case(TYPE) => Self::OtherCase(TYPE),
            text if SOUGHT == WITH_STREAM && text.eq_ignore_ascii_case(STREAM_MEMBER) => {
                Self::OtherCase(STREAM_MEMBER)
            }
            text if SOUGHT == WITH_STREAM && text.eq_ignore_ascii_case(STREAM_OPTIONS) => {
                Self::StreamOptions
            }
            text => other_models(text).map_or(Self::Other, Self::OtherModels),
        }
    }
}

#[cfg(test)]
mod tests;
