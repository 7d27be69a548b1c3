//! What a provider's answer holds, by its first bytes: providers label streams with other media types,
//! and errors as streams.

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// How lines of server-sent events begin (WHATWG HTML section 9.2).
const LINE_STARTS: [&[u8]; 5] = [b"data", b"event", b"id", b"retry", b":"];

/// How many first bytes of an answer are looked at: blanks may go on for ever.
pub const MAX_SNIFFED_BYTES: usize = 1024;

/// What an answer holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "callers treat whatever is neither of two alike"
)]
pub enum Sniffed {
    /// Server-sent events.
    Events,
    /// JSON, since no line of a stream begins like it.
    Json,
    /// Something else.
    Other,
}

/// Returns what an answer that begins with these bytes holds; `None` when they are too few.
#[must_use]
pub fn sniff(start: &[u8]) -> Option<Sniffed> {
    let text = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start);
    let text = text.trim_ascii_start();
    if text.is_empty() || BYTE_ORDER_MARK.starts_with(text) {
        return None;
    }
    if matches!(text.first(), Some(b'{' | b'[')) {
        return Some(Sniffed::Json);
    }
    let mut is_undecided = false;
    for line_start in LINE_STARTS {
        match text.strip_prefix(line_start) {
            Some(rest) if line_start == b":" || ends_name(rest) => return Some(Sniffed::Events),
            Some([]) => is_undecided = true,
            Some(_) => {}
            None => is_undecided |= line_start.starts_with(text),
        }
    }
    (!is_undecided).then_some(Sniffed::Other)
}

/// Returns whether the name of a field ends before this text.
fn ends_name(text: &[u8]) -> bool {
    matches!(text.first(), Some(b':' | b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_show_the_content() {
        let rows: [(&str, Option<Sniffed>); 13] = [
            ("data: {}\n\n", Some(Sniffed::Events)),
            ("data", None),
            ("\u{feff}data:", Some(Sniffed::Events)),
            ("\r\n\nevent: a", Some(Sniffed::Events)),
            ("event\n", Some(Sniffed::Events)),
            (": ping", Some(Sniffed::Events)),
            ("id:1", Some(Sniffed::Events)),
            ("retry: 1", Some(Sniffed::Events)),
            ("{\"data\":", Some(Sniffed::Json)),
            ("\u{feff} [", Some(Sniffed::Json)),
            ("database error", Some(Sniffed::Other)),
            ("<html>", Some(Sniffed::Other)),
            ("", None),
        ];
        for (start, expected) in rows {
            assert_eq!(sniff(start.as_bytes()), expected, "{start:?}");
        }
        assert_eq!(sniff(b"\xef"), None);
    }
}
