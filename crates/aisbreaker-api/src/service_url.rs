//! The URLs at which services are called, and the origins (RFC 6454) that secrets are bound to.

mod canonical;

use std::{fmt, sync::Arc};

use url::Url;

/// Keeps the default path of the service from being appended; removed from the URL.
const NO_DEFAULT_PATH: &str = "#no-default-path";
/// Replaced by the engine of the service id.
const ENGINE: &str = "${engine}";
/// The maximum length of a base URL.
const MAX_URL_BYTES: usize = 2048;
/// The maximum length of a host name in DNS, without a trailing dot.
const MAX_HOST_BYTES: usize = 253;

/// A validated absolute `http` or `https` URL at which a service is called.
///
/// Its text is canonical by the WHATWG URL standard: the host is in lower case, with IDNA and
/// unusual spellings of IPv4 addresses resolved. It has neither userinfo nor a fragment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceUrl {
    text: String,
    origin: Origin,
}

/// Why a text is not a service URL.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// The URL is longer than 2048 bytes.
    #[error("is longer than 2048 bytes")]
    TooLong,
    /// The text is not an absolute `http://` or `https://` URL, or contains characters that are not
    /// allowed in URLs or host names.
    #[error("is not an absolute http or https URL")]
    NotAbsolute,
    /// The URL contains a user name or password.
    #[error("must not contain a user name or password")]
    Userinfo,
    /// The URL contains a query without `#no-default-path`, or another fragment.
    #[error("must not contain a query or fragment, unless it ends with #no-default-path")]
    QueryOrFragment,
    /// The URL contains `${engine}`, but the service id has no engine.
    #[error("contains ${{engine}}, but the service id names no engine")]
    NoEngine,
    /// The URL contains `${engine}`, and the engine has a segment `.` or `..`, which would lead to
    /// another path.
    #[error(
        "contains ${{engine}}, but the engine of the service id has '.' or '..' between its slashes"
    )]
    EngineLeavesPath,
    /// The URL contains `${engine}` in its host or port.
    #[error("must not contain ${{engine}} before the path")]
    EngineInHost,
}

impl ServiceUrl {
    /// Resolves the URL of a service from a base URL, the default path of the service and the
    /// engine of its id.
    ///
    /// `default_path` is appended to `base`, after dropping one trailing slash. If `base` contains
    /// `#no-default-path`, that fragment is removed instead and nothing is appended. `${engine}` is
    /// replaced by `engine`, percent-encoded except for slashes.
    ///
    /// # Errors
    /// Returns the [`InvalidUrl`] that applies. It repeats nothing of `base`.
    pub fn resolve(
        base: &str,
        default_path: &str,
        engine: Option<&str>,
    ) -> Result<Self, InvalidUrl> {
        if base.len() > MAX_URL_BYTES {
            return Err(InvalidUrl::TooLong);
        }
        // Checked before the default path is appended, which would become the host of "https://".
        if authority(base).is_none() {
            return Err(InvalidUrl::NotAbsolute);
        }
        let text = if !base.bytes().any(|byte| matches!(byte, b'?' | b'#')) {
            [base.strip_suffix('/').unwrap_or(base), default_path].concat()
        } else if base.contains(NO_DEFAULT_PATH) {
            base.replacen(NO_DEFAULT_PATH, "", 1)
        } else {
            return Err(InvalidUrl::QueryOrFragment);
        };
        Self::parse_absolute(insert_engine(text, engine)?)
    }

    /// Parses a base URL on its own, to learn its origin before it is resolved.
    ///
    /// # Errors
    /// Returns the same errors as [`ServiceUrl::resolve`], except that no engine is required.
    pub fn parse_base(base: &str) -> Result<Self, InvalidUrl> {
        Self::resolve(base, "", Some("engine"))
    }

