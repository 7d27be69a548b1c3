//! Messages of a client that are requests by themselves: each is read and judged before the provider
//! gets it, perhaps with another name of its model.
//!
//! What is read holds memory of the client until it is written. Frames are written anew: one for each
//! message.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::StatusCode;
use tokio::io::{AsyncRead, ReadBuf};

use super::{
    close::masking_key,
    frames::{FrameHeader, OPCODE_TEXT, frame_header},
};
use crate::{failure::Failure, memory::MemoryHold, request::error::RequestError};

/// How much is read at once in bytes.
const READ_BYTES: usize = 16 << 10;
/// The longest payload of a control frame (RFC 6455 section 5.5).
const MAX_CONTROL_BYTES: u64 = 125;

/// A message as the provider gets it, in three pieces.
type JudgedMessage = Result<[Bytes; 3], Failure>;
/// The judgement of one message.
pub(crate) type Judgement = Pin<Box<dyn Future<Output = JudgedMessage> + Send>>;
/// Judges one message after the other.
pub(crate) type Judge = Box<dyn FnMut(Bytes) -> Judgement + Send>;

/// Reads the messages of a client.
pub(crate) struct RequestFilter {
    judge: Judge,
    /// The longest message in bytes.
    max_bytes: usize,
    memory: MemoryHold,
    chunk: Vec<u8>,
    /// What was read and is not parsed yet.
    input: BytesMut,
    /// The frame whose payload is being read.
    frame: Option<OpenFrame>,
    /// The payload of the control frame that is being read.
    control: BytesMut,
    /// The payload of the frames so far of the message that is being read.
    message: BytesMut,
    is_in_message: bool,
    judgement: Option<Judgement>,
    output: Output,
    failure: Option<Failure>,
}

struct OpenFrame {
    header: FrameHeader,
    left: u64,
    /// How many bytes of the payload were read.
    read: usize,
}

/// A frame on its way to the provider.
#[derive(Default)]
struct Output {
    header: Bytes,
    payload: [Bytes; 3],
    mask: [u8; 4],
    /// How many bytes of the payload were written.
    written: usize,
}

impl RequestFilter {
    /// Creates a filter of messages of at most so many bytes.
    pub(crate) fn new(judge: Judge, max_bytes: usize, memory: MemoryHold) -> Self {
        Self {
            judge,
            max_bytes,
            memory,
            chunk: vec![0; READ_BYTES],
            input: BytesMut::new(),
            frame: None,
            control: BytesMut::new(),
            message: BytesMut::new(),
            is_in_message: false,
            judgement: None,
            output: Output::default(),
            failure: None,
        }
    }

