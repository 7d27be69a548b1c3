//! Cross-origin resource sharing (CORS): browsers may call every route from any origin, unless the
//! key of a request is restricted to some.
//!
//! Source: WHATWG Fetch section 3.2.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
        ALLOW, VARY,
    },
};

/// The request fields that are allowed even if the preflight does not ask for them.
const ALWAYS_ALLOWED_HEADERS: &str = "Authorization, Content-Type";
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "x-request-id, retry-after, ratelimit, ratelimit-policy, x-ratelimit-limit-requests, \
     x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-should-retry, \
     x-aisbreaker-attempts, x-aisbreaker-key-expires",
);

/// The pages whose scripts may read a response.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum AllowedOrigin {
    #[default]
    Any,
    /// Those of the origin that the request named, to which its key is restricted.
    One(HeaderValue),
    /// The key is restricted to origins, and the request came from none of them.
    None,
    /// Those of this server's own origin, whatever the client.
    SameOrigin,
}

/// Adds the fields of a preflight response for a route with these methods.
pub(crate) fn write_preflight(methods: &'static str, request: &HeaderMap, to: &mut HeaderMap) {
    let methods = HeaderValue::from_static(methods);
    to.insert(ALLOW, methods.clone());
    to.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    to.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(request));
    to.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    to.insert(
        VARY,
        HeaderValue::from_static("Access-Control-Request-Headers"),
    );
}

/// Lets scripts of the allowed origin read the response.
pub(crate) fn write_response(allowed: &AllowedOrigin, to: &mut HeaderMap) {
    let origin = match allowed {
        AllowedOrigin::Any => Some(HeaderValue::from_static("*")),
        AllowedOrigin::One(origin) => Some(origin.clone()),
        AllowedOrigin::None => None,
        AllowedOrigin::SameOrigin => return,
    };
    if *allowed != AllowedOrigin::Any {
        to.append(VARY, HeaderValue::from_static("Origin"));
    }
    let Some(origin) = origin else {
        return;
    };
    to.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    // Proxied responses already expose more.
    to.entry(ACCESS_CONTROL_EXPOSE_HEADERS)
        .or_insert(EXPOSED_HEADERS);
}

fn allowed_headers(request: &HeaderMap) -> HeaderValue {
    let always = HeaderValue::from_static(ALWAYS_ALLOWED_HEADERS);
    let Some(requested) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) else {
        return always;
    };
    let Ok(requested_names) = requested.to_str() else {
        return always;
    };
    let mut allowed = ALWAYS_ALLOWED_HEADERS.to_owned();
    for requested_name in requested_names.split(',') {
        let name = requested_name.trim();
        let is_field_name = HeaderName::from_bytes(name.as_bytes()).is_ok();
        if is_field_name && !is_always_allowed(name) {
            allowed.push_str(", ");
            allowed.push_str(name);
        }
    }
    HeaderValue::try_from(allowed).unwrap_or(always)
}

fn is_always_allowed(name: &str) -> bool {
    ALWAYS_ALLOWED_HEADERS
        .split(", ")
        .any(|allowed| allowed.eq_ignore_ascii_case(name))
}
