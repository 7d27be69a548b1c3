//! The model in a JSON object (RFC 8259): the member `model` of the object itself, however its name
//! is escaped.

use std::{fmt, ops::Range};

use aisbreaker_api::{InvalidRequest, read::JsonFault};
use serde::{
    Deserializer as _,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{BodyModel, NameEncoding, other_models, repeated};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Finds the model in a JSON object in UTF-8; `None` if it names none, or `null`.
///
/// Only the name is copied. Values are skipped whatever they hold, however deep.
pub(crate) fn model_in_json(body: &[u8]) -> Result<Option<BodyModel>, InvalidRequest> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(InvalidRequest::new("request body", "must be JSON in UTF-8"));
    };
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let found = find_members(text)?;
    let Some(raw) = found.model else {
        return Ok(None);
    };
    let name: Option<String> = serde_json::from_str(raw.get())
        .map_err(|_other_type| InvalidRequest::new("model", "must be a string"))?;
    let Some(name) = name else {
        return Ok(None);
    };
    let Some(span) = span_in(body, raw.get()) else {
        return Err(InvalidRequest::new(
            "model",
            "cannot be found in the request body",
        ));
    };
    let model = BodyModel::new(name, span, NameEncoding::JsonString)?;
    Ok(Some(BodyModel {
        other_models: found.other_models,
        ..model
    }))
}

/// What an object says about models.
#[derive(Default)]
struct Members<'a> {
    model: Option<&'a RawValue>,
    other_models: Option<&'static str>,
}

/// Why an object does not have one model that every parser finds.
#[derive(Clone, Copy)]
enum Ambiguity {
    Repeated,
    /// The name is in another case, which the parsers of Go and .NET accept.
    OtherCase,
}

fn find_members(text: &str) -> Result<Members<'_>, InvalidRequest> {
    let mut ambiguity = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = deserializer
        .deserialize_map(MemberVisitor(&mut ambiguity))
        .and_then(|members| deserializer.end().map(|()| members));
    match ambiguity {
        None => {}
        Some(Ambiguity::Repeated) => return Err(repeated("model")),
        Some(Ambiguity::OtherCase) => {
            return Err(InvalidRequest::new(
                "model",
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

/// Finds the member among those of an object. An ambiguity ends the search.
struct MemberVisitor<'a>(&'a mut Option<Ambiguity>);

impl MemberVisitor<'_> {
    fn stop<E: de::Error>(self, ambiguity: Ambiguity) -> E {
        *self.0 = Some(ambiguity);
        E::custom("ambiguous model")
    }
}

impl<'de> Visitor<'de> for MemberVisitor<'_> {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = Members::default();
        while let Some(name) = members.next_key()? {
            match name {
                Name::Other => {
                    members.next_value::<IgnoredAny>()?;
                }
                Name::OtherModels(name) => {
                    members.next_value::<IgnoredAny>()?;
                    found.other_models = Some(name);
                }
                Name::OtherCase => return Err(self.stop(Ambiguity::OtherCase)),
                Name::Model => {
                    if found.model.replace(members.next_value()?).is_some() {
                        return Err(self.stop(Ambiguity::Repeated));
                    }
                }
            }
        }
        Ok(found)
    }
}

/// The name of a member, compared with `model` and the members that name other models.
enum Name {
    Model,
    OtherCase,
    OtherModels(&'static str),
    Other,
}

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Name, E> {
        Ok(match text {
            "model" => Name::Model,
            text if text.eq_ignore_ascii_case("model") => Name::OtherCase,
            text => other_models(text).map_or(Name::Other, Name::OtherModels),
        })
    }
}
