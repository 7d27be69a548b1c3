//! Server-sent events that are passed on byte by byte: where one ends, and what it tells of usage.

use std::sync::{Arc, LazyLock};

use aisbreaker_egress::{MemoryBudget, MemoryReservation};
use aisbreaker_services::{Tokens, UsageRule, last_usage};
use bytes::{Bytes, BytesMut};
use memchr::memmem::{self, Finder};

use super::passing::keep_tail;

/// How much of an event that is not whole is kept back, in bytes. A longer one is passed on as it
/// comes.
const MAX_HELD_BYTES: usize = 1 << 20;
/// What is in the last event of a stream, by dialect and API. In a text, the quotes would be
/// escaped.
const LAST_EVENTS: [&[u8]; 4] = [
    b"\"message_stop\"",
    b"\"response.completed\"",
    b"\"response.failed\"",
    b"\"response.incomplete\"",
];
/// Finds events that may tell usage; made once, since each event is searched.
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"usage\""));
/// The last data of a stream of chat completions.
const DONE: &[u8] = b"[DONE]";

/// The events of a stream on their way.
///
/// An event that is not whole is kept back, so that a stream which is cut can be ended with an
/// event of ours, and nothing half stands before it.
#[derive(Debug)]
pub(super) struct Events {
    held: BytesMut,
    reservation: MemoryReservation,
    /// The client has got the beginning of an event that is not whole.
    is_inside: bool,
    /// The end of what the client has got of it, in which its usage may be.
    tail: Vec<u8>,
    /// Events have names, as far as is known.
    is_named: Option<bool>,
    /// Whether the last event is looked out for.
    is_watched: bool,
    is_over: bool,
    usage: Arc<UsageRule>,
    tokens: Tokens,
}

impl Events {
    /// `is_watched`: the last event is looked out for, since the end of the body tells nothing.
    pub(super) fn new(usage: Arc<UsageRule>, is_watched: bool, budget: &MemoryBudget) -> Self {
        Self {
            held: BytesMut::new(),
            reservation: budget.reservation(),
            is_inside: false,
            tail: Vec::new(),
            is_named: None,
            is_watched,
            is_over: false,
            usage,
            tokens: Tokens::default(),
        }
    }

    /// Takes bytes of the provider; what of all that came can be passed on, which may be nothing.
    pub(super) fn feed(&mut self, bytes: &Bytes) -> Bytes {
        let ready = if self.held.is_empty() {
            let end = end_of_events(bytes, 0);
            self.held
                .extend_from_slice(bytes.get(end..).unwrap_or_default());
            bytes.slice(..end)
        } else {
            // The end of an event may be in both.
            let from = self.held.len().saturating_sub(3);
            self.held.extend_from_slice(bytes);
            let end = end_of_events(&self.held, from);
            self.held.split_to(end).freeze()
        };
        if !ready.is_empty() {
            self.is_inside = false;
            self.look_at(&ready);
        }
        let has_room = self.reservation.hold(self.held.len()).is_ok();
        if self.held.len() <= MAX_HELD_BYTES && has_room && !self.is_inside {
            return ready;
        }
        self.is_inside |= !self.held.is_empty();
        let rest = self.take_held();
        keep_tail(&mut self.tail, &rest);
        if ready.is_empty() {
            rest
        } else {
            [ready, rest].concat().into()
        }
    }

    /// What is left at the end of the body.
    pub(super) fn finish(&mut self) -> Bytes {
        let rest = self.take_held();
        self.look_at(&rest);
        rest
    }

    fn take_held(&mut self) -> Bytes {
        self.reservation.release();
        self.held.split().freeze()
    }

    /// Whether the client has got whole events only, so that others can be put between.
    pub(super) fn is_between(&self) -> bool {
        !self.is_inside
    }

    /// Whether the event came that is the last one in the provider's protocol, if that is looked
    /// out for.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether the events have names.
    pub(super) fn is_named(&self) -> bool {
        self.is_named.unwrap_or_default()
    }

    /// How many tokens it took, as told so far.
    pub(super) fn tokens(&self) -> Tokens {
        self.tokens
    }

    fn look_at(&mut self, events: &[u8]) {
        // Comments, which some send first, tell nothing.
        if self.is_named.is_none() && lines(events).any(|line| line.starts_with(b"data:")) {
            self.is_named = Some(lines(events).any(|line| line.starts_with(b"event:")));
        }
        if self.is_watched {
            let data = lines(events).filter_map(|line| line.strip_prefix(b"data:"));
            self.is_over |= data.map(<[u8]>::trim_ascii).any(|data| data == DONE)
                || LAST_EVENTS
                    .iter()
                    .any(|last| memmem::find(events, last).is_some());
        }
        if !self.tail.is_empty() {
            let mut tail = std::mem::take(&mut self.tail);
            keep_tail(&mut tail, lines(events).next().unwrap_or_default());
            self.count(&tail);
        }
        if USAGE.find(events).is_some() {
            lines(events)
                .filter(|line| line.starts_with(b"data:"))
                .for_each(|line| self.count(line));
        }
    }

