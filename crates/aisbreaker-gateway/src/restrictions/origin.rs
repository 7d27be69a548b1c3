//! The origin of a web page, as browsers send it.
//!
//! Source: RFC 6454 section 6.2, WHATWG Fetch section 3.2.

use std::net::Ipv6Addr;

use http::HeaderValue;

const DEFAULT_PORTS: [(&str, u16); 2] = [("http", 80), ("https", 443)];

/// An origin: scheme, host and port, in lower case and without a default port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct WebOrigin(String);

impl WebOrigin {
    /// Parses an origin; `null`, a path and a wildcard are none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (scheme, authority) = text.split_once("://")?;
        if !is_scheme(scheme) {
            return None;
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (address, port) = bracketed.split_once(']')?;
                let address: Ipv6Addr = address.parse().ok()?;
                (format!("[{address}]"), port)
            }
            None => {
                let end = authority.find(':').unwrap_or(authority.len());
                let (host, port) = authority.split_at(end);
                (is_host(host).then(|| host.to_owned())?, port)
            }
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => Some(parse_port(digits)?),
            None if port.is_empty() => None,
            None => return None,
        };
        match port {
            Some(port) if !DEFAULT_PORTS.contains(&(scheme, port)) => {
                Some(Self(format!("{scheme}://{host}:{port}")))
            }
            Some(_) | None => Some(Self(format!("{scheme}://{host}"))),
        }
    }

    /// Parses the value of an `Origin` field.
    pub(super) fn of(value: &HeaderValue) -> Option<Self> {
        Self::parse(value.to_str().ok()?)
    }
}

/// Parses a port: digits only, where the number parser would take a sign.
fn parse_port(digits: &str) -> Option<u16> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}

fn is_scheme(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(is_allowed)
}

fn is_host(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let rows = [
            ("https://app.example.com", Some("https://app.example.com")),
            (
                "HTTPS://App.Example.com:443",
                Some("https://app.example.com"),
            ),
            (
                "https://app.example.com:80",
                Some("https://app.example.com:80"),
            ),
            ("http://localhost:5173", Some("http://localhost:5173")),
            ("http://[0:0::1]:80", Some("http://[::1]")),
            (
                "chrome-extension://abcdef",
                Some("chrome-extension://abcdef"),
            ),
            ("https://app.example.com.", Some("https://app.example.com.")),
            (
                "https://xn--bcher-kva.example",
                Some("https://xn--bcher-kva.example"),
            ),
            ("https://bücher.example", None),
            ("https://app.example.com/", None),
            ("https://app.example.com/path", None),
            ("https://user@app.example.com", None),
            ("https://*.example.com", None),
            ("https://app.example.com:", None),
            ("https://app.example.com:+443", None),
            ("https://app.example.com:65536", None),
            ("https://[::1", None),
            ("https://[::1]x", None),
            ("https://", None),
            ("app.example.com", None),
            ("null", None),
            ("*", None),
            ("", None),
            ("https://a.example https://b.example", None),
        ];
        for (text, expected) in rows {
            let parsed = WebOrigin::parse(text);
            assert_eq!(
                parsed,
                expected.map(|text| WebOrigin(text.to_owned())),
                "{text}"
            );
        }
    }
}
