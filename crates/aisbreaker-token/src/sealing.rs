//! Sealing payloads into new keys.

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
    base64url, claims,
    error::{RandomnessError, SealError},
    format::{MAX_SEAL_CHARS, NONCE_BYTES, PREFIX, TAG_BYTES, header},
    host::Host,
    ids::KeyId,
    ring::{KeyRing, RingKey},
};

/// The last second of the year 9999, which most date formats cannot exceed.
const LAST_SECOND: u64 = 253_402_300_799;

/// The length of a key without its ciphertext: the prefix, the header, the nonce, the tag, and four
/// dots.
pub(crate) const fn overhead_chars(header_chars: usize, nonce_bytes: usize) -> usize {
    PREFIX
        .len()
        .saturating_add(header_chars)
        .saturating_add(4)
        .saturating_add(base64url::encoded_len(nonce_bytes))
        .saturating_add(base64url::encoded_len(TAG_BYTES))
}

/// A newly sealed key.
///
/// Its text is a secret, wiped on drop. Only [`expose`](Self::expose) returns it.
pub struct SealedKey {
    text: SecretString,
    id: KeyId,
    expires_in: Duration,
}

impl SealedKey {
    #[cfg(feature = "ecdh-es")]
    pub(crate) fn new(text: SecretString, id: KeyId, expires_in: Duration) -> Self {
        Self {
            text,
            id,
            expires_in,
        }
    }

    /// Returns the secret text of the key, for its holder.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// Returns the id of the key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Returns the lifetime of the key, in whole seconds.
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

/// When a new key is valid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ValidityPeriod {
    issued_at: SystemTime,
    not_before: Option<SystemTime>,
    lifetime: Duration,
}

impl ValidityPeriod {
    /// Creates a period that starts `now` and lasts for `lifetime`, rounded down to whole seconds.
    pub fn new(now: SystemTime, lifetime: Duration) -> Self {
        Self {
            issued_at: now,
            not_before: None,
            lifetime,
        }
    }

    /// Sets the first moment at which the key is accepted, rounded up to whole seconds. It does not
    /// change when the key expires.
    #[must_use]
    pub fn with_not_before(mut self, not_before: SystemTime) -> Self {
        self.not_before = Some(not_before);
        self
    }

    /// Returns whether no key can be valid so.
    pub(crate) fn is_empty(self) -> bool {
        self.dates().is_none()
    }

    /// Returns the registered claims `iat`, `nbf` and `exp` (RFC 7519 section 4.1) and the lifetime,
    /// all in seconds.
    ///
    /// `None` if the period is empty, begins before 1970, or ends after the year 9999.
    pub(crate) fn dates(self) -> Option<Dates> {
        let lifetime = self.lifetime.as_secs();
        let issued_at = since_epoch(self.issued_at)?.as_secs();
        let expiry = issued_at.checked_add(lifetime)?;
        let not_before = match self.not_before {
            None => None,
            Some(time) => {
                let whole = since_epoch(time)?;
                let fraction = u64::from(whole.subsec_nanos() > 0);
                Some(whole.as_secs().checked_add(fraction)?)
            }
        };
        let begins = not_before.unwrap_or(issued_at);
        if lifetime == 0 || begins >= expiry || expiry > LAST_SECOND {
            return None;
        }
        Some(Dates {
            issued_at,
            not_before,
            expiry,
            lifetime,
        })
    }
}

/// The dates of a key, in seconds since 1970.
pub(crate) struct Dates {
    issued_at: u64,
    not_before: Option<u64>,
    expiry: u64,
    lifetime: u64,
}

