//! The credentials that a request carries.

use std::fmt;

use aisbreaker_egress::{API_KEY, X_API_KEY};
use aisbreaker_services::{Dialect, services::SEALED_HEADER};
use aisbreaker_token::PREFIX;
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    form_urlencoded,
    request::{error::RequestError, field::singleton},
};

const SEALED: HeaderName = HeaderName::from_static(SEALED_HEADER);
/// The fields of the providers' own SDKs, in place of `Authorization`.
const API_KEY_FIELDS: [HeaderName; 2] = [X_API_KEY, API_KEY];

/// The credentials of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Authorization<'a> {
    /// No field carries any.
    Absent,
    /// A bearer value that the caller knows.
    Bearer(Bearer<'a>),
    /// A bearer value from another aisbreaker server, which took it out of a sealed key: the
    /// caller of that server does not know it.
    Entrusted(Bearer<'a>),
    /// Another scheme than `Bearer`, no value, or one that is not a single word.
    Unusable,
}

/// A bearer value where it came in: copying it would leave the original as it is.
#[derive(Clone, Copy)]
pub(crate) struct Bearer<'a>(&'a str);

impl<'a> Bearer<'a> {
    pub(crate) fn expose(self) -> &'a str {
        self.0
    }
}

impl<'a> From<&'a str> for Bearer<'a> {
    fn from(value: &'a str) -> Self {
        Self(value)
    }
}

/// Shows nothing of the value.
impl fmt::Debug for Bearer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer([REDACTED])")
    }
}

impl Authorization<'_> {
    /// Returns whether the value is meant to be an aisbreaker key.
    fn has_key(&self) -> bool {
        match self {
            Self::Bearer(bearer) | Self::Entrusted(bearer) => is_key(bearer.expose()),
            Self::Absent | Self::Unusable => false,
        }
    }

    fn is_usable(&self) -> bool {
        matches!(self, Self::Bearer(_) | Self::Entrusted(_))
    }
}

/// Returns whether a bearer value is meant to be an aisbreaker key. Anything else is the secret of
/// a service.
///
/// Keys in quotes or after a second `Bearer`, as mistakes in shells produce them, do not open, but
/// they must not reach a provider either. A secret in which the prefix continues a word, such as
/// `sk-aisbreaker_x`, is not a key.
pub(crate) fn is_key(bearer: &str) -> bool {
    if bearer.starts_with(PREFIX) {
        return true;
    }
    for at in prefixes_in(bearer.as_bytes()) {
        let before = bearer.get(..at).and_then(|text| text.chars().next_back());
        match before {
            Some(c) if c.is_ascii_alphanumeric() || c == '-' || c == '_' => {}
            Some(_) | None => return true,
        }
    }
    false
}

/// Returns whether a value holds an aisbreaker key, even percent-encoded as in a `Referer`.
pub(crate) fn holds_key(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    if prefixes_in(bytes).next().is_some() {
        return true;
    }
    if memchr::memchr(b'%', bytes).is_none() {
        return false;
    }
    let text = value.to_str();
    text.is_ok_and(|text| form_urlencoded::decode(text).contains(PREFIX))
}

/// Returns where the prefix of keys is. Its last byte is rarer than its first one.
fn prefixes_in(text: &[u8]) -> impl Iterator<Item = usize> {
    const PREFIX_BYTES: &[u8] = PREFIX.as_bytes();
    memchr::memchr_iter(b'_', text).filter_map(|last| {
        let end = last.checked_add(1)?;
        let start = end.checked_sub(PREFIX_BYTES.len())?;
        (text.get(start..end) == Some(PREFIX_BYTES)).then_some(start)
    })
}

/// Returns the first key in a text, without quotes and whatever else may surround it; the whole text
/// if none is in it.
pub(crate) fn key_in(text: &str) -> &str {
    let is_key_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let Some(key) = text.find(PREFIX).and_then(|start| text.get(start..)) else {
        return text;
    };
    let end = key.find(|c| !is_key_char(c)).unwrap_or(key.len());
    key.get(..end).unwrap_or(key)
}

/// Reads `Authorization`.
pub(crate) fn authorization(headers: &HeaderMap) -> Result<Authorization<'_>, RequestError> {
    let Some(value) = singleton(headers, AUTHORIZATION)? else {
        return Ok(Authorization::Absent);
    };
    let text = std::str::from_utf8(value).map_err(|_not_utf8| RequestError::InvalidField {
        name: AUTHORIZATION,
    })?;
    let scheme_len = memchr::memchr(b' ', value);
    let Some((scheme, secret)) = scheme_len.and_then(|len| text.split_at_checked(len)) else {
        return Ok(Authorization::Unusable);
    };
    let secret = trim_blanks(secret);
    if !scheme.eq_ignore_ascii_case("bearer") || secret.is_empty() {
        return Ok(Authorization::Unusable);
    }
    Ok(with_secret(headers, secret))
}

