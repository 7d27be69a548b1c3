//! `chat:dummy`: answers at once, needs no provider and no secret.

use std::time::Duration;

use aisbreaker_api::{Input, Output, OutputText, Progress};
use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value};

use super::turn::Turn;
use crate::{
    error::ServiceError,
    service::{Call, Event, EventStream, Reply, ReplyFuture, Service},
};

const DEFAULT_GREETING: &str = "Hello";
/// Longest pause before each streamed piece that a caller may ask for.
const MAX_DELAY_MILLIS: u64 = 1000;
/// How many pieces of one answer are preceded by a pause; a long text would take days otherwise.
const MAX_DELAYS: u32 = 300;

/// Answers with a greeting and the text of the first input; streams word by word.
///
/// Service properties: `greeting` (text, default `Hello`) and `delayMillis` (0 to 1000, default 0),
/// a pause before every streamed piece but the first (of a long answer, before the first 300).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Dummy;

impl Service for Dummy {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(async { answer(call) })
    }
}

fn answer(mut call: Call) -> Result<Reply, ServiceError> {
    let greeting = greeting(&call.service.options)?;
    let delay = delay(&call.service.options)?;
    let turn = Turn::begin(&call.service_id, &mut call.request)?;
    let said = match turn.inputs().first() {
        Some(Input::Text(text)) => text.content.as_str(),
        Some(_) | None => "???",
    };
    let text = format!(
        "{greeting}, this is the reponse to '{said}' from DummyAssistantService ... \
         To get a useful answer, choose a different service/serviceId ..."
    );
    if call.request.stream {
        return Ok(Reply::Stream(stream_of(Pieces {
            text,
            sent: 0,
            delay,
            delays: MAX_DELAYS,
            turn,
        })));
    }
    Ok(Reply::Final(turn.finish(vec![output(text)])))
}

fn output(text: String) -> Output {
    Output::Text(OutputText::new(0, text))
}

fn greeting(options: &Map<String, Value>) -> Result<&str, ServiceError> {
    let Some(value) = options.get("greeting").filter(|value| !value.is_null()) else {
        return Ok(DEFAULT_GREETING);
    };
    let text = value
        .as_str()
        .ok_or_else(|| ServiceError::BadRequest("service.greeting must be a string".to_owned()))?;
    Ok(if text.is_empty() {
        DEFAULT_GREETING
    } else {
        text
    })
}

fn delay(options: &Map<String, Value>) -> Result<Duration, ServiceError> {
    let Some(value) = options.get("delayMillis").filter(|value| !value.is_null()) else {
        return Ok(Duration::ZERO);
    };
    let millis = value
        .as_u64()
        .filter(|millis| *millis <= MAX_DELAY_MILLIS)
        .ok_or_else(|| {
            ServiceError::BadRequest(format!(
                "service.delayMillis must be a whole number from 0 to {MAX_DELAY_MILLIS}"
            ))
        })?;
    Ok(Duration::from_millis(millis))
}

/// An answer that is being handed out word by word.
struct Pieces {
    text: String,
    /// How many bytes of `text` have been handed out.
    sent: usize,
    delay: Duration,
    /// How many pauses are left.
    delays: u32,
    turn: Turn,
}

impl Pieces {
    /// The next event, and what is left after it.
    async fn next(mut self) -> (Event, Option<Self>) {
        let Some(piece) = self.text[self.sent..]
            .split_inclusive(' ')
            .next()
            .map(str::to_owned)
        else {
            return (
                Event::Final(self.turn.finish(vec![output(self.text)])),
                None,
            );
        };
        if self.sent > 0 && self.delays > 0 && !self.delay.is_zero() {
            self.delays -= 1;
            tokio::time::sleep(self.delay).await;
        }
        self.sent += piece.len();
        let event = Event::Progress(Progress::text(0, piece, self.sent < self.text.len()));
        (event, Some(self))
    }
}

fn stream_of(pieces: Pieces) -> EventStream {
    let events = stream::unfold(Some(pieces), |pieces| async {
        let (event, rest) = pieces?.next().await;
        Some((Ok(event), rest))
    });
    Box::pin(events.fuse())
}
