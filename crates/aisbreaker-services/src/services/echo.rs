//! `chat:echo`: says what was said.

use aisbreaker_api::{Input, Output, OutputText, Progress};
use futures_util::stream;

use super::turn::Turn;
use crate::{
    error::ServiceError,
    service::{Call, Event, Reply, ReplyFuture, Service},
};

/// Answers with one text per text input, `[ECHO] ` before it; streams one piece per text.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Echo;

impl Service for Echo {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(async { answer(call) })
    }
}

fn answer(mut call: Call) -> Result<Reply, ServiceError> {
    let turn = Turn::begin(&call.service_id, &mut call.request)?;
    let texts: Vec<String> = turn.inputs().iter().filter_map(echo_of).collect();
    let outputs = (0..)
        .zip(&texts)
        .map(|(index, text)| Output::Text(OutputText::new(index, text)))
        .collect();
    let response = turn.finish(outputs);
    if !call.request.stream {
        return Ok(Reply::Final(response));
    }
    let pieces = (0..)
        .zip(texts)
        .map(|(index, text)| Event::Progress(Progress::text(index, text, false)));
    let events = pieces.chain([Event::Final(response)]).map(Ok);
    Ok(Reply::Stream(Box::pin(stream::iter(
        events.collect::<Vec<_>>(),
    ))))
}

fn echo_of(input: &Input) -> Option<String> {
    if let Input::Text(text) = input {
        Some(format!("[ECHO] {}", text.content))
    } else {
        None
    }
}
