//! Hosts in the canonical form that keys are bound to.

use std::{fmt, net::Ipv6Addr, str::FromStr, sync::Arc};

/// The maximum length of a host name in DNS.
const MAX_NAME_BYTES: usize = 253;

/// A canonical host: in lower case, without a port and without a trailing dot.
///
/// An IPv6 address is in brackets, in the form that [`Ipv6Addr`] displays. Cloning is cheap.
///
/// ```
/// use aisbreaker_token::Host;
///
/// assert_eq!(Host::parse("API.Example.com.:3000")?.as_str(), "api.example.com");
/// assert_eq!(Host::parse("[0:0::1]:443")?.as_str(), "[::1]");
/// # Ok::<(), aisbreaker_token::HostError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Host(Arc<str>);

impl Host {
    /// Parses the host of a `Host` header or a URL: a name or an address, with an optional port.
    ///
    /// The port is validated and dropped. A name has 1 to 253 ASCII letters, digits, `-`, `.` and
    /// `_`, without empty labels; one trailing dot is dropped. An IPv4 address counts as a name.
    /// White space is not trimmed, and nothing is resolved.
    ///
    /// # Errors
    /// Returns [`HostError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let host = match text.strip_prefix('[') {
            Some(bracketed) => Self::from_ipv6(bracketed),
            None => Self::from_name(text),
        };
        host.ok_or(HostError)
    }

    /// Returns the canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn from_ipv6(after_bracket: &str) -> Option<Self> {
        let (address, rest) = after_bracket.split_once(']')?;
        if !rest.is_empty() && !is_port(rest.strip_prefix(':')?) {
            return None;
        }
        let ip: Ipv6Addr = address.parse().ok()?;
        Some(Self(format!("[{ip}]").into()))
    }

    fn from_name(text: &str) -> Option<Self> {
        let without_port = match text.bytes().position(|byte| byte == b':') {
            Some(colon) => {
                let (name, port) = text.split_at_checked(colon)?;
                if !is_port(port.strip_prefix(':')?) {
                    return None;
                }
                name
            }
            None => text,
        };
        let name = without_port.strip_suffix('.').unwrap_or(without_port);
        let mut labels = name.as_bytes().split(|byte| *byte == b'.');
        if name.len() > MAX_NAME_BYTES || !labels.all(is_label) {
            return None;
        }
        let mut lower_case: Arc<str> = name.into();
        // Nobody else has it yet.
        if let Some(name) = Arc::get_mut(&mut lower_case) {
            name.make_ascii_lowercase();
        }
        Some(Self(lower_case))
    }
}

/// Returns whether a text is a port. RFC 3986 allows an empty one after the colon.
fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.is_empty() || text.parse::<u16>().is_ok())
}

fn is_label(label: &[u8]) -> bool {
    !label.is_empty()
        && label
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Host {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        Self::parse(text)
    }
}

/// The error of [`Host::parse`] for a text that is not a host.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a host name, an IPv4 address or a bracketed IPv6 address, each with an optional port")]
#[non_exhaustive]
pub struct HostError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_hosts_into_one_spelling() {
        for (text, expected) in [
            ("API.Example.com:3000", Some("api.example.com")),
            ("api.example.com.", Some("api.example.com")),
            ("api.example.com.:80", Some("api.example.com")),
            ("localhost", Some("localhost")),
            ("localhost:", Some("localhost")),
            ("my_host-1", Some("my_host-1")),
            ("127.0.0.1:65535", Some("127.0.0.1")),
            ("[::1]:3000", Some("[::1]")),
            ("[0:0:0:0:0:0:0:1]", Some("[::1]")),
            ("[2001:DB8::00AB]", Some("[2001:db8::ab]")),
            ("[::ffff:1.2.3.4]", Some("[::ffff:1.2.3.4]")),
            ("", None),
            (".", None),
            (":80", None),
            ("a..b", None),
            (".a", None),
            ("a..", None),
            ("a:65536", None),
            ("a:+1", None),
            ("a:b", None),
            ("a:1:2", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]80", None),
            ("[::1]:x", None),
            ("[fe80::1%eth0]", None),
            ("[1.2.3.4]", None),
            ("[]", None),
            ("a b", None),
            (" a", None),
            ("a\n", None),
            ("a/b", None),
            ("a@b", None),
            ("a#b", None),
            ("bücher.example", None),
            ("*", None),
        ] {
            let host = Host::parse(text);

            assert_eq!(host.as_ref().map(Host::as_str).ok(), expected, "{text:?}");
            assert!(
                host.is_ok_and(|host| Host::parse(host.as_str()) == Ok(host)) || expected.is_none(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn names_have_at_most_253_bytes() {
        let name = |bytes: usize| format!("{}.", "a".repeat(bytes));

        assert!(Host::parse(&name(253)).is_ok());
        assert_eq!(Host::parse(&name(254)), Err(HostError));
    }
}
