//! The handshake of a WebSocket: of the client with this server, and of this server with a provider.
//!
//! The key of the client's handshake is passed on to the provider, so that the provider's answer holds
//! for both. Where there is no WebSocket, a handshake is refused with 426, so that clients fall back to
//! HTTP at once.
//!
//! Source: RFC 6455 sections 1.3 and 4; RFC 9110 sections 7.8 and 15.5.22.

use aisbreaker_token::PREFIX;
use base64ct::{Base64, Encoding as _};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Version,
    header::{
        CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    request::Parts,
};
use openssl::sha::sha1;
use secrecy::SecretString;

use super::{
    credentials::{Authorization, holds_key, or_subprotocol},
    error::{HandshakeError, RequestError},
    field::singleton,
};

/// The only version there is.
const VERSION: HeaderValue = HeaderValue::from_static("13");
/// The value of `Upgrade`.
pub(crate) const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
/// What follows the key in what is hashed for `Sec-WebSocket-Accept`.
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The length of a key, decoded.
const KEY_BYTES: usize = 16;
/// The subprotocol in which browsers send the API key, since their scripts can set no header field.
const KEY_PROTOCOL: &str = "openai-insecure-api-key.";
/// The subprotocol of OpenAI's API. A browser that offers it fails if it is not selected.
const REALTIME_PROTOCOL: &str = "realtime";

/// Marks a request whose connection can be switched to another protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CanUpgrade;

/// The handshake of a client.
#[derive(Debug)]
pub(crate) struct Handshake {
    key: HeaderValue,
    /// The subprotocols that the client offers, except the one with its credential.
    protocols: Vec<String>,
    secret: Option<SecretString>,
    extensions: Vec<HeaderValue>,
}

/// Why the answer of a provider does not switch to the WebSocket that was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct InvalidAnswer;

impl Handshake {
    /// Reads the handshake in the head of a request.
    ///
    /// # Errors
    /// [`HandshakeError`] for the first fault, and [`RequestError`] for a repeated field.
    pub(crate) fn read(parts: &Parts, has_content: bool) -> Result<Self, RequestError> {
        let headers = &parts.headers;
        let can_upgrade = parts.extensions.get::<CanUpgrade>().is_some();
        if !can_upgrade
            || parts.method != Method::GET
            || parts.version != Version::HTTP_11
            || !has_token(headers, UPGRADE, "websocket")
            || !has_token(headers, CONNECTION, "upgrade")
        {
            return Err(HandshakeError::NoUpgrade.into());
        }
        if singleton(headers, SEC_WEBSOCKET_VERSION)? != Some(VERSION.as_bytes()) {
            return Err(HandshakeError::Version.into());
        }
        singleton(headers, SEC_WEBSOCKET_KEY)?;
        let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| is_key(key));
        let Some(key) = key else {
            return Err(HandshakeError::Key.into());
        };
        if has_content {
            return Err(HandshakeError::Content.into());
        }
        let (protocols, secret) = protocols(headers)?;
        let extensions = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).into_iter();
        let extensions: Vec<_> = extensions.cloned().collect();
        if extensions.iter().any(holds_key) {
            return Err(HandshakeError::Extensions.into());
        }
        Ok(Self {
            key: key.clone(),
            protocols,
            secret,
            extensions,
        })
    }

    /// Leaves out extensions, which change how frames are read.
    pub(crate) fn leave_out_extensions(&mut self) {
        self.extensions.clear();
    }

    /// Returns the credentials of the client, in a field of its request or in its subprotocols.
    pub(crate) fn authorization<'a>(
        &'a self,
        fields: Authorization<'a>,
        headers: &HeaderMap,
    ) -> Authorization<'a> {
        or_subprotocol(fields, self.secret.as_ref(), headers)
    }

    /// Adds the fields of the handshake with a provider.
    pub(crate) fn write_request(&self, to: &mut HeaderMap) {
        to.insert(SEC_WEBSOCKET_VERSION, VERSION);
        to.insert(SEC_WEBSOCKET_KEY, self.key.clone());
        // Not expected to fail: they are tokens.
        if let Ok(protocols) = HeaderValue::try_from(self.protocols.join(", "))
            && !protocols.is_empty()
        {
            to.insert(SEC_WEBSOCKET_PROTOCOL, protocols);
        }
        for extensions in &self.extensions {
            to.append(SEC_WEBSOCKET_EXTENSIONS, extensions.clone());
        }
    }

    /// Checks the answer of a provider, and adds what the answer to the client has besides.
    ///
    /// # Errors
    /// [`InvalidAnswer`] if the provider did not read this handshake, or selected what was not offered.
    pub(crate) fn complete_answer(
        &self,
        provider: &HeaderMap,
        to: &mut HeaderMap,
    ) -> Result<(), InvalidAnswer> {
        let accept = provider.get(SEC_WEBSOCKET_ACCEPT);
        if !has_token(provider, UPGRADE, "websocket")
            || !has_token(provider, CONNECTION, "upgrade")
            || accept.is_none_or(|accept| accept.as_bytes() != self.accept().as_bytes())
        {
            return Err(InvalidAnswer);
        }
        if self.extensions.is_empty() && provider.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
            return Err(InvalidAnswer);
        }
        match provider.get(SEC_WEBSOCKET_PROTOCOL) {
            Some(selected) => {
                let is_it = |offered: &String| offered.as_bytes() == selected.as_bytes();
                if !self.protocols.iter().any(is_it) {
                    return Err(InvalidAnswer);
                }
            }
            None if self
                .protocols
                .iter()
                .any(|offered| offered == REALTIME_PROTOCOL) =>
            {
                let realtime = HeaderValue::from_static(REALTIME_PROTOCOL);
                to.insert(SEC_WEBSOCKET_PROTOCOL, realtime);
            }
            None => {}
        }
        to.insert(UPGRADE, WEBSOCKET);
        to.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        Ok(())
    }

    /// Returns what proves that the handshake was read.
    fn accept(&self) -> String {
        let hashed = [self.key.as_bytes(), ACCEPT_GUID.as_bytes()].concat();
        Base64::encode_string(&sha1(&hashed))
    }
}

