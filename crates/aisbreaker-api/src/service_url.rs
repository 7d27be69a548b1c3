//! Where a service is called: the URL rules of the API, and origins (RFC 6454) to bind secrets to.

mod canonical;

use std::{fmt, sync::Arc};

use url::Url;

/// Tells that the service's default path is not to be appended; removed before use.
const NO_DEFAULT_PATH: &str = "#no-default-path";
/// Stands for the engine of the service id.
const ENGINE: &str = "${engine}";
/// Longest accepted URL in bytes.
const MAX_LEN: usize = 2048;
/// Longest host name in bytes, without a trailing dot.
const MAX_NAME_LEN: usize = 253;

/// A checked absolute `http` or `https` URL at which a service is called.
///
/// Its text is canonical (WHATWG URL standard): lower-case host, IDNA and odd IPv4 spellings
/// resolved, no userinfo, no fragment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceUrl {
    text: String,
    origin: Origin,
}

/// Why a text is not usable as a service URL.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// Over 2048 bytes.
    #[error("is longer than 2048 bytes")]
    TooLong,
    /// Not an absolute `http://` or `https://` URL, or with characters that URLs or host names do
    /// not have.
    #[error("is not an absolute http or https URL")]
    NotAbsolute,
    /// Has a user name or password.
    #[error("must not contain a user name or password")]
    Userinfo,
    /// Has a query without `#no-default-path`, or a fragment.
    #[error("must not contain a query or fragment, unless it ends with #no-default-path")]
    QueryOrFragment,
    /// Has `${engine}`, but the service id names no engine.
    #[error("contains ${{engine}}, but the service id names no engine")]
    NoEngine,
    /// Has `${engine}`, and the engine would lead to another path.
    #[error(
        "contains ${{engine}}, but the engine of the service id has '.' or '..' between its slashes"
    )]
    EngineLeavesPath,
    /// Has `${engine}` in the host or port.
    #[error("must not contain ${{engine}} before the path")]
    EngineInHost,
}

impl ServiceUrl {
    /// Makes the URL of a service from its base, its default path and the engine of its id.
    ///
    /// One trailing slash of `base` is dropped and `default_path` appended, unless `base` contains
    /// `#no-default-path`, which is removed. `${engine}` is replaced by `engine`, percent-encoded
    /// but for its slashes.
    ///
    /// # Errors
    /// The [`InvalidUrl`] that applies; nothing of `base` is repeated in it.
    pub fn resolve(
        base: &str,
        default_path: &str,
        engine: Option<&str>,
    ) -> Result<Self, InvalidUrl> {
        if base.len() > MAX_LEN {
            return Err(InvalidUrl::TooLong);
        }
        // Before the default path is appended, or it would become the host of "https://".
        authority(base).ok_or(InvalidUrl::NotAbsolute)?;
        let text = if !base.bytes().any(|byte| matches!(byte, b'?' | b'#')) {
            [base.strip_suffix('/').unwrap_or(base), default_path].concat()
        } else if base.contains(NO_DEFAULT_PATH) {
            base.replacen(NO_DEFAULT_PATH, "", 1)
        } else {
            return Err(InvalidUrl::QueryOrFragment);
        };
        Self::parse_absolute(insert_engine(text, engine)?)
    }

    /// Reads a base URL by itself, to learn its origin before it is used.
    ///
    /// # Errors
    /// As [`ServiceUrl::resolve`]; a missing engine is no error here.
    pub fn parse_base(base: &str) -> Result<Self, InvalidUrl> {
        Self::resolve(base, "", Some("engine"))
    }

    /// The URL as text, ready for a request.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port.
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

    /// Reads a URL that may be written in another way than the canonical one.
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
        let url = Url::parse(text).map_err(|_syntax| InvalidUrl::NotAbsolute)?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(InvalidUrl::NotAbsolute);
        };
        if !is_host(host) || port == 0 {
            return Err(InvalidUrl::NotAbsolute);
        }
        let origin = Origin {
            https: url.scheme() == "https",
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

/// Scheme, host and port of a URL (RFC 6454): what a sealed secret is bound to.
///
/// Two origins are equal only if all three are; a trailing dot makes another host.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Origin {
    https: bool,
    host: Arc<str>,
    port: u16,
}

impl Origin {
    /// Reads an origin such as `https://api.openai.com` or `http://localhost:11434`; a path is
    /// ignored.
    ///
    /// # Errors
    /// As [`ServiceUrl::parse_base`].
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        ServiceUrl::parse_base(text).map(|url| url.origin)
    }

    /// Whether the scheme is `https`; otherwise it is `http`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The canonical host: lower case, IPv6 in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's own where none was written.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, own_port) = if self.https {
            ("https", 443)
        } else {
            ("http", 80)
        };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == own_port {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

/// What stands between `scheme://` and the path, if the text begins so.
fn authority(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let end = rest
        .bytes()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\'))
        .unwrap_or(rest.len());
    let authority = rest.get(..end)?;
    Some(authority).filter(|authority| !authority.is_empty())
}

/// Whether a canonical host is an address or a name of letters, digits, `-`, `.` and `_` that DNS
/// can carry. The URL standard lets names have more (`a,b`, `${x}`), which other readers may take
/// for something else.
fn is_host(host: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let name = host.strip_suffix('.').unwrap_or(host);
    host.starts_with('[') || (1..=MAX_NAME_LEN).contains(&name.len()) && host.bytes().all(is_name)
}

fn insert_engine(text: String, engine: Option<&str>) -> Result<String, InvalidUrl> {
    // Few have one: no search for the whole of it then.
    if !text.bytes().any(|byte| byte == b'$') || !text.contains(ENGINE) {
        return Ok(text);
    }
    if authority(&text).is_none_or(|authority| authority.contains(ENGINE)) {
        return Err(InvalidUrl::EngineInHost);
    }
    let engine = engine.ok_or(InvalidUrl::NoEngine)?;
    if engine
        .split('/')
        .any(|segment| matches!(segment, "." | ".."))
    {
        return Err(InvalidUrl::EngineLeavesPath);
    }
    Ok(text.replace(ENGINE, &percent_encode(engine)))
}

/// Percent-encodes all but unreserved characters (RFC 3986 section 2.3) and slashes.
fn percent_encode(text: &str) -> String {
    use fmt::Write as _;
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut out, byte| {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                    out.push(char::from(byte))
                }
                other => {
                    let _written = write!(out, "%{other:02X}");
                }
            }
            out
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/v1/chat/completions";

    #[test]
    fn an_engine_leads_to_no_other_path() {
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
    fn appends_the_default_path_unless_told_not_to() {
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
    fn replaces_the_engine_percent_encoded_but_for_slashes() {
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
    fn refuses_what_could_mislead() {
        let long = format!("https://{}", "a".repeat(MAX_LEN));
        let long_host = format!("https://{}a.example/", "a.".repeat(MAX_NAME_LEN / 2 - 3));
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