    /// Returns the URL as text, ready for a request.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    fn parse_absolute(text: String) -> Result<Self, InvalidUrl> {
        match canonical::origin(&text) {
            Some(origin) => Ok(Self { text, origin }),
            None => Self::canonicalize(&text),
        }
    }

    /// Parses a URL that may not be canonical.
    fn canonicalize(text: &str) -> Result<Self, InvalidUrl> {
        let authority = authority(text).ok_or(InvalidUrl::NotAbsolute)?;
        if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(InvalidUrl::NotAbsolute);
        }
        if authority.contains('@') {
            return Err(InvalidUrl::Userinfo);
        }
        if text.contains('#') {
            return Err(InvalidUrl::QueryOrFragment);
        }
        let Ok(url) = Url::parse(text) else {
            return Err(InvalidUrl::NotAbsolute);
        };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(InvalidUrl::NotAbsolute);
        };
        if !is_host(host) || port == 0 {
            return Err(InvalidUrl::NotAbsolute);
        }
        let origin = Origin {
            scheme: match url.scheme() {
                "https" => Scheme::Https,
                _ => Scheme::Http,
            },
            host: host.into(),
            port,
        };
        Ok(Self {
            text: url.into(),
            origin,
        })
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The scheme, host and port of a URL (RFC 6454), which a sealed secret is bound to.
///
/// Origins are equal only if all three are. A trailing dot makes a different host.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Origin {
    scheme: Scheme,
    host: Arc<str>,
    port: u16,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
enum Scheme {
    Http,
    Https,
}

impl Origin {
    /// Parses an origin such as `https://api.openai.com` or `http://localhost:11434`. A path is
    /// ignored.
    ///
    /// # Errors
    /// Returns the same errors as [`ServiceUrl::parse_base`].
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        ServiceUrl::parse_base(text).map(|url| url.origin)
    }

    /// Returns whether the scheme is `https`; otherwise it is `http`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// Returns the canonical host: a name in lower case, or an address, IPv6 in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port: the default one of the scheme if the URL names none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == self.scheme.default_port() {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Returns the part of an `http` or `https` URL between `://` and the path, unless it is empty.
fn authority(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let is_end = |byte| matches!(byte, b'/' | b'?' | b'#' | b'\\');
    let end = rest.bytes().position(is_end).unwrap_or(rest.len());
    match rest.get(..end)? {
        "" => None,
        authority => Some(authority),
    }
}

