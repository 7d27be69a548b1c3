//! Translates a response.

use serde_json::value::RawValue;

use super::{
    Answers, Thinking,
    completion::{
        ARGUMENTS_ARE_NO_OBJECT, Completion, FinishReason, Origin, Piece, Summary, ToolCall, Usage,
        read_arguments,
    },
    message::{Block, Message, to_json},
    reasoning,
};
use crate::UnreadableAnswer;

/// Translates a chat completion to a message.
pub(super) fn translate(body: &[u8], answers: &Answers) -> Result<Vec<u8>, UnreadableAnswer> {
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

    let texts = Texts::collect(&answer.pieces()?, answers);
    let calls = answer.tool_calls.as_deref().unwrap_or_default();
    let calls = read_calls(calls, &id, finish)?;
    let summary = Summary {
        is_refusal: answer.refusal.is_some_and(|refusal| !refusal.is_empty()),
        has_calls: !calls.is_empty(),
    };

    let mut message = Message::new(&id, &model);
    message.content.extend(texts.shown.iter().map(Text::block));
    if let Some(signature) = texts
        .signature_of_hidden
        .as_deref()
        .filter(|_| summary.has_calls)
    {
        message.content.push(Block::Thinking {
            thinking: "",
            signature,
        });
    }
    message.content.extend(calls.iter().map(Call::block));
    message.stop.reason = Some(finish.stop_reason(summary));
    message.usage = usage;
    Ok(to_json(&message))
}

/// Text and thinking.
struct Texts {
    /// In as few blocks as possible.
    shown: Vec<Text>,
    /// Reasoning that the provider wants back, if it is not shown.
    signature_of_hidden: Option<String>,
}

enum Text {
    Thinking {
        text: String,
        origin: Origin,
        signature: String,
    },
    Text(String),
}

impl Texts {
    fn collect(pieces: &[Piece<'_>], answers: &Answers) -> Self {
        let mut shown = Vec::new();
        let mut hidden = String::new();
        for piece in pieces {
            match (*piece, shown.last_mut()) {
                (Piece::Thinking(piece, origin), _) if answers.thinking == Thinking::Hidden => {
                    if origin == Origin::ReasoningContent {
                        hidden.push_str(piece);
                    }
                }
                (
                    Piece::Thinking(piece, origin),
                    Some(Text::Thinking {
                        text, origin: last, ..
                    }),
                ) if origin == *last => text.push_str(piece),
                (Piece::Text(piece), Some(Text::Text(text))) => text.push_str(piece),
                (Piece::Thinking(piece, origin), _) => shown.push(Text::Thinking {
                    text: piece.to_owned(),
                    origin,
                    signature: match origin {
                        Origin::ReasoningContent => reasoning::signature(&answers.model),
                        Origin::Other => String::new(),
                    },
                }),
                (Piece::Text(piece), _) => shown.push(Text::Text(piece.to_owned())),
            }
        }
        let signature_of_hidden =
            (!hidden.is_empty()).then(|| reasoning::signature_with_text(&answers.model, &hidden));
        Self {
            shown,
            signature_of_hidden,
        }
    }
}

impl Text {
    fn block(&self) -> Block<'_> {
        match self {
            Self::Thinking {
                text, signature, ..
            } => Block::Thinking {
                thinking: text,
                signature,
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
