//! Making keys.

use std::{
    fmt,
    io::{self, Write},
    time::{Duration, SystemTime},
};

use chacha20poly1305::{AeadInOut as _, XNonce};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    Host, KeyId, KeyRing, MAX_SEAL_CHARS, PREFIX, RandomnessError, SealError, claims, encoding,
    header, ring::RingKey,
};

/// How many bytes of a nonce and of a tag stand in a key.
pub(crate) const NONCE_BYTES: usize = 24;
pub(crate) const TAG_BYTES: usize = 16;

/// The last second of the year 9999, the end of what most date formats can write.
const LAST_SECOND: u64 = 253_402_300_799;

/// All characters of a key but those of the encrypted claims: the prefix, the header and two dots,
/// the nonce and a dot, a dot and the tag.
const FIXED_CHARS: usize = PREFIX
    .len()
    .saturating_add(header::CHARS)
    .saturating_add(4)
    .saturating_add(encoding::encoded_len(NONCE_BYTES))
    .saturating_add(encoding::encoded_len(TAG_BYTES));

/// A freshly made key. Its text is a secret: wiped on drop, shown only by [`expose`](Self::expose).
pub struct SealedKey {
    text: SecretString,
    id: KeyId,
    expires_in: Duration,
}

impl SealedKey {
    /// The key's text, to be handed to its owner.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// The key's text, as a secret.
    pub fn into_secret(self) -> SecretString {
        self.text
    }

    /// Its public name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// How long it lives, in whole seconds.
    pub fn expires_in(&self) -> Duration {
        self.expires_in
    }
}

impl fmt::Debug for SealedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedKey")
            .field("id", &self.id)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Seals a payload into a new key for this host, from now on and for this lifetime in whole
    /// seconds.
    ///
    /// The payload is anything that serialises to a JSON object without the members `iss`, `sub`,
    /// `aud`, `exp`, `nbf`, `iat` and `jti`. Its JSON is written twice, once to learn its length,
    /// so that the buffer never moves and can be wiped.
    ///
    /// # Errors
    /// [`SealError::Payload`], [`SealError::NotAnObject`] and [`SealError::ReservedMember`] for the
    /// payload; [`SealError::TooLong`] when the key would have more than [`MAX_SEAL_CHARS`]
    /// characters; [`SealError::Lifetime`]; [`SealError::Randomness`].
    pub fn seal<P: Serialize + ?Sized>(
        &self,
        payload: &P,
        host: &Host,
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<SealedKey, SealError> {
        let system = |bytes: &mut [u8]| getrandom::fill(bytes).map_err(RandomnessError);
        self.seal_with(payload, host, now, lifetime, system)
    }

    /// Seals with randomness from this source: first the 16 bytes of the `jti`, then the nonce.
    pub(crate) fn seal_with<P: Serialize + ?Sized>(
        &self,
        payload: &P,
        host: &Host,
        now: SystemTime,
        lifetime: Duration,
        mut random: impl FnMut(&mut [u8]) -> Result<(), RandomnessError>,
    ) -> Result<SealedKey, SealError> {
        let issued_at = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()
            .map(|since| since.as_secs());
        let expires_in = lifetime.as_secs();
        let (Some(issued_at), 1..) = (issued_at, expires_in) else {
            return Err(SealError::Lifetime);
        };
        let expiry = issued_at
            .checked_add(expires_in)
            .filter(|&expiry| expiry <= LAST_SECOND);
        let expiry = expiry.ok_or(SealError::Lifetime)?;

        let (mut jti, mut nonce) = ([0; 16], [0; NONCE_BYTES]);
        random(&mut jti)?;
        random(&mut nonce)?;
        let id = KeyId::from_random(jti);

        let registered =
            format!(r#"{{"aud":"{host}","iat":{issued_at},"exp":{expiry},"jti":"{id}""#);
        let claims = write_claims(&registered, payload)?;
        let text = encrypt(&self.sealing, nonce, claims);
        Ok(SealedKey {
            text,
            id,
            expires_in: Duration::from_secs(expires_in),
        })
    }
}

/// Appends the payload's members to the open object of the registered claims.
fn write_claims<P: Serialize + ?Sized>(
    registered: &str,
    payload: &P,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, payload).map_err(SealError::Payload)?;
    let claims_bytes = registered.len().saturating_add(counter.0);
    let chars = FIXED_CHARS.saturating_add(encoding::encoded_len(claims_bytes));
    if chars > MAX_SEAL_CHARS {
        return Err(SealError::TooLong {
            chars,
            maximum_chars: MAX_SEAL_CHARS,
        });
    }

    let mut claims = Zeroizing::new(Vec::with_capacity(claims_bytes));
    claims.extend_from_slice(registered.as_bytes());
    serde_json::to_writer(Bounded(&mut claims), payload).map_err(SealError::Payload)?;
    let members = claims.get_mut(registered.len()..).unwrap_or_default();
    claims::require_payload_members(members)?;
    match members {
        [b'{', b'}'] => {
            claims.truncate(registered.len());
            claims.push(b'}');
        }
        [brace, ..] => *brace = b',',
        [] => return Err(SealError::NotAnObject),
    }
    Ok(claims)
}

