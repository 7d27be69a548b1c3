//! Translates a response.

use serde_json::value::RawValue;

use super::{
    Thinking,
    completion::{
        ARGUMENTS_ARE_NO_OBJECT, Completion, FinishReason, Piece, Summary, ToolCall, Usage,
        read_arguments,
    },
    message::{Block, Message, to_json},
};
use crate::UnreadableAnswer;

/// Translates a chat completion to a message.
pub(super) fn translate(body: &[u8], thinking: Thinking) -> Result<Vec<u8>, UnreadableAnswer> {
    let Ok(completion) = serde_json::from_slice::<Completion>(body) else {
        return Err(UnreadableAnswer::new("it is not a chat completion"));
    };
    if completion.is_error() {
        return Err(UnreadableAnswer::new(
            "it is an error with a status of success",
        ));
    }
    let id = completion.message_id();
    let model = completion.model.clone().unwrap_or_default();
    let usage = completion.usage().map(Usage::translate).unwrap_or_default();
    let Some(choice) = completion.into_choice() else {
        return Err(UnreadableAnswer::new("it has no choice"));
    };
    let Some(answer) = choice.message else {
        return Err(UnreadableAnswer::new("its choice has no message"));
    };
    let finish = FinishReason::read(choice.finish_reason.as_deref().unwrap_or("stop"))?;

    let texts = Texts::collect(&answer.pieces()?, thinking);
    let calls = answer.tool_calls.as_deref().unwrap_or_default();
    let calls = read_calls(calls, &id, finish)?;
    let summary = Summary {
        is_refusal: answer.refusal.is_some_and(|refusal| !refusal.is_empty()),
        has_calls: !calls.is_empty(),
    };

    let mut message = Message::new(&id, &model);
    message.content.extend(texts.0.iter().map(Text::block));
    message.content.extend(calls.iter().map(Call::block));
    message.stop.reason = Some(finish.stop_reason(summary));
    message.usage = usage;
    Ok(to_json(&message))
}

/// Text and shown thinking, each in as few blocks as possible.
struct Texts(Vec<Text>);

enum Text {
    Thinking(String),
    Text(String),
}

impl Texts {
    fn collect(pieces: &[Piece<'_>], thinking: Thinking) -> Self {
        let mut texts = Self(Vec::new());
        for piece in pieces {
            match (piece, texts.0.last_mut()) {
                (Piece::Thinking(_), _) if thinking == Thinking::Hidden => {}
                (Piece::Thinking(piece), Some(Text::Thinking(text)))
                | (Piece::Text(piece), Some(Text::Text(text))) => text.push_str(piece),
                (Piece::Thinking(piece), _) => texts.0.push(Text::Thinking((*piece).to_owned())),
                (Piece::Text(piece), _) => texts.0.push(Text::Text((*piece).to_owned())),
            }
        }
        texts
    }
}

impl Text {
    fn block(&self) -> Block<'_> {
        match self {
            Self::Thinking(thinking) => Block::Thinking {
                thinking,
                signature: "",
            },
            Self::Text(text) => Block::Text { text },
        }
    }
}

/// A tool call with readable arguments.
struct Call<'a> {
    id: String,
    name: &'a str,
    input: Box<RawValue>,
}

impl Call<'_> {
    fn block(&self) -> Block<'_> {
        Block::ToolUse {
            id: &self.id,
            name: self.name,
            input: &self.input,
        }
    }
}

fn read_calls<'a>(
    calls: &'a [ToolCall],
    message_id: &str,
    finish: FinishReason,
) -> Result<Vec<Call<'a>>, UnreadableAnswer> {
    let mut read = Vec::with_capacity(calls.len());
    for (index, call) in calls.iter().enumerate() {
        let Some(name) = call.name() else {
            return Err(UnreadableAnswer::new("a tool call names no tool"));
        };
        match read_arguments(&call.arguments()?) {
            Some(input) => read.push(Call {
                id: call_id(call.id(), message_id, index),
                name,
                input: input.to_owned(),
            }),
            // Cut off in the middle of the call, which must not be made then.
            None if finish == FinishReason::Length => {}
            None => return Err(UnreadableAnswer::new(ARGUMENTS_ARE_NO_OBJECT)),
        }
    }
    Ok(read)
}

/// Returns the id of a call: the provider's or, if it sent none, one made of the id of the message.
pub(super) fn call_id(id: Option<&str>, message_id: &str, index: usize) -> String {
    match id {
        Some(id) => id.to_owned(),
        None => {
            let message_id = message_id.strip_prefix("msg_").unwrap_or(message_id);
            format!("toolu_{message_id}_{index}")
        }
    }
}
