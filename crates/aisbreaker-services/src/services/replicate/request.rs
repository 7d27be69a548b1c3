//! Makes the provider's request.

use aisbreaker_api::ServiceId;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{
    super::{
        said::{Said, Speaker, instructions, turns},
        turn::Turn,
    },
    PREDICTIONS,
};
use crate::error::ServiceError;

/// A model, and perhaps one of its versions.
pub(super) struct Model<'a> {
    owner: &'a str,
    name: &'a str,
    version: Option<&'a str>,
}

impl<'a> Model<'a> {
    pub(super) fn parse(id: &ServiceId, engine: &'a str) -> Result<Self, ServiceError> {
        let (model, version) = engine
            .split_once(':')
            .map_or((engine, None), |(model, version)| (model, Some(version)));
        let (owner, name) = model.split_once('/').unwrap_or_default();
        if is_name(owner) && is_name(name) && version.is_none_or(is_name) {
            return Ok(Self {
                owner,
                name,
                version,
            });
        }
        Err(ServiceError::BadRequest(format!(
            "{id}: name the model as <owner>/<name>, with :<version> where it is needed, such as \
             'chat:replicate.com/meta/meta-llama-3-8b-instruct'"
        )))
    }

    /// Where predictions of it are made.
    pub(super) fn path(&self) -> String {
        match self.version {
            Some(_) => PREDICTIONS.to_owned(),
            None => format!("/v1/models/{}/{}/predictions", self.owner, self.name),
        }
    }
}

fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed) && !matches!(text, "." | "..")
}

/// The body of the request: what `options` holds is the input, and over it the conversation.
pub(super) fn body(
    id: &ServiceId,
    turn: &Turn,
    model: &Model<'_>,
    options: Map<String, Value>,
) -> Result<Bytes, ServiceError> {
    let mut input = options;
    input.insert("prompt".to_owned(), Value::String(prompt(id, turn)?));
    if let Some(instructions) = instructions(turn) {
        input.insert("system_prompt".to_owned(), Value::String(instructions));
    }
    let body = match model.version {
        Some(version) => json!({"version": version, "input": input}),
        None => json!({"input": input}),
    };
    Ok(Bytes::from(body.to_string()))
}

/// What the user says, alone if nothing was said before.
fn prompt(id: &ServiceId, turn: &Turn) -> Result<String, ServiceError> {
    let turns = turns(turn)
        .into_iter()
        .map(|(speaker, said)| Ok((speaker, text(id, &said)?)));
    let mut turns = turns.collect::<Result<Vec<_>, ServiceError>>()?;
    if let [(Speaker::User, text)] = &mut turns[..] {
        return Ok(std::mem::take(text));
    }
    let lines = turns.iter().map(|(speaker, text)| match speaker {
        Speaker::User => format!("User: {text}\n\n"),
        Speaker::Assistant => format!("Assistant: {text}\n\n"),
    });
    Ok(lines.chain(["Assistant:".to_owned()]).collect())
}

fn text(id: &ServiceId, said: &[Said<'_>]) -> Result<String, ServiceError> {
    let texts = said.iter().map(|said| match said {
        Said::Text(text) => Ok(*text),
        Said::ImageAt(_) | Said::Image { .. } => Err(ServiceError::BadRequest(format!(
            "{id}: takes no image inputs, since each model has a name of its own for them: put the image into \
             request.internOptions under that name"
        ))),
    });
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n"))
}
