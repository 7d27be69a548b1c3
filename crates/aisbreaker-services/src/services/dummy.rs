//! `chat:dummy`: answers at once, without a provider and without a secret.

use std::time::Duration;

use aisbreaker_api::{Input, Output, OutputText, Progress};
use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value};

use super::conversation::Conversation;
use crate::{
    error::ServiceError,
    service::{Call, Event, EventStream, Reply, ReplyFuture, ReplyKind, Service},
};

pub(crate) const DEFAULT_GREETING: &str = "Hello";
/// The longest pause before each streamed piece, in milliseconds.
const MAX_DELAY_MILLIS: u64 = 1000;
/// The most pieces of one answer with a pause before them; a long text would take days otherwise.
const MAX_DELAYS: u32 = 300;

/// Answers with a greeting and the text of the first input; streams word by word.
///
/// Service properties: `greeting` (text, default `Hello`), and `delayMillis` (0 to 1000, default
/// 0), a pause before every streamed piece except the first. In a long answer, only the first 300
/// pauses are made.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Dummy;

impl Service for Dummy {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(async { greet(call) })
    }
}

fn greet(mut call: Call) -> Result<Reply, ServiceError> {
    let greeting = greeting(&call.service.options)?;
    let delay = delay(&call.service.options)?;
    let conversation = Conversation::start(&call.service_id, &mut call.request)?;
    let question = match conversation.inputs().first() {
        Some(Input::Text(text)) => text.content.as_str(),
        Some(_) | None => "???",
    };
    let text = answer_to(question, greeting);
    match call.reply_kind() {
        ReplyKind::Final => Ok(Reply::Final(conversation.finish(vec![output(text)]))),
        ReplyKind::Stream => Ok(Reply::Stream(word_by_word(Words {
            text,
            sent_bytes: 0,
            delay,
            delays_left: MAX_DELAYS,
            conversation,
        }))),
    }
}

/// Returns the text of the answer, in the words of the original.
pub(crate) fn answer_to(question: &str, greeting: &str) -> String {
    format!(
        "{greeting}, this is the reponse to '{question}' from DummyAssistantService ... \
         To get a useful answer, choose a different service/serviceId ..."
    )
}

fn output(text: String) -> Output {
    Output::Text(OutputText::new(0, text))
}

fn greeting(options: &Map<String, Value>) -> Result<&str, ServiceError> {
    match options.get("greeting") {
        None | Some(Value::Null) => Ok(DEFAULT_GREETING),
        Some(Value::String(text)) if text.is_empty() => Ok(DEFAULT_GREETING),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(ServiceError::BadRequest(
            "service.greeting must be a string".into(),
        )),
    }
}

fn delay(options: &Map<String, Value>) -> Result<Duration, ServiceError> {
    let millis = match options.get("delayMillis") {
        None | Some(Value::Null) => Some(0),
        Some(value) => value.as_u64(),
    };
    match millis {
        Some(millis @ 0..=MAX_DELAY_MILLIS) => Ok(Duration::from_millis(millis)),
        Some(_) | None => {
            let text =
                format!("service.delayMillis must be a whole number from 0 to {MAX_DELAY_MILLIS}");
            Err(ServiceError::BadRequest(text.into()))
        }
    }
}

/// An answer that is streamed word by word.
struct Words {
    text: String,
    /// How many bytes of `text` have been sent.
    sent_bytes: usize,
    delay: Duration,
    delays_left: u32,
    conversation: Conversation,
}

fn word_by_word(words: Words) -> EventStream {
    let events = stream::unfold(Some(words), |words| async {
        let (event, rest) = words?.next().await;
        Some((Ok(event), rest))
    });
    Box::pin(events.fuse())
}

impl Words {
    /// Returns the next event, and the words after it.
    async fn next(mut self) -> (Event, Option<Self>) {
        let rest = &self.text[self.sent_bytes..];
        let Some(word) = rest.split_inclusive(' ').next().map(str::to_owned) else {
            let response = self.conversation.finish(vec![output(self.text)]);
            return (Event::Final(response), None);
        };
        if self.sent_bytes > 0 && self.delays_left > 0 && !self.delay.is_zero() {
            self.delays_left -= 1;
            tokio::time::sleep(self.delay).await;
        }
        self.sent_bytes += word.len();
        let is_processing = self.sent_bytes < self.text.len();
        let progress = Progress::text(0, word, is_processing);
        (Event::Progress(progress), Some(self))
    }
}
