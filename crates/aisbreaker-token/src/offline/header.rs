//! The protected header of an offline key, read by a strict parser of its own.
//!
//! Other software writes these headers, so their order and white space vary. Nothing else does: the
//! members are those of a short list, each at most once, with strings without escapes as values.
//! All others are refused, among them `zip`, `crit`, `apu`, `apv`, `jku`, `jwk` and `x5u`.

use x25519_dalek::PublicKey;

use super::{KEY_BYTES, KEY_CHARS};
use crate::{base64url, ids::ServerKeyId};

/// The maximum length of an encoded header.
pub(super) const MAX_CHARS: usize = 400;
const MAX_JSON_BYTES: usize = base64url::decoded_len(MAX_CHARS);

/// What the header of an offline key says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct OfflineHeader {
    /// The `kid`.
    pub(crate) key_id: ServerKeyId,
    /// The ephemeral public key of the sealer, the `x` of `epk`.
    pub(crate) ephemeral: [u8; KEY_BYTES],
}

impl OfflineHeader {
    pub(super) fn ephemeral(&self) -> PublicKey {
        PublicKey::from(self.ephemeral)
    }
}

/// Parses an encoded header. Returns `None` unless it is one of an offline key.
pub(super) fn parse(encoded: &[u8]) -> Option<OfflineHeader> {
    if encoded.len() > MAX_CHARS {
        return None;
    }
    let mut buffer = [0; MAX_JSON_BYTES];
    let json = buffer.get_mut(..base64url::decoded_len(encoded.len()))?;
    base64url::decode_into(encoded, json)?;
    parse_json(json)
}

/// Parses the JSON of a header.
pub(crate) fn parse_json(json: &[u8]) -> Option<OfflineHeader> {
    let mut reader = Reader { rest: json };
    let mut members = Members::default();
    reader.object(|reader, name| members.read(reader, name))?;
    reader.skip_white_space();
    if !reader.rest.is_empty() {
        return None;
    }
    members.finish()
}

/// The members of a header read so far.
#[derive(Default)]
struct Members {
    algorithm: Option<()>,
    encryption: Option<()>,
    token_type: Option<()>,
    version: Option<()>,
    key_id: Option<ServerKeyId>,
    ephemeral: Option<[u8; KEY_BYTES]>,
}

impl Members {
    fn read(&mut self, reader: &mut Reader<'_>, name: &[u8]) -> Option<()> {
        match name {
            b"alg" => set_once(&mut self.algorithm, reader.exactly(b"ECDH-ES")?),
            b"enc" => set_once(&mut self.encryption, reader.exactly(b"A256GCM")?),
            b"typ" => set_once(&mut self.token_type, reader.exactly(b"JWT")?),
            b"ver" => set_once(&mut self.version, reader.exactly(b"aisbreaker.org/jwt/v2")?),
            b"kid" => set_once(&mut self.key_id, ServerKeyId::parse(reader.string()?)?),
            b"epk" => set_once(&mut self.ephemeral, parse_ephemeral(reader)?),
            _ => None,
        }
    }

    fn finish(self) -> Option<OfflineHeader> {
        self.algorithm?;
        self.encryption?;
        Some(OfflineHeader {
            key_id: self.key_id?,
            ephemeral: self.ephemeral?,
        })
    }
}

/// Reads the `epk`, an X25519 public key as a JWK (RFC 8037 section 2), and returns its `x`.
fn parse_ephemeral(reader: &mut Reader<'_>) -> Option<[u8; KEY_BYTES]> {
    let (mut key_type, mut curve, mut x) = (None, None, None);
    reader.object(|reader, name| match name {
        b"kty" => set_once(&mut key_type, reader.exactly(b"OKP")?),
        b"crv" => set_once(&mut curve, reader.exactly(b"X25519")?),
        b"x" => set_once(&mut x, decode_key(reader.string()?)?),
        _ => None,
    })?;
    key_type?;
    curve?;
    x
}

/// Decodes an X25519 public key.
pub(super) fn decode_key(text: &[u8]) -> Option<[u8; KEY_BYTES]> {
    debug_assert_eq!(KEY_CHARS, 43);
    base64url::decode_array(text)
}

/// Sets a member, or returns `None` if it is present twice.
fn set_once<T>(member: &mut Option<T>, value: T) -> Option<()> {
    if member.is_some() {
        return None;
    }
    *member = Some(value);
    Some(())
}

/// Reads JSON that consists of objects and of strings without escapes.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads an object, each of whose values `member` reads, given its name.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        self.token(b'{')?;
        loop {
            // An empty object lacks members that are required, so there is none to read here.
            let name = self.string()?;
            self.token(b':')?;
            member(self, name)?;
            match self.next_token()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    fn exactly(&mut self, expected: &[u8]) -> Option<()> {
        if self.string()? == expected {
            Some(())
        } else {
            None
        }
    }

    /// Reads a string of printable ASCII characters, without escapes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.token(b'"')?;
        let end = self.rest.iter().position(|&byte| byte == b'"')?;
        let (string, rest) = self.rest.split_at_checked(end)?;
        let is_plain = |&byte: &u8| matches!(byte, b' '..=b'~') && byte != b'\\';
        if !string.iter().all(is_plain) {
            return None;
        }
        self.rest = rest.strip_prefix(b"\"")?;
        Some(string)
    }

    fn token(&mut self, expected: u8) -> Option<()> {
        if self.next_token()? == expected {
            Some(())
        } else {
            None
        }
    }

    fn next_token(&mut self) -> Option<u8> {
        self.skip_white_space();
        let (&token, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(token)
    }

    /// Skips the white space of JSON (RFC 8259 section 2).
    fn skip_white_space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }
}
