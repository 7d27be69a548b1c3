//! Access for the fuzz targets in `fuzz/`, built only by the fuzzer and by the test that replays
//! the corpora. It is not part of the public API.

use crate::KeyRing;

/// Seals any bytes as the claims of a key.
pub fn seal_claims(ring: &KeyRing, claims: &[u8]) -> String {
    crate::sealing::seal_claims(ring, claims)
}
