//! Translates a request.

mod chat;
mod content;
mod conversation;
mod model;
mod options;
mod tools;

use std::borrow::Cow;

use serde_json::value::RawValue;

use self::{chat::ChatRequest, conversation::Conversation, options::OutputConfig};
use super::{Answers, Thinking};
use crate::{
    Untranslatable,
    members::{self, Members, boolean, number, positive_integer, text},
};

/// The most stop sequences that chat completions take.
const MAX_STOPS: usize = 4;
/// The most characters that providers take as the id of a user.
const MAX_USER_CHARS: usize = 64;

/// Translates a request for a message to one for a chat completion.
pub(super) fn translate<'a>(
    body: &'a [u8],
    model: &'a str,
) -> Result<(ChatRequest<'a>, Answers), Untranslatable> {
    let body = members::read_body(body)?;
    let request = Members::read(body).map_err(|error| match error.member.as_str() {
        "" => error.within("body"),
        _ => error,
    })?;
    read(request, model)
}

fn read<'a>(
    mut request: Members<'a>,
    model: &'a str,
) -> Result<(ChatRequest<'a>, Answers), Untranslatable> {
    request.require_as("model", text)?;
    let is_stream = request.take_as("stream", boolean)?.unwrap_or(false);

    let mut conversation = Conversation::new(model);
    if let Some(system) = request.take_as("system", content::joined_text)? {
        conversation.push_system(system);
    }
    request.require_as("messages", |messages| conversation.read(messages))?;
    let tools = request.take_as("tools", |list| {
        tools::read(list, &conversation.tool_changes)
    })?;
    let tools = tools.unwrap_or_default();
    let choice = request.take_as("tool_choice", |choice| tools::read_choice(choice, &tools))?;
    let choice = choice.unwrap_or_default();

    let max_tokens = request.require_as("max_tokens", positive_integer)?;
    let temperature = request.take_as("temperature", verbatim_number)?;
    let top_p = request.take_as("top_p", verbatim_number)?;
    let stop = request.take_as("stop_sequences", stop_sequences)?;
    let user = request.take_as("metadata", user)?.flatten();
    let thinking = request
        .take_as("thinking", options::thinking)?
        .unwrap_or_default();
    let output = request
        .take_as("output_config", OutputConfig::read)?
        .unwrap_or_default();
    let service_tier = request
        .take_as("service_tier", options::service_tier)?
        .flatten();
    options::take_what_asks_for_nothing(&mut request)?;
    request.finish()?;

    let model_traits = model::Traits::of(model);
    let effort = output.effort.or(thinking.effort);
    let chat = ChatRequest {
        model,
        messages: conversation.messages,
        tool_choice: choice.tool_choice,
        parallel_tool_calls: choice.parallel_tool_calls,
        reasoning_effort: model_traits.reasoning_effort(effort, !tools.is_empty()),
        tools,
        max_tokens: model_traits.limit(max_tokens),
        temperature,
        top_p,
        stop: stop.unwrap_or_default(),
        response_format: output.format,
        user,
        service_tier,
        stream: is_stream.then(chat::Stream::with_usage),
    };
    let answers = Answers {
        is_stream,
        thinking: if thinking.is_shown {
            Thinking::Shown
        } else {
            Thinking::Hidden
        },
        model: model.to_owned(),
    };
    Ok((chat, answers))
}

/// Passes a number on as it is written.
fn verbatim_number(value: &RawValue) -> Result<&RawValue, Untranslatable> {
    number(value)?;
    Ok(value)
}

fn stop_sequences(list: &RawValue) -> Result<Vec<Cow<'_, str>>, Untranslatable> {
    let mut stops = Vec::new();
    members::for_each_item(list, |index, stop| {
        if index == MAX_STOPS {
            return Err(Untranslatable::new(
                "",
                "is one more than the four stop sequences that the provider's API takes",
            ));
        }
        stops.push(text(stop)?);
        Ok(())
    })?;
    Ok(stops)
}

/// Reads the user out of `metadata`. Providers refuse an id that is too long, and Claude Code sends one.
fn user(metadata: &RawValue) -> Result<Option<String>, Untranslatable> {
    let mut metadata = Members::read(metadata)?;
    let user = metadata.take_as("user_id", text)?;
    metadata.finish()?;
    Ok(user.map(|user| user.chars().take(MAX_USER_CHARS).collect()))
}
