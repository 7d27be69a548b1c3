//! Where a provider's event stream ends: the one table for both surfaces.
//!
//! An event ends a stream by its own `type`, or by its name if it has no type. What its texts say
//! does not matter.
//!
//! Source: the API references of OpenAI and Anthropic.

use crate::json_scan::{elements, is_whole_object, member_near_end, members, text};

/// The data of the event that ends a stream of chat completions.
const DONE: &[u8] = b"[DONE]";
/// The name and the type of events that report an error.
pub(crate) const ERROR: &str = "error";
/// Choices with a higher index count as this one.
const MAX_CHOICE: u32 = 127;
/// The end of a chunk whose last choice continues, as OpenAI and most others write it.
const UNFINISHED_END: &[u8] = b"\"finish_reason\":null}]}";

/// What a stream consists of, which depends on the operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StreamKind {
    /// Anthropic's messages.
    Messages,
    /// Chat completions, and the completions before them.
    Completions,
    /// OpenAI's responses.
    Responses,
    /// Pictures, made or edited.
    Images,
    /// Spoken text.
    Speech,
    /// Transcribed or translated speech.
    Transcriptions,
    /// Nothing whose end is known.
    Other,
}

/// How far a stream is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum StreamState {
    /// More must follow.
    Open,
    /// The answer is whole, though more may follow, such as usage or another picture.
    Answered,
    /// The provider reported an error, which is its last event or nearly so.
    Failed,
    /// The last event came.
    Over,
}

impl StreamKind {
    /// Returns what an event of this type means; types that are not in the table mean that more
    /// follows.
    pub(crate) fn state_after(self, kind: &str) -> StreamState {
        match (self, kind) {
            (_, ERROR) => StreamState::Failed,
            (Self::Messages, "message_stop")
            | (
                Self::Responses,
                "response.completed"
                | "response.failed"
                | "response.incomplete"
                | "response.cancelled",
            )
            | (Self::Speech, "speech.audio.done")
            | (Self::Transcriptions, "transcript.text.done") => StreamState::Over,
            // One for each picture.
            (Self::Images, "image_generation.completed" | "image_edit.completed") => {
                StreamState::Answered
            }
            _ => StreamState::Open,
        }
    }
}

/// Returns whether these are the data of the event that ends a stream of chat completions.
pub(crate) fn is_done(data: &[u8]) -> bool {
    data.trim_ascii() == DONE
}

/// Follows the events of a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamProgress {
    kind: StreamKind,
    state: StreamState,
    choices: Choices,
}

impl StreamProgress {
    /// Starts before the first event.
    #[must_use]
    pub fn new(kind: StreamKind) -> Self {
        Self {
            kind,
            state: StreamState::Open,
            choices: Choices::default(),
        }
    }

    /// Returns what is known from the events so far.
    #[must_use]
    pub fn state(&self) -> StreamState {
        self.state
    }

    /// Returns whether the end of a body that does not announce its length may be the end of the
    /// stream.
    #[must_use]
    pub fn may_end(&self) -> bool {
        self.kind == StreamKind::Other || self.state != StreamState::Open
    }

    /// Reads an event. Neither its name nor its data is copied, except for escaped characters.
    pub fn read_event(&mut self, name: &[u8], data: &[u8]) {
        if is_done(data) {
            return self.advance(StreamState::Over);
        }
        let event = EventType::of(self.kind, name, data);
        match event {
            EventType::Error => self.advance(StreamState::Failed),
            EventType::Named(state) => self.advance(state),
            EventType::Choices(choices) => self.read_choices(choices),
        }
    }

    /// Reads the last event of a body, whose blank line is missing: it may have been cut anywhere.
    /// Returns whether it is whole, as far as is known.
    pub fn read_unended_event(&mut self, name: &[u8], data: &[u8]) -> bool {
        let is_unknown = self.kind == StreamKind::Other;
        let is_whole = is_unknown || is_done(data) || is_whole_object(data);
        if is_whole {
            self.read_event(name, data);
        }
        is_whole
    }

