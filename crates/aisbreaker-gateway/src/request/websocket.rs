//! The handshake of a WebSocket, which is refused with 426 so that clients fall back to HTTP at once.
//!
//! Source: RFC 6455 section 4.1; RFC 9110 sections 7.8 and 15.5.22.

use http::{
    HeaderMap, HeaderName, Method, Version,
    header::{CONNECTION, SEC_WEBSOCKET_KEY, UPGRADE},
    request::Parts,
};

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
}
