//! X25519 and the Concat KDF: from a private and a public key to a content encryption key.

use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{KEY_BYTES, SealingPublicKey};
use crate::ids::ServerKeyId;

/// The `info` of HKDF for the X25519 private key.
const PRIVATE_KEY_LABEL: &[u8] = b"aisbreaker.org/jwt/v2 ECDH-ES X25519 key";
/// The `info` of HKDF for the `kid` of the key pair.
const ID_LABEL: &[u8] = b"aisbreaker.org/jwt/v2 ECDH-ES X25519 kid";

/// The length of a content encryption key of A256GCM, in bits.
const ENCRYPTION_KEY_BITS: u32 = 256;

/// The X25519 key pair of a server key. The private key is wiped on drop.
pub(crate) struct AgreementKey {
    /// Fixes the algorithm, the encryption and the curve too: no other triple has this `kid`.
    pub(crate) id: ServerKeyId,
    private: StaticSecret,
}

impl AgreementKey {
    #[expect(
        clippy::expect_used,
        reason = "HKDF-SHA-256 outputs up to 8160 bytes; these are 32 and 5"
    )]
    pub(crate) fn derive(hkdf: &Hkdf<Sha256>) -> Self {
        let mut private = Zeroizing::new([0; KEY_BYTES]);
        hkdf.expand(PRIVATE_KEY_LABEL, private.as_mut_slice())
            .expect("length is in range");
        let mut id = [0; 5];
        hkdf.expand(ID_LABEL, &mut id).expect("length is in range");
        Self::new(ServerKeyId::from_derived(id), &private)
    }

    pub(crate) fn new(id: ServerKeyId, private: &[u8; KEY_BYTES]) -> Self {
        Self {
            id,
            private: StaticSecret::from(*private),
        }
    }

    pub(crate) fn public_key(&self) -> SealingPublicKey {
        SealingPublicKey::new(self.id, PublicKey::from(&self.private))
    }

    /// Returns the content encryption key that a sealer with this ephemeral key used.
    pub(super) fn encryption_key(
        &self,
        ephemeral: &PublicKey,
    ) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
        encryption_key(&self.private, ephemeral)
    }
}

/// Agrees on a content encryption key of A256GCM.
///
/// Returns `None` for a point of low order, with which everybody would agree on the same key
/// (RFC 8037 section 5).
pub(super) fn encryption_key(
    private: &StaticSecret,
    public: &PublicKey,
) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let shared = private.diffie_hellman(public);
    if !shared.was_contributory() {
        return None;
    }
    let no_party = b"";
    Some(concat_kdf(
        shared.as_bytes(),
        b"A256GCM",
        [no_party, no_party],
        ENCRYPTION_KEY_BITS,
    ))
}

/// Derives a key of at most 256 bits, the first ones of the result, by the Concat KDF.
///
/// A key of that length takes one round of SHA-256. Source: RFC 7518 section 4.6.2, NIST SP
/// 800-56A section 5.8.1.
fn concat_kdf(
    shared: &[u8; KEY_BYTES],
    algorithm: &[u8],
    [party_u, party_v]: [&[u8]; 2],
    key_bits: u32,
) -> Zeroizing<[u8; 32]> {
    const ROUND: u32 = 1;
    let mut digest = Sha256::new();
    digest.update(ROUND.to_be_bytes());
    digest.update(shared);
    for field in [algorithm, party_u, party_v] {
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        digest.update(length.to_be_bytes());
        digest.update(field);
    }
    digest.update(key_bits.to_be_bytes());
    Zeroizing::new(digest.finalize().into())
}

/// The points of low order, in all spellings below 2^255 (RFC 7748 section 6.1).
#[cfg(test)]
pub(super) const LOW_ORDER_POINTS: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base64url;

    /// The shared secret and the derived key of RFC 7518 appendix C.
    #[test]
    fn derives_the_key_of_rfc_7518_appendix_c() {
        let shared = [
            158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49,
            110, 163, 218, 128, 106, 72, 246, 218, 167, 121, 140, 254, 144, 196,
        ];

        let key = concat_kdf(&shared, b"A128GCM", [b"Alice", b"Bob"], 128);

        assert_eq!(base64url::encode(&key[..16]), "VqqN6vgjbSBcIijNcacQGg");
    }

    /// The top bit of the last byte is ignored, so each point is tried with it too.
    #[test]
    fn agrees_with_no_point_of_low_order() {
        for hex in LOW_ORDER_POINTS {
            for top_bit in [0, 0x80] {
                let mut point = unhex(hex);
                point[31] |= top_bit;
                for private in [[0; KEY_BYTES], [7; KEY_BYTES], [255; KEY_BYTES]] {
                    let private = StaticSecret::from(private);

                    let key = encryption_key(&private, &PublicKey::from(point));

                    assert!(key.is_none(), "{hex} {top_bit}");
                }
            }
        }
    }

    fn unhex(text: &str) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        }
        bytes
    }
}
