//! Reads the text of a URL.

use http::Uri;
use url::Url;

/// Longest host name in bytes, without a trailing dot.
const MAX_NAME_BYTES: usize = 253;

/// Why [`parse_url`] refused a text; the error does not repeat the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is not an absolute http or https URL without user name and password")]
#[non_exhaustive]
pub struct InvalidUrl;

/// Reads an absolute `http` or `https` URL as browsers do (WHATWG URL standard) and returns it in
/// canonical form.
///
/// The host is in lower case, an internationalised name is in its ASCII form, an IPv4 address is in
/// dotted decimal whichever way it was written, and the scheme's default port is left out. The
/// fragment is dropped, since it is never sent.
///
/// # Errors
/// [`InvalidUrl`] for anything else, for a user name or password, for port 0, and for white space,
/// control characters, backslashes or punctuation in the host, which other parsers may read as
/// another host.
pub fn parse_url(text: &str) -> Result<Uri, InvalidUrl> {
    let authority = authority(text).ok_or(InvalidUrl)?;
    let misleads = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if authority.contains('@') || text.contains(misleads) {
        return Err(InvalidUrl);
    }
    let mut url = Url::parse(text).map_err(|_syntax| InvalidUrl)?;
    url.set_fragment(None);
    let host = url.host_str().ok_or(InvalidUrl)?;
    if !is_host(host) || url.port() == Some(0) {
        return Err(InvalidUrl);
    }
    Uri::try_from(String::from(url)).map_err(|_syntax| InvalidUrl)
}

/// Returns what is between `scheme://` and the path, if the text begins with `http` or `https`.
fn authority(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    (!authority.is_empty()).then_some(authority)
}

/// Whether a canonical host is an address, or a name of letters, digits, `-`, `.` and `_` that DNS
/// can carry.
fn is_host(host: &str) -> bool {
    if host.starts_with('[') {
        return true;
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let name = host.strip_suffix('.').unwrap_or(host);
    (1..=MAX_NAME_BYTES).contains(&name.len()) && host.bytes().all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_the_canonical_form() {
        let rows = [
            ("https://A.Example:443", "https://a.example/"),
            ("HTTP://a.example:80/x?y=1#z", "http://a.example/x?y=1"),
            ("http://a.example:8080/", "http://a.example:8080/"),
            (
                "https://bücher.example/ü",
                "https://xn--bcher-kva.example/%C3%BC",
            ),
            ("http://0x7f.1", "http://127.0.0.1/"),
            ("http://①②⑦.0.0.1", "http://127.0.0.1/"),
            ("https://[::FFFF:7f00:1]", "https://[::ffff:7f00:1]/"),
            ("https://a.example/b/../c", "https://a.example/c"),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_url(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_what_other_parsers_may_read_as_another_host() {
        let long_name = format!("https://{}a.example/", "a.".repeat(MAX_NAME_BYTES / 2 - 3));
        let rows = [
            "",
            "a.example",
            "/path",
            "ftp://a.example",
            "file:///etc/passwd",
            "https:/a.example",
            "https://",
            "https:///a.example",
            "https://a.example\\@b.example",
            "https://a.example\n",
            " https://a.example",
            "https://a.example:0",
            "https://a.example:99999",
            "https://user@a.example",
            "https://@a.example",
            "https://a.example@evil.example",
            "https://a.example,b.example",
            "https://a!b.example",
            "https://*.example",
            long_name.as_str(),
        ];
        for text in rows {
            assert_eq!(parse_url(text).err(), Some(InvalidUrl), "{text}");
        }
    }
}
