//! Content codings: the limit holds, does not change shorter results, and round trips are exact.

use std::io::Write as _;

use aisbreaker_gateway::fuzzing::{self, Inflated};
use bytes::Bytes;
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};

/// The first line is the coding, the next byte the limit in steps of 64 bytes, and the rest the
/// body.
pub fn check(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (Some(coding), Some(rest)) = (parts.next(), parts.next()) else {
        return;
    };
    let Some((limit, body)) = rest.split_first() else {
        return;
    };
    let limit = usize::from(*limit) * 64;

    let small = fuzzing::inflate(coding, Bytes::copy_from_slice(body), limit);
    let large = fuzzing::inflate(coding, Bytes::copy_from_slice(body), 1 << 20);
    match (&small, &large) {
        (Inflated::Unsupported, _) => assert_eq!(large, Inflated::Unsupported),
        (Inflated::Body(bytes), _) => {
            let is_coded = !matches!(
                &*coding.trim_ascii().to_ascii_lowercase(),
                b"" | b"identity"
            );
            assert!(
                !is_coded || bytes.len() <= limit,
                "{} bytes over {limit}",
                bytes.len()
            );
            assert_eq!(large, small);
        }
        (Inflated::TooLarge, Inflated::Body(bytes)) => assert!(bytes.len() > limit),
        (Inflated::TooLarge, _) => assert_ne!(large, Inflated::Unsupported),
        (Inflated::Corrupt, _) => assert_eq!(large, Inflated::Corrupt),
    }
    check_round_trip(body, limit);
}

/// Encoded content decodes to itself if it is not over the limit.
fn check_round_trip(body: &[u8], limit: usize) {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    let packed = [
        ("gzip", gzip.write_all(body).and_then(|()| gzip.finish())),
        ("deflate", zlib.write_all(body).and_then(|()| zlib.finish())),
    ];
    for (coding, packed) in packed {
        let inflated =
            fuzzing::inflate(coding.as_bytes(), packed.unwrap_or_default().into(), limit);
        let is_over = body.len() > limit;
        let expected = if is_over {
            Inflated::TooLarge
        } else {
            Inflated::Body(Bytes::copy_from_slice(body))
        };
        assert_eq!(inflated, expected, "{coding}");
    }
}
