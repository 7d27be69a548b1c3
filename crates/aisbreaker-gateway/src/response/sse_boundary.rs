//! Where the events of a forwarded stream end, and what they report.
//!
//! Source: WHATWG HTML section 9.2.

use std::sync::{Arc, LazyLock};

use aisbreaker_egress::{MemoryBudget, MemoryReservation};
use aisbreaker_services::{StreamKind, Tokens, UsageReader, UsageRule};
use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

use super::{
    event_lines::{EventFields, end_of_events, end_of_loose_lines, lines, without_mark},
    stream_end::{BodyEnd, EndDetector},
    usage_filter::{UsageChunk, without_usage_chunks},
};
use crate::dialect::EventNames;

/// The most bytes of an incomplete event that are held back. A longer one is forwarded as it comes.
const MAX_HELD_BYTES: usize = 1 << 20;
/// Finds events that may report usage. Built once, since every event is searched.
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"usage\""));

/// The most bytes of both ends of a response that are kept to find its usage in.
pub(super) const TAIL_BYTES: usize = 16 << 10;

/// Tracks the events of a stream while it is forwarded.
///
/// An incomplete event is held back, so that a stream which is cut can end in an error event with
/// nothing incomplete before it.
#[derive(Debug)]
pub(super) struct EventTracker {
    held: BytesMut,
    reservation: MemoryReservation,
    /// The client has received the beginning of an incomplete event.
    is_inside: bool,
    /// The end of what the client has received of it, which may report usage.
    tail: Vec<u8>,
    start: Start,
    /// `None` until the first event with data.
    names: Option<EventNames>,
    end: EndDetector,
    usage: UsageReader,
    usage_chunk: UsageChunk,
}

/// What the client has received of the provider's bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Start {
    Nothing,
    /// Nothing, but something else: a byte order mark would not be the first any more.
    Insertion,
    Something,
}

impl EventTracker {
    pub(super) fn new(
        kind: StreamKind,
        usage: Arc<UsageRule>,
        body_end: BodyEnd,
        budget: &MemoryBudget,
    ) -> Self {
        Self {
            held: BytesMut::new(),
            reservation: budget.reservation(),
            is_inside: false,
            tail: Vec::new(),
            start: Start::Nothing,
            names: None,
            end: EndDetector::new(kind, body_end),
            usage: UsageReader::new(usage),
            usage_chunk: UsageChunk::Forward,
        }
    }

    /// Sets whether the client sees the chunk that only reports usage.
    pub(super) fn with_usage_chunk(self, usage_chunk: UsageChunk) -> Self {
        Self {
            usage_chunk,
            ..self
        }
    }

    /// Takes bytes of the provider and returns what can be forwarded now, which may be nothing.
    pub(super) fn push(&mut self, bytes: &Bytes) -> Bytes {
        let mut ready = self.take_complete(bytes);
        if !ready.is_empty() {
            if self.inspect(&ready) && self.usage_chunk == UsageChunk::Drop {
                ready = self.begin_without_usage(ready);
            }
            self.is_inside = false;
        }
        let has_room = self.reservation.hold(self.held.len()).is_ok();
        if self.held.len() <= MAX_HELD_BYTES && has_room && !self.is_inside {
            return self.begin(ready);
        }
        let rest = self.take_held();
        if !self.is_inside && !rest.is_empty() {
            self.is_inside = true;
            self.end.begin_long_event(self.without_first_mark(&rest));
        }
        keep_tail(&mut self.tail, &rest);
        if ready.is_empty() {
            self.begin(rest)
        } else {
            let joined = [ready, rest].concat().into();
            self.begin(joined)
        }
    }

    /// Takes complete events, and complete lines after them that belong to no event. The rest is
    /// held back.
    fn take_complete(&mut self, bytes: &Bytes) -> Bytes {
        // Most pieces are whole events.
        if self.held.is_empty() && bytes.ends_with(b"\n\n") {
            return bytes.clone();
        }
        if self.held.is_empty() {
            let end = self.end_of_complete(bytes, 0);
            self.held
                .extend_from_slice(bytes.get(end..).unwrap_or_default());
            bytes.slice(..end)
        } else {
            // The end of an event may span both.
            let from = self.held.len().saturating_sub(3);
            self.held.extend_from_slice(bytes);
            let end = self.end_of_complete(&self.held, from);
            self.held.split_to(end).freeze()
        }
    }

    fn end_of_complete(&self, bytes: &[u8], from: usize) -> usize {
        let events_end = end_of_events(bytes, from);
        if events_end == bytes.len() || (events_end == 0 && self.is_inside) {
            return events_end;
        }
        // A long line is not searched again with every piece of it.
        let searched = bytes.get(from.max(events_end)..).unwrap_or_default();
        if memchr::memchr2(b'\n', b'\r', searched).is_none() {
            return events_end;
        }
        let mark = bytes
            .len()
            .saturating_sub(self.without_first_mark(bytes).len());
        let start = events_end.max(mark);
        match end_of_loose_lines(bytes, start) {
            // A byte order mark by itself is no line.
            end if end == start => events_end,
            end => end,
        }
    }

