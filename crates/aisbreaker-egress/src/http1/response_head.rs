//! The head of a response (RFC 9112 section 4), and what it says about the body and the connection.

use std::{io, mem::MaybeUninit};

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use httparse::{ParserConfig, Status};

use super::{body_decoder::BodyDecoder, invalid};
use crate::headers::is_chunked;

/// The longest head in bytes.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The most fields of a head.
const MAX_FIELDS: usize = 100;

/// The head of a response, without its fields.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) body: BodyDecoder,
    /// Whether the connection persists after this response (RFC 9112 section 9.3).
    pub(crate) is_persistent: bool,
}

impl ResponseHead {
    /// Takes the head of the final response from the beginning of `read`, and interim responses
    /// (RFC 9110 section 15.2) that precede it. Returns `None` if the head is not complete.
    ///
    /// `fields` is empty before, and has the fields of the final response afterwards.
    ///
    /// # Errors
    /// The head is not valid HTTP, is too long, or says contradictory things about the length of
    /// the body.
    pub(crate) fn take_final(
        read: &mut Bytes,
        method: &Method,
        fields: &mut HeaderMap,
    ) -> io::Result<Option<Self>> {
        while !read.is_empty() {
            let Some(head) = Self::take(read, method, fields)? else {
                break;
            };
            let is_interim =
                head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS;
            if !is_interim {
                return Ok(Some(head));
            }
            fields.clear();
        }
        Ok(None)
    }

    fn take(read: &mut Bytes, method: &Method, fields: &mut HeaderMap) -> io::Result<Option<Self>> {
        let mut memory = [MaybeUninit::uninit(); MAX_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        let outcome = ParserConfig::default().parse_response_with_uninit_headers(
            &mut parsed,
            read,
            &mut memory,
        );
        let length = match outcome.map_err(invalid)? {
            Status::Complete(length) if length <= MAX_HEAD_BYTES => length,
            Status::Partial if read.len() < MAX_HEAD_BYTES => return Ok(None),
            Status::Complete(_) | Status::Partial => {
                return Err(invalid("the head of the response is too long"));
            }
        };
        let status = StatusCode::from_u16(parsed.code.unwrap_or_default()).map_err(invalid)?;
        let version = match parsed.version {
            Some(1) => Version::HTTP_11,
            _ => Version::HTTP_10,
        };
        let mut message = MessageFields::default();
        fields.reserve(parsed.headers.len());
        for field in parsed.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(invalid)?;
            let value = read.slice_ref(field.value);
            let value = HeaderValue::from_maybe_shared(value).map_err(invalid)?;
            message.note(&name, &value);
            fields.append(name, value);
        }
        read.advance(length);
        if read.is_empty() {
            // What is empty would keep the memory of the head.
            *read = Bytes::new();
        }
        let body = message.body(method, status, version, fields)?;
        Ok(Some(Self {
            status,
            version,
            is_persistent: message.is_persistent(status, version) && body.is_self_delimited(),
            body,
        }))
    }
}

/// What the fields of a head say about the message.
#[derive(Default)]
struct MessageFields {
    content_length: ContentLength,
    /// Whether the body has a transfer coding; `identity`, which an older HTTP/1.1 had, is none.
    has_transfer_coding: bool,
    closes: bool,
    keeps_alive: bool,
}

