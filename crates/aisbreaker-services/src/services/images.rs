//! The services that make images from a text.

pub(crate) mod dummy;
mod openai;
mod stability;

use aisbreaker_api::{Input, ServiceId};

pub use self::{dummy::DummyImages, openai::OpenAiImages, stability::StabilityImages};
use super::conversation::Conversation;
use crate::error::ServiceError;

/// Returns the prompt: the texts of this turn, a line each.
///
/// # Errors
/// [`ServiceError::BadRequest`] when an input is not a text, or all texts are blank.
fn prompt(id: &ServiceId, conversation: &Conversation) -> Result<String, ServiceError> {
    let bad = |problem: &str| ServiceError::BadRequest(format!("{id}: {problem}").into());
    let mut texts = Vec::new();
    for input in conversation.inputs() {
        let Input::Text(text) = input else {
            return Err(bad("makes pictures of texts only; leave image inputs out"));
        };
        texts.push(text.content.as_str());
    }
    let prompt = texts.join("\n");
    if prompt.trim().is_empty() {
        return Err(bad("needs a text that says what to paint"));
    }
    Ok(prompt)
}
