//! Streams: Anthropic's events into OpenAI's chunks.

mod chunks;

use std::{borrow::Cow, fmt};

use serde::Deserialize;
use serde_json::value::RawValue;

use self::chunks::Chunks;
use super::{
    error::{self, ProviderError},
    message::Message,
};
use crate::UnreadableAnswer;

/// Translates the events of one stream.
///
/// After an error, every later call returns it again.
pub struct Events {
    include_usage: bool,
    created: u64,
    state: State,
}

/// How far the provider's stream has come.
enum State {
    /// Nothing but pings yet. Leads to `Started`, `Failed` or `Unreadable`.
    Waiting,
    /// The message has begun. Leads to `Stopped`, `Failed` or `Unreadable`.
    Started(Box<Chunks>),
    /// The provider has closed the message. Whatever follows is not read.
    Stopped,
    /// The provider has ended the stream with an error, which the client has. Whatever follows is not read.
    Failed,
    /// The stream is not what the provider's API describes.
    Unreadable(UnreadableAnswer),
}

/// An event of any type. What it holds depends on the type.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    index: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Waiting => "Waiting",
            State::Started(_) => "Started",
            State::Stopped => "Stopped",
            State::Failed => "Failed",
            State::Unreadable(_) => "Unreadable",
        };
        f.debug_struct("Events")
            .field("include_usage", &self.include_usage)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn new(include_usage: bool, created: u64) -> Self {
        Self {
            include_usage,
            created,
            state: State::Waiting,
        }
    }

    /// Translates one event of the provider, and appends the events for the client, each with its blank line.
    ///
    /// `event` is the name of the event, which may be empty: the data repeat it. `data` are its lines of data, joined
    /// by line feeds. An `error` event becomes the last event of the client's stream. Pings and events of unknown
    /// types, which Anthropic asks clients to expect, become nothing.
    ///
    /// # Errors
    /// [`UnreadableAnswer`] if it is not an event that Anthropic's reference describes, or holds what a chat
    /// completion cannot express. Nothing is appended then.
    pub fn translate_event(
        &mut self,
        _event: &str,
        data: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), UnreadableAnswer> {
        let length = out.len();
        let translated = self.translate(data, out);
        if let Err(error) = &translated {
            out.truncate(length);
            self.state = State::Unreadable(error.clone());
        }
        translated
    }

    fn translate(&mut self, data: &str, out: &mut Vec<u8>) -> Result<(), UnreadableAnswer> {
        let chunks = match &mut self.state {
            State::Stopped | State::Failed => return Ok(()),
            State::Unreadable(error) => return Err(error.clone()),
            State::Waiting => None,
            State::Started(chunks) => Some(chunks),
        };
        let event: Event<'_> = read(data)?;
        match (&*event.kind, chunks) {
            ("error", _) => {
                error::append_event(&read_member::<ProviderError<'_>>(event.error)?, out);
                self.state = State::Failed;
            }
            ("message_start", None) => {
                let message: Message<'_> = read_member(event.message)?;
                let chunks = Chunks::new(&message, self.include_usage, self.created);
                chunks.append_start(out)?;
                self.state = State::Started(Box::new(chunks));
            }
            ("message_start", Some(_)) => {
                return Err(UnreadableAnswer::new("the stream has a second message"));
            }
            ("content_block_start", Some(chunks)) => {
                let block = read_member(event.content_block)?;
                chunks.start_block(read_member(event.index)?, block, out)?;
            }
            ("content_block_delta", Some(chunks)) => {
                let delta = read_member(event.delta)?;
                chunks.append_delta(read_member(event.index)?, &delta, out)?;
            }
            ("content_block_stop", Some(chunks)) => {
                chunks.stop_block(read_member(event.index)?, out)?;
            }
            ("message_delta", Some(chunks)) => {
                let usage = event.usage.map(|usage| read(usage.get())).transpose()?;
                chunks.update(&read_member(event.delta)?, usage.as_ref(), out)?;
            }
            ("message_stop", Some(chunks)) => {
                chunks.append_end(out)?;
                self.state = State::Stopped;
            }
            (
                "content_block_start"
                | "content_block_delta"
                | "content_block_stop"
                | "message_delta"
                | "message_stop",
                None,
            ) => {
                return Err(UnreadableAnswer::new(
                    "the stream does not begin with a message",
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends the stream where the provider's has ended: appends `[DONE]`, or nothing after an error of the provider.
    ///
    /// # Errors
    /// [`UnreadableAnswer`] if the provider's stream was cut off before `message_stop`.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), UnreadableAnswer> {
        match &self.state {
            State::Stopped => {
                out.extend_from_slice(b"data: [DONE]\n\n");
                Ok(())
            }
            State::Failed => Ok(()),
            State::Unreadable(error) => Err(error.clone()),
            State::Waiting | State::Started(_) => {
                Err(UnreadableAnswer::new("the stream ended before its message"))
            }
        }
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, UnreadableAnswer> {
    match serde_json::from_str(json) {
        Ok(value) => Ok(value),
        Err(_) => Err(UnreadableAnswer::new(
            "an event is not what the provider's API describes",
        )),
    }
}

fn read_member<'a, T: Deserialize<'a>>(
    member: Option<&'a RawValue>,
) -> Result<T, UnreadableAnswer> {
    match member {
        Some(value) => read(value.get()),
        None => Err(UnreadableAnswer::new("an event lacks a member")),
    }
}
