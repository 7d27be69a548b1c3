//! Secrets in headers and in texts.

use bytes::Bytes;
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

use crate::error::{ErrorDetail, ServiceError};

/// The shortest secret that [`mask`] looks for, in bytes.
const SHORTEST_MASKED_BYTES: usize = 4;

/// Returns the value of a header that carries a secret: `scheme` (such as `"Bearer "`, or `""`),
/// then the secret.
///
/// The value is marked as sensitive, and wiped when its last copy is dropped.
///
/// # Errors
/// [`ServiceError::BadRequest`] when the secret has characters that a header cannot carry.
pub fn secret_header(scheme: &str, secret: &SecretString) -> Result<HeaderValue, ServiceError> {
    let text = Zeroizing::new([scheme, secret.expose_secret()].concat().into_bytes());
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text)).map_err(|invalid| {
        let text = "the secret for the service has characters that a header cannot carry";
        ServiceError::BadRequest(ErrorDetail::new(text).with_source(invalid))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Replaces every whole occurrence of a secret in a text by `***`.
///
/// Parts of the secret stay on purpose: a caller can have texts of its own repeated in errors, and
/// could guess a sealed secret character by character if parts of it disappeared. Secrets under 4
/// bytes stay as well: they protect nothing, occur in any text, and the stars would show where.
#[must_use]
pub fn mask(text: &str, secret: &SecretString) -> String {
    let secret = secret.expose_secret();
    if secret.len() < SHORTEST_MASKED_BYTES {
        text.to_owned()
    } else {
        text.replace(secret, "***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_header_is_sensitive_and_exact() {
        let value = secret_header("Bearer ", &"sk-1".into()).unwrap();
        assert_eq!(value, "Bearer sk-1");
        assert!(value.is_sensitive());
        assert!(matches!(
            secret_header("", &"a\r\nHost: b".into()),
            Err(ServiceError::BadRequest(_))
        ));
    }

    #[test]
    fn masks_whole_secrets_and_leaves_parts_of_them() {
        let rows = [
            ("sk-1", "key sk-1 is bad, sk-1!", "key *** is bad, ***!"),
            ("sk-1", "sk-1sk-1 sk-", "****** sk-"),
            ("abcdefghijklmnop", "xabcdefghijklmnopx", "x***x"),
            (
                "abcdefghijklmnop",
                "abcdefghijklmno bcdefghijklmnop",
                "abcdefghijklmno bcdefghijklmnop",
            ),
            (
                "abcdefghijklmnop",
                "abcdefghijk...mnop",
                "abcdefghijk...mnop",
            ),
            ("geheim-ß", "das geheim-ß ist ß", "das *** ist ß"),
            (
                "abc",
                "abc is too short to guard anything",
                "abc is too short to guard anything",
            ),
            ("", "nothing", "nothing"),
            ("longer than the text", "text", "text"),
        ];
        for (secret, text, expected) in rows {
            assert_eq!(
                mask(text, &secret.into()),
                expected,
                "{secret:?} in {text:?}"
            );
        }
    }
}
