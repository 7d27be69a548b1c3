//! Responses: Anthropic's message into OpenAI's chat completion.

use std::borrow::Cow;

use super::{
    completion::{Choice, Completion, Function, Message, ToolCall, completion_id},
    message::{self, ContentBlock, Counts, Known},
};
use crate::{UnreadableAnswer, members::Text};

/// Translates the body of a response.
pub(super) fn translate(body: &[u8], created: u64) -> Result<Vec<u8>, UnreadableAnswer> {
    let Ok(message) = serde_json::from_slice::<message::Message<'_>>(body) else {
        return Err(UnreadableAnswer::new(
            "the response is not a message in JSON",
        ));
    };
    let Some(Text(stop_reason)) = message.stop_reason else {
        return Err(UnreadableAnswer::new("the message has no stop reason"));
    };
    let finish_reason = message::finish_reason(&stop_reason)?;
    let (Some(content), Some(usage)) = (message.content, message.usage) else {
        return Err(UnreadableAnswer::new("the message lacks a member"));
    };
    let mut translated = read_content(content)?;
    if stop_reason == "refusal" {
        let explanation = message.stop_details.and_then(|details| details.explanation);
        translated.refusal = explanation.map(|Text(text)| text);
    }

    let mut counts = Counts::default();
    usage.update(&mut counts);
    let completion = Completion {
        id: completion_id(&message.id),
        object: "chat.completion",
        created,
        model: message.model,
        choices: [Choice {
            index: 0,
            message: translated,
            logprobs: None,
            finish_reason,
        }],
        usage: counts.into(),
        service_tier: usage.service_tier(),
    };
    match serde_json::to_vec(&completion) {
        Ok(body) => Ok(body),
        Err(_) => Err(UnreadableAnswer::new(
            "the response cannot be written as JSON",
        )),
    }
}

fn read_content(blocks: Vec<ContentBlock<'_>>) -> Result<Message<'_>, UnreadableAnswer> {
    let mut content: Option<Cow<'_, str>> = None;
    let mut tool_calls = Vec::new();
    for block in blocks {
        match block.known()? {
            Known::Text(text) => match &mut content {
                None => content = Some(text),
                Some(content) => content.to_mut().push_str(&text),
            },
            Known::Thinking => {}
            Known::ToolUse { id, name, input } => tool_calls.push(ToolCall {
                id,
                kind: "function",
                function: Function {
                    name,
                    arguments: input.map_or("{}", |input| input.get()),
                },
            }),
        }
    }
    Ok(Message {
        role: "assistant",
        content,
        refusal: None,
        tool_calls,
    })
}