    /// Takes why a message was refused.
    pub(super) fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Reads what the provider gets next. Fails if a message is refused.
    pub(super) fn poll_read<C: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.output.fill(buf) {
                return Poll::Ready(Ok(()));
            }
            if let Some(judgement) = &mut self.judgement {
                let judged = ready!(judgement.as_mut().poll(cx));
                self.judgement = None;
                match judged {
                    Ok(payload) => self.output = Output::new(OPCODE_TEXT, payload),
                    Err(failure) => return self.refuse(failure),
                }
                continue;
            }
            match self.advance() {
                Ok(true) => continue,
                Ok(false) => {}
                Err(failure) => return self.refuse(failure),
            }
            let mut read = ReadBuf::new(&mut self.chunk);
            ready!(Pin::new(&mut *client).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.input.extend_from_slice(read.filled());
        }
    }

    fn refuse(&mut self, failure: Failure) -> Poll<io::Result<()>> {
        self.failure = Some(failure);
        Poll::Ready(Err(io::Error::other("a message is refused")))
    }

    /// Parses what was read, up to the end of a header or a frame. Returns whether it got further.
    fn advance(&mut self) -> Result<bool, Failure> {
        let Some(frame) = &mut self.frame else {
            let Some(header) = FrameHeader::parse(&self.input) else {
                return Ok(false);
            };
            self.input.advance(header.len);
            self.begin_frame(header)?;
            return Ok(true);
        };
        let taken = usize::try_from(frame.left).unwrap_or(usize::MAX);
        let taken = taken.min(self.input.len());
        if taken == 0 && frame.left > 0 {
            return Ok(false);
        }
        let mut payload = self.input.split_to(taken);
        for byte in payload.iter_mut() {
            let mask = frame.header.mask.unwrap_or_default();
            *byte ^= mask
                .get(frame.read % mask.len())
                .copied()
                .unwrap_or_default();
            frame.read = frame.read.wrapping_add(1);
        }
        frame.left -= u64::try_from(taken).unwrap_or(frame.left);
        let (is_over, header) = (frame.left == 0, frame.header);
        if header.is_control() {
            self.control.extend_from_slice(&payload);
        } else {
            self.message.extend_from_slice(&payload);
        }
        if is_over {
            self.frame = None;
            self.end_frame(header);
        }
        Ok(true)
    }

    fn begin_frame(&mut self, header: FrameHeader) -> Result<(), Failure> {
        let is_valid = header.mask.is_some() && !header.has_extension();
        if header.is_control() {
            if !is_valid || !header.is_last() || header.payload_len > MAX_CONTROL_BYTES {
                return Err(bad("a control frame is not valid"));
            }
        } else {
            let is_first = header.opcode() == OPCODE_TEXT;
            let is_next = header.opcode() == 0;
            if !is_valid || !(is_first || is_next) || is_first == self.is_in_message {
                return Err(bad("messages must be text, in valid frames"));
            }
            let length = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
            let length = length.saturating_add(self.message.len());
            if length > self.max_bytes {
                let limit = self.max_bytes;
                return Err(RequestError::TooLarge { limit }.into());
            }
            self.memory
                .resize(length)
                .map_err(RequestError::OutOfMemory)?;
            self.is_in_message = !header.is_last();
        }
        self.frame = Some(OpenFrame {
            header,
            left: header.payload_len,
            read: 0,
        });
        Ok(())
    }

    fn end_frame(&mut self, header: FrameHeader) {
        if header.is_control() {
            let payload = self.control.split().freeze();
            self.output = Output::new(header.opcode(), [payload, Bytes::new(), Bytes::new()]);
        } else if header.is_last() {
            let message = std::mem::take(&mut self.message).freeze();
            self.judgement = Some((self.judge)(message));
        }
    }
}

fn bad(message: &str) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, message)
}

impl Output {
    fn new(opcode: u8, payload: [Bytes; 3]) -> Self {
        let mask = masking_key();
        let length: usize = payload.iter().map(Bytes::len).sum();
        Self {
            header: frame_header(opcode, length, Some(mask)).into(),
            payload,
            mask,
            written: 0,
        }
    }

    /// Writes what there is, and returns whether there was any.
    fn fill(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let before = buf.filled().len();
        let header = self.header.split_to(self.header.len().min(buf.remaining()));
        buf.put_slice(&header);
        for piece in &mut self.payload {
            let part = piece.split_to(piece.len().min(buf.remaining()));
            let start = buf.filled().len();
            buf.put_slice(&part);
            for byte in buf.filled_mut().get_mut(start..).unwrap_or_default() {
                let mask = self.mask.get(self.written % self.mask.len());
                *byte ^= mask.copied().unwrap_or_default();
                self.written = self.written.wrapping_add(1);
            }
        }
        buf.filled().len() > before
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, net::Ipv4Addr};

    use aisbreaker_egress::MemoryBudget;

    use super::*;
    use crate::memory::ClientMemories;

