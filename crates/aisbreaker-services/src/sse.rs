//! Decodes server-sent events (WHATWG HTML standard, section 9.2.6) from bytes that come in any
//! pieces.
//!
//! [`Decoder`] neither waits nor reads: the caller feeds it bytes and takes messages out. It
//! implements the standard with two differences. Bytes that are not UTF-8 are an error instead of
//! replacement characters, and a last message without its blank line can be taken
//! ([`Decoder::finish`]), since some providers forget that line.

use bytes::{Buf, Bytes, BytesMut};

/// The longest line and the longest message that [`Decoder::new`] accepts, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One server-sent event.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "name and data are all that is read of an event"
)]
pub struct Message {
    /// The name; empty if none was sent.
    pub event: String,
    /// The data, with its lines joined by line feeds.
    pub data: String,
}

/// Why bytes are not server-sent events.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A line, or the data of one event, is over the limit.
    #[error("an event is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The name or the data of an event is not UTF-8.
    #[error("an event is not valid UTF-8")]
    NotUtf8,
}

/// Decodes bytes into messages. How the bytes were cut makes no difference.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    /// Bytes that are not decoded yet.
    fed: Bytes,
    /// The beginning of a line whose end has not been fed.
    line: Vec<u8>,
    is_first_line: bool,
    /// Whether the line before ended with a carriage return, so that a line feed now ends nothing.
    after_return: bool,
    event: Vec<u8>,
    /// The data lines of the event so far, if there are any.
    data: Option<Vec<u8>>,
    failed: Option<DecodeError>,
}

