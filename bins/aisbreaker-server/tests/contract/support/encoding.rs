//! Encodings of bodies.

use std::io::Write as _;

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};

/// Padded standard base64 (RFC 4648 section 4).
pub(crate) mod base64 {
    use base64ct::{Base64, Encoding as _};

    pub(crate) fn encode(bytes: &[u8]) -> String {
        Base64::encode_string(bytes)
    }

    pub(crate) fn decode(text: &str) -> Vec<u8> {
        Base64::decode_vec(text)
            .unwrap_or_else(|error| panic!("not padded standard base64 ({error}): {text}"))
    }
}

/// Compresses for `Content-Encoding: gzip`.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory to write to");
    encoder.finish().expect("memory to write to")
}

/// Compresses for `Content-Encoding: deflate`, which is the zlib format.
pub(crate) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory to write to");
    encoder.finish().expect("memory to write to")
}

/// Frames a body for `Transfer-Encoding: chunked`, in chunks of `size` bytes.
pub(crate) fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut framed = Vec::new();
    for chunk in body.chunks(size) {
        framed.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
        framed.extend(chunk);
        framed.extend(b"\r\n");
    }
    framed.extend(b"0\r\n\r\n");
    framed
}
