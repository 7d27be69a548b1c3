//! The chunked transfer coding (RFC 9112 section 7.1).

use std::{io, mem, ops::Range};

use httparse::Status;

use super::invalid;

/// The most bytes of all chunk extensions of a body, with the white space before them.
const MAX_EXTENSION_BYTES: usize = 16 * 1024;
/// The most bytes of the trailer section.
const MAX_TRAILER_BYTES: usize = 16 * 1024;
/// The most trailer fields.
const MAX_TRAILER_FIELDS: usize = 100;

/// Decodes a chunked body. Extensions and trailers are checked, and left out.
#[derive(Debug, Default)]
pub(crate) struct ChunkedDecoder {
    state: State,
    /// How many bytes are left of the chunk; its size, while that is read.
    left: u64,
    extension_bytes: usize,
    trailers: Vec<u8>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    /// The first digit of a size.
    #[default]
    SizeStart,
    Size,
    /// White space after a size.
    SizePadding,
    Extension,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    Trailers,
    Ended,
    /// What came is not valid, for this reason.
    Invalid(&'static str),
}

impl ChunkedDecoder {
    pub(crate) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Checks what was decoded so far.
    ///
    /// # Errors
    /// The coding is not valid, or its extensions or trailers are too long.
    pub(crate) fn check(&self) -> io::Result<()> {
        if let State::Invalid(reason) = self.state {
            return Err(invalid(reason));
        }
        Ok(())
    }

    /// Returns where in `input` the next content is, from `at` on, which moves past it. Returns
    /// `None` at the end of the input, at the end of the body, and where the coding is not valid.
    pub(crate) fn next_data(&mut self, input: &[u8], at: &mut usize) -> Option<Range<usize>> {
        while let Some(byte) = input.get(*at) {
            match self.state {
                State::Data => {
                    let rest = input.len() - *at;
                    let length = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                    let data = *at..*at + length;
                    *at = data.end;
                    self.left -= u64::try_from(length).unwrap_or(self.left);
                    if self.left == 0 {
                        self.state = State::DataReturn;
                    }
                    return Some(data);
                }
                State::Ended | State::Invalid(_) => break,
                State::Trailers => {
                    *at += 1;
                    self.state = self.after_trailer_byte(*byte);
                }
                State::SizeLineFeed if self.left == 0 && input[*at..].starts_with(b"\n\r\n") => {
                    // The usual end, without trailers.
                    *at += 3;
                    self.state = State::Ended;
                }
                State::SizeStart
                | State::Size
                | State::SizePadding
                | State::Extension
                | State::SizeLineFeed
                | State::DataReturn
                | State::DataLineFeed => {
                    *at += 1;
                    self.state = self.after(*byte);
                }
            }
        }
        None
    }

    /// Returns what follows a byte between the contents of two chunks.
    fn after(&mut self, byte: u8) -> State {
        match (self.state, byte) {
            (State::SizeStart | State::Size, byte) if byte.is_ascii_hexdigit() => {
                self.after_digit(byte)
            }
            (State::Size | State::SizePadding, b' ' | b'\t') => {
                self.after_extension_byte(State::SizePadding)
            }
            (State::Size | State::SizePadding, b';') => State::Extension,
            (State::Size | State::SizePadding | State::Extension, b'\r') => State::SizeLineFeed,
            (State::Extension, byte) if byte != b'\n' => {
                self.after_extension_byte(State::Extension)
            }
            (State::SizeLineFeed, b'\n') if self.left == 0 => State::Trailers,
            (State::SizeLineFeed, b'\n') => State::Data,
            (State::DataReturn, b'\r') => State::DataLineFeed,
            (State::DataLineFeed, b'\n') => State::SizeStart,
            _ => State::Invalid("a chunk is not valid"),
        }
    }

    fn after_extension_byte(&mut self, next: State) -> State {
        self.extension_bytes += 1;
        if self.extension_bytes > MAX_EXTENSION_BYTES {
            return State::Invalid("the chunk extensions are too long");
        }
        next
    }

    fn after_digit(&mut self, byte: u8) -> State {
        let digit = char::from(byte).to_digit(16).map(u64::from);
        let Some((shifted, digit)) = self.left.checked_mul(16).zip(digit) else {
            return State::Invalid("a chunk is too long");
        };
        self.left = shifted | digit;
        State::Size
    }