    /// Reads the beginning of an event that is too long to be kept.
    #[must_use]
    pub fn begin_long_event(&self, name: &[u8], beginning: &[u8]) -> LongEvent {
        let state_of = |kind: &str| self.kind.state_after(kind);
        let by_type = member(beginning, "type").and_then(text);
        LongEvent {
            by_name: std::str::from_utf8(name).map_or(StreamState::Open, state_of),
            by_type: by_type.as_deref().map(state_of),
        }
    }

    /// Reads the end of an event whose beginning was read.
    pub fn end_long_event(&mut self, event: LongEvent, end: &[u8]) {
        let state = match event.by_type {
            Some(state) => state,
            None => match member_near_end(end, "type") {
                Some(kind) => self.kind.state_after(&kind),
                None => event.by_name,
            },
        };
        self.advance(state);
    }

    /// Reads an event that was seen to continue a chat completion, without its index.
    pub fn read_unfinished_choice(&mut self) {
        if self.state == StreamState::Answered {
            self.state = StreamState::Open;
        }
    }

    /// Returns whether events that end like this surely continue a chat completion.
    ///
    /// It is decided by the usual form of a chunk, and spares most of them further looks.
    #[must_use]
    pub fn ends_in_unfinished_choice(&self, events: &[u8]) -> bool {
        self.kind == StreamKind::Completions && events.trim_ascii_end().ends_with(UNFINISHED_END)
    }

    fn read_choices(&mut self, choices: &[u8]) {
        for (position, choice) in elements(choices).enumerate() {
            let mut index = u32::try_from(position).unwrap_or(MAX_CHOICE);
            let mut is_finished = false;
            for (name, value) in members(choice) {
                match text(name).as_deref() {
                    Some("index") => index = number(value).unwrap_or(index),
                    Some("finish_reason") => is_finished = is_finish_reason(text(value).as_deref()),
                    _ => {}
                }
            }
            self.choices.add(index, is_finished);
        }
        if self.state <= StreamState::Answered {
            self.state = if self.choices.are_finished() {
                StreamState::Answered
            } else {
                StreamState::Open
            };
        }
    }

    fn advance(&mut self, state: StreamState) {
        self.state = self.state.max(state);
    }
}

/// What the beginning of a long event says about its meaning.
#[derive(Clone, Copy, Debug)]
pub struct LongEvent {
    by_name: StreamState,
    by_type: Option<StreamState>,
}

/// What an event is, by its own members.
enum EventType<'a> {
    Error,
    Named(StreamState),
    /// The choices of a chunk of a completion.
    Choices(&'a [u8]),
}

impl<'a> EventType<'a> {
    fn of(kind: StreamKind, name: &[u8], data: &'a [u8]) -> Self {
        let named = std::str::from_utf8(name).unwrap_or_default();
        if named == ERROR {
            return Self::Error;
        }
        let mut choices = None;
        for (name, value) in members(data) {
            match text(name).as_deref() {
                Some("type") => match (text(value).as_deref(), kind) {
                    // The chunks of a completion have no type.
                    (Some(ERROR), _) => return Self::Error,
                    (Some(_) | None, StreamKind::Completions) => {}
                    (Some(typed), _) => return Self::Named(kind.state_after(typed)),
                    (None, _) => {}
                },
                Some("choices") if kind == StreamKind::Completions => choices = Some(value),
                Some(ERROR) if holds_something(value) => return Self::Error,
                _ => {}
            }
        }
        match choices {
            Some(choices) => Self::Choices(choices),
            None => Self::Named(kind.state_after(named)),
        }
    }
}

fn member<'a>(json: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let mut members = members(json);
    members.find_map(|(name, value)| (text(name).as_deref() == Some(wanted)).then_some(value))
}

