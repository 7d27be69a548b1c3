//! Scheme, host and port of a URL (RFC 6454): what connections and exceptions belong to.

use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
};

use http::{
    Uri,
    uri::{Authority, PathAndQuery, Scheme},
};

/// Scheme, host and port of a URL. A trailing dot makes another host.
///
/// Cloning it does not allocate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Origin {
    is_https: bool,
    /// In lower case, without user name, and without the scheme's default port.
    authority: Authority,
}

impl Origin {
    /// Returns the origin of an absolute `http` or `https` URL, if it has a host, a valid port and
    /// no user name.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let is_https = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let host = authority.host();
        if host.is_empty() {
            return None;
        }
        let port_text = match authority.as_str().strip_prefix(host)? {
            "" => None,
            rest => Some(rest.strip_prefix(':')?),
        };
        let default_port = default_port(is_https);
        let port = match port_text {
            Some(text) => parse_port(text)?,
            None => default_port,
        };
        let has_canonical_port =
            port_text.is_none_or(|text| port != default_port && !text.starts_with('0'));
        let is_lower_case = !host.bytes().any(|byte| byte.is_ascii_uppercase());
        let authority = if has_canonical_port && is_lower_case {
            authority.clone()
        } else {
            canonical(host, port, default_port)?
        };
        Some(Self {
            is_https,
            authority,
        })
    }

    pub(crate) fn is_https(&self) -> bool {
        self.is_https
    }

    /// Returns the host, an IPv6 address in brackets.
    pub(crate) fn host(&self) -> &str {
        self.authority.host()
    }

    /// Returns the address that the host is, an IPv4-mapped one as IPv4; `None` for a name.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        let host = self.host();
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let address: IpAddr = bare.unwrap_or(host).parse().ok()?;
        Some(address.to_canonical())
    }

    /// Returns whether the host is a name of this machine (RFC 6761 section 6.3).
    pub(crate) fn is_localhost(&self) -> bool {
        let host = self.host();
        let name = host.strip_suffix('.').unwrap_or(host);
        name == "localhost" || name.ends_with(".localhost")
    }

    pub(crate) fn port(&self) -> u16 {
        match self.authority.port_u16() {
            Some(port) => port,
            None => default_port(self.is_https),
        }
    }

    /// Returns the value of `Host` (RFC 9110 section 7.2).
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Returns the URL of the origin, with the path `/`.
    pub(crate) fn uri(&self) -> Result<Uri, http::Error> {
        let scheme = if self.is_https {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        };
        Uri::builder()
            .scheme(scheme)
            .authority(self.authority.clone())
            .path_and_query(PathAndQuery::from_static("/"))
            .build()
    }
}

/// One write of all bytes; [`Authority`] itself writes them one by one, in lower case.
impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.is_https.hash(state);
        self.authority.as_str().hash(state);
    }
}

fn default_port(is_https: bool) -> u16 {
    if is_https { 443 } else { 80 }
}

fn parse_port(text: &str) -> Option<u16> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|port| *port != 0)
}

fn canonical(host: &str, port: u16, default_port: u16) -> Option<Authority> {
    let host = host.to_ascii_lowercase();
    let text = if port == default_port {
        host
    } else {
        format!("{host}:{port}")
    };
    Authority::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Option<Origin> {
        Origin::of(&text.parse().ok()?)
    }

    #[test]
    fn origins_differ_in_scheme_host_and_port() {
        let api = origin("https://api.example").unwrap();
        for same in [
            "https://API.example:443/v1?x",
            "https://api.example:0443/",
            "HTTPS://api.example",
        ] {
            assert_eq!(origin(same).unwrap(), api, "{same}");
        }
        for other in [
            "http://api.example",
            "http://api.example:443",
            "https://api.example:8443",
            "https://api.example.",
            "https://apі.example",
        ] {
            assert_ne!(origin(other), Some(api.clone()), "{other}");
        }
    }

    #[test]
    fn has_a_canonical_authority() {
        let rows = [
            ("https://a.example:443", "a.example", "a.example", 443),
            ("http://A.example:0080/", "a.example", "a.example", 80),
            ("http://a.example:443", "a.example:443", "a.example", 443),
            ("https://[::1]:8443/x", "[::1]:8443", "[::1]", 8443),
        ];
        for (text, authority, host, port) in rows {
            let origin = origin(text).unwrap();
            assert_eq!(origin.authority().as_str(), authority, "{text}");
            assert_eq!((origin.host(), origin.port()), (host, port), "{text}");
            let scheme = text.split_once(':').unwrap().0;
            assert_eq!(
                origin.uri().unwrap().to_string(),
                format!("{scheme}://{authority}/"),
                "{text}"
            );
        }
    }

    #[test]
    fn url_with_user_name_or_invalid_port_has_no_origin() {
        for text in [
            "/path",
            "a.example:443",
            "ftp://a.example",
            "https://user@a.example",
            "https://a.example@b.example",
            "https://a.example:0",
            "https://a.example:99999",
            "https://a.example:",
            "https://a.example:+80",
            "https://:443",
        ] {
            assert_eq!(origin(text), None, "{text}");
        }
    }
}
