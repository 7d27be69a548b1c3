//! `chat:echo`: repeats its inputs.

use aisbreaker_api::{Input, Output, OutputText, Progress};
use futures_util::stream;

use super::conversation::Conversation;
use crate::{
    error::ServiceError,
    service::{Call, Event, Reply, ReplyFuture, ReplyKind, Service},
};

/// Answers with one text per text input, with `[ECHO] ` before it; streams one piece per text.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Echo;

impl Service for Echo {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(async { echo(call) })
    }
}

fn echo(mut call: Call) -> Result<Reply, ServiceError> {
    let conversation = Conversation::start(&call.service_id, &mut call.request)?;
    let mut texts = Vec::new();
    for input in conversation.inputs() {
        if let Input::Text(text) = input {
            texts.push(format!("[ECHO] {}", text.content));
        }
    }
    let outputs = (0..)
        .zip(&texts)
        .map(|(index, text)| Output::Text(OutputText::new(index, text)))
        .collect();
    let response = conversation.finish(outputs);
    match call.reply_kind() {
        ReplyKind::Final => Ok(Reply::Final(response)),
        ReplyKind::Stream => {
            let mut events = Vec::new();
            for (index, text) in (0..).zip(texts) {
                events.push(Ok(Event::Progress(Progress::text(index, text, false))));
            }
            events.push(Ok(Event::Final(response)));
            Ok(Reply::Stream(Box::pin(stream::iter(events))))
        }
    }
}