impl MessageFields {
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) {
        if *name == header::CONTENT_LENGTH {
            self.content_length.add(value.as_bytes());
        } else if *name == header::TRANSFER_ENCODING {
            let is_none = |coding: &[u8]| {
                let coding = coding.trim_ascii();
                coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
            };
            let mut codings = value.as_bytes().split(|byte| *byte == b',');
            self.has_transfer_coding |= !codings.all(is_none);
        } else if *name == header::CONNECTION {
            for option in value.as_bytes().split(|byte| *byte == b',') {
                let option = option.trim_ascii();
                self.closes |= option.eq_ignore_ascii_case(b"close");
                self.keeps_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
    }

    /// Returns how the end of the body shows (RFC 9112 section 6.3).
    fn body(
        &self,
        method: &Method,
        status: StatusCode,
        version: Version,
        fields: &HeaderMap,
    ) -> io::Result<BodyDecoder> {
        let is_empty = status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED
            || *method == Method::HEAD;
        if is_empty {
            return Ok(BodyDecoder::Length(0));
        }
        if !self.has_transfer_coding {
            return match self.content_length {
                ContentLength::Length(length) => Ok(BodyDecoder::Length(length)),
                ContentLength::Invalid => Err(invalid("the response has no single length")),
                ContentLength::Absent => Ok(BodyDecoder::UntilClose),
            };
        }
        if version == Version::HTTP_10 {
            return Err(invalid("a response of HTTP/1.0 has a transfer coding"));
        }
        // Overrides a Content-Length.
        Ok(if is_chunked(fields) {
            BodyDecoder::chunked()
        } else {
            BodyDecoder::UntilClose
        })
    }

    fn is_persistent(&self, status: StatusCode, version: Version) -> bool {
        // With both, sender and recipient may disagree about where the response ends.
        let is_ambiguous = self.has_transfer_coding && self.content_length != ContentLength::Absent;
        let is_default = version == Version::HTTP_11;
        let is_switched = status == StatusCode::SWITCHING_PROTOCOLS;
        !is_switched && !is_ambiguous && !self.closes && (is_default || self.keeps_alive)
    }
}

/// What the lines of `Content-Length` state together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum ContentLength {
    #[default]
    Absent,
    Length(u64),
    /// No number, or several.
    Invalid,
}