#[expect(
    clippy::expect_used,
    reason = "the cipher takes up to 256 GiB, and text of ASCII parts is UTF-8"
)]
fn encrypt(
    key: &RingKey,
    nonce: [u8; NONCE_BYTES],
    mut claims: Zeroizing<Vec<u8>>,
) -> SecretString {
    let tag = key
        .cipher()
        .encrypt_inout_detached(
            &XNonce::from(nonce),
            &key.header,
            claims.as_mut_slice().into(),
        )
        .expect("claims are short");

    let chars = FIXED_CHARS.saturating_add(encoding::encoded_len(claims.len()));
    let mut text = Vec::with_capacity(chars);
    text.extend_from_slice(PREFIX.as_bytes());
    text.extend_from_slice(&key.header);
    text.extend_from_slice(b"..");
    encoding::append(&nonce, &mut text);
    text.push(b'.');
    encoding::append(&claims, &mut text);
    text.push(b'.');
    encoding::append(&tag, &mut text);
    debug_assert_eq!(text.len(), chars);
    String::from_utf8(text).expect("text is ASCII").into()
}

/// Counts what is written.
struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes into the spare capacity of a buffer, which never grows: growing would leave a copy behind
/// unwiped.
struct Bounded<'a>(&'a mut Vec<u8>);

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.0.capacity().saturating_sub(self.0.len()) {
            return Err(io::Error::other(
                "payload is longer the second time it is written",
            ));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Seals claims as they are, to see how odd ones are opened.
#[cfg(any(fuzzing, test))]
pub(crate) fn seal_claims(ring: &KeyRing, claims: &[u8]) -> String {
    encrypt(&ring.sealing, [9; NONCE_BYTES], claims.to_vec().into())
        .expose_secret()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serializer, ser::SerializeMap as _};

    use super::*;
    use crate::ServerKey;

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        server_key: String,
        host: String,
        now: u64,
        expires_at: u64,
        jti_hex: String,
        nonce_hex: String,
        payload: serde_json::Value,
        key: String,
    }

    #[test]
    fn seals_the_very_text_of_another_implementation() {
        let vectors: Vec<Vector> =
            serde_json::from_str(include_str!("../tests/vectors/v2-keys.json")).unwrap();
        for vector in vectors {
            let ring = KeyRing::new(ServerKey::parse(&vector.server_key).unwrap());
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(vector.now);
            let lifetime = Duration::from_secs(vector.expires_at - vector.now);
            let mut draws = [vector.nonce_hex, vector.jti_hex]
                .map(|hex| unhex(&hex))
                .to_vec();
            let random = |bytes: &mut [u8]| {
                bytes.copy_from_slice(&draws.pop().unwrap());
                Ok(())
            };

            let host = Host::parse(&vector.host).unwrap();
            let sealed = ring
                .seal_with(&vector.payload, &host, now, lifetime, random)
                .unwrap();

            assert_eq!(sealed.expose(), vector.key, "{}", vector.name);
        }
    }

    fn unhex(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn without_randomness_there_is_no_key() {
        let ring = KeyRing::new(ServerKey::from_bytes([1; 32]));
        let host = Host::parse("h.example").unwrap();
        let failing = |_: &mut [u8]| Err(RandomnessError(getrandom::Error::UNSUPPORTED));

        let payload = serde_json::json!({});
        let sealed = ring.seal_with(
            &payload,
            &host,
            SystemTime::UNIX_EPOCH,
            Duration::from_secs(1),
            failing,
        );

        assert!(matches!(sealed, Err(SealError::Randomness(_))));
    }

    #[test]
    fn payload_that_grows_between_its_two_writings_is_refused() {
        struct Growing(std::cell::Cell<usize>);

        impl Serialize for Growing {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let length = self.0.replace(100);
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("text", &"x".repeat(length))?;
                map.end()
            }
        }

        let claims = write_claims("{}", &Growing(1.into()));

        assert!(matches!(claims, Err(SealError::Payload(_))));
    }
}