impl Decoder {
    /// Creates a decoder for one stream, with the limit [`MAX_BYTES`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(MAX_BYTES)
    }

    /// Creates a decoder for one stream that refuses lines and messages of over `limit` bytes.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            fed: Bytes::new(),
            line: Vec::new(),
            is_first_line: true,
            after_return: false,
            event: Vec::new(),
            data: None,
            failed: None,
        }
    }

    /// Adds the bytes that came next.
    ///
    /// Nothing is copied if all earlier messages have been taken.
    pub fn feed(&mut self, bytes: Bytes) {
        if self.fed.is_empty() {
            self.fed = bytes;
            return;
        }
        let mut joined = BytesMut::from(&self.fed[..]);
        joined.extend_from_slice(&bytes);
        self.fed = joined.freeze();
    }

    /// Takes the next complete message; `None` when more bytes are needed.
    ///
    /// # Errors
    /// The [`DecodeError`] that applies. Every later call returns it as well.
    pub fn take(&mut self) -> Result<Option<Message>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.read_lines()
            .inspect_err(|error| self.failed = Some(*error))
    }

    /// Ends the stream, and takes the message that lacks only its blank line, if there is one.
    ///
    /// # Errors
    /// As [`Decoder::take`].
    pub fn finish(&mut self) -> Result<Option<Message>, DecodeError> {
        if let Some(message) = self.take()? {
            return Ok(Some(message));
        }
        self.end().inspect_err(|error| self.failed = Some(*error))
    }

    /// Returns how many bytes are kept of messages that have not been taken yet.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        let data = self.data.as_ref().map_or(0, Vec::len);
        self.fed
            .len()
            .saturating_add(self.line.len())
            .saturating_add(self.event.len())
            .saturating_add(data)
    }

    fn end(&mut self) -> Result<Option<Message>, DecodeError> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty()
            && let Some(message) = self.end_line(&line)?
        {
            return Ok(Some(message));
        }
        self.dispatch()
    }

    fn read_lines(&mut self) -> Result<Option<Message>, DecodeError> {
        while let Some(end) = self.fed.iter().position(|byte| is_line_end(*byte)) {
            let rest = self.fed.split_to(end);
            let is_return = self.fed.get_u8() == b'\r';
            let ends_return =
                self.after_return && !is_return && rest.is_empty() && self.line.is_empty();
            self.after_return = is_return;
            if ends_return {
                continue;
            }
            if let Some(message) = self.end_line_with(&rest)? {
                return Ok(Some(message));
            }
        }
        let rest = std::mem::take(&mut self.fed);
        self.check_length(self.line.len().saturating_add(rest.len()))?;
        self.line.extend_from_slice(&rest);
        Ok(None)
    }

    /// Ends the line that began with `self.line` and ends with `rest`.
    fn end_line_with(&mut self, rest: &[u8]) -> Result<Option<Message>, DecodeError> {
        if self.line.is_empty() {
            return self.end_line(rest);
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(rest);
        let message = self.end_line(&line);
        // Its room is used for the next line.
        line.clear();
        self.line = line;
        message
    }

    fn end_line(&mut self, line: &[u8]) -> Result<Option<Message>, DecodeError> {
        self.check_length(line.len())?;
        let is_first = std::mem::take(&mut self.is_first_line);
        let line = match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) if is_first => rest,
            Some(_) | None => line,
        };
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, rest) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = rest.strip_prefix(b" ").unwrap_or(rest);
        match field {
            b"data" => self.add_data(value)?,
            b"event" => self.event = value.to_vec(),
            _ => {}
        }
        Ok(None)
    }

    fn add_data(&mut self, value: &[u8]) -> Result<(), DecodeError> {
        let Some(data) = &mut self.data else {
            self.data = Some(value.to_vec());
            return Ok(());
        };
        data.push(b'\n');
        data.extend_from_slice(value);
        let length = data.len();
        self.check_length(length)
    }

    /// Ends the event; without data it is none.
    fn dispatch(&mut self) -> Result<Option<Message>, DecodeError> {
        let event = std::mem::take(&mut self.event);
        let Some(data) = self.data.take() else {
            return Ok(None);
        };
        Ok(Some(Message {
            event: utf8(event)?,
            data: utf8(data)?,
        }))
    }

    fn check_length(&self, length: usize) -> Result<(), DecodeError> {
        if length > self.limit {
            Err(DecodeError::TooLong { limit: self.limit })
        } else {
            Ok(())
        }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn utf8(bytes: Vec<u8>) -> Result<String, DecodeError> {
    String::from_utf8(bytes).map_err(|_invalid| DecodeError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns all messages of a stream that comes in these pieces, and how it ends.
    fn decode(limit: usize, pieces: &[&[u8]]) -> (Vec<Message>, Result<(), DecodeError>) {
        let mut decoder = Decoder::with_limit(limit);
        let mut messages = Vec::new();
        for piece in pieces {
            decoder.feed(Bytes::copy_from_slice(piece));
            loop {
                match decoder.take() {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(error) => return (messages, Err(error)),
                }
            }
        }
        match decoder.finish() {
            Ok(last) => {
                messages.extend(last);
                (messages, Ok(()))
            }
            Err(error) => (messages, Err(error)),
        }
    }

    fn messages(stream: &[u8]) -> Vec<(String, String)> {
        let (messages, end) = decode(MAX_BYTES, &[stream]);
        assert_eq!(end, Ok(()));
        messages
            .into_iter()
            .map(|message| (message.event, message.data))
            .collect()
    }

    #[test]
    fn decodes_per_the_standard() {
        type Row = (
            &'static str,
            &'static [u8],
            &'static [(&'static str, &'static str)],
        );
        let rows: [Row; 17] = [
            ("plain", b"data: a\n\n", &[("", "a")]),
            ("no space", b"data:a\n\n", &[("", "a")]),
            ("only one space goes", b"data:  a\n\n", &[("", " a")]),
            (
                "named",
                b"event: progress\ndata: a\n\n",
                &[("progress", "a")],
            ),
            (
                "name is for one event",
                b"event: x\ndata: a\n\ndata: b\n\n",
                &[("x", "a"), ("", "b")],
            ),
            (
                "name without data",
                b"event: x\n\ndata: b\n\n",
                &[("", "b")],
            ),
            (
                "lines are joined",
                b"data: a\ndata:\ndata: b\n\n",
                &[("", "a\n\nb")],
            ),
            ("carriage returns", b"data: a\rdata: b\r\r", &[("", "a\nb")]),
            ("both", b"data: a\r\ndata: b\r\n\r\n", &[("", "a\nb")]),
            (
                "mixed",
                b"data: a\r\n\ndata: b\n\r\n",
                &[("", "a"), ("", "b")],
            ),
            (
                "comments",
                b": hello\n\n:\n\ndata: a\n: x\n\n",
                &[("", "a")],
            ),
            (
                "other fields",
                b"id: 1\nretry: 5\nfoo\ndata: a\n\n",
                &[("", "a")],
            ),
            ("byte order mark", b"\xef\xbb\xbfdata: a\n\n", &[("", "a")]),
            ("empty data", b"data\n\n", &[("", "")]),
            (
                "colons in data",
                b"data: {\"a\":\"b: c\"}\n\n",
                &[("", "{\"a\":\"b: c\"}")],
            ),
            (
                "last blank line forgotten",
                b"data: a\n\ndata: b",
                &[("", "a"), ("", "b")],
            ),
            ("nothing", b"\n\n\r\n", &[]),
        ];
        for (name, stream, expected) in rows {
            let expected: Vec<_> = expected
                .iter()
                .map(|(event, data)| ((*event).to_owned(), (*data).to_owned()))
                .collect();
            assert_eq!(messages(stream), expected, "{name}");
        }
    }

    #[test]
    fn refuses_an_oversized_event_after_earlier_ones() {
        let before = Message {
            event: String::new(),
            data: "a".to_owned(),
        };
        let too_long = Err(DecodeError::TooLong { limit: 10 });
        let rows: [(&str, &[u8]); 4] = [
            ("ended line", b"data: a\n\ndata: 67890\n\n"),
            ("line without end", b"data: a\n\ndata: 67890"),
            ("comment", b"data: a\n\n: 345678901\n"),
            (
                "many lines",
                b"data: a\n\ndata: 6789\ndata: 6789\ndata: 6789\n\n",
            ),
        ];
        for (name, stream) in rows {
            assert_eq!(
                decode(10, &[stream]),
                (vec![before.clone()], too_long),
                "{name}"
            );
        }
        assert_eq!(decode(10, &[b"data: 6789\n\n"]).1, Ok(()), "at the limit");
    }

    #[test]
    fn refuses_invalid_utf8() {
        for stream in [&b"data: \xff\n\n"[..], b"event: \xc3\ndata: a\n\n"] {
            assert_eq!(
                decode(MAX_BYTES, &[stream]),
                (Vec::new(), Err(DecodeError::NotUtf8))
            );
        }
        assert_eq!(
            messages(b": \xff\ndata: a\n\n"),
            [(String::new(), "a".to_owned())]
        );
    }

    #[test]
    fn an_error_stays_wherever_it_occurs() {
        for stream in [&b"data: \xff\n\n"[..], b"data: \xff\n", b"data: \xff"] {
            let mut decoder = Decoder::new();
            decoder.feed(Bytes::from_static(stream));

            let first = decoder.finish();

            assert_eq!(first, Err(DecodeError::NotUtf8), "{stream:?}");
            assert_eq!(
                (decoder.finish(), decoder.take()),
                (first.clone(), first),
                "{stream:?}"
            );
        }
    }

    #[test]
    fn keeps_messages_fed_before_earlier_ones_are_taken() {
        let mut decoder = Decoder::new();
        for piece in ["data: a\n", "\ndata: b\n\nda", "ta: c\n\n"] {
            decoder.feed(Bytes::from(piece));
        }
        let mut taken = Vec::new();
        while let Some(message) = decoder.take().unwrap() {
            taken.push(message.data);
        }
        assert_eq!(taken, ["a", "b", "c"]);
    }

    /// Bytes in which lines, line ends, byte order marks and broken characters are likely.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let tokens = prop::sample::select(vec![
            &b"data"[..],
            b"event",
            b":",
            b": ",
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n",
            b"data: x",
            BYTE_ORDER_MARK,
            "\u{e9}".as_bytes(),
            b"\xff",
            b"{}",
        ]);
        prop::collection::vec(tokens, 0..40).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        #[test]
        fn decoding_does_not_depend_on_chunk_boundaries(
            stream in stream(),
            cuts in prop::collection::vec(0..200_usize, 0..20),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> =
                cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            let single: Vec<&[u8]> = stream.chunks(1).collect();

            for limit in [12, MAX_BYTES] {
                let whole = decode(limit, &[&stream]);
                prop_assert_eq!(&decode(limit, &pieces), &whole);
                prop_assert_eq!(&decode(limit, &single), &whole);
            }
        }
    }
}