fn is_key(value: &HeaderValue) -> bool {
    let text = value.to_str().unwrap_or_default();
    Base64::decode_vec(text).is_ok_and(|key| key.len() == KEY_BYTES)
}

/// Returns the subprotocols that are offered, and the credential among them.
fn protocols(headers: &HeaderMap) -> Result<(Vec<String>, Option<SecretString>), HandshakeError> {
    let (mut protocols, mut secret) = (Vec::new(), None);
    for line in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        let line = line
            .to_str()
            .map_err(|_invalid| HandshakeError::Protocols)?;
        for protocol in line.split(',').map(str::trim) {
            // Empty elements of a list mean nothing (RFC 9110 section 5.6.1).
            if protocol.is_empty() {
                continue;
            }
            if !protocol.bytes().all(is_token_byte) {
                return Err(HandshakeError::Protocols);
            }
            match key_protocol(protocol) {
                Some(_) if secret.is_some() => return Err(HandshakeError::Protocols),
                Some(value) => secret = Some(SecretString::from(value)),
                // A key elsewhere would go to the provider.
                None if protocol.contains(PREFIX) => return Err(HandshakeError::Protocols),
                None => protocols.push(protocol.to_owned()),
            }
        }
    }
    Ok((protocols, secret))
}

/// Returns the credential in a subprotocol. In another case it is none to a provider either, but it
/// must not go there.
fn key_protocol(protocol: &str) -> Option<&str> {
    let (name, secret) = protocol.split_at_checked(KEY_PROTOCOL.len())?;
    name.eq_ignore_ascii_case(KEY_PROTOCOL).then_some(secret)
}

/// Returns whether a token can have this byte (RFC 9110 section 5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Returns whether a request is the handshake of a WebSocket.
///
/// A proxy in front may have removed the fields of the connection, so the key that only a handshake
/// has is enough. Any other request with `Upgrade` is served as if it had none.
pub(crate) fn is_handshake(parts: &Parts) -> bool {
    if parts.method != Method::GET {
        return false;
    }
    let headers = &parts.headers;
    if headers.contains_key(SEC_WEBSOCKET_KEY) {
        return true;
    }
    // HTTP/1.0 has no upgrades, and HTTP/2 no such fields.
    parts.version == Version::HTTP_11
        && has_token(headers, UPGRADE, "websocket")
        && has_token(headers, CONNECTION, "upgrade")
}

/// Returns whether a list field has this token in any case, with or without a version.
fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let lines = headers.get_all(name).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|entry| {
            let protocol = entry.split(|byte| *byte == b'/').next().unwrap_or_default();
            protocol.trim_ascii().eq_ignore_ascii_case(token.as_bytes())
        })
}

#[cfg(test)]
mod tests {
    use http::Request;
    use secrecy::ExposeSecret as _;

    use super::*;

    type Fields = &'static [(&'static str, &'static str)];

    #[test]
    fn only_handshakes_of_websockets_are_recognized() {
        let rows: [(&str, Fields, bool); 12] = [
            (
                "GET",
                &[("upgrade", "websocket"), ("connection", "Upgrade")],
                true,
            ),
            (
                "GET",
                &[("upgrade", "WebSocket"), ("connection", "UPGRADE")],
                true,
            ),
            (
                "GET",
                &[
                    ("upgrade", "h2c, websocket/13"),
                    ("connection", "keep-alive, Upgrade"),
                ],
                true,
            ),
            (
                "GET",
                &[
                    ("upgrade", "h2c"),
                    ("upgrade", "websocket"),
                    ("connection", "keep-alive"),
                    ("connection", "upgrade"),
                ],
                true,
            ),
            (
                "GET",
                &[("sec-websocket-key", "x"), ("connection", "close")],
                true,
            ),
            ("GET", &[("upgrade", "websocket")], false),
            ("GET", &[("connection", "upgrade")], false),
            (
                "GET",
                &[("upgrade", "websockets"), ("connection", "upgrade")],
                false,
            ),
            (
                "GET",
                &[
                    ("upgrade", "h2c"),
                    ("connection", "upgrade, http2-settings"),
                ],
                false,
            ),
            ("GET", &[], false),
            (
                "POST",
                &[("upgrade", "websocket"), ("connection", "upgrade")],
                false,
            ),
            (
                "OPTIONS",
                &[("upgrade", "websocket"), ("connection", "upgrade")],
                false,
            ),
        ];
        for (method, fields, expected) in rows {
            let mut request = Request::builder().method(method);
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(is_handshake(&parts), expected, "{method} {fields:?}");
        }
        let old = Request::builder()
            .version(Version::HTTP_10)
            .header("upgrade", "websocket")
            .header("connection", "upgrade");
        assert!(!is_handshake(&old.body(()).unwrap().into_parts().0));
    }

