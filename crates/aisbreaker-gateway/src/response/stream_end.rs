//! Finds the end of a stream in the events that are forwarded.

use aisbreaker_services::{LongEvent, StreamKind, StreamProgress, StreamState};

use super::event_lines::{EventFields, last_events};

/// How many events of those that came together are read where the body itself shows whether it was
/// cut. The last event of a stream is the last that comes, or nearly so.
const READ_EVENTS: usize = 4;

/// How the end of a body is recognized (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BodyEnd {
    /// By its length or its last chunk, so that a cut is an error.
    Framed,
    /// By the end of the connection, so that only the events show whether it was cut.
    CloseDelimited,
}

/// Follows the events of a stream up to its last one.
#[derive(Debug)]
pub(super) struct EndDetector {
    progress: StreamProgress,
    body_end: BodyEnd,
    /// The event that is forwarded before it is complete.
    long_event: Option<LongEvent>,
    /// Whether the body ended inside of an event.
    ends_in_fragment: bool,
}

impl EndDetector {
    pub(super) fn new(kind: StreamKind, body_end: BodyEnd) -> Self {
        Self {
            progress: StreamProgress::new(kind),
            body_end,
            long_event: None,
            ends_in_fragment: false,
        }
    }

    /// Returns whether the client received the last event.
    pub(super) fn is_over(&self) -> bool {
        self.progress.state() == StreamState::Over
    }

    /// Returns whether the provider ended its stream with an event, so that the client needs no
    /// other.
    pub(super) fn has_ended(&self) -> bool {
        self.progress.state() >= StreamState::Failed
    }

    /// Returns whether the last event reports an error of the provider.
    pub(super) fn has_failed(&self) -> bool {
        self.progress.state() == StreamState::Failed
    }

    /// Returns whether the client received the whole answer, or the provider's own error.
    pub(super) fn is_answered(&self) -> bool {
        self.progress.state() != StreamState::Open
    }

    /// Returns whether the end of the body leaves the stream cut.
    pub(super) fn is_cut(&self) -> bool {
        match self.body_end {
            BodyEnd::Framed => false,
            BodyEnd::CloseDelimited => {
                let is_fragment = self.ends_in_fragment && !self.has_ended();
                !self.progress.may_end() || is_fragment
            }
        }
    }

    /// Reads complete events.
    pub(super) fn read(&mut self, events: &[u8]) {
        let mut rest = match self.body_end {
            // Every choice of a completion must be followed.
            BodyEnd::CloseDelimited => events,
            BodyEnd::Framed if self.progress.ends_in_unfinished_choice(events) => {
                self.progress.read_unfinished_choice();
                return;
            }
            BodyEnd::Framed => last_events(events, READ_EVENTS),
        };
        while !rest.is_empty() {
            let (event, after) = EventFields::read(rest);
            if let Some(data) = &event.data {
                self.progress.read_event(event.name, data);
            }
            rest = after;
        }
    }

    /// Reads the beginning of an event that is forwarded before it is complete.
    pub(super) fn begin_long_event(&mut self, beginning: &[u8]) {
        let (event, _) = EventFields::read(beginning);
        let data = event.data.unwrap_or_default();
        self.long_event = Some(self.progress.begin_long_event(event.name, &data));
    }

    /// Reads the end of that event.
    pub(super) fn end_long_event(&mut self, end: &[u8]) {
        if let Some(event) = self.long_event.take() {
            self.progress.end_long_event(event, end);
        }
    }

    /// Reads what is left at the end of the body. `long_event_end` is the end of an event of which
    /// nothing is left.
    pub(super) fn finish(&mut self, rest: &[u8], long_event_end: &[u8]) {
        if let Some(event) = self.long_event.take() {
            self.ends_in_fragment = !long_event_end.trim_ascii_end().ends_with(b"}");
            if !self.ends_in_fragment {
                self.progress.end_long_event(event, long_event_end);
            }
            return;
        }
        let (event, _) = EventFields::read(rest);
        if let Some(data) = &event.data {
            self.ends_in_fragment = !self.progress.read_unended_event(event.name, data);
        }
    }
}
