//! Access for the fuzz targets in `fuzz/`, built only by the fuzzer and by the test that replays
//! the corpora. It is not part of the public API.

use crate::KeyRing;
#[cfg(feature = "ecdh-es")]
use crate::{ServerKeyId, offline};

/// Seals any bytes as the claims of a key.
pub fn seal_claims(ring: &KeyRing, claims: &[u8]) -> String {
    crate::sealing::seal_claims(ring, claims)
}

/// Parses the JSON of the header of an offline key, and returns its `kid` and the `x` of its `epk`.
#[cfg(feature = "ecdh-es")]
pub fn parse_offline_header(json: &[u8]) -> Option<(ServerKeyId, [u8; 32])> {
    let header = offline::header::parse_json(json)?;
    Some((header.key_id, header.ephemeral))
}
