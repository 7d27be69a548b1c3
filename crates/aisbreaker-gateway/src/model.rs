//! The model that a request names: found in its body, and replaced there, without anything else of
//! the body being touched.
//!
//! Whatever two readers of a body could read differently is refused: a key may be good for one
//! model only, and the provider must see the one that was looked at.

mod json;
mod multipart;

use std::ops::Range;

use aisbreaker_api::InvalidRequest;
use bytes::Bytes;

pub(crate) use self::{json::of_json, multipart::of_multipart};

/// The longest name of a model in bytes.
const MAX_NAME_LEN: usize = 512;

/// The model that a body names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Model {
    pub(crate) name: String,
    /// Where the name is in the body, with its quotes if it has some.
    span: Range<usize>,
    form: Form,
}

/// How a name is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    /// As a JSON string.
    Json,
    /// As the content of a form's field.
    Field,
}

impl Model {
    fn new(name: String, span: Range<usize>, form: Form) -> Result<Self, InvalidRequest> {
        if name.is_empty() || name.len() > MAX_NAME_LEN || name.chars().any(char::is_control) {
            let problem = format!("must be 1 to {MAX_NAME_LEN} bytes without control characters");
            return Err(InvalidRequest::new("model", problem));
        }
        Ok(Self { name, span, form })
    }
}

/// The body with another name of the model: what stands before it, the name, and what stands behind
/// it. Nothing is copied.
pub(crate) fn renamed(body: &Bytes, model: &Model, name: &str) -> [Bytes; 3] {
    let Range { start, end } = model.span;
    // The place is one of this body; of another one, nothing is replaced.
    if end > body.len() {
        return [body.clone(), Bytes::new(), Bytes::new()];
    }
    let name = match model.form {
        Form::Json => serde_json::Value::from(name).to_string(),
        Form::Field => name.to_owned(),
    };
    [body.slice(..start), name.into(), body.slice(end..)]
}

/// The body says something twice.
fn twice(member: &str) -> InvalidRequest {
    InvalidRequest::new(member, "is there twice")
}

#[cfg(test)]
mod tests;