/// Returns whether a canonical host is an address, or a name of letters, digits, `-`, `.` and `_`
/// that fits into DNS.
///
/// The URL standard allows further characters in names (`a,b`, `${x}`), which other parsers may
/// interpret differently.
fn is_host(host: &str) -> bool {
    if host.starts_with('[') {
        return true;
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let name = host.strip_suffix('.').unwrap_or(host);
    (1..=MAX_HOST_BYTES).contains(&name.len()) && host.bytes().all(is_allowed)
}

fn insert_engine(text: String, engine: Option<&str>) -> Result<String, InvalidUrl> {
    // Most URLs have no `$`, and looking for one byte is faster than looking for the placeholder.
    if !text.bytes().any(|byte| byte == b'$') || !text.contains(ENGINE) {
        return Ok(text);
    }
    if authority(&text).is_none_or(|authority| authority.contains(ENGINE)) {
        return Err(InvalidUrl::EngineInHost);
    }
    let engine = engine.ok_or(InvalidUrl::NoEngine)?;
    let mut segments = engine.split('/');
    if segments.any(|segment| matches!(segment, "." | "..")) {
        return Err(InvalidUrl::EngineLeavesPath);
    }
    Ok(text.replace(ENGINE, &percent_encode(engine)))
}

/// Percent-encodes everything except unreserved characters (RFC 3986 section 2.3) and slashes.
fn percent_encode(text: &str) -> String {
    use fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            other => {
                let _always_ok = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/v1/chat/completions";

    #[test]
    fn engine_cannot_leave_the_path() {
        let resolve =
            |engine| ServiceUrl::resolve("https://a.example", "/models/${engine}", Some(engine));
        for engine in ["..", "../files", "a/../../files", "a/.", ".", "a/.."] {
            assert_eq!(
                resolve(engine),
                Err(InvalidUrl::EngineLeavesPath),
                "{engine}"
            );
        }
        for (engine, expected) in [
            ("a/b.c", "a/b.c"),
            ("...", "..."),
            ("%2e%2e/x", "%252e%252e/x"),
            ("..\\x", "..%5Cx"),
        ] {
            assert_eq!(
                resolve(engine).unwrap().as_str(),
                format!("https://a.example/models/{expected}"),
                "{engine}"
            );
        }
    }

    #[test]
    fn appends_default_path_unless_base_forbids_it() {
        let rows = [
            ("https://a.example", "https://a.example/v1/chat/completions"),
            (
                "https://a.example/",
                "https://a.example/v1/chat/completions",
            ),
            (
                "https://a.example/x",
                "https://a.example/x/v1/chat/completions",
            ),
            (
                "https://A.Example:443/x/",
                "https://a.example/x/v1/chat/completions",
            ),
            ("https://a.example/x#no-default-path", "https://a.example/x"),
            (
                "https://a.example/x?api-version=1#no-default-path",
                "https://a.example/x?api-version=1",
            ),
            (
                "http://127.0.0.1:11434",
                "http://127.0.0.1:11434/v1/chat/completions",
            ),
            ("http://0x7f.1:80", "http://127.0.0.1/v1/chat/completions"),
            (
                "https://[::1]:8443",
                "https://[::1]:8443/v1/chat/completions",
            ),
        ];
        for (base, expected) in rows {
            assert_eq!(
                ServiceUrl::resolve(base, PATH, None).unwrap().as_str(),
                expected,
                "{base}"
            );
        }
    }

    #[test]
    fn percent_encodes_engine_except_slashes() {
        let url = ServiceUrl::resolve(
            "https://a.example/m/${engine}#no-default-path",
            "",
            Some("org/a b?c"),
        )
        .unwrap();
        assert_eq!(url.as_str(), "https://a.example/m/org/a%20b%3Fc");

        let in_path = ServiceUrl::resolve("https://a.example", "/m/${engine}", Some("x")).unwrap();
        assert_eq!(in_path.as_str(), "https://a.example/m/x");
    }

    #[test]
    fn rejects_ambiguous_urls() {
        let long = format!("https://{}", "a".repeat(MAX_URL_BYTES));
        let long_host = format!("https://{}a.example/", "a.".repeat(MAX_HOST_BYTES / 2 - 3));
        let rows = [
            ("", InvalidUrl::NotAbsolute),
            ("a.example", InvalidUrl::NotAbsolute),
            ("ftp://a.example", InvalidUrl::NotAbsolute),
            ("https:/a.example", InvalidUrl::NotAbsolute),
            ("https://", InvalidUrl::NotAbsolute),
            ("https:///a.example", InvalidUrl::NotAbsolute),
            ("https://a.example\\@b.example", InvalidUrl::NotAbsolute),
            ("https://a.example\n", InvalidUrl::NotAbsolute),
            ("https://a.example:0", InvalidUrl::NotAbsolute),
            ("https://a.example:99999", InvalidUrl::NotAbsolute),
            ("https://user@a.example", InvalidUrl::Userinfo),
            ("https://@a.example", InvalidUrl::Userinfo),
            ("https://a.example@evil.example", InvalidUrl::Userinfo),
            ("https://a.example?x=1", InvalidUrl::QueryOrFragment),
            ("https://a.example#x", InvalidUrl::QueryOrFragment),
            (
                "https://a.example#no-default-path#x",
                InvalidUrl::QueryOrFragment,
            ),
            ("https://${engine}.example", InvalidUrl::EngineInHost),
            ("https://${ENGINE}.example", InvalidUrl::NotAbsolute),
            ("https://a.example,b.example", InvalidUrl::NotAbsolute),
            ("https://a.example;b.example", InvalidUrl::NotAbsolute),
            ("https://a!b.example", InvalidUrl::NotAbsolute),
            ("https://*.example", InvalidUrl::NotAbsolute),
            ("https://a.example/${engine}", InvalidUrl::NoEngine),
            (long.as_str(), InvalidUrl::TooLong),
            (long_host.as_str(), InvalidUrl::NotAbsolute),
        ];
        for (base, expected) in rows {
            assert_eq!(
                ServiceUrl::resolve(base, PATH, None),
                Err(expected),
                "{base}"
            );
        }
    }

    #[test]
    fn origins_differ_in_scheme_host_and_port() {
        let origin = |text| Origin::parse(text).unwrap();
        assert_eq!(
            origin("https://API.openai.com:443/v1"),
            origin("https://api.openai.com")
        );
        assert_ne!(
            origin("http://api.openai.com"),
            origin("https://api.openai.com")
        );
        assert_ne!(
            origin("https://api.openai.com:8443"),
            origin("https://api.openai.com")
        );
        assert_ne!(
            origin("https://api.openai.com."),
            origin("https://api.openai.com")
        );
        assert_ne!(
            origin("https://аpi.openai.com"),
            origin("https://api.openai.com"),
            "Cyrillic letter"
        );
        assert_eq!(
            origin("http://localhost:11434").to_string(),
            "http://localhost:11434"
        );
        assert_eq!(origin("https://a.example").to_string(), "https://a.example");
    }
}
