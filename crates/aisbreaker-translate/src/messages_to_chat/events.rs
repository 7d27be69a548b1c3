//! Translates the events of a stream.

mod blocks;

use std::fmt;

use self::blocks::Blocks;
use super::{
    Answers, Thinking,
    completion::{Answer, Completion, FinishReason, Piece, Summary, Usage},
    error,
    message::{Event, Message, Stop},
};
use crate::UnreadableAnswer;

/// Translates a stream of chunks to the events of a message.
///
/// ```
/// # use aisbreaker_translate::messages_to_chat;
/// # let request = br#"{"model": "m", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "Hi"}]}"#;
/// # let answers = messages_to_chat::translate_request(request, "m")?.answers;
/// let mut events = answers.events();
/// let mut out = Vec::new();
/// events.translate_event(
///     "message",
///     r#"{"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"content": "Hi!"}, "finish_reason": "stop"}]}"#,
///     &mut out,
/// )?;
/// events.translate_event("message", "[DONE]", &mut out)?;
/// events.finish(&mut out)?;
/// let out = String::from_utf8(out)?;
/// assert!(out.starts_with("event: message_start\ndata: "));
/// assert!(out.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Events {
    answers: Answers,
    phase: Phase,
    blocks: Blocks,
    finish: Option<FinishReason>,
    usage: Option<Usage>,
    is_refusal: bool,
}

/// How far the client's stream is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    NotStarted,
    Started,
    /// Stopped, or failed.
    Ended,
}

/// What the answer says is not shown.
impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("phase", &self.phase)
            .field("finish", &self.finish)
            .finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn new(answers: Answers) -> Self {
        Self {
            blocks: Blocks::new(answers.model.clone()),
            answers,
            phase: Phase::NotStarted,
            finish: None,
            usage: None,
            is_refusal: false,
        }
    }

    /// Translates one event of the provider, whose `data` is decoded, and appends the client's events.
    ///
    /// An error that the provider reports becomes the client's error event. What follows the end of the message or an
    /// error is ignored.
    ///
    /// # Errors
    ///
    /// [`UnreadableAnswer`] if the event is not a chunk of a chat completion, or does not go with those before it.
    /// The stream is over then.
    pub fn translate_event(
        &mut self,
        event: &str,
        data: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), UnreadableAnswer> {
        if self.phase == Phase::Ended {
            return Ok(());
        }
        let translated = match data.trim() {
            "" => Ok(()),
            "[DONE]" => self.end(out),
            _ if event == "error" => {
                self.fail(data, out);
                Ok(())
            }
            _ => self.translate_chunk(data, out),
        };
        if translated.is_err() {
            self.phase = Phase::Ended;
        }
        translated
    }

    /// Ends the translation after the provider's stream, and appends the end of the message if it is not written yet:
    /// some providers send no `[DONE]` after the reason for which the model stopped.
    ///
    /// # Errors
    ///
    /// [`UnreadableAnswer`] if the stream was cut off.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), UnreadableAnswer> {
        match self.phase {
            Phase::Ended => Ok(()),
            Phase::NotStarted | Phase::Started => self.end(out),
        }
    }

    fn translate_chunk(&mut self, data: &str, out: &mut Vec<u8>) -> Result<(), UnreadableAnswer> {
        let Ok(chunk) = serde_json::from_str::<Completion>(data) else {
            return Err(UnreadableAnswer::new(
                "an event is not a chunk of a chat completion",
            ));
        };
        if chunk.is_error() {
            self.fail(data, out);
            return Ok(());
        }
        self.usage = chunk.usage().or(self.usage);
        self.start(&chunk, out);
        let Some(choice) = chunk.into_choice() else {
            return Ok(());
        };
        if let Some(answer) = choice.delta.or(choice.message) {
            self.translate_delta(&answer, out)?;
        }
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            self.finish = Some(FinishReason::read(&reason)?);
        }
        Ok(())
    }

    /// Starts the message with the first chunk that has a choice: chunks about the prompt can come before it.
    fn start(&mut self, chunk: &Completion, out: &mut Vec<u8>) {
        let has_choice = chunk
            .choices
            .as_ref()
            .is_some_and(|choices| !choices.is_empty());
        if self.phase != Phase::NotStarted || !has_choice {
            return;
        }
        self.phase = Phase::Started;
        let id = chunk.message_id();
        let message = Message::new(&id, chunk.model.as_deref().unwrap_or_default());
        Event::MessageStart { message }.write(out);
        self.blocks.set_message_id(id);
    }

    fn translate_delta(
        &mut self,
        answer: &Answer,
        out: &mut Vec<u8>,
    ) -> Result<(), UnreadableAnswer> {
        for piece in answer.pieces()? {
            match piece {
                Piece::Thinking(text, origin) => match self.answers.thinking {
                    Thinking::Shown => self.blocks.push_thinking(text, origin, out)?,
                    Thinking::Hidden => self.blocks.hide_thinking(text, origin)?,
                },
                Piece::Text(text) => self.blocks.push_text(text, out)?,
            }
        }
        self.is_refusal |= answer
            .refusal
            .as_ref()
            .is_some_and(|refusal| !refusal.is_empty());
        for call in answer.tool_calls.as_deref().unwrap_or_default() {
            self.blocks.push_call(call, out)?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), UnreadableAnswer> {
        let is_started = self.phase == Phase::Started;
        self.phase = Phase::Ended;
        let Some(finish) = self.finish.filter(|_| is_started) else {
            return Err(UnreadableAnswer::new(
                "its stream ended before the answer did",
            ));
        };
        self.blocks.finish(finish, out)?;
        let summary = Summary {
            is_refusal: self.is_refusal,
            has_calls: self.blocks.has_calls(),
        };
        let delta = Stop {
            reason: Some(finish.stop_reason(summary)),
            sequence: (),
        };
        let usage = self.usage.map(Usage::translate).unwrap_or_default();
        Event::MessageDelta { delta, usage }.write(out);
        Event::MessageStop.write(out);
        Ok(())
    }

    fn fail(&mut self, data: &str, out: &mut Vec<u8>) {
        self.phase = Phase::Ended;
        error::write_error_event(data, out);
    }
}
