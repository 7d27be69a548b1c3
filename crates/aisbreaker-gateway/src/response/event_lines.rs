//! The lines and the fields of server-sent events, without copies.
//!
//! Source: WHATWG HTML section 9.2.

use std::borrow::Cow;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The fields of one event.
#[derive(Debug, Default)]
pub(super) struct EventFields<'a> {
    pub(super) name: &'a [u8],
    /// The lines of data, joined by line feeds; `None` if there are none, so that it is no event.
    pub(super) data: Option<Cow<'a, [u8]>>,
}

impl<'a> EventFields<'a> {
    /// Returns the fields of the first event, and what follows it.
    pub(super) fn read(events: &'a [u8]) -> (Self, &'a [u8]) {
        let mut fields = Self::default();
        let mut rest = events;
        while let Some((line, after)) = next_line(rest) {
            rest = after;
            if line.is_empty() {
                break;
            }
            fields.read_line(line);
        }
        (fields, rest)
    }

    fn read_line(&mut self, line: &'a [u8]) {
        let (field, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match (field, &mut self.data) {
            (b"event", _) => self.name = value,
            (b"data", None) => self.data = Some(Cow::Borrowed(value)),
            (b"data", Some(data)) => {
                let data = data.to_mut();
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            _ => {}
        }
    }
}

/// Returns the lines, ended by a line feed, a carriage return, or both.
pub(super) fn lines(events: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = events;
    std::iter::from_fn(move || {
        let (line, after) = next_line(rest)?;
        rest = after;
        Some(line)
    })
}

/// Splits off the first line; `None` without any bytes.
fn next_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if bytes.is_empty() {
        return None;
    }
    let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
        return Some((bytes, &[]));
    };
    let (line, rest) = bytes.split_at_checked(end)?;
    let rest = match rest.strip_prefix(b"\r\n") {
        Some(rest) => rest,
        None => rest.get(1..)?,
    };
    Some((line, rest))
}

/// Returns the bytes without the byte order mark that a stream may begin with.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// Returns where the last complete event ends, which is after the last blank line, or 0.
///
/// Blank lines before `from` are not looked for. A carriage return at the very end may be half of
/// a line break, so it ends nothing.
pub(super) fn end_of_events(bytes: &[u8], from: usize) -> usize {
    let is_end = |at: usize| matches!(bytes.get(at), Some(b'\n' | b'\r'));
    let searched = bytes.get(from..).unwrap_or_default();
    for at in memchr::memrchr2_iter(b'\n', b'\r', searched).map(|at| at.saturating_add(from)) {
        let start = match bytes.get(at) {
            Some(b'\r') if at.saturating_add(1) == bytes.len() => continue,
            // The carriage return of a pair is handled with its line feed.
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

/// Returns where the lines end that belong to no event, which begin at `from`, the start of a line:
/// comments, the time until a reconnect, and blank lines.
pub(super) fn end_of_loose_lines(bytes: &[u8], from: usize) -> usize {
    let mut end = from;
    while let Some(rest) = bytes.get(end..)
        && is_loose(rest)
        && let Some((line, after)) = next_line(rest)
    {
        let is_complete = match rest.get(line.len()..) {
            Some(b"" | b"\r") | None => false,
            Some(_) => true,
        };
        if !is_complete {
            break;
        }
        end = bytes.len().saturating_sub(after.len());
    }
    end
}

/// Returns whether the bytes begin with a line that is no part of an event, or may be one.
fn is_loose(bytes: &[u8]) -> bool {
    match bytes.first() {
        Some(b':' | b'\n' | b'\r') => true,
        Some(b'r') => bytes.starts_with(b"retry:"),
        Some(_) | None => false,
    }
}

/// Returns the last `count` events, of complete ones.
pub(super) fn last_events(events: &[u8], count: usize) -> &[u8] {
    let mut start = events.len();
    for _ in 0..count {
        let before = events.get(..start).unwrap_or_default();
        let text_end = before
            .iter()
            .rposition(|byte| !matches!(byte, b'\n' | b'\r'));
        let Some(text_end) = text_end else { break };
        let text = before.get(..=text_end).unwrap_or_default();
        start = end_of_events(text, 0);
        if start == 0 {
            break;
        }
    }
    events.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_ends_after_its_blank_line() {
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
            let text = String::from_utf8_lossy(bytes);
            assert_eq!(end_of_events(bytes, 0), expected, "{text}");
        }
    }

    #[test]
    fn lines_that_belong_to_no_event_end_before_the_first_that_does() {
        let rows: [(&str, usize); 12] = [
            (": a\n", 4),
            (": a", 0),
            (": a\r", 0),
            (": a\r\n: b\n:", 9),
            (": a\rd", 4),
            ("\n: a\n", 5),
            ("retry: 5\nid: 1\n", 9),
            ("ret", 0),
            ("data: a\n: b\n", 0),
            ("event: a\n", 0),
            (": a\ndata: b\n", 4),
            ("", 0),
        ];
        for (text, expected) in rows {
            assert_eq!(end_of_loose_lines(text.as_bytes(), 0), expected, "{text:?}");
        }
    }

    #[test]
    fn the_last_events_are_found_with_any_line_ends() {
        let rows = [
            ("data: a\n\ndata: b\n\n", 1, "data: b\n\n"),
            ("data: a\n\ndata: b\n\n\n", 1, "data: b\n\n\n"),
            ("data: a\r\n\r\ndata: b\r\n\r\n", 1, "data: b\r\n\r\n"),
            ("data: a\r\rdata: b\r\r", 1, "data: b\r\r"),
            ("a\n\nb\n\nc\n\n", 2, "b\n\nc\n\n"),
            ("a\n\nb\n\n: c\n", 2, "b\n\n: c\n"),
            ("a\n\n", 5, "a\n\n"),
            ("\n\n", 1, ""),
        ];
        for (events, count, expected) in rows {
            let last = last_events(events.as_bytes(), count);
            assert_eq!(last, expected.as_bytes(), "{events:?}");
        }
    }

    #[test]
    fn the_fields_of_an_event_are_its_name_and_its_lines_of_data() {
        let rows = [
            ("data: a\n\nx", "", Some("a"), "x"),
            (
                "event: e\r\ndata:a\r\ndata: b\r\n\r\nx",
                "e",
                Some("a\nb"),
                "x",
            ),
            ("event: e\n\n", "e", None, ""),
            (": c\nid: 1\ndata\rdata:  b", "", Some("\n b"), ""),
            ("database: a\n\n", "", None, ""),
        ];
        for (events, name, data, after) in rows {
            let (fields, rest) = EventFields::read(events.as_bytes());
            assert_eq!(fields.name, name.as_bytes(), "{events:?}");
            assert_eq!(
                fields.data.as_deref(),
                data.map(str::as_bytes),
                "{events:?}"
            );
            assert_eq!(rest, after.as_bytes(), "{events:?}");
        }
    }
}
