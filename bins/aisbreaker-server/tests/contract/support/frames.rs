//! A client that writes the frames of HTTP/2 itself (RFC 9113), so that it can also be rude.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::TcpStream,
};

use super::{Connection, Server};

/// The bytes with which a client begins.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The last frame of a stream.
pub(crate) const END_STREAM: u8 = 0x1;
/// The last frame of a header list.
pub(crate) const END_HEADERS: u8 = 0x4;
/// How a server says that it has had enough.
pub(crate) const ENHANCE_YOUR_CALM: u32 = 0xb;
/// How a server says that a stream was not looked at.
pub(crate) const REFUSED_STREAM: u32 = 0x7;
/// The answer to a frame of the same kind.
pub(crate) const ACK: u8 = 0x1;
const INITIAL_WINDOW_SIZE: u16 = 0x4;

/// The type of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Kind(pub(crate) u8);

impl Kind {
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

/// A frame as it goes over the wire.
pub(crate) fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a short payload")
        .to_be_bytes();
    [
        &length[1..],
        &[kind.0, flags],
        &stream.to_be_bytes(),
        payload,
    ]
    .concat()
}

/// A header list, every field of it spelt out.
pub(crate) fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let literal = |(name, value)| [vec![0x00], string(name), string(value)].concat();
    fields.into_iter().flat_map(literal).collect()
}

/// A string of a header list (RFC 7541 section 5.2), not compressed.
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

/// The fields of a request for this path, the first of its header list.
pub(crate) fn request_to(method: &str, path: &str) -> Vec<u8> {
    let pseudo = [
        (":method", method),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", path),
    ];
    fields(pseudo)
}

/// A whole request without a body.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(
        Kind::HEADERS,
        END_HEADERS | END_STREAM,
        stream,
        &request_to("GET", path),
    )
}

/// The odd numbers of this many streams.
pub(crate) fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|i| 2 * i + 1)
}

/// A frame that was received.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error code of the frame that ends a stream or the connection.
    pub(crate) fn code(&self) -> u32 {
        let tail = if self.kind == Kind::GOAWAY {
            &self.payload[4..8]
        } else {
            &self.payload[..4]
        };
        u32::from_be_bytes(tail.try_into().expect("four bytes"))
    }

    /// The first byte of a header list of an answer: its status, if that is a usual one.
    pub(crate) fn is_ok(&self) -> bool {
        self.kind == Kind::HEADERS && self.payload.first() == Some(&0x88)
    }
}

/// A connection on which frames go to and fro.
pub(crate) struct Frames {
    reader: BufReader<TcpStream>,
}

impl Frames {
    /// A connection whose streams may have so many bytes sent before the client asks for more.
    pub(crate) fn open(server: &Server, window: u32) -> Self {
        let stream = Connection::open(server.address()).writer();
        let mut frames = Self {
            reader: BufReader::new(stream),
        };
        let settings = [
            &INITIAL_WINDOW_SIZE.to_be_bytes()[..],
            &window.to_be_bytes(),
        ]
        .concat();
        frames.write(PREFACE);
        frames.write(&frame(Kind::SETTINGS, 0, 0, &settings));
        frames.write(&frame(Kind::SETTINGS, ACK, 0, &[]));
        frames
    }

    /// Another handle of the socket, to write while somebody reads.
    pub(crate) fn writer(&self) -> TcpStream {
        self.reader
            .get_ref()
            .try_clone()
            .expect("the socket a second time")
    }

    /// Writes bytes; a server that has closed is no failure.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _written = self.reader.get_mut().write_all(bytes);
    }

    /// The next frame; `None` at the end of the connection, which must come.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.read(&mut head)?;
        let [l2, l1, l0, kind, _flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, l2, l1, l0]) as usize];
        self.read(&mut payload)?;
        Some(Frame {
            kind: Kind(kind),
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

    /// The next frame of this kind; `None` if the connection ends before.
    pub(crate) fn next_of(&mut self, kind: Kind) -> Option<Frame> {
        std::iter::from_fn(|| self.next()).find(|frame| frame.kind == kind)
    }

    /// The code with which the server ends the connection, once it has; `None` if it just closes
    /// it.
    pub(crate) fn end(&mut self) -> Option<u32> {
        std::iter::from_fn(|| self.next())
            .filter_map(|frame| (frame.kind == Kind::GOAWAY).then(|| frame.code()))
            .last()
    }
}
