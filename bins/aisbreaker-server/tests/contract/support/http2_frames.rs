//! A client that writes its own frames of HTTP/2 (RFC 9113), so that it can violate the protocol.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::TcpStream,
};

use super::{Connection, Server};

/// The connection preface of a client.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Flag: the last frame of a stream.
pub(crate) const END_STREAM: u8 = 0x1;
/// Flag: the last frame of a field section.
pub(crate) const END_HEADERS: u8 = 0x4;
/// Error code: the peer causes excessive load.
pub(crate) const ENHANCE_YOUR_CALM: u32 = 0xb;
/// Error code: the stream was not processed.
pub(crate) const REFUSED_STREAM: u32 = 0x7;
/// Flag: acknowledges a frame of the same type.
pub(crate) const ACK: u8 = 0x1;
const INITIAL_WINDOW_SIZE: u16 = 0x4;

/// The type of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FrameType(pub(crate) u8);

impl FrameType {
    pub(crate) const DATA: Self = Self(0x0);
    pub(crate) const HEADERS: Self = Self(0x1);
    pub(crate) const PRIORITY: Self = Self(0x2);
    pub(crate) const RST_STREAM: Self = Self(0x3);
    pub(crate) const SETTINGS: Self = Self(0x4);
    pub(crate) const PING: Self = Self(0x6);
    pub(crate) const GOAWAY: Self = Self(0x7);
    pub(crate) const WINDOW_UPDATE: Self = Self(0x8);
    pub(crate) const CONTINUATION: Self = Self(0x9);
}

/// Serializes a frame.
pub(crate) fn frame(frame_type: FrameType, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a short payload")
        .to_be_bytes();
    [
        &length[1..],
        &[frame_type.0, flags],
        &stream.to_be_bytes(),
        payload,
    ]
    .concat()
}

/// Encodes header fields as literals without indexing (RFC 7541 section 6.2.2).
pub(crate) fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let literal = |(name, value)| [vec![0x00], string(name), string(value)].concat();
    fields.into_iter().flat_map(literal).collect()
}

/// Encodes a string literal without Huffman coding (RFC 7541 section 5.2).
pub(crate) fn string(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.len();
    if rest < 0x7f {
        bytes.push(u8::try_from(rest).expect("less than 127"));
    } else {
        bytes.push(0x7f);
        rest -= 0x7f;
        while rest >= 0x80 {
            bytes.push(u8::try_from(rest & 0x7f | 0x80).expect("a byte"));
            rest >>= 7;
        }
        bytes.push(u8::try_from(rest).expect("less than 128"));
    }
    bytes.extend(text.as_bytes());
    bytes
}

/// Encodes the pseudo-header fields of a request.
pub(crate) fn request_to(method: &str, path: &str) -> Vec<u8> {
    let pseudo = [
        (":method", method),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", path),
    ];
    fields(pseudo)
}

/// Encodes the head of a call of `process`.
pub(crate) fn process_request() -> Vec<u8> {
    let content_type = fields([("content-type", "application/json")]);
    [request_to("POST", "/api/v1/process"), content_type].concat()
}

/// Serializes a whole request without a body.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(
        FrameType::HEADERS,
        END_HEADERS | END_STREAM,
        stream,
        &request_to("GET", path),
    )
}

/// The identifiers of the first streams that a client opens.
pub(crate) fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|i| 2 * i + 1)
}

/// A received frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) frame_type: FrameType,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Returns the error code of a `RST_STREAM` or `GOAWAY` frame.
    pub(crate) fn code(&self) -> u32 {
        let tail = if self.frame_type == FrameType::GOAWAY {
            &self.payload[4..8]
        } else {
            &self.payload[..4]
        };
        u32::from_be_bytes(tail.try_into().expect("four bytes"))
    }

    /// Returns whether this is the head of a response with status 200, which is the indexed field
    /// 8 (RFC 7541 appendix A).
    pub(crate) fn is_ok(&self) -> bool {
        self.frame_type == FrameType::HEADERS && self.payload.first() == Some(&0x88)
    }
}

/// A client connection that sends and receives single frames.
pub(crate) struct FrameConnection {
    reader: BufReader<TcpStream>,
}

impl FrameConnection {
    /// Connects and performs the handshake, with this initial window for every stream.
    pub(crate) fn open(server: &Server, window: u32) -> Self {
        let stream = Connection::open(server.address()).writer();
        let mut connection = Self {
            reader: BufReader::new(stream),
        };
        let settings = [
            &INITIAL_WINDOW_SIZE.to_be_bytes()[..],
            &window.to_be_bytes(),
        ]
        .concat();
        connection.write(PREFACE);
        connection.write(&frame(FrameType::SETTINGS, 0, 0, &settings));
        connection.write(&frame(FrameType::SETTINGS, ACK, 0, &[]));
        connection
    }

    /// Returns a second handle of the socket, to write while another thread reads.
    pub(crate) fn writer(&self) -> TcpStream {
        self.reader
            .get_ref()
            .try_clone()
            .expect("a second handle of the socket")
    }

    /// Writes bytes. A server that has closed the connection is no failure.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _written = self.reader.get_mut().write_all(bytes);
    }

    /// Reads the next frame. Returns `None` at the end of the connection, which must come.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.read(&mut head)?;
        let [l2, l1, l0, frame_type, _flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, l2, l1, l0]) as usize];
        self.read(&mut payload)?;
        Some(Frame {
            frame_type: FrameType(frame_type),
            stream: u32::from_be_bytes(stream),
            payload,
        })
    }

    fn read(&mut self, bytes: &mut [u8]) -> Option<()> {
        let read = self.reader.read_exact(bytes);
        let is_late = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(
            !read.as_ref().is_err_and(is_late),
            "the server neither sends nor closes"
        );
        read.ok()
    }

    /// Reads up to the next frame of this type. Returns `None` if the connection ends before.
    pub(crate) fn next_of(&mut self, frame_type: FrameType) -> Option<Frame> {
        std::iter::from_fn(|| self.next()).find(|frame| frame.frame_type == frame_type)
    }

    /// Reads to the end of the connection, and returns the error code of its `GOAWAY`, if any.
    pub(crate) fn end(&mut self) -> Option<u32> {
        std::iter::from_fn(|| self.next())
            .filter_map(|frame| (frame.frame_type == FrameType::GOAWAY).then(|| frame.code()))
            .last()
    }
}
