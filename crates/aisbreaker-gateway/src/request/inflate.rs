//! Content codings of requests (RFC 9110 section 8.4).

use std::io::Read;

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};

use crate::request::{error::RequestError, secret_buffer::SecretBuffer};

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
            Self::Gzip => read_all(MultiGzDecoder::new(&*body), limit, on_progress),
            Self::Deflate => read_all(ZlibDecoder::new(&*body), limit, on_progress),
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
        write::{GzEncoder, ZlibEncoder},
    };

    use super::*;

    fn gzip(body: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn decodes_every_supported_coding() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(b"hello").unwrap();
        let rows = [
            ("", Bytes::from_static(b"hello")),
            ("identity", Bytes::from_static(b"hello")),
            ("gzip", gzip(b"hello")),
            (" X-GZip", gzip(b"hello")),
            ("deflate", zlib.finish().unwrap().into()),
        ];
        for (value, body) in rows {
            let decoded = ContentCoding::parse(value.as_bytes())
                .unwrap()
                .decode(body, 5, |_| Ok(()))
                .unwrap();
            assert_eq!(decoded, b"hello".as_slice(), "{value:?}");
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
        assert!(matches!(
            ContentCoding::Gzip.decode(Bytes::from_static(b"hello"), 1000, |_| Ok(())),
            Err(RequestError::Inflate)
        ));
        assert!(matches!(
            ContentCoding::Gzip.decode(gzip(b"hello").slice(..12), 1000, |_| Ok(())),
            Err(RequestError::Inflate)
        ));
    }
}
