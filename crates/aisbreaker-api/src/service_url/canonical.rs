//! A fast path for URLs that are canonical already.
//!
//! Nearly all URLs are, and they are parsed on every call. Running the whole URL standard (WHATWG)
//! takes ten times as long.

use std::net::Ipv4Addr;

use super::{MAX_HOST_BYTES, Origin, Scheme};

/// Returns the origin of a URL that is certainly canonical. `None` decides nothing: the URL may be
/// canonical, not canonical or not valid.
pub(super) fn origin(text: &str) -> Option<Origin> {
    let (scheme, rest) = match text.strip_prefix("https://") {
        Some(rest) => (Scheme::Https, rest),
        None => (Scheme::Http, text.strip_prefix("http://")?),
    };
    let path_start = rest.bytes().position(|byte| byte == b'/')?;
    let (authority, path) = rest.split_at_checked(path_start)?;
    if !is_path(path) {
        return None;
    }
    let (host, port) = match authority.bytes().position(|byte| byte == b':') {
        None => (authority, scheme.default_port()),
        Some(colon) => {
            let port = port(authority.get(colon.saturating_add(1)..)?)?;
            if port == scheme.default_port() {
                return None;
            }
            (authority.get(..colon)?, port)
        }
    };
    if !is_name(host) && host.parse::<Ipv4Addr>().is_err() {
        return None;
    }
    Some(Origin {
        scheme,
        host: host.into(),
        port,
    })
}

/// Returns whether a path consists of unreserved characters (RFC 3986 section 2.3), colons and
/// slashes, without a segment that begins with a dot.
fn is_path(path: &str) -> bool {
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'/')
    };
    let bytes = path.as_bytes();
    bytes.iter().all(|byte| is_plain(*byte)) && !bytes.windows(2).any(|pair| pair == b"/.")
}

/// Parses a port without leading zeros, other than 0.
fn port(text: &str) -> Option<u16> {
    if !text.starts_with(|first: char| matches!(first, '1'..='9')) {
        return None;
    }
    text.parse().ok()
}

/// Returns whether a host is a name of lower-case labels, none of them IDNA-encoded, that no parser
/// takes for an IPv4 address.
fn is_name(host: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let is_label = |label: &[u8]| {
        !label.is_empty() && label.iter().all(|byte| is_plain(*byte)) && !label.starts_with(b"xn--")
    };
    if host.len() > MAX_HOST_BYTES {
        return false;
    }
    let mut labels = host.as_bytes().split(|byte| *byte == b'.');
    if !labels.clone().all(is_label) {
        return false;
    }
    // The URL standard reads a host whose last label is a number as an IPv4 address.
    let Some([first, ..]) = labels.next_back() else {
        return false;
    };
    first.is_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::ServiceUrl, *};

    #[test]
    fn accepts_common_urls() {
        let rows = [
            "https://api.openai.com/v1/chat/completions",
            "http://127.0.0.1:11434/v1/chat/completions",
            "https://my-resource.openai.azure.com/openai/deployments/gpt-4o/chat/completions",
            "http://localhost:8080/",
        ];
        for text in rows {
            assert!(origin(text).is_some(), "{text}");
        }
    }

    #[test]
    fn leaves_every_other_spelling_to_the_parser() {
        let rows = [
            "https://A.example/",
            "https://a.example",
            "https://a.example:443/",
            "http://a.example:080/",
            "http://a.example:0/",
            "http://a.example:65536/",
            "http://a.example:+8/",
            "http://a.example:/",
            "https://a.example/../b",
            "https://a.example/.",
            "https://a.example/%7e",
            "https://a.example/a b",
            "https://a.example/?x",
            "https://user@a.example/",
            "https://127.1/",
            "https://1.2.3.04/",
            "https://0x7f.0.0.1/",
            "https://a.0x7f/",
            "https://a.9/",
            "https://xn--a.example/",
            "https://a..example/",
            "https://a.example./",
            "HTTPS://a.example/",
            "ftp://a.example/",
        ];
        for text in rows {
            assert_eq!(origin(text), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// The full parser must return the same bytes and the same origin.
        #[test]
        fn accepted_urls_are_unchanged_by_the_parser(
            scheme in prop::sample::select(vec!["http://", "https://"]),
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "a", "b9", "-", "xn--", "0x1", "1", "255", "07", ".", "..", "/", "//", ":",
                    ":80", ":443", ":8", "~", "_", "%2e", "?", "#", "@", "\\", "A", " ",
                    "\u{e9}", "[::1]",
                ]),
                0..9,
            ),
        ) {
            let text = format!("{scheme}{}", parts.concat());
            if let Some(origin) = origin(&text) {
                let parsed = ServiceUrl::canonicalize(&text);
                prop_assert_eq!(parsed, Ok(ServiceUrl { text: text.clone(), origin }), "{}", text);
            }
        }
    }
}