    fn handshake(fields: &[(&str, &str)]) -> Result<Handshake, RequestError> {
        let mut request = Request::get("/v1/realtime").extension(CanUpgrade);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        Handshake::read(&request.body(()).unwrap().into_parts().0, false)
    }

    /// The example of RFC 6455 section 1.3.
    const EXAMPLE: [(&str, &str); 4] = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];

    fn with(more: &[(&str, &str)]) -> Result<Handshake, RequestError> {
        handshake(&[&EXAMPLE, more].concat())
    }

    #[test]
    fn the_key_is_answered_as_the_standard_has_it() {
        let accept = with(&[]).unwrap().accept();
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn the_credential_is_no_subprotocol() {
        let offered = "realtime, openai-insecure-api-key.aisbreaker_a.b-c,openai-beta.realtime-v1";
        let handshake = with(&[
            ("sec-websocket-protocol", offered),
            ("sec-websocket-protocol", "openai-organization.org-1"),
        ]);
        let handshake = handshake.unwrap();

        let mut fields = HeaderMap::new();
        handshake.write_request(&mut fields);
        assert_eq!(
            fields[SEC_WEBSOCKET_PROTOCOL],
            "realtime, openai-beta.realtime-v1, openai-organization.org-1"
        );
        let secret = handshake.secret.as_ref().unwrap().expose_secret();
        assert_eq!(secret, "aisbreaker_a.b-c");
        assert!(!format!("{handshake:?}").contains("aisbreaker_a"));

        for wrong in [
            "realtime, openai-insecure-api-key.a, openai-insecure-api-key.b",
            "realtime, aisbreaker_a",
            "real time",
            "realtime; openai-insecure-api-key.a",
        ] {
            let outcome = with(&[("sec-websocket-protocol", wrong)]);
            assert!(outcome.is_err(), "{wrong}");
        }

        let other_case = "realtime, OpenAI-Insecure-API-Key.sk-own";
        let handshake = with(&[("sec-websocket-protocol", other_case)]).unwrap();
        let mut fields = HeaderMap::new();
        handshake.write_request(&mut fields);
        assert_eq!(fields[SEC_WEBSOCKET_PROTOCOL], "realtime");
        let secret = handshake.secret.as_ref().unwrap().expose_secret();
        assert_eq!(secret, "sk-own");
    }

    #[test]
    fn extensions_hold_no_key_and_are_selected_only_if_offered() {
        for value in ["x; k=aisbreaker_a.b", "x, y=%61isbreaker_a"] {
            let outcome = with(&[("sec-websocket-extensions", value)]);
            assert!(outcome.is_err(), "{value}");
        }
        let offered = [("sec-websocket-extensions", "permessage-deflate")];
        let answer = [
            ("upgrade", "websocket"),
            ("connection", "upgrade"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("sec-websocket-extensions", "permessage-deflate"),
        ];
        let answer = answer.map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        let answer = HeaderMap::from_iter(answer);
        let mut handshake = with(&offered).unwrap();
        let is_valid = |handshake: &Handshake| {
            let outcome = handshake.complete_answer(&answer, &mut HeaderMap::new());
            outcome.is_ok()
        };
        assert!(is_valid(&handshake));
        handshake.leave_out_extensions();
        assert!(!is_valid(&handshake));
        assert!(!is_valid(&with(&[]).unwrap()));
    }

    #[test]
    fn an_answer_must_be_one_to_this_handshake() {
        let handshake = with(&[("sec-websocket-protocol", "realtime, other")]).unwrap();
        let valid = [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, upgrade"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        let answer = |fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            let mut to = HeaderMap::new();
            handshake.complete_answer(&headers, &mut to).map(|()| to)
        };
        let selected = answer(&valid).unwrap();
        assert_eq!(selected[SEC_WEBSOCKET_PROTOCOL], "realtime");
        assert_eq!(selected[UPGRADE], "websocket");
        let rows: [(&str, &str, bool); 5] = [
            ("sec-websocket-protocol", "other", true),
            ("sec-websocket-protocol", "third", false),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo", false),
            ("upgrade", "h2c", false),
            ("connection", "close", false),
        ];
        for (name, value, is_valid) in rows {
            let fields = [&valid[..], &[(name, value)]].concat();
            assert_eq!(answer(&fields).is_ok(), is_valid, "{name}: {value}");
        }
    }
}
