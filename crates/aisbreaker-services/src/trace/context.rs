//! The W3C Trace Context of a request.
//!
//! Source: W3C Trace Context Level 2, sections 3.2 and 3.3.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The field with the trace and the span that a request belongs to.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The field with what tracing systems add to it.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The length of a `traceparent` of version 00.
const LEN: usize = 55;
/// The longest `tracestate` that is passed on, in bytes of all its fields (section 3.3.1.5).
const MAX_STATE_LEN: usize = 512;
const SAMPLED: u8 = 1;
/// The flags that are passed on: sampled and random.
const KNOWN_FLAGS: u8 = 3;

/// A span and the trace that it is part of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
}

impl TraceContext {
    /// Creates a context. Ids must not be all zero.
    #[must_use]
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8]) -> Self {
        Self {
            trace_id,
            span_id,
            flags: 0,
        }
    }

    /// Reads the context of a request. `None` unless there is exactly one valid `traceparent`.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?;
        match values.next() {
            Some(_second) => None,
            None => Self::parse(value.as_bytes()),
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LEN)?;
        let [version] = hex(known.get(..2)?)?;
        // A later version may append fields.
        let has_valid_end = match version {
            0 => rest.is_empty(),
            255 => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        let has_dashes = [2, 35, 52].iter().all(|at| known.get(*at) == Some(&b'-'));
        if !has_valid_end || !has_dashes {
            return None;
        }
        let trace_id: [u8; 16] = hex(known.get(3..35)?)?;
        let span_id: [u8; 8] = hex(known.get(36..52)?)?;
        let [flags] = hex(known.get(53..)?)?;
        if trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        Some(Self {
            trace_id,
            span_id,
            flags: flags & KNOWN_FLAGS,
        })
    }

    /// Returns the id of the trace.
    #[must_use]
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// Returns the id of the span.
    #[must_use]
    pub fn span_id(&self) -> [u8; 8] {
        self.span_id
    }

    /// Returns whether the trace is recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Returns the context of another span in the same trace.
    #[must_use]
    pub fn with_span_id(self, span_id: [u8; 8]) -> Self {
        Self { span_id, ..self }
    }

    /// Sets whether the trace is recorded.
    #[must_use]
    pub fn with_sampled(self, is_sampled: bool) -> Self {
        let sampled = if is_sampled { SAMPLED } else { 0 };
        Self {
            flags: self.flags & !SAMPLED | sampled,
            ..self
        }
    }

    /// Returns the value of `traceparent`.
    #[must_use]
    pub fn to_header(&self) -> HeaderValue {
        let trace_id = u128::from_be_bytes(self.trace_id);
        let span_id = u64::from_be_bytes(self.span_id);
        let text = format!("00-{trace_id:032x}-{span_id:016x}-{:02x}", self.flags);
        // Not expected to fail: these are hexadecimal digits.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// Returns the `tracestate` of a request with a valid `traceparent`, its fields joined. `None` if it
/// has none, or one that is too long or has characters that none can have.
#[must_use]
pub fn trace_state(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut joined = Vec::new();
    for value in headers.get_all(TRACESTATE) {
        if !joined.is_empty() {
            joined.push(b',');
        }
        joined.extend_from_slice(value.as_bytes());
    }
    let is_printable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    if joined.is_empty() || joined.len() > MAX_STATE_LEN || !joined.iter().all(is_printable) {
        return None;
    }
    HeaderValue::from_bytes(&joined).ok()
}

/// Reads lower-case hexadecimal digits, two for each byte.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let mut value = 0;
        for digit in pair {
            let nibble = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            value = value << 4 | nibble;
        }
        *byte = value;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parse(text: &str) -> Option<TraceContext> {
        TraceContext::parse(text.as_bytes())
    }

    #[test]
    fn a_valid_traceparent_is_written_as_it_was_read() {
        let context = parse(VALID).unwrap();

        assert_eq!(context.to_header(), VALID);
        assert!(context.is_sampled());
        let child = context.with_span_id([1; 8]).with_sampled(false);
        let expected = "00-0af7651916cd43dd8448eb211c80319c-0101010101010101-00";
        assert_eq!(child.to_header(), expected);
    }

    #[test]
    fn malformed_traceparents_are_refused() {
        for (name, text) in [
            ("empty", ""),
            ("short", &VALID[1..]),
            ("longer version 00", &format!("{VALID}-00")),
            ("version ff", &VALID.replacen("00", "ff", 1)),
            ("no hex version", &VALID.replacen("00", "0g", 1)),
            (
                "later version without a dash",
                &format!("01{}x", &VALID[2..]),
            ),
            ("upper case", &VALID.to_uppercase()),
            ("other separator", &VALID.replace('-', "_")),
            ("shifted separator", &VALID.replacen("9c-", "9-c", 1)),
            (
                "zero trace",
                "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            ),
            (
                "zero span",
                "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            ),
            ("no hex flags", &VALID.replace("-01", "-0x")),
        ] {
            assert_eq!(parse(text), None, "{name}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_version_00_and_unknown_flags_are_dropped() {
        for text in [
            format!("cc-{}", &VALID[3..]),
            format!("cc-{}-what-follows", &VALID[3..]),
            VALID.replace("-01", "-fd"),
        ] {
            assert_eq!(parse(&text).unwrap().to_header(), VALID, "{text}");
        }
    }

    #[test]
    fn two_traceparents_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));
        assert!(TraceContext::of(&headers).is_some());

        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));

        assert_eq!(TraceContext::of(&headers), None);
    }

    #[test]
    fn tracestate_fields_are_joined_and_a_long_or_odd_one_is_dropped() {
        let state = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(
                    TRACESTATE,
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                );
            }
            trace_state(&headers)
        };

        assert_eq!(state(&[]), None);
        assert_eq!(state(&["a=b", "c=d"]).unwrap(), "a=b,c=d");
        assert!(state(&[&"x".repeat(MAX_STATE_LEN)]).is_some());
        assert_eq!(state(&[&"x".repeat(MAX_STATE_LEN + 1)]), None);
        assert_eq!(state(&["a=\u{f6}"]), None);
    }
}