    /// A client that sends so many bytes at once.
    struct Pieces<'a> {
        sent: &'a [u8],
        size: usize,
    }

    impl AsyncRead for Pieces<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let size = self.size.min(self.sent.len()).min(buf.remaining());
            let (piece, rest) = self.sent.split_at(size);
            buf.put_slice(piece);
            self.sent = rest;
            Poll::Ready(Ok(()))
        }
    }

    fn filter(judge: Judge) -> RequestFilter {
        let memories = ClientMemories::new(MemoryBudget::default(), 1 << 20);
        let memory = memories.for_client(Ipv4Addr::LOCALHOST.into());
        RequestFilter::new(judge, 100_000, memory.empty_hold())
    }

    fn masked(first_byte: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let mut frame = frame_header(0, payload.len(), Some(mask));
        frame[0] = first_byte;
        let masks = mask.iter().cycle();
        frame.extend(payload.iter().zip(masks).map(|(byte, mask)| byte ^ mask));
        frame
    }

    /// Reads all that the provider gets, in small pieces.
    async fn read_all(filter: &mut RequestFilter, sent: &[u8], size: usize) -> io::Result<Vec<u8>> {
        let mut client = Pieces { sent, size };
        let mut all = Vec::new();
        loop {
            let mut piece = [0; 7];
            let mut buf = ReadBuf::new(&mut piece);
            poll_fn(|cx| filter.poll_read(cx, &mut client, &mut buf)).await?;
            if buf.filled().is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(buf.filled());
        }
    }

    /// Returns the frames as their first bytes and payloads.
    fn unmasked(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut frames = Vec::new();
        while let Some(header) = FrameHeader::parse(bytes) {
            let mask = header.mask.expect("a mask");
            let end = header.len + usize::try_from(header.payload_len).unwrap();
            let masks = mask.iter().cycle();
            let payload = bytes[header.len..end].iter().zip(masks);
            frames.push((bytes[0], payload.map(|(byte, mask)| byte ^ mask).collect()));
            bytes = &bytes[end..];
        }
        assert!(bytes.is_empty());
        frames
    }

    #[tokio::test]
    async fn messages_are_judged_whole_however_they_come() {
        let long = vec![b'x'; 70_000];
        let sent = [
            masked(0x81, b"one", [1, 2, 3, 4]),
            masked(0x01, b"tw", [9, 8, 7, 6]),
            masked(0x89, b"ping", [5, 5, 5, 5]),
            masked(0x00, b"", [0; 4]),
            masked(0x80, b"o", [3, 1, 4, 1]),
            masked(0x81, &long, [2, 7, 1, 8]),
            masked(0x88, &[3, 232], [1, 1, 1, 1]),
        ]
        .concat();
        let expected = vec![
            (0x81, b"<one>".to_vec()),
            (0x89, b"ping".to_vec()),
            (0x81, b"<two>".to_vec()),
            (0x81, [b"<", &*long, b">"].concat()),
            (0x88, vec![3, 232]),
        ];
        for size in [1, 2, 3, 5, 4096, usize::MAX] {
            let mut filter = filter(Box::new(|message| {
                Box::pin(async move {
                    tokio::task::yield_now().await;
                    Ok([Bytes::from_static(b"<"), message, Bytes::from_static(b">")])
                })
            }));
            let all = read_all(&mut filter, &sent, size).await.unwrap();
            assert!(unmasked(&all) == expected, "in pieces of {size}");
        }
    }

    #[tokio::test]
    async fn frames_that_cannot_be_read_are_refused() {
        let unmasked = [0x81, 1, b'a'].to_vec();
        let rows = [
            ("unmasked", unmasked, 400),
            ("binary", masked(0x82, b"a", [1; 4]), 400),
            ("compressed", masked(0xc1, b"a", [1; 4]), 400),
            ("nothing to continue", masked(0x80, b"a", [1; 4]), 400),
            ("a fragment of a ping", masked(0x09, b"a", [1; 4]), 400),
            ("a long ping", masked(0x89, &[0; 126], [1; 4]), 400),
            (
                "a message within another one",
                [masked(0x01, b"a", [1; 4]), masked(0x81, b"b", [1; 4])].concat(),
                400,
            ),
            (
                "too long",
                frame_header(OPCODE_TEXT, 100_001, Some([1; 4])),
                413,
            ),
            (
                "too long together",
                [
                    masked(0x01, &[b'a'; 60_000], [1; 4]),
                    masked(0x80, &[b'a'; 60_000], [1; 4]),
                ]
                .concat(),
                413,
            ),
            (
                "of any length",
                [&[0x81, 0xff][..], &[0xff; 12]].concat(),
                413,
            ),
        ];
        for (row, sent, status) in rows {
            let mut filter = filter(Box::new(|_| panic!("judged")));
            let refused = read_all(&mut filter, &sent, usize::MAX).await;
            assert!(refused.is_err(), "{row}");
            let failure = filter.take_failure().expect("why");
            assert_eq!(failure.status.as_u16(), status, "{row}");
        }
    }
}
