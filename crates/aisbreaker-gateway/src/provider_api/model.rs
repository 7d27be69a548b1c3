//! The model that a body names: found, and replaced without touching anything else.
//!
//! Whatever two parsers could read differently is refused: a key may be limited to one model, and
//! the provider must see the one that was checked.

mod json;
mod json_scanner;
mod multipart;

use std::ops::Range;

use aisbreaker_api::InvalidRequest;
use bytes::Bytes;
use http::HeaderValue;

pub(crate) use self::{
    json::{MemberEnd, model_and_stream_in_json, model_and_type_in_json, model_in_json},
    multipart::model_in_multipart,
};
use crate::request::head::ContentFormat;

/// The longest name of a model in bytes.
const MAX_NAME_LEN: usize = 512;

/// The model that a body names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct BodyModel {
    pub(crate) name: String,
    /// The place of the name in the body, quotes included.
    span: Range<usize>,
    encoding: NameEncoding,
    /// A member of the body with which some providers let a caller name other models, to use when
    /// this one fails.
    pub(crate) other_models: Option<&'static str>,
}

/// How a name is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum NameEncoding {
    JsonString,
    FormField,
}

impl BodyModel {
    fn new(
        name: String,
        span: Range<usize>,
        encoding: NameEncoding,
    ) -> Result<Self, InvalidRequest> {
        if !is_valid_name(&name) {
            let problem = format!("must be 1 to {MAX_NAME_LEN} bytes without control characters");
            return Err(InvalidRequest::new("model", problem));
        }
        Ok(Self {
            name,
            span,
            encoding,
            other_models: None,
        })
    }
}

/// The members and fields that name other models: those of OpenRouter and LiteLLM, in any case.
const OTHER_MODELS: [&str; 2] = ["models", "fallbacks"];

/// Returns which of the members that name other models this is.
fn other_models(name: &str) -> Option<&'static str> {
    let is_it = |member: &&'static str| name.eq_ignore_ascii_case(member);
    OTHER_MODELS.into_iter().find(is_it)
}

/// Returns whether a model can have this name.
pub(super) fn is_valid_name(name: &str) -> bool {
    let is_printable = |byte| matches!(byte, b' '..=b'~');
    (1..=MAX_NAME_LEN).contains(&name.len())
        && (name.bytes().all(is_printable) || !name.chars().any(char::is_control))
}

/// Finds the model in a body of this format; `None` if it names none.
pub(crate) fn model_in(
    body: &[u8],
    format: ContentFormat,
    content_type: Option<&HeaderValue>,
) -> Result<Option<BodyModel>, InvalidRequest> {
    match (format, content_type) {
        (ContentFormat::Multipart, Some(content_type)) => model_in_multipart(body, content_type),
        (ContentFormat::Multipart | ContentFormat::UrlEncoded | ContentFormat::Json, _) => {
            model_in_json(body)
        }
    }
}

/// Replaces the name of the model. Returns what is before it, the new name, and what is after it,
/// without copying the body.
pub(crate) fn replace_model(body: &Bytes, model: &BodyModel, name: &str) -> [Bytes; 3] {
    let Range { start, end } = model.span;
    // Not expected: the span belongs to another body.
    if end > body.len() {
        return [body.clone(), Bytes::new(), Bytes::new()];
    }
    let name = match model.encoding {
        NameEncoding::JsonString => serde_json::Value::from(name).to_string(),
        NameEncoding::FormField => name.to_owned(),
    };
    [body.slice(..start), name.into(), body.slice(end..)]
}

/// Finds the model in a body of this format, and in JSON where `stream_options` can be added to a
/// stream without them.
pub(crate) fn model_and_stream_in(
    body: &[u8],
    format: ContentFormat,
    content_type: Option<&HeaderValue>,
) -> Result<(Option<BodyModel>, Option<MemberEnd>), InvalidRequest> {
    match format {
        ContentFormat::Multipart => Ok((model_in(body, format, content_type)?, None)),
        ContentFormat::UrlEncoded | ContentFormat::Json => model_and_stream_in_json(body),
    }
}

fn repeated(member: &str) -> InvalidRequest {
    InvalidRequest::new(member, "is there twice")
}

#[cfg(test)]
mod tests;
