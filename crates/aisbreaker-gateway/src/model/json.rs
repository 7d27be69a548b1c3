//! The model in a JSON object (RFC 8259): the member `model` of the object itself, however its name
//! is escaped.

use std::fmt;

use aisbreaker_api::{InvalidRequest, read::JsonFault};
use serde::{
    Deserializer as _,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Form, Model, twice};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The text of an error that stands for a member that is there twice.
const TWICE: &str = "model is there twice";
/// The text of an error that stands for a member that some take for it.
const ALIKE: &str = "model is written otherwise";

/// The model that a JSON object names; `None` if it names none, or `null`.
///
/// Nothing of the body is copied but the name; values are passed over whatever is in them, however
/// deep.
pub(crate) fn of_json(body: &[u8]) -> Result<Option<Model>, InvalidRequest> {
    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let found = deserializer
        .deserialize_map(Members)
        .and_then(|found| deserializer.end().map(|()| found));
    let raw = match found {
        Ok(None) => return Ok(None),
        Ok(Some(raw)) => raw.get(),
        Err(error) if error.to_string().starts_with(TWICE) => return Err(twice("model")),
        Err(error) if error.to_string().starts_with(ALIKE) => {
            return Err(InvalidRequest::new(
                "model",
                "must be written in small letters; some take any case for it",
            ));
        }
        Err(error) if error.is_data() => {
            return Err(InvalidRequest::new("request body", "must be a JSON object"));
        }
        Err(error) => {
            let fault = JsonFault::Syntax {
                line: error.line(),
                column: error.column(),
            };
            return Err(InvalidRequest::new("request body", fault.to_string()));
        }
    };
    let name: Option<String> = serde_json::from_str(raw)
        .map_err(|_other| InvalidRequest::new("model", "must be a string"))?;
    let Some(name) = name else { return Ok(None) };
    // The value is a piece of the body, so that the distance of the two is its place.
    let start = (raw.as_ptr() as usize).checked_sub(body.as_ptr() as usize);
    let span = start.and_then(|start| Some(start..start.checked_add(raw.len())?));
    let span = span.filter(|span| body.get(span.clone()) == Some(raw.as_bytes()));
    let span =
        span.ok_or_else(|| InvalidRequest::new("model", "cannot be found in the request body"))?;
    Model::new(name, span, Form::Json).map(Some)
}

/// Finds the member among those of an object.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut model = None;
        while let Some(name) = members.next_key()? {
            match name {
                Name::Other => {
                    members.next_value::<IgnoredAny>()?;
                }
                // Go's and .NET's readers would take it for the model.
                Name::Alike => return Err(A::Error::custom(ALIKE)),
                Name::Model => {
                    if model.replace(members.next_value()?).is_some() {
                        return Err(A::Error::custom(TWICE));
                    }
                }
            }
        }
        Ok(model)
    }
}

/// What the name of a member is to whoever looks for the model.
enum Name {
    Model,
    /// The same in letters of another case.
    Alike,
    Other,
}

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Name, E> {
                Ok(match text {
                    "model" => Name::Model,
                    text if text.eq_ignore_ascii_case("model") => Name::Alike,
                    _ => Name::Other,
                })
            }
        }

        deserializer.deserialize_str(Text)
    }
}
