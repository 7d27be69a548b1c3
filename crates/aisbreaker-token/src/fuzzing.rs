//! For the fuzz targets in `fuzz/` alone, and not part of the crate's interface: it is built only
//! by the fuzzer, and by the test that replays the corpora.

use crate::KeyRing;

/// Seals these bytes as all claims of a key, whatever they are.
pub fn seal_claims(ring: &KeyRing, claims: &[u8]) -> String {
    crate::sealing::seal_claims(ring, claims)
}
