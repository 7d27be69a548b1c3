//! Content codings of requests (RFC 9110 section 8.4).

use std::io::{self, Read};

use bytes::Bytes;
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};

use crate::request::{error::RequestError, secret_buffer::SecretBuffer};

/// The most members of one gzip file, so that millions of empty ones cost no more than content.
const MAX_GZIP_MEMBERS: u32 = 1 << 12;

/// A content coding that requests may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ContentCoding {
    Identity,
    Gzip,
    Deflate,
}

impl ContentCoding {
    /// Parses the value of `Content-Encoding`. Returns `None` for unsupported codings and for lists.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        match value.trim_ascii().to_ascii_lowercase().as_slice() {
            b"" | b"identity" => Some(Self::Identity),
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            b"deflate" => Some(Self::Deflate),
            _ => None,
        }
    }

    /// Decodes content into at most `limit` bytes, and never holds more than that.
    ///
    /// `on_progress` is called with the number of bytes decoded so far; its error ends the work.
    pub(crate) fn decode(
        self,
        body: Bytes,
        limit: usize,
        on_progress: impl FnMut(usize) -> Result<(), RequestError>,
    ) -> Result<Bytes, RequestError> {
        match self {
            Self::Identity => Ok(body),
            Self::Gzip => read_all(GzipMembers::new(&body), limit, on_progress),
            Self::Deflate if is_zlib(&body) => {
                read_all(ZlibDecoder::new(&*body), limit, on_progress)
            }
            Self::Deflate => read_all(DeflateDecoder::new(&*body), limit, on_progress),
        }
    }
}

/// Returns whether content begins with the header of zlib (RFC 1950 section 2.2).
///
/// Many clients send `deflate` without one. No encoder begins a bare stream with these bits: they
/// would be the padding of a stored block.
fn is_zlib(body: &[u8]) -> bool {
    match body {
        [method, flags, ..] => {
            let is_checked = u16::from_be_bytes([*method, *flags]).is_multiple_of(31);
            method & 0x8f == 0x08 && is_checked
        }
        _ => false,
    }
}

/// The members of a gzip file (RFC 1952 section 2.2), and zeros after them, which pad files to
/// whole blocks.
struct GzipMembers<'a> {
    member: GzDecoder<&'a [u8]>,
    count: u32,
}

impl<'a> GzipMembers<'a> {
    fn new(body: &'a [u8]) -> Self {
        Self {
            member: GzDecoder::new(body),
            count: 1,
        }
    }
}

impl Read for GzipMembers<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.member.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            let rest = *self.member.get_ref();
            let Some(start) = rest.iter().position(|byte| *byte != 0) else {
                return Ok(0);
            };
            self.count = self.count.saturating_add(1);
            if self.count > MAX_GZIP_MEMBERS {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.member = GzDecoder::new(rest.get(start..).unwrap_or_default());
        }
    }
}

fn read_all(
    decoder: impl Read,
    limit: usize,
    mut on_progress: impl FnMut(usize) -> Result<(), RequestError>,
) -> Result<Bytes, RequestError> {
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut inflated = SecretBuffer::default();
    let mut decoder = decoder.take(one_more);
    loop {
        match inflated.read_from(&mut decoder) {
            Ok(true) => on_progress(inflated.len())?,
            Ok(false) => break,
            Err(_corrupt) => return Err(RequestError::Inflate),
        }
    }
    if inflated.len() > limit {
        return Err(RequestError::TooLarge { limit });
    }
    Ok(inflated.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use proptest::prelude::*;

    use super::*;

    fn gzip(body: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap().into()
    }

    fn zlib(body: &[u8], level: u32) -> Bytes {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap().into()
    }

    fn raw_deflate(body: &[u8], level: u32) -> Bytes {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap().into()
    }

    fn joined(parts: &[&[u8]]) -> Bytes {
        parts.concat().into()
    }

    #[test]
    fn decodes_every_supported_coding() {
        let zeros = [0; 700];
        let rows = [
            ("", Bytes::from_static(b"hello")),
            ("identity", Bytes::from_static(b"hello")),
            ("gzip", gzip(b"hello")),
            (" X-GZip", gzip(b"hello")),
            ("gzip", joined(&[&gzip(b"hello"), &zeros])),
            ("gzip", joined(&[&gzip(b"he"), &gzip(b""), &gzip(b"llo")])),
            ("gzip", joined(&[&gzip(b"he"), &zeros, &gzip(b"llo"), &[0]])),
            ("deflate", zlib(b"hello", 1)),
            ("deflate", zlib(b"hello", 0)),
            ("deflate", raw_deflate(b"hello", 1)),
            ("deflate", raw_deflate(b"hello", 0)),
        ];
        for (value, body) in rows {
            let decoded = ContentCoding::parse(value.as_bytes())
                .unwrap()
                .decode(body, 5, |_| Ok(()))
                .unwrap();
            assert_eq!(decoded, b"hello".as_slice(), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn deflate_is_decoded_with_and_without_zlib(
            body in prop::collection::vec(any::<u8>(), 0..2_000),
            level in 0_u32..10,
        ) {
            for packed in [zlib(&body, level), raw_deflate(&body, level)] {
                let decoded = ContentCoding::Deflate.decode(packed, 2_000, |_| Ok(()));
                prop_assert_eq!(&*decoded.unwrap(), &*body);
            }
        }
    }

    #[test]
    fn refuses_unsupported_codings_and_lists() {
        for value in ["br", "zstd", "gzip, deflate", "compress"] {
            assert_eq!(ContentCoding::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn stops_at_the_limit_and_refuses_corrupt_content() {
        let bomb = gzip(&vec![0; 1 << 20]);
        assert!(matches!(
            ContentCoding::Gzip.decode(bomb, 1000, |_| Ok(())),
            Err(RequestError::TooLarge { limit: 1000 })
        ));
        let bombs = [
            (ContentCoding::Deflate, raw_deflate(&vec![0; 1 << 20], 9)),
            (
                ContentCoding::Gzip,
                joined(&[&gzip(&[0; 999]), &gzip(&[0; 2])]),
            ),
        ];
        for (coding, bomb) in bombs {
            assert!(matches!(
                coding.decode(bomb, 1000, |_| Ok(())),
                Err(RequestError::TooLarge { limit: 1000 })
            ));
        }
        let corrupt = [
            Bytes::from_static(b"hello"),
            gzip(b"hello").slice(..12),
            joined(&[&gzip(b"hello"), b"x"]),
            joined(&[&gzip(b"hello"), &[0, 0], &gzip(b"hello")[..12]]),
            gzip(b"").repeat(5_000).into(),
        ];
        for body in corrupt {
            assert!(matches!(
                ContentCoding::Gzip.decode(body, 1000, |_| Ok(())),
                Err(RequestError::Inflate)
            ));
        }
        assert!(matches!(
            ContentCoding::Deflate.decode(Bytes::from_static(b"hello"), 1000, |_| Ok(())),
            Err(RequestError::Inflate)
        ));
    }
}