fn number(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Returns whether this is a reason for the end of a choice. Some providers send an empty text
/// until there is one.
pub(crate) fn is_finish_reason(reason: Option<&str>) -> bool {
    reason.is_some_and(|reason| !reason.is_empty())
}

/// Returns whether a member is there for more than form.
pub(crate) fn holds_something(value: &[u8]) -> bool {
    let is_empty_object = value.starts_with(b"{") && members(value).next().is_none();
    let is_empty_array = value.starts_with(b"[") && elements(value).next().is_none();
    !is_empty_object && !is_empty_array && !matches!(value, b"null" | b"false" | b"\"\"" | b"0")
}

/// The choices of a completion: those that began, and those that ended.
#[derive(Clone, Copy, Debug, Default)]
struct Choices {
    begun: u128,
    finished: u128,
}

impl Choices {
    fn add(&mut self, index: u32, is_finished: bool) {
        let bit = 1_u128 << index.min(MAX_CHOICE);
        self.begun |= bit;
        if is_finished {
            self.finished |= bit;
        }
    }

    /// Returns whether there are choices, and all have ended.
    fn are_finished(self) -> bool {
        self.begun != 0 && self.begun == self.finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(kind: StreamKind, events: &[(&str, &str)]) -> StreamState {
        let mut progress = StreamProgress::new(kind);
        for (name, data) in events {
            progress.read_event(name.as_bytes(), data.as_bytes());
        }
        progress.state()
    }

    #[test]
    fn an_event_ends_a_stream_by_its_own_type_or_name() {
        use StreamKind::{Completions, Images, Messages, Responses, Speech, Transcriptions};
        use StreamState::{Answered, Failed, Open, Over};
        let rows = [
            (Messages, "", r#"{"type":"message_stop"}"#, Over),
            (
                Messages,
                "",
                r#" { "x" : {} , "type" : "message_stop" } "#,
                Over,
            ),
            (Messages, "", r#"{"ty\u0070e":"message\u005fstop"}"#, Over),
            (Messages, "message_stop", "{}", Over),
            (Messages, "message_stop", r#"{"type":"ping"}"#, Open),
            (
                Messages,
                "",
                r#"{"type":"error","error":{"type":"x"}}"#,
                Failed,
            ),
            (Messages, "error", "{}", Failed),
            (Messages, "", r#"{"error":{"message":"x"}}"#, Failed),
            (
                Messages,
                "content_block_start",
                r#"{"type":"content_block_start","content_block":{"type":"tool_use","name":"message_stop","input":{"type":"message_stop"}}}"#,
                Open,
            ),
            (Messages, "", r#"{"type":"response.completed"}"#, Open),
            (Messages, "ping", r#"{"type":"ping"}"#, Open),
            (Responses, "", r#"{"type":"response.completed"}"#, Over),
            (Responses, "", r#"{"type":"response.failed"}"#, Over),
            (Responses, "", r#"{"type":"response.incomplete"}"#, Over),
            (Responses, "", r#"{"type":"response.cancelled"}"#, Over),
            (Responses, "response.completed", r#"{"response":{}}"#, Over),
            (
                Responses,
                "",
                r#"{"type":"response.created","response":{"error":null,"metadata":{"type":"response.completed"}}}"#,
                Open,
            ),
            (
                Images,
                "",
                r#"{"type":"image_generation.completed"}"#,
                Answered,
            ),
            (Images, "", r#"{"type":"image_edit.completed"}"#, Answered),
            (
                Images,
                "",
                r#"{"type":"image_generation.partial_image"}"#,
                Open,
            ),
            (Speech, "", r#"{"type":"speech.audio.done"}"#, Over),
            (Speech, "", r#"{"type":"speech.audio.delta"}"#, Open),
            (
                Transcriptions,
                "",
                r#"{"type":"transcript.text.done"}"#,
                Over,
            ),
            (Completions, "", "[DONE]", Over),
            (Completions, "", " [DONE] ", Over),
            (Completions, "", r#"{"error":{"message":"x"}}"#, Failed),
            (Completions, "", r#"{"error":"x","choices":[]}"#, Failed),
            (Completions, "", r#"{"error":null,"choices":[]}"#, Open),
            (Completions, "", r#"{"error":{},"choices":[]}"#, Open),
            (Completions, "", r#"{"error":"","choices":[]}"#, Open),
            (Completions, "", r#"{"choices":[],"usage":{"x":1}}"#, Open),
            (Completions, "", r#"{"type":"message_stop"}"#, Open),
            (
                Completions,
                "",
                r#"{"choices":[{"finish_reason":"stop"}]}"#,
                Answered,
            ),
            (
                Completions,
                "",
                r#"{"choices":[{"finish_reason":""}]}"#,
                Open,
            ),
            (
                Completions,
                "",
                r#"{"choices":[{"finish_reason":null}]}"#,
                Open,
            ),
            (
                Completions,
                "",
                r#"{"choices":[{"delta":{"tool_calls":[{"finish_reason":"x"}]}}]}"#,
                Open,
            ),
            (Completions, "", "\"[DONE]\"", Open),
        ];
        for (kind, name, data, expected) in rows {
            assert_eq!(
                state(kind, &[(name, data)]),
                expected,
                "{kind:?} {name} {data}"
            );
        }
    }

    #[test]
    fn completions_are_answered_once_every_choice_is_finished() {
        let chunk = |index: u32, reason: &str| {
            format!(r#"{{"choices":[{{"finish_reason":{reason},"index":{index}}}]}}"#)
        };
        let rows = [
            (vec![(0, "null"), (0, "\"stop\"")], StreamState::Answered),
            (
                vec![(0, "null"), (1, "null"), (0, "\"stop\"")],
                StreamState::Open,
            ),
            (vec![(0, "\"stop\""), (1, "null")], StreamState::Open),
            (
                vec![(1, "null"), (0, "\"stop\""), (1, "\"length\""), (1, "null")],
                StreamState::Answered,
            ),
            (vec![(4_000_000_000, "\"stop\"")], StreamState::Answered),
        ];
        for (chunks, expected) in rows {
            let mut progress = StreamProgress::new(StreamKind::Completions);
            for (index, reason) in &chunks {
                progress.read_event(b"", chunk(*index, reason).as_bytes());
            }
            progress.read_event(b"", br#"{"choices":[],"usage":{}}"#);
            assert_eq!(progress.state(), expected, "{chunks:?}");
        }
    }

    #[test]
    fn an_event_that_was_cut_ends_nothing() {
        let whole = r#"{"type":"response.completed","response":{"output":[]}}"#;
        for length in 0..=whole.len() {
            let mut progress = StreamProgress::new(StreamKind::Responses);
            let is_whole = progress.read_unended_event(b"", &whole.as_bytes()[..length]);
            assert_eq!(is_whole, length == whole.len(), "{length}");
            assert_eq!(progress.may_end(), is_whole, "{length}");
        }
    }

    #[test]
    fn a_long_event_is_known_by_its_beginning_or_its_end() {
        let rows = [
            (
                "",
                r#"{"type":"image_edit.completed","b64":"xx"#,
                r#"xx"}"#,
                true,
            ),
            (
                "",
                r#"{"b64":"xx"#,
                r#"xx","type":"image_edit.completed"}"#,
                true,
            ),
            ("image_edit.completed", r#"{"b64":"xx"#, r#"xx"}"#, true),
            (
                "",
                r#"{"b64":"xx"#,
                r#"xx","x":{"type":"image_edit.completed"}}"#,
                false,
            ),
        ];
        for (name, beginning, end, expected) in rows {
            let mut progress = StreamProgress::new(StreamKind::Images);
            let event = progress.begin_long_event(name.as_bytes(), beginning.as_bytes());
            progress.end_long_event(event, end.as_bytes());
            assert_eq!(progress.may_end(), expected, "{name} {beginning} {end}");
        }
    }
}
