//! Where the frames of a WebSocket begin and end (RFC 6455 section 5.2).
//!
//! Bytes are followed, not changed: no payload is kept, apart from the code of a close frame.

use super::close::CloseCode;

/// The longest header of a frame in bytes.
const MAX_HEADER_LEN: usize = 14;
const OPCODE_CLOSE: u8 = 8;

/// The header of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct FrameHeader {
    opcode: u8,
    mask: [u8; 4],
    payload_len: u64,
}

/// Follows the frames in one direction of a WebSocket.
#[derive(Clone, Debug, Default)]
pub(super) struct Frames {
    /// What has come of the next header.
    header: [u8; MAX_HEADER_LEN],
    header_len: usize,
    /// The bytes that the payload of this frame still lacks.
    payload_left: u64,
    /// The close frame that is passing.
    closing: Option<PassingClose>,
    closed: Option<CloseCode>,
}

/// A close frame of which not all bytes have passed.
#[derive(Clone, Copy, Debug)]
struct PassingClose {
    mask: [u8; 4],
    /// The bytes of the code so far.
    code: [u8; 2],
    code_len: usize,
}

impl FrameHeader {
    /// Parses a header; `None` while bytes are missing.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let [first, second, rest @ ..] = bytes else {
            return None;
        };
        let (payload_len, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            length => (u64::from(length), rest),
        };
        let is_masked = second & 0x80 != 0;
        let mask = if is_masked {
            *rest.first_chunk()?
        } else {
            [0; 4]
        };
        Some(Self {
            opcode: first & 0x0f,
            mask,
            payload_len,
        })
    }
}

impl Frames {
    /// Follows bytes that have passed.
    pub(super) fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let consumed = self.step(bytes);
            bytes = bytes.get(consumed..).unwrap_or_default();
        }
    }

    /// Returns whether the last frame is complete, so that another one can be inserted.
    pub(super) fn is_at_boundary(&self) -> bool {
        self.header_len == 0 && self.payload_left == 0
    }

    /// Returns how many of the next bytes complete the frame that is passing: 0 between two frames,
    /// and all of them if they do not.
    pub(super) fn bytes_to_boundary(&self, bytes: &[u8]) -> usize {
        let mut ahead = self.clone();
        let mut passed = 0;
        while !ahead.is_at_boundary() && passed < bytes.len() {
            passed += ahead.step(bytes.get(passed..).unwrap_or_default());
        }
        passed
    }

    /// Returns the code of the close frame that has passed.
    pub(super) fn closed(&self) -> Option<CloseCode> {
        self.closed
    }

    /// Follows bytes up to the end of a header or of a payload, one at least. Returns how many.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.payload_left > 0 {
            return self.pass_payload(bytes);
        }
        let mut taken = 0;
        for byte in bytes {
            taken += 1;
            if let Some(place) = self.header.get_mut(self.header_len) {
                *place = *byte;
                self.header_len += 1;
            }
            let header = self.header.get(..self.header_len).unwrap_or_default();
            if let Some(header) = FrameHeader::parse(header) {
                self.begin(header);
                break;
            }
        }
        taken
    }

    fn begin(&mut self, header: FrameHeader) {
        self.header_len = 0;
        self.payload_left = header.payload_len;
        self.closing = (header.opcode == OPCODE_CLOSE).then_some(PassingClose {
            mask: header.mask,
            code: [0; 2],
            code_len: 0,
        });
        if self.payload_left == 0 {
            self.end_frame();
        }
    }

    fn pass_payload(&mut self, bytes: &[u8]) -> usize {
        let passing = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
        let passing = passing.min(bytes.len());
        if let Some(closing) = &mut self.closing {
            closing.pass(bytes.get(..passing).unwrap_or_default());
        }
        self.payload_left -= u64::try_from(passing).unwrap_or(self.payload_left);
        if self.payload_left == 0 {
            self.end_frame();
        }
        passing
    }

    fn end_frame(&mut self) {
        if let Some(closing) = self.closing.take() {
            self.closed = Some(closing.code());
        }
    }
}

impl PassingClose {
    fn pass(&mut self, payload: &[u8]) {
        let Self {
            mask,
            code,
            code_len,
        } = self;
        for byte in payload {
            let (Some(place), Some(mask)) = (code.get_mut(*code_len), mask.get(*code_len)) else {
                return;
            };
            *place = byte ^ mask;
            *code_len += 1;
        }
    }

    fn code(&self) -> CloseCode {
        if self.code_len == self.code.len() {
            CloseCode(u16::from_be_bytes(self.code))
        } else {
            CloseCode::NONE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::close::close_frame;

    /// Frames of every form of length, masked and not, and whether each is complete after its bytes.
    fn frames() -> Vec<Vec<u8>> {
        let with_payload = |header: &[u8], length: usize| [header, &vec![0x88; length]].concat();
        vec![
            // Text, unmasked: empty, short, with 16 and with 64 bits of length.
            vec![0x81, 0],
            with_payload(&[0x81, 5], 5),
            with_payload(&[0x81, 126, 1, 0], 256),
            with_payload(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], 65_536),
            // Masked, and fragments.
            with_payload(&[0x01, 0x83, 1, 2, 3, 4], 3),
            with_payload(&[0x80, 0x80 | 126, 0, 126, 1, 2, 3, 4], 126),
            // A ping.
            with_payload(&[0x89, 4], 4),
        ]
    }

    #[test]
    fn frames_end_at_their_ends_however_they_are_split() {
        for size in [1, 2, 3, 7, 1000, usize::MAX] {
            let mut followed = Frames::default();
            for frame in frames() {
                let mut passed = 0;
                for piece in frame.chunks(size.min(frame.len())) {
                    followed.advance(piece);
                    passed += piece.len();
                    let is_whole = passed == frame.len();
                    assert_eq!(followed.is_at_boundary(), is_whole, "{passed} by {size}");
                }
            }
            assert_eq!(followed.closed(), None);
        }
    }

    #[test]
    fn the_next_boundary_is_found_ahead() {
        let all = frames().concat();
        let mut boundaries = vec![0];
        for frame in frames() {
            boundaries.push(boundaries.last().unwrap() + frame.len());
        }
        let mut followed = Frames::default();
        for at in 0..all.len() {
            let next = boundaries.iter().find(|boundary| **boundary >= at).unwrap();
            assert_eq!(followed.bytes_to_boundary(&all[at..]), next - at, "at {at}");
            // What does not complete it passes as a whole.
            if *next > at + 1 {
                assert_eq!(followed.bytes_to_boundary(&all[at..=at]), 1);
            }
            followed.advance(&all[at..=at]);
        }
    }

    #[test]
    fn the_code_of_a_close_frame_is_read() {
        let rows = [
            (close_frame(CloseCode(1000), "bye", None), 1000),
            (close_frame(CloseCode(4001), "", Some([9, 8, 7, 6])), 4001),
            (vec![0x88, 0], 1005),
            (vec![0x88, 1, 3], 1005),
        ];
        for (frame, code) in rows {
            let mut followed = Frames::default();
            for byte in &frame {
                assert_eq!(followed.closed(), None);
                followed.advance(&[*byte]);
            }
            assert_eq!(followed.closed(), Some(CloseCode(code)), "{frame:?}");
        }
    }
}