    fn count(&mut self, line: &[u8]) {
        if let Some(usage) = last_usage(line) {
            self.tokens = self.usage.read(&usage).or(self.tokens);
        }
    }
}

fn lines(events: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(events);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let end = memchr::memchr2(b'\n', b'\r', bytes);
        let (line, behind) = bytes.split_at_checked(end.unwrap_or(bytes.len()))?;
        rest = end.and_then(|_| behind.get(1..));
        Some(line)
    })
}

/// Where the last whole event ends, if that is behind `from`: behind the last blank line. A
/// carriage return at the very end may be half of a line's end, and ends nothing.
fn end_of_events(bytes: &[u8], from: usize) -> usize {
    let is_end = |at: usize| matches!(bytes.get(at), Some(b'\n' | b'\r'));
    let searched = bytes.get(from..).unwrap_or_default();
    for at in memchr::memrchr2_iter(b'\n', b'\r', searched).map(|at| at.saturating_add(from)) {
        let start = match bytes.get(at) {
            Some(b'\r') if at.saturating_add(1) == bytes.len() => continue,
            // The carriage return of a pair is looked at with its line feed.
            Some(b'\r') if bytes.get(at.saturating_add(1)) == Some(&b'\n') => continue,
            Some(b'\n') if at > 0 && bytes.get(at - 1) == Some(&b'\r') => at - 1,
            _ => at,
        };
        if start > 0 && is_end(start - 1) {
            return at.saturating_add(1);
        }
    }
    0
}

/// What is passed on of each of these pieces, with how much is held back then, and at the end; for
/// the fuzz target.
#[cfg(any(fuzzing, test))]
pub(crate) fn passed_on(pieces: &[Bytes]) -> (Vec<(Bytes, usize)>, Bytes) {
    let mut events = Events::new(Arc::default(), true, &MemoryBudget::default());
    let passed = pieces
        .iter()
        .map(|piece| (events.feed(piece), events.held.len()))
        .collect();
    (passed, events.finish())
}

#[cfg(test)]
mod tests {
    use aisbreaker_services::sse::Decoder;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn events() -> Events {
        let rule = serde_json::from_value(json!({"input": ["i"], "output": ["o"]})).unwrap();
        Events::new(Arc::new(rule), true, &MemoryBudget::default())
    }

    /// What is passed on of these pieces, and how much of it before the end.
    fn passed(pieces: impl IntoIterator<Item = Vec<u8>>) -> (Vec<u8>, usize, Events) {
        let mut events = events();
        let mut passed = Vec::new();
        for piece in pieces {
            passed.extend_from_slice(&events.feed(&piece.into()));
            assert!(events.held.len() <= MAX_HELD_BYTES);
        }
        let before_the_end = passed.len();
        passed.extend_from_slice(&events.finish());
        (passed, before_the_end, events)
    }

    #[test]
    fn an_event_that_is_not_whole_is_kept_back_unless_it_is_long() {
        let mut events = events();
        assert_eq!(events.feed(&"data: a\n\ndata: b".into()), "data: a\n\n");
        assert!(events.is_between());
        assert_eq!(events.feed(&"c\n".into()), "");
        assert_eq!(
            events.feed(&"\ndata: d\n\n".into()),
            "data: bc\n\ndata: d\n\n"
        );

        let long = Bytes::from(vec![b'x'; MAX_HELD_BYTES]);
        assert_eq!(events.feed(&"data: ".into()), "");
        assert_eq!(events.feed(&long).len(), MAX_HELD_BYTES + 6);
        assert!(!events.is_between());
        assert_eq!(events.feed(&"y".into()), "y");
        assert_eq!(events.feed(&"z\n\ndata: e".into()), "z\n\n");
        assert!(events.is_between());
        assert_eq!(events.finish(), "data: e");
    }

    #[test]
    fn no_more_is_kept_back_than_the_budget_has() {
        let mut events = Events::new(Arc::default(), false, &MemoryBudget::new(16 << 10));
        assert_eq!(events.feed(&vec![b'x'; 16 << 10].into()).len(), 0);
        assert_eq!(events.feed(&"y".into()).len(), (16 << 10) + 1);
        assert!(!events.is_between());
    }

