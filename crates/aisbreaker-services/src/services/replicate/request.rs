//! Writes the provider's request.

use aisbreaker_api::ServiceId;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{
    super::{
        conversation::Conversation,
        transcript::{Part, Speaker, Turn, instructions, turns},
    },
    model::Model,
};
use crate::error::ServiceError;

/// Returns the body. The input of the model is the options, and over them the conversation.
///
/// # Errors
/// [`ServiceError::BadRequest`] when the conversation has images.
pub(super) fn body(
    id: &ServiceId,
    conversation: &Conversation,
    model: &Model<'_>,
    options: Map<String, Value>,
) -> Result<Bytes, ServiceError> {
    let mut input = options;
    input.insert("prompt".to_owned(), prompt(id, conversation)?.into());
    if let Some(instructions) = instructions(conversation) {
        input.insert("system_prompt".to_owned(), instructions.into());
    }
    let body = match model.version {
        Some(version) => json!({"version": version, "input": input}),
        None => json!({"input": input}),
    };
    Ok(Bytes::from(body.to_string()))
}

/// Returns the user's text, or all turns if there is more than one.
fn prompt(id: &ServiceId, conversation: &Conversation) -> Result<String, ServiceError> {
    let turns = turns(conversation);
    if let [turn] = &turns[..]
        && turn.speaker == Speaker::User
    {
        return turn_text(id, turn);
    }
    let mut prompt = String::new();
    for turn in &turns {
        let speaker = match turn.speaker {
            Speaker::User => "User: ",
            Speaker::Assistant => "Assistant: ",
        };
        prompt.extend([speaker, &turn_text(id, turn)?, "\n\n"]);
    }
    prompt.push_str("Assistant:");
    Ok(prompt)
}

fn turn_text(id: &ServiceId, turn: &Turn<'_>) -> Result<String, ServiceError> {
    let mut texts = Vec::new();
    for part in &turn.parts {
        match part {
            Part::Text(text) => texts.push(*text),
            Part::ImageUrl(_) | Part::Image { .. } => {
                let text = format!(
                    "{id}: takes no image inputs, since each model has a name of its own for them: \
                     put the image into request.internOptions under that name"
                );
                return Err(ServiceError::BadRequest(text.into()));
            }
        }
    }
    Ok(texts.join("\n"))
}