impl Dates {
    /// Returns the registered claims, an object still open.
    pub(crate) fn registered_claims(&self, host: &Host, id: Option<KeyId>) -> String {
        let Self {
            issued_at, expiry, ..
        } = self;
        let mut claims = format!(r#"{{"aud":"{host}","iat":{issued_at},"exp":{expiry}"#);
        if let Some(not_before) = self.not_before {
            claims.push_str(&format!(r#","nbf":{not_before}"#));
        }
        if let Some(id) = id {
            claims.push_str(&format!(r#","jti":"{id}""#));
        }
        claims
    }

    pub(crate) fn lifetime(&self) -> Duration {
        Duration::from_secs(self.lifetime)
    }
}

fn since_epoch(time: SystemTime) -> Option<Duration> {
    time.duration_since(SystemTime::UNIX_EPOCH).ok()
}

impl KeyRing {
    /// Seals a payload into a new key for this host, valid from `now` on.
    ///
    /// `lifetime` is rounded down to whole seconds. The payload is any type that serializes to a
    /// JSON object without the members `iss`, `sub`, `aud`, `exp`, `nbf`, `iat` and `jti`. It is
    /// serialized twice, first to learn its length, so that the buffer never reallocates and can be
    /// wiped.
    ///
    /// # Errors
    /// - [`SealError::Payload`], [`SealError::NotAnObject`] or [`SealError::ReservedMember`] if the
    ///   payload cannot be sealed.
    /// - [`SealError::TooLong`] if the key would be longer than [`MAX_SEAL_CHARS`].
    /// - [`SealError::Lifetime`] if the lifetime is under a second or ends after the year 9999, or
    ///   `now` is before 1970.
    /// - [`SealError::Randomness`] if the operating system returns no random bytes.
    pub fn seal<P: Serialize + ?Sized>(
        &self,
        payload: &P,
        host: &Host,
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<SealedKey, SealError> {
        self.seal_for(payload, host, ValidityPeriod::new(now, lifetime))
    }

    /// Seals a payload into a new key for this host and this period, as [`seal`](Self::seal) does.
    ///
    /// # Errors
    /// Returns those of [`seal`](Self::seal), and [`SealError::Lifetime`] also for a period that
    /// ends before it begins.
    pub fn seal_for<P: Serialize + ?Sized>(
        &self,
        payload: &P,
        host: &Host,
        period: ValidityPeriod,
    ) -> Result<SealedKey, SealError> {
        let os_random = |bytes: &mut [u8]| getrandom::fill(bytes).map_err(RandomnessError);
        self.seal_with_random(payload, host, period, os_random)
    }

    /// Seals with random bytes from `random`: first the 16 bytes of the `jti`, then the nonce.
    pub(crate) fn seal_with_random<P: Serialize + ?Sized>(
        &self,
        payload: &P,
        host: &Host,
        period: ValidityPeriod,
        mut random: impl FnMut(&mut [u8]) -> Result<(), RandomnessError>,
    ) -> Result<SealedKey, SealError> {
        let dates = period.dates().ok_or(SealError::Lifetime)?;

        let (mut jti, mut nonce) = ([0; 16], [0; NONCE_BYTES]);
        random(&mut jti)?;
        random(&mut nonce)?;
        let id = KeyId::from_random(jti);

        let registered = dates.registered_claims(host, Some(id));
        let overhead = overhead_chars(header::CHARS, NONCE_BYTES);
        let claims = serialize_claims(&registered, payload, (overhead, MAX_SEAL_CHARS))?;
        Ok(SealedKey {
            text: encrypt(&self.sealing, nonce, claims),
            id,
            expires_in: dates.lifetime(),
        })
    }
}

/// Appends the members of the payload to the registered claims, an object still open.
///
/// The key may have `maximum_chars` at most, `overhead_chars` of them beside the claims.
pub(crate) fn serialize_claims<P: Serialize + ?Sized>(
    registered: &str,
    payload: &P,
    (overhead_chars, maximum_chars): (usize, usize),
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let mut counter = ByteCounter(0);
    serde_json::to_writer(&mut counter, payload).map_err(SealError::Payload)?;
    let claims_bytes = registered.len().saturating_add(counter.0);
    let chars = overhead_chars.saturating_add(base64url::encoded_len(claims_bytes));
    if chars > maximum_chars {
        return Err(SealError::TooLong {
            chars,
            maximum_chars,
        });
    }

    let mut claims = Zeroizing::new(Vec::with_capacity(claims_bytes));
    claims.extend_from_slice(registered.as_bytes());
    serde_json::to_writer(FixedCapacity(&mut claims), payload).map_err(SealError::Payload)?;
    let members = claims.get_mut(registered.len()..).unwrap_or_default();
    claims::check_payload(members)?;
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

#[expect(clippy::expect_used, reason = "the cipher accepts up to 256 GiB")]
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

    compact_text(&key.header, &nonce, &claims, &tag)
}

/// Joins the parts of a key, of which the header is encoded already.
#[expect(clippy::expect_used, reason = "all parts of the text are ASCII")]
pub(crate) fn compact_text(
    header: &[u8],
    nonce: &[u8],
    ciphertext: &[u8],
    tag: &[u8],
) -> SecretString {
    let overhead = overhead_chars(header.len(), nonce.len());
    let chars = overhead.saturating_add(base64url::encoded_len(ciphertext.len()));
    let mut text = Vec::with_capacity(chars);
    text.extend_from_slice(PREFIX.as_bytes());
    text.extend_from_slice(header);
    text.extend_from_slice(b"..");
    base64url::append(nonce, &mut text);
    text.push(b'.');
    base64url::append(ciphertext, &mut text);
    text.push(b'.');
    base64url::append(tag, &mut text);
    debug_assert_eq!(text.len(), chars);
    String::from_utf8(text).expect("text is ASCII").into()
}

/// Counts the bytes written to it.
struct ByteCounter(usize);

impl Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes into the spare capacity of a buffer and never grows it, since growing would leave behind
/// a copy that is not wiped.
struct FixedCapacity<'a>(&'a mut Vec<u8>);

impl Write for FixedCapacity<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.0.capacity().saturating_sub(self.0.len()) {
            return Err(io::Error::other("payload grew between two serializations"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Seals any bytes as the claims of a key, to test how invalid claims are opened.
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
    fn seals_the_same_text_as_another_implementation() {
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
                .seal_with_random(
                    &vector.payload,
                    &host,
                    ValidityPeriod::new(now, lifetime),
                    random,
                )
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
    fn seals_nothing_without_random_bytes() {
        let ring = KeyRing::new(ServerKey::from_bytes([1; 32]));
        let host = Host::parse("h.example").unwrap();
        let failing = |_: &mut [u8]| Err(RandomnessError(getrandom::Error::UNSUPPORTED));

        let payload = serde_json::json!({});
        let sealed = ring.seal_with_random(
            &payload,
            &host,
            ValidityPeriod::new(SystemTime::UNIX_EPOCH, Duration::from_secs(1)),
            failing,
        );

        assert!(matches!(sealed, Err(SealError::Randomness(_))));
    }

    #[test]
    fn refuses_payload_that_grows_between_serializations() {
        struct Growing(std::cell::Cell<usize>);

        impl Serialize for Growing {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let length = self.0.replace(100);
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("text", &"x".repeat(length))?;
                map.end()
            }
        }

        let claims = serialize_claims("{}", &Growing(1.into()), (0, MAX_SEAL_CHARS));

        assert!(matches!(claims, Err(SealError::Payload(_))));
    }
}