    #[test]
    fn usage_is_told_by_the_last_event_that_has_it() {
        let stream = b"event: a\ndata: {\"usage\":null}\n\ndata: {\"m\":{\"usage\":{\"i\":3,\"o\":1}}}\r\n\r\n\
            data: {\"text\":\"\\\"usage\\\":{\\\"i\\\":9}\"}\n\ndata: {\"usage\":{\"o\":7}}\n\ndata: [DONE]\n\n";
        for length in 1..stream.len() {
            let (passed, _, events) = passed(stream.chunks(length).map(<[u8]>::to_vec));
            assert_eq!(passed, stream, "{length}");
            let tokens = events.tokens();
            assert_eq!(
                (tokens.input, tokens.output),
                (Some(3), Some(7)),
                "{length}"
            );
            assert!(events.is_over() && events.is_named(), "{length}");
        }
    }

    #[test]
    fn the_usage_of_an_event_that_is_too_long_to_be_kept_back_is_found_at_its_end() {
        let picture = "x".repeat(3 << 20);
        let stream = format!(
            "event: a\ndata: {{\"b\":\"{picture}\",\"usage\":{{\"i\":3,\"o\":7}},\"c\":{{}}}}\n\ndata: {{\"b\":1}}\n\n"
        );
        for length in [
            7_777,
            1 << 20,
            (2 << 20) + 1,
            stream.len() - 40,
            stream.len() - 30,
            stream.len(),
        ] {
            let (passed, _, events) = passed(stream.as_bytes().chunks(length).map(<[u8]>::to_vec));
            assert!(passed == stream.as_bytes(), "{length}");
            assert_eq!(
                (events.tokens().input, events.tokens().output),
                (Some(3), Some(7)),
                "{length}"
            );
        }
    }

    #[test]
    fn only_events_tell_whether_events_have_names_and_which_is_the_last() {
        let rows = [
            (": at work\n\nevent: a\ndata: 1\n\n", true, false),
            (": at work\n\ndata: 1\n\n: event:\n\n", false, false),
            (": at work\r\revent: a\rdata: 1\r\r", true, false),
            (
                "data: {\"text\":\"data: [DONE] message_stop \\\"response.completed\\\"\"}\n\n",
                false,
                false,
            ),
            ("data: 1\n\ndata:[DONE]\n\n", false, true),
            ("data: 1\r\n\r\ndata: [DONE] \r\n\r\n", false, true),
            (
                "event: a\ndata: {\"type\": \"message_stop\"}\n\n",
                true,
                true,
            ),
            (
                "event: a\ndata: {\"type\":\"response.incomplete\"}\n\n",
                true,
                true,
            ),
        ];
        for (stream, is_named, is_over) in rows {
            for length in 1..=stream.len() {
                let (_, _, events) = passed(stream.as_bytes().chunks(length).map(<[u8]>::to_vec));
                assert_eq!(
                    (events.is_named(), events.is_over()),
                    (is_named, is_over),
                    "{stream:?} {length}"
                );
            }
        }
    }

    proptest! {
        /// Bytes stay the same however they come, and all events that are whole have gone on before
        /// the end.
        #[test]
        fn all_bytes_are_passed_on(
            parts in prop::collection::vec(prop::sample::select(vec!["\n", "\r", "\r\n", "data: x", "event: y", "\n\n", ""]), 0..40),
            cuts in prop::collection::vec(1_usize..9, 1..20),
        ) {
            let stream = parts.concat().into_bytes();
            let mut rest = stream.as_slice();
            let mut pieces = Vec::new();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, more) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece.to_vec());
                rest = more;
            }
            let (passed, before_the_end, _) = passed(pieces);
            prop_assert_eq!(&passed, &stream);
            // What is kept back makes no event, but by a carriage return at the very end.
            let kept = &stream[before_the_end..];
            let kept = kept.strip_suffix(b"\r").unwrap_or(kept);
            let mut decoder = Decoder::new();
            decoder.feed(Bytes::copy_from_slice(kept));
            prop_assert_eq!(decoder.take(), Ok(None), "{:?}", String::from_utf8_lossy(kept));
        }
    }

    #[test]
    fn the_end_of_the_last_event_is_behind_its_blank_line() {
        let rows: [(&[u8], usize); 14] = [
            (b"data: a\n\n", 9),
            (b"data: a\n\ndata: b", 9),
            (b"data: a\n\ndata: b\n", 9),
            (b"data: a\r\n\r\n", 11),
            (b"data: a\r\n\r", 0),
            (b"data: a\r\r", 0),
            (b"data: a\r\rx", 9),
            (b"data: a\n\r\nx", 10),
            (b"data: a\n", 0),
            (b"data: a\r\n", 0),
            (b"a\n\n\n\nb", 5),
            (b"\n", 0),
            (b"", 0),
            (b"a\r\nb\r\n\r\nc\r\n", 8),
        ];
        for (bytes, expected) in rows {
            assert_eq!(
                end_of_events(bytes, 0),
                expected,
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
}
