//! Messages of a client that are requests by themselves: each is read and judged before the provider
//! gets it, perhaps with another name of its model.
//!
//! What has come of a message holds memory of the client until it is written, and comes as steadily as
//! bodies must. Frames are written anew: one for each message.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::StatusCode;
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, Sleep},
};

use super::{
    close::masking_key,
    frames::{FrameHeader, OPCODE_TEXT, frame_header},
};
use crate::{
    failure::Failure,
    memory::MemoryHold,
    request::{
        body::{Pace, poll_until},
        error::RequestError,
    },
};

/// How much is read at once in bytes.
const READ_BYTES: usize = 16 << 10;
/// The memory that a filter holds apart from messages in bytes: what is read at once, and what of that is
/// not parsed yet.
pub(crate) const FILTER_BYTES: usize = 3 * READ_BYTES;
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
    /// The longest pause in a message.
    max_pause: Duration,
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
    /// How long the rest of the message may take that is being read.
    pace: Option<Pace>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Since when nothing is read of the client, whose time that is not.
    unread_since: Option<Instant>,
    judgement: Option<Judgement>,
    output: Option<Output>,
    failure: Option<Failure>,
}

struct OpenFrame {
    header: FrameHeader,
    left: u64,
    /// How many bytes of the payload were read.
    read: usize,
}

/// A frame on its way to the provider.
struct Output {
    header: Bytes,
    payload: [Bytes; 3],
    mask: [u8; 4],
    /// How many bytes of the payload were written.
    written: usize,
}

impl RequestFilter {
    /// Creates a filter of messages of at most so many bytes, with pauses of at most this time.
    pub(crate) fn new(
        judge: Judge,
        (max_bytes, max_pause): (usize, Duration),
        memory: MemoryHold,
    ) -> Self {
        Self {
            judge,
            max_bytes,
            max_pause,
            memory,
            chunk: vec![0; READ_BYTES],
            input: BytesMut::new(),
            frame: None,
            control: BytesMut::new(),
            message: BytesMut::new(),
            is_in_message: false,
            pace: None,
            timer: None,
            unread_since: None,
            judgement: None,
            output: None,
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
            if let Some(output) = &mut self.output {
                if output.fill(buf) {
                    return Poll::Ready(Ok(()));
                }
                self.output = None;
                // Never more than before.
                let _shrunk = self.memory.resize(self.message.len());
            }
            if let Some(judgement) = &mut self.judgement {
                let judged = ready!(judgement.as_mut().poll(cx));
                self.judgement = None;
                match judged {
                    Ok(payload) => self.output = Some(Output::new(OPCODE_TEXT, payload)),
                    Err(failure) => return self.refuse(failure),
                }
                continue;
            }
            match self.advance() {
                Ok(true) => continue,
                Ok(false) => {}
                Err(failure) => return self.refuse(failure),
            }
            self.keep_time();
            let mut read = ReadBuf::new(&mut self.chunk);
            let Poll::Ready(outcome) = Pin::new(&mut *client).poll_read(cx, &mut read) else {
                if let Some(pace) = &self.pace {
                    ready!(poll_until(&mut self.timer, pace.deadline(), cx));
                    return self.refuse(RequestError::Timeout.into());
                }
                return Poll::Pending;
            };
            outcome?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.input.extend_from_slice(read.filled());
        }
    }

    /// Times the message that is being read, from its first byte on. The client has time while nothing
    /// is read of it.
    fn keep_time(&mut self) {
        let unread_since = self.unread_since.take();
        let is_between = !self.is_in_message && self.frame.is_none() && self.input.is_empty();
        if is_between {
            self.pace = None;
            self.timer = None;
        } else if let Some(pace) = &mut self.pace {
            pace.extend(
                unread_since
                    .map(|since| since.elapsed())
                    .unwrap_or_default(),
            );
        } else {
            self.pace = Some(Pace::start(self.max_pause));
        }
    }

    /// Refuses a message, and lets go of what has come of it.
    fn refuse(&mut self, failure: Failure) -> Poll<io::Result<()>> {
        (self.input, self.message) = (BytesMut::new(), BytesMut::new());
        // Never more than before.
        let _shrunk = self.memory.resize(0);
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
            self.memory
                .resize(self.message.len())
                .map_err(RequestError::OutOfMemory)?;
            if let Some(pace) = &mut self.pace {
                pace.advance(taken);
            }
        }
        if is_over {
            self.frame = None;
            self.end_frame(header);
        }
        Ok(true)
    }

    fn begin_frame(&mut self, header: FrameHeader) -> Result<(), Failure> {
        // A client that sends control frames or empty ones as fast as it can never makes this wait.
        let mut pace = self.pace.iter().filter(|_| self.is_in_message);
        if pace.any(|pace| pace.deadline() <= Instant::now()) {
            return Err(RequestError::Timeout.into());
        }
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
            let payload = [payload, Bytes::new(), Bytes::new()];
            self.output = Some(Output::new(header.opcode(), payload));
            self.unread_since = Some(Instant::now());
        } else if header.is_last() {
            (self.pace, self.timer) = (None, None);
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
mod tests;
