//! Where the frames of a WebSocket begin and end (RFC 6455 section 5.2).
//!
//! Bytes are followed, not changed: no payload is kept, apart from the code of a close frame.

use super::close::CloseCode;

/// The longest header of a frame in bytes.
const MAX_HEADER_LEN: usize = 14;
pub(super) const OPCODE_TEXT: u8 = 1;
const OPCODE_CLOSE: u8 = 8;
/// The bits of the first byte.
const LAST: u8 = 0x80;
const EXTENSIONS: u8 = 0x70;
const CONTROL: u8 = 0x08;
const OPCODE: u8 = 0x0f;

/// The header of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FrameHeader {
    first_byte: u8,
    /// `None`: the payload is not masked.
    pub(super) mask: Option<[u8; 4]>,
    pub(super) payload_len: u64,
    /// Of the header itself, in bytes.
    pub(super) len: usize,
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
    /// Whether frames of a message are still to come.
    is_in_message: bool,
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
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
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
        let (mask, rest) = if is_masked {
            let (mask, rest) = rest.split_first_chunk()?;
            (Some(*mask), rest)
        } else {
            (None, rest)
        };
        Some(Self {
            first_byte: *first,
            mask,
            payload_len,
            len: bytes.len() - rest.len(),
        })
    }

    pub(super) fn opcode(&self) -> u8 {
        self.first_byte & OPCODE
    }

    /// Returns whether the frame ends its message.
    pub(super) fn is_last(&self) -> bool {
        self.first_byte & LAST != 0
    }

    pub(super) fn is_control(&self) -> bool {
        self.first_byte & CONTROL != 0
    }

    /// Returns whether the frame needs an extension to be read.
    pub(super) fn has_extension(&self) -> bool {
        self.first_byte & EXTENSIONS != 0
    }
}

/// Returns the header of the only frame of a message. Clients mask theirs.
pub(super) fn frame_header(opcode: u8, payload_len: usize, mask: Option<[u8; 4]>) -> Vec<u8> {
    let mask_bit = if mask.is_some() { 0x80 } else { 0 };
    let mut header = vec![LAST | opcode];
    match (u8::try_from(payload_len), u16::try_from(payload_len)) {
        (Ok(length @ ..=125), _) => header.push(mask_bit | length),
        (_, Ok(length)) => {
            header.push(mask_bit | 126);
            header.extend(length.to_be_bytes());
        }
        (_, Err(_)) => {
            header.push(mask_bit | 127);
            let length = u64::try_from(payload_len).unwrap_or(u64::MAX);
            header.extend(length.to_be_bytes());
        }
    }
    header.extend(mask.into_iter().flatten());
    header
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

    /// Returns whether a message can be inserted.
    pub(super) fn is_between_messages(&self) -> bool {
        self.is_at_boundary() && !self.is_in_message
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
        if !header.is_control() {
            self.is_in_message = !header.is_last();
        }
        self.closing = (header.opcode() == OPCODE_CLOSE).then_some(PassingClose {
            mask: header.mask.unwrap_or_default(),
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

    #[test]
    fn a_header_that_is_written_is_read_as_the_same() {
        for length in [0, 125, 126, 65_535, 65_536, 1 << 24] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let written = frame_header(OPCODE_TEXT, length, mask);
                let header = FrameHeader::parse(&written).unwrap();
                assert_eq!(header.len, written.len(), "{length}");
                assert_eq!(header.payload_len, length as u64);
                assert_eq!((header.mask, header.opcode()), (mask, OPCODE_TEXT));
                assert!(header.is_last() && !header.is_control() && !header.has_extension());
            }
        }
    }

    #[test]
    fn a_message_ends_with_its_last_fragment() {
        let mut followed = Frames::default();
        for (frame, is_between) in [
            (&[0x01, 0][..], false),
            (&[0x89, 0], false),
            (&[0x00, 0], false),
            (&[0x80, 0], true),
            (&[0x82, 0], true),
        ] {
            followed.advance(frame);
            assert_eq!(followed.is_between_messages(), is_between, "{frame:?}");
        }
    }
}
