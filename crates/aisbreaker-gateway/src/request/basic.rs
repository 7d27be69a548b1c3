//! HTTP Basic authentication (RFC 7617), for those who know a secret of the server.

use base64ct::{Base64, Encoding as _};
use http::{HeaderMap, header::AUTHORIZATION};
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::form_urlencoded;

/// Returns whether the password is this secret, in constant time. The user name is ignored.
///
/// RFC 6749 section 2.3.1 wants the password form-encoded; most clients send it as it is.
pub(crate) fn has_password(headers: &HeaderMap, secret: &SecretString) -> bool {
    let Some(password) = password(headers) else {
        return false;
    };
    let expected = secret.expose_secret();
    let decoded = Zeroizing::new(form_urlencoded::decode(&password));
    constant_time_eq(&password, expected) || constant_time_eq(&decoded, expected)
}

/// Compares digests, so that the time depends on neither content nor length of the secret.
pub(crate) fn constant_time_eq(given: &str, secret: &str) -> bool {
    Sha256::digest(given).ct_eq(&Sha256::digest(secret)).into()
}

/// Returns the password, if there is one.
pub(crate) fn password(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(Base64::decode_vec(credentials.trim()).ok()?);
    let (_user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(Zeroizing::new(password.to_owned()))
}