    /// Returns what follows a byte after the last chunk. An empty line ends the body.
    fn after_trailer_byte(&mut self, byte: u8) -> State {
        if byte == b'\n' && self.trailers.last() != Some(&b'\r') {
            return State::Invalid("a trailer is not valid");
        }
        self.trailers.push(byte);
        if self.trailers == b"\r\n" || self.trailers.ends_with(b"\r\n\r\n") {
            let trailers = mem::take(&mut self.trailers);
            let mut fields = [httparse::EMPTY_HEADER; MAX_TRAILER_FIELDS];
            return match httparse::parse_headers(&trailers, &mut fields) {
                Ok(Status::Complete((length, _))) if length == trailers.len() => State::Ended,
                _ => State::Invalid("the trailers are not valid"),
            };
        }
        if self.trailers.len() > MAX_TRAILER_BYTES {
            return State::Invalid("the trailers are too long");
        }
        State::Trailers
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Decodes pieces. Returns the content, and how much follows the body; `None` if it is not valid.
    fn decode(pieces: &[&[u8]]) -> Option<(Vec<u8>, usize)> {
        let (mut decoder, mut content) = (ChunkedDecoder::default(), Vec::new());
        let mut following = 0;
        for piece in pieces {
            let mut at = 0;
            while let Some(data) = decoder.next_data(piece, &mut at) {
                assert!(!data.is_empty());
                content.extend_from_slice(&piece[data]);
            }
            following += piece.len() - at;
        }
        decoder.is_ended().then_some((content, following))
    }

    proptest! {
        #[test]
        fn content_does_not_depend_on_chunks_or_cuts(
            chunks in vec((vec(any::<u8>(), 1..40), "(;[a-z=\" ]{0,9})?", any::<bool>()), 0..6),
            trailers in prop_oneof![Just(""), Just("x: y\r\n"), Just("x: y\r\nz:\r\n")],
            following in "(HTTP)?",
            cut in 1..80_usize,
        ) {
            let (mut coded, mut content) = (Vec::new(), Vec::new());
            for (data, extension, is_upper) in chunks {
                let size = if is_upper {
                    format!("0{:X}", data.len())
                } else {
                    format!("{:x} \t", data.len())
                };
                coded.extend([size.as_bytes(), extension.as_bytes(), b"\r\n"].concat());
                coded.extend([&data[..], b"\r\n"].concat());
                content.extend(data);
            }
            coded.extend([b"0\r\n", trailers.as_bytes(), b"\r\n"].concat());
            let cut_off = coded.len() - 1;
            coded.extend(following.as_bytes());

            let pieces: Vec<&[u8]> = coded.chunks(cut).collect();
            prop_assert_eq!(decode(&pieces), Some((content, following.len())));
            prop_assert_eq!(decode(&[&coded[..cut_off]]), None, "without its last byte");
        }
    }

    #[test]
    fn what_is_not_a_chunk_is_refused() {
        let too_long = |text: &str, count| text.repeat(count);
        let rows = [
            ("no size", "\r\n"),
            ("no size before an extension", ";x\r\n"),
            ("sign", "+1\r\na\r\n0\r\n\r\n"),
            ("prefix", "0x1\r\na\r\n0\r\n\r\n"),
            ("size of 65 bits", "10000000000000000\r\na"),
            (
                "space within a size",
                "1 1\r\naaaaaaaaaaaaaaaaa\r\n0\r\n\r\n",
            ),
            ("size that ends with a line feed", "1\na\r\n0\r\n\r\n"),
            ("return without a line feed", "1\ra\r\n0\r\n\r\n"),
            (
                "extension that ends with a line feed",
                "1;x\na\r\n0\r\n\r\n",
            ),
            ("more content than its size", "1\r\nab\r\n0\r\n\r\n"),
            ("content that ends with a line feed", "1\r\na\n0\r\n\r\n"),
            ("trailer without a colon", "0\r\nx\r\n\r\n"),
            (
                "trailer that ends with a line feed",
                "0\r\nx: y\nz: y\r\n\r\n",
            ),
            ("line feed in place of a trailer", "0\r\n\n"),
            ("endless extension", &too_long("1;x", 16 * 1024)),
            (
                "endless trailers",
                &["0\r\n", &too_long("x: y\r\n", 3 * 1024)].concat(),
            ),
        ];
        for (name, coded) in rows {
            let (mut decoder, mut at) = (ChunkedDecoder::default(), 0);
            while decoder.next_data(coded.as_bytes(), &mut at).is_some() {}
            assert!(decoder.check().is_err(), "{name}");
            assert!(!decoder.is_ended(), "{name}");
        }
    }
}
