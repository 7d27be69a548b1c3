//! Request bodies with a content coding (RFC 9110 section 8.4).

use std::io::Read;

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};

use crate::{parse::ParseFault, wiped::Growing};

/// How a request body is coded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Deflate,
}

impl Coding {
    /// Reads the value of `Content-Encoding`; `None` for what is not supported, lists included.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        match value.trim_ascii().to_ascii_lowercase().as_slice() {
            b"" | b"identity" => Some(Self::Identity),
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            b"deflate" => Some(Self::Deflate),
            _ => None,
        }
    }

    /// Undoes the coding. The result has at most `limit` bytes, and no more than that are ever
    /// held; `may_go_on` is asked again and again, with how many bytes there are so far.
    pub(crate) fn decode(
        self,
        body: Bytes,
        limit: usize,
        may_go_on: impl FnMut(usize) -> Result<(), ParseFault>,
    ) -> Result<Bytes, ParseFault> {
        match self {
            Self::Identity => Ok(body),
            Self::Gzip => read_all(MultiGzDecoder::new(&*body), limit, may_go_on),
            Self::Deflate => read_all(ZlibDecoder::new(&*body), limit, may_go_on),
        }
    }
}

fn read_all(
    decoder: impl Read,
    limit: usize,
    mut may_go_on: impl FnMut(usize) -> Result<(), ParseFault>,
) -> Result<Bytes, ParseFault> {
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut inflated = Growing::default();
    let mut decoder = decoder.take(one_more);
    while inflated
        .read_more(&mut decoder)
        .map_err(|_corrupt| ParseFault::Inflate)?
    {
        may_go_on(inflated.len())?;
    }
    if inflated.len() > limit {
        return Err(ParseFault::TooLarge { limit });
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
    fn inflates_what_it_names() {
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
            let decoded = Coding::parse(value.as_bytes())
                .unwrap()
                .decode(body, 5, |_| Ok(()))
                .unwrap();
            assert_eq!(decoded, b"hello".as_slice(), "{value:?}");
        }
    }

    #[test]
    fn knows_no_other_coding() {
        for value in ["br", "zstd", "gzip, deflate", "compress"] {
            assert_eq!(Coding::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn stops_at_the_limit_and_refuses_garbage() {
        let bomb = gzip(&vec![0; 1 << 20]);
        assert!(matches!(
            Coding::Gzip.decode(bomb, 1000, |_| Ok(())),
            Err(ParseFault::TooLarge { limit: 1000 })
        ));
        assert!(matches!(
            Coding::Gzip.decode(Bytes::from_static(b"hello"), 1000, |_| Ok(())),
            Err(ParseFault::Inflate)
        ));
        assert!(matches!(
            Coding::Gzip.decode(gzip(b"hello").slice(..12), 1000, |_| Ok(())),
            Err(ParseFault::Inflate)
        ));
    }
}
