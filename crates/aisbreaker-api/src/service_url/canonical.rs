//! URLs that the URL standard (WHATWG) leaves as they are written, which nearly all are: they are
//! read at each call, and the whole standard takes ten times as long.

use std::net::Ipv4Addr;

use super::{MAX_NAME_LEN, Origin};

/// The origin of a URL that is canonical already. `None`: it may be or not, and may be none at all.
pub(super) fn origin(text: &str) -> Option<Origin> {
    let (https, rest) = match text.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix("http://")?),
    };
    let (authority, path) = rest.split_at_checked(rest.bytes().position(|byte| byte == b'/')?)?;
    if !is_path(path) {
        return None;
    }
    let own_port = if https { 443 } else { 80 };
    let (host, port) = match authority.bytes().position(|byte| byte == b':') {
        None => (authority, own_port),
        Some(at) => {
            let port = port(authority.get(at.saturating_add(1)..)?)?;
            (
                authority.get(..at)?,
                Some(port).filter(|port| *port != own_port)?,
            )
        }
    };
    let is_host = is_name(host) || host.parse::<Ipv4Addr>().is_ok();
    is_host.then(|| Origin {
        https,
        host: host.into(),
        port,
    })
}

/// Unreserved characters (RFC 3986 section 2.3) and colons between slashes, and nothing that leads
/// to another folder.
fn is_path(path: &str) -> bool {
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'/')
    };
    let bytes = path.as_bytes();
    bytes.iter().all(|byte| is_plain(*byte)) && !bytes.windows(2).any(|pair| pair == b"/.")
}

/// As it is written out: without zeros before it, and not 0.
fn port(text: &str) -> Option<u16> {
    let is_written_out = text.starts_with(|first: char| matches!(first, '1'..='9'));
    text.parse().ok().filter(|_| is_written_out)
}

/// A name of lower-case labels, none of which is encoded (IDNA) or could be taken for a part of an
/// address.
fn is_name(host: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let is_label = |label: &[u8]| {
        !label.is_empty() && label.iter().all(|byte| is_plain(*byte)) && !label.starts_with(b"xn--")
    };
    let mut labels = host.as_bytes().split(|byte| *byte == b'.');
    let is_no_number = |label: &[u8]| label.first().is_some_and(u8::is_ascii_lowercase);
    host.len() <= MAX_NAME_LEN
        && labels.clone().all(is_label)
        && labels.next_back().is_some_and(is_no_number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::ServiceUrl, *};

    #[test]
    fn usual_urls_are_canonical() {
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
    fn what_the_standard_writes_in_another_way_is_not() {
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

        /// What is taken for canonical is what the standard makes of it, byte by byte, and has its
        /// origin.
        #[test]
        fn what_is_canonical_stays_as_it_is(
            scheme in prop::sample::select(vec!["http://", "https://"]),
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "a", "b9", "-", "xn--", "0x1", "1", "255", "07", ".", "..", "/", "//", ":", ":80", ":443", ":8", "~", "_",
                    "%2e", "?", "#", "@", "\\", "A", " ", "\u{e9}", "[::1]",
                ]),
                0..9,
            ),
        ) {
            let text = format!("{scheme}{}", parts.concat());
            if let Some(origin) = origin(&text) {
                let whole = ServiceUrl::canonicalize(&text);
                prop_assert_eq!(whole, Ok(ServiceUrl { text: text.clone(), origin }), "{}", text);
            }
        }
    }
}
