//! Sealing offline keys, with a public key alone.

use aes_gcm::{AeadInOut as _, Aes256Gcm, KeyInit as _, Nonce};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{IV_BYTES, KEY_BYTES, KEY_CHARS, SealingPublicKey, agreement};
use crate::{
    base64url,
    error::{RandomnessError, SealError},
    format::{MAX_OPEN_CHARS, MAX_SEAL_CHARS},
    host::Host,
    ids::{KeyId, ServerKeyId},
    sealing::{SealedKey, ValidityPeriod, compact_text, overhead_chars, serialize_claims},
};

/// A payload with the claims that only an offline key has, to be sealed with a
/// [`SealingPublicKey`].
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfflinePayload<'a, P> {
    #[serde(flatten)]
    payload: &'a P,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "serialize_secret"
    )]
    client_secret: Option<&'a SecretString>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "serialize_secret"
    )]
    parent: Option<&'a SecretString>,
}

impl<'a, P> OfflinePayload<'a, P> {
    /// Creates a payload without further claims.
    pub fn new(payload: &'a P) -> Self {
        Self {
            payload,
            client_secret: None,
            parent: None,
        }
    }

    /// Sets what proves to the server that the sealer may seal keys.
    #[must_use]
    pub fn with_client_secret(mut self, secret: &'a SecretString) -> Self {
        self.client_secret = Some(secret);
        self
    }
}

fn serialize_secret<S: serde::Serializer>(
    secret: &Option<&SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    secret
        .map(|secret| secret.expose_secret())
        .serialize(serializer)
}

/// What is drawn at random for one key.
pub(super) struct Drawn {
    pub(super) ephemeral: Zeroizing<[u8; KEY_BYTES]>,
    pub(super) iv: [u8; IV_BYTES],
}

const HEADER_BEFORE_ID: &str = r#"{"typ":"JWT","alg":"ECDH-ES","enc":"A256GCM","kid":""#;
const HEADER_BEFORE_X: &str = r#"","epk":{"kty":"OKP","crv":"X25519","x":""#;
const HEADER_END: &str = r#""}}"#;
const HEADER_BYTES: usize = HEADER_BEFORE_ID
    .len()
    .saturating_add(ServerKeyId::CHARS)
    .saturating_add(HEADER_BEFORE_X.len())
    .saturating_add(KEY_CHARS)
    .saturating_add(HEADER_END.len());

impl SealingPublicKey {
    /// Seals a payload into a new key for this host and this period, which only servers with the
    /// server key open. Not even the sealer can.
    ///
    /// The payload is as for [`KeyRing::seal_for`](crate::KeyRing::seal_for). [`OfflinePayload`]
    /// adds the claims of an offline key.
    ///
    /// # Errors
    /// Returns the same errors as [`KeyRing::seal_for`](crate::KeyRing::seal_for).
    pub fn seal<P: Serialize + ?Sized>(
        &self,
        payload: &P,
        host: &Host,
        period: ValidityPeriod,
    ) -> Result<SealedKey, SealError> {
        let os_random = |bytes: &mut [u8]| getrandom::fill(bytes).map_err(RandomnessError);
        self.seal_with_random(payload, host, (period, MAX_SEAL_CHARS), os_random)
    }

    /// Seals a payload and a whole key.
    pub(super) fn seal_around<P: Serialize>(
        &self,
        parent: &SecretString,
        payload: &P,
        host: &Host,
        period: ValidityPeriod,
    ) -> Result<SealedKey, SealError> {
        let mut payload = OfflinePayload::new(payload);
        payload.parent = Some(parent);
        let os_random = |bytes: &mut [u8]| getrandom::fill(bytes).map_err(RandomnessError);
        self.seal_with_random(&payload, host, (period, MAX_OPEN_CHARS), os_random)
    }

    /// Seals with random bytes from `random`: first the ephemeral private key, then the
    /// initialization vector.
    pub(super) fn seal_with_random<P: Serialize + ?Sized>(
        &self,
        payload: &P,
        host: &Host,
        (period, maximum_chars): (ValidityPeriod, usize),
        mut random: impl FnMut(&mut [u8]) -> Result<(), RandomnessError>,
    ) -> Result<SealedKey, SealError> {
        let dates = period.dates().ok_or(SealError::Lifetime)?;
        let mut drawn = Drawn {
            ephemeral: Zeroizing::new([0; KEY_BYTES]),
            iv: [0; IV_BYTES],
        };
        random(drawn.ephemeral.as_mut_slice())?;
        random(&mut drawn.iv)?;

        let registered = dates.registered_claims(host, None);
        let overhead = overhead_chars(base64url::encoded_len(HEADER_BYTES), IV_BYTES);
        let claims = serialize_claims(&registered, payload, (overhead, maximum_chars))?;
        let text = self.encrypt(&drawn, claims);
        let id = KeyId::digest_of(text.expose_secret());
        Ok(SealedKey::new(text, id, dates.lifetime()))
    }

    /// Encrypts any bytes as the claims of a key.
    #[expect(
        clippy::expect_used,
        reason = "a public key with a low order is refused when it is parsed, and the cipher accepts \
                  up to 64 GiB"
    )]
    pub(super) fn encrypt(&self, drawn: &Drawn, mut claims: Zeroizing<Vec<u8>>) -> SecretString {
        let ephemeral = StaticSecret::from(*drawn.ephemeral);
        let header = self.encode_header(&PublicKey::from(&ephemeral));
        let key = agreement::encryption_key(&ephemeral, self.point()).expect("point is checked");
        let tag = Aes256Gcm::new((&*key).into())
            .encrypt_inout_detached(
                &Nonce::from(drawn.iv),
                header.as_bytes(),
                claims.as_mut_slice().into(),
            )
            .expect("claims are short");
        compact_text(header.as_bytes(), &drawn.iv, &claims, &tag)
    }

    /// Encodes the header of a key that was sealed with this ephemeral key.
    fn encode_header(&self, ephemeral: &PublicKey) -> String {
        let x = base64url::encode(ephemeral.as_bytes());
        let id = self.id();
        let parts = [
            HEADER_BEFORE_ID,
            id.as_str(),
            HEADER_BEFORE_X,
            &x,
            HEADER_END,
        ];
        base64url::encode(parts.concat().as_bytes())
    }
}