/// Strips the white space that may surround a value (RFC 9110 section 5.6.3).
fn trim_blanks(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

/// Returns whether a value is one visible word. A no-break space or a byte order mark that was
/// copied along is part of the value.
fn is_word(value: &str) -> bool {
    let is_blank = |c: char| c.is_whitespace() || c.is_control() || is_invisible(c);
    value.bytes().all(|byte| byte.is_ascii_graphic()) || !value.chars().any(is_blank)
}

/// Returns whether a character shows nothing, or changes the direction of those around it.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Reads `Authorization` and the fields of the providers' SDKs.
///
/// Of several values, an aisbreaker key wins, then the field that is usual in the dialect.
pub(crate) fn any_authorization(
    headers: &HeaderMap,
    dialect: Dialect,
) -> Result<Authorization<'_>, RequestError> {
    let bearer = authorization(headers)?;
    let mut api_keys = Vec::new();
    for name in API_KEY_FIELDS {
        let Some(value) = singleton(headers, name.clone())? else {
            continue;
        };
        let text =
            std::str::from_utf8(value).map_err(|_not_utf8| RequestError::InvalidField { name })?;
        let text = trim_blanks(text);
        if !text.is_empty() {
            api_keys.push(with_secret(headers, text));
        }
    }
    if bearer.has_key() {
        return Ok(bearer);
    }
    if let Some(at) = api_keys.iter().position(Authorization::has_key) {
        return Ok(api_keys.swap_remove(at));
    }
    let first_usable = api_keys.iter().position(Authorization::is_usable);
    match first_usable {
        Some(_) if bearer.is_usable() && dialect == Dialect::OpenAi => Ok(bearer),
        Some(at) => Ok(api_keys.swap_remove(at)),
        None if api_keys.is_empty() || bearer.is_usable() => Ok(bearer),
        None => Ok(Authorization::Unusable),
    }
}

/// Returns the credentials of a handshake, of which browsers can only name a subprotocol. An aisbreaker
/// key wins, then what the header fields carry.
pub(crate) fn or_subprotocol<'a>(
    fields: Authorization<'a>,
    subprotocol: Option<&'a SecretString>,
    headers: &HeaderMap,
) -> Authorization<'a> {
    let Some(secret) = subprotocol else {
        return fields;
    };
    let offered = with_secret(headers, secret.expose_secret());
    if fields.has_key() || (fields.is_usable() && !offered.has_key()) {
        fields
    } else {
        offered
    }
}

/// A value that is not one word is unusable, unless it holds a key: that is refused as a key.
fn with_secret<'a>(headers: &HeaderMap, secret: &'a str) -> Authorization<'a> {
    if secret.is_empty() || (!is_key(secret) && !is_word(secret)) {
        return Authorization::Unusable;
    }
    let bearer = Bearer(secret);
    if headers.contains_key(SEALED) {
        Authorization::Entrusted(bearer)
    } else {
        Authorization::Bearer(bearer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_what_surrounds_it() {
        let rows = [
            ("aisbreaker_a-b_c.d", "aisbreaker_a-b_c.d"),
            ("\"aisbreaker_x\"", "aisbreaker_x"),
            ("Bearer aisbreaker_x,", "aisbreaker_x"),
            ("\u{feff}aisbreaker_x\u{200b}", "aisbreaker_x"),
            ("sk-x", "sk-x"),
            ("", ""),
        ];
        for (text, key) in rows {
            assert_eq!(key_in(text), key, "{text}");
        }
    }

    #[test]
    fn the_prefix_of_keys_is_found_wherever_it_is() {
        let texts = [
            "",
            "_",
            "aisbreaker",
            "aisbreaker_",
            "isbreaker_",
            "a_aisbreaker_x aisbreaker__aisbreaker_",
            "sk_live_aisbreaker",
        ];
        for text in texts {
            let expected: Vec<usize> = text.match_indices(PREFIX).map(|(at, _)| at).collect();
            let found: Vec<usize> = prefixes_in(text.as_bytes()).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn an_empty_subprotocol_is_no_credential() {
        let empty = SecretString::from("");
        let headers = HeaderMap::new();
        let of = |fields| or_subprotocol(fields, Some(&empty), &headers);
        assert!(matches!(of(Authorization::Absent), Authorization::Unusable));
        let in_field = Authorization::Bearer(Bearer("sk-x"));
        assert!(of(in_field).is_usable());
    }

    #[test]
    fn a_mangled_key_is_not_a_provider_secret() {
        let keys = [
            "aisbreaker_x",
            "\"aisbreaker_x\"",
            "'aisbreaker_x",
            "`aisbreaker_x`",
            "\u{feff}aisbreaker_x",
            "Bearer aisbreaker_x",
            "Bearer Bearer aisbreaker_x",
            "token=aisbreaker_x",
            "a b aisbreaker_x",
        ];
        for key in keys {
            assert!(is_key(key), "{key}");
        }
        let secrets = [
            "sk-aisbreaker_x",
            "x_aisbreaker_x",
            "AISBREAKER_x",
            "aisbreaker",
            "",
            "Bearer",
            "Bearer sk-x",
        ];
        for secret in secrets {
            assert!(!is_key(secret), "{secret}");
        }
    }
}