impl ContentLength {
    /// Adds a line, in which a proxy may have joined several equal ones to a list (RFC 9110 section
    /// 8.6).
    fn add(&mut self, value: &[u8]) {
        for item in value.split(|byte| *byte == b',') {
            let digits = str::from_utf8(item.trim_ascii()).unwrap_or_default();
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            *self = match (*self, digits.parse()) {
                (Self::Absent, Ok(length)) if is_number => Self::Length(length),
                (Self::Length(other), Ok(length)) if is_number && other == length => *self,
                _ => Self::Invalid,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// What a head says: the length of the body, `-1` for chunks and `-2` for the end of the
    /// connection, and whether the connection persists.
    fn parse(method: &Method, head: &str) -> Result<(i64, bool), String> {
        let mut read = Bytes::from(head.to_owned());
        let mut fields = HeaderMap::new();
        let head = ResponseHead::take_final(&mut read, method, &mut fields)
            .map_err(|error| error.to_string())?
            .ok_or("not complete")?;
        let length = match head.body {
            BodyDecoder::Length(length) => i64::try_from(length).unwrap(),
            BodyDecoder::Chunked(_) => -1,
            BodyDecoder::UntilClose | BodyDecoder::Closed => -2,
        };
        Ok((length, head.is_persistent))
    }

    #[test]
    fn the_fields_say_where_the_body_ends_and_whether_the_connection_persists() {
        let rows = [
            ("1.1 200", "content-length: 3", Ok((3, true))),
            ("1.1 200", "content-length: 0", Ok((0, true))),
            ("1.1 200", "content-length: 3, 3", Ok((3, true))),
            (
                "1.1 200",
                "content-length: 3\r\ncontent-length: 3",
                Ok((3, true)),
            ),
            (
                "1.1 200",
                "content-length: 3\r\nconnection: x, Close",
                Ok((3, false)),
            ),
            (
                "1.1 200",
                "content-length: 3\r\nconnection: close\r\nconnection: keep-alive",
                Ok((3, false)),
            ),
            ("1.0 200", "content-length: 3", Ok((3, false))),
            (
                "1.0 200",
                "content-length: 3\r\nconnection: Keep-Alive",
                Ok((3, true)),
            ),
            ("1.1 200", "transfer-encoding: Chunked", Ok((-1, true))),
            (
                "1.1 200",
                "transfer-encoding: gzip, chunked",
                Ok((-1, true)),
            ),
            ("1.1 200", "transfer-encoding: gzip", Ok((-2, false))),
            (
                "1.1 200",
                "content-length: 3\r\ntransfer-encoding: chunked",
                Ok((-1, false)),
            ),
            (
                "1.1 200",
                "content-length: 3\r\ntransfer-encoding: Identity, ",
                Ok((3, true)),
            ),
            (
                "1.0 200",
                "content-length: 3\r\ntransfer-encoding:",
                Ok((3, false)),
            ),
            (
                "1.1 200",
                "transfer-encoding: identity, chunked",
                Ok((-1, true)),
            ),
            ("1.1 200", "x: y", Ok((-2, false))),
            ("1.0 200", "connection: keep-alive", Ok((-2, false))),
            ("1.1 204", "content-length: 3", Ok((0, true))),
            ("1.1 204", "content-length: x", Ok((0, true))),
            ("1.1 304", "transfer-encoding: chunked", Ok((0, true))),
            ("1.1 101", "upgrade: x", Ok((0, false))),
            ("1.1 103", "x: y", Err("not complete")),
        ];
        for (status, fields, expected) in rows {
            let head = format!("HTTP/{status} X\r\n{fields}\r\n\r\n");
            let parsed = parse(&Method::POST, &head);
            assert_eq!(parsed, expected.map_err(str::to_owned), "{head}");
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n";
        assert_eq!(parse(&Method::HEAD, head), Ok((0, true)));
    }

    #[test]
    fn a_head_that_is_not_valid_is_refused() {
        let long = format!("x: {}", "y".repeat(MAX_HEAD_BYTES));
        let many = ["x: y"; MAX_FIELDS + 1].join("\r\n");
        let rows = [
            "content-length: 3, 4",
            "content-length: 3\r\ncontent-length: 4",
            "content-length: +3",
            "content-length: 0x3",
            "content-length: 3,",
            "content-length:",
            "content-length: 3 3",
            "content-length: 99999999999999999999",
            "content-length : 3",
            "x: y\r\n z",
            " x: y",
            "x\0: y",
            "x: \0",
            "x: y\rz",
            "no colon",
            &long,
            &many,
        ];
        for fields in rows {
            let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
            let refused = parse(&Method::POST, &head).unwrap_err();
            assert_ne!(refused, "not complete", "{head}");
        }
        for head in [
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "<html>",
        ] {
            assert_ne!(
                parse(&Method::POST, head).unwrap_err(),
                "not complete",
                "{head}"
            );
        }
    }

    #[test]
    fn the_memory_of_a_head_is_released_with_its_fields() {
        let (mut fields, alive) = (
            HeaderMap::new(),
            Arc::new(*b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n"),
        );
        let mut read = Bytes::from_owner(Shared(Arc::clone(&alive)));

        let head = ResponseHead::take_final(&mut read, &Method::GET, &mut fields);

        assert!(head.unwrap().is_some());
        assert_eq!(Arc::strong_count(&alive), 2, "the value of the field");
        fields.clear();
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    struct Shared(Arc<[u8; 25]>);

    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            &*self.0
        }
    }

    #[test]
    fn interim_responses_are_skipped_with_their_fields() {
        let mut read = Bytes::from_static(
            b"HTTP/1.1 100 Continue\r\nx: 1\r\n\r\nHTTP/1.1 103 Hints\r\nlink: </a>\r\n\r\n\
              HTTP/1.1 200 OK\r\nx: 2\r\nx: 3\r\n\r\nbody",
        );
        let mut fields = HeaderMap::new();
        let head = ResponseHead::take_final(&mut read, &Method::GET, &mut fields);

        assert_eq!(head.unwrap().unwrap().status, StatusCode::OK);
        let fields: Vec<&HeaderValue> = fields.get_all("x").iter().collect();
        assert_eq!(fields, ["2", "3"]);
        assert_eq!(read, "body");
    }
}