    /// Returns what is held back at the end of the body.
    pub(super) fn finish(&mut self) -> Bytes {
        let mut rest = self.take_held();
        self.end.finish(self.without_first_mark(&rest), &self.tail);
        if self.names.is_none() {
            self.inspect_names(&rest);
        }
        if self.inspect_usage(&rest) && self.usage_chunk == UsageChunk::Drop {
            rest = self.begin_without_usage(rest);
        }
        self.begin(rest)
    }

    fn take_held(&mut self) -> Bytes {
        self.reservation.release();
        self.held.split().freeze()
    }

    /// Notes that the client receives these bytes, which lose a byte order mark that would not be
    /// the first.
    #[inline]
    fn begin(&mut self, bytes: Bytes) -> Bytes {
        if self.start == Start::Something || bytes.is_empty() {
            return bytes;
        }
        self.begin_first(bytes)
    }

    #[cold]
    fn begin_first(&mut self, mut bytes: Bytes) -> Bytes {
        if self.start == Start::Insertion {
            let mark = bytes.len().saturating_sub(without_mark(&bytes).len());
            bytes = bytes.slice(mark..);
        }
        self.start = Start::Something;
        bytes
    }

    fn without_first_mark<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        match self.start {
            Start::Nothing | Start::Insertion => without_mark(bytes),
            Start::Something => bytes,
        }
    }

    /// Notes that the client receives bytes which are not the provider's.
    pub(super) fn note_insertion(&mut self) {
        if self.start == Start::Nothing {
            self.start = Start::Insertion;
        }
    }

    /// Returns whether the client has received complete events only, so that others can follow.
    pub(super) fn is_between(&self) -> bool {
        !self.is_inside
    }

    pub(super) fn holds_nothing(&self) -> bool {
        self.held.is_empty()
    }

    /// Returns how far the stream is from its end.
    pub(super) fn end(&self) -> &EndDetector {
        &self.end
    }

    /// Returns whether the events have names, as far as is known.
    pub(super) fn names(&self) -> EventNames {
        self.names.unwrap_or(EventNames::Absent)
    }

    /// Returns the tokens that were reported so far.
    pub(super) fn tokens(&self) -> Tokens {
        self.usage.tokens()
    }

    /// Reads complete events. Returns whether one of them may report usage.
    fn inspect(&mut self, events: &[u8]) -> bool {
        let events = self.without_first_mark(events);
        if self.names.is_none() {
            self.inspect_names(events);
        }
        let may_report_usage = self.inspect_usage(events);
        if self.is_inside {
            let (_, after) = EventFields::read(events);
            self.end.read(after);
        } else {
            self.end.read(events);
        }
        may_report_usage
    }

    /// Notes that the client receives these events, without chunks that only report usage.
    ///
    /// The provider's first bytes may be dropped, so the stream begins before they are.
    #[cold]
    fn begin_without_usage(&mut self, events: Bytes) -> Bytes {
        let is_first = self.start != Start::Something;
        let events = self.begin(events);
        let after_start = if self.is_inside {
            // The rest of an event of which the client has received the beginning.
            EventFields::read(&events).1
        } else if is_first {
            without_mark(&events)
        } else {
            &events
        };
        without_usage_chunks(&events, events.len().saturating_sub(after_start.len()))
    }

    fn inspect_names(&mut self, events: &[u8]) {
        // Comments, which some providers send first, have no names.
        if lines(events).any(|line| line.starts_with(b"data:")) {
            let is_named = lines(events).any(|line| line.starts_with(b"event:"));
            self.names = Some(if is_named {
                EventNames::Present
            } else {
                EventNames::Absent
            });
        }
    }

    /// Reads the usage in these events. Returns whether there may be any.
    fn inspect_usage(&mut self, events: &[u8]) -> bool {
        if !self.tail.is_empty() {
            self.end_long_event(events);
        }
        if USAGE.find(events).is_none() {
            return false;
        }
        for line in lines(events).filter(|line| line.starts_with(b"data:")) {
            self.usage.read_last(line);
        }
        true
    }

    #[cold]
    fn end_long_event(&mut self, rest: &[u8]) {
        let mut tail = std::mem::take(&mut self.tail);
        keep_tail(&mut tail, lines(rest).next().unwrap_or_default());
        self.usage.read_last(&tail);
        self.end.end_long_event(&tail);
    }
}

/// Keeps the last [`TAIL_BYTES`] of everything that was pushed.
pub(super) fn keep_tail(tail: &mut Vec<u8>, data: &[u8]) {
    let skipped = data.len().saturating_sub(TAIL_BYTES);
    let data = data.get(skipped..).unwrap_or_default();
    let length = tail.len().saturating_add(data.len());
    let excess = length.saturating_sub(TAIL_BYTES);
    tail.drain(..excess.min(tail.len()));
    tail.extend_from_slice(data);
}

/// Returns what is forwarded of each piece, with how much is held back then, and what at the end; for
/// the fuzz target.
#[cfg(any(fuzzing, test))]
pub(crate) fn forwarded(pieces: &[Bytes], usage_chunk: UsageChunk) -> (Vec<(Bytes, usize)>, Bytes) {
    let mut events = EventTracker::new(
        StreamKind::Completions,
        Arc::default(),
        BodyEnd::CloseDelimited,
        &MemoryBudget::default(),
    )
    .with_usage_chunk(usage_chunk);
    let forwarded = pieces
        .iter()
        .map(|piece| (events.push(piece), events.held.len()))
        .collect();
    (forwarded, events.finish())
}

#[cfg(test)]
mod tests;
