//! Building answers: JSON, errors, and the fields that every answer carries.

use aisbreaker_api::{ErrorBody, ErrorObject};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
        ALLOW, CONTENT_LENGTH, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};
use serde::Serialize;

use crate::{body::ResponseBody, route::Route};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What a browser may send even if it did not ask.
const ALWAYS_ALLOWED_HEADERS: &str = "Authorization, Content-Type";
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "x-request-id, retry-after, ratelimit, ratelimit-policy, x-ratelimit-limit-requests, \
     x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-should-retry, x-aisbreaker-attempts",
);

/// Why a request is not served: what becomes of it is decided in `status`.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    /// The provider's own reason phrase, for statuses that have none of their own.
    pub(crate) status_text: Option<String>,
    pub(crate) message: String,
    pub(crate) kind: Option<String>,
    /// The member of the request that is at fault, where a dialect tells it.
    pub(crate) param: Option<&'static str>,
    pub(crate) headers: HeaderMap,
    /// For the log only.
    pub(crate) cause: Option<String>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            status_text: None,
            message: message.into(),
            kind: None,
            param: None,
            headers: HeaderMap::new(),
            cause: None,
        }
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(crate) fn with_kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    pub(crate) fn with_param(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    /// Whether the client should not try again soon.
    pub(crate) fn is_final(&self) -> bool {
        self.headers
            .get(X_SHOULD_RETRY)
            .is_some_and(|value| value == "false")
    }

    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The error object of the API.
    pub(crate) fn error_body(&self) -> ErrorBody {
        let own = self.status_text.as_deref().unwrap_or("Unknown Status");
        let reason = self.status.canonical_reason().unwrap_or(own);
        let mut error = ErrorObject::new(self.status.as_u16(), reason, self.message.clone());
        error.kind.clone_from(&self.kind);
        ErrorBody { error }
    }

    pub(crate) fn into_response(self) -> Response<ResponseBody> {
        let mut response = json(self.status, &self.error_body());
        response.headers_mut().extend(self.headers);
        response
    }
}

/// An answer with a JSON body.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response<ResponseBody> {
    let (status, bytes) = match serde_json::to_vec(body) {
        Ok(bytes) => (status, bytes),
        // Not to be expected: the types have no map keys but strings.
        Err(_error) => (StatusCode::INTERNAL_SERVER_ERROR, b"{}".to_vec()),
    };
    let mut response = full(status, JSON, bytes.into());
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An answer with this body.
pub(crate) fn full(
    status: StatusCode,
    content_type: HeaderValue,
    body: Bytes,
) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// An answer without a body.
pub(crate) fn no_content() -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// What a browser may send to this route (CORS preflight).
pub(crate) fn preflight(route: Route, request_headers: &HeaderMap) -> Response<ResponseBody> {
    let mut response = no_content();
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(route.allowed()));
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(route.allowed()),
    );
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        allowed_headers(request_headers),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    headers.insert(
        VARY,
        HeaderValue::from_static("Access-Control-Request-Headers"),
    );
    response
}

fn allowed_headers(request_headers: &HeaderMap) -> HeaderValue {
    let always = HeaderValue::from_static(ALWAYS_ALLOWED_HEADERS);
    let Some(requested) = request_headers
        .get(ACCESS_CONTROL_REQUEST_HEADERS)
        .and_then(|v| v.to_str().ok())
    else {
        return always;
    };
    let names: Vec<&str> = requested
        .split(',')
        .map(str::trim)
        .filter(|name| HeaderName::from_bytes(name.as_bytes()).is_ok())
        .filter(|name| {
            !ALWAYS_ALLOWED_HEADERS
                .split(", ")
                .any(|known| known.eq_ignore_ascii_case(name))
        })
        .collect();
    if names.is_empty() {
        return always;
    }
    HeaderValue::try_from(format!("{ALWAYS_ALLOWED_HEADERS}, {}", names.join(", ")))
        .unwrap_or(always)
}

/// Adds what every answer carries.
pub(crate) fn finish(
    response: &mut Response<ResponseBody>,
    request_id: HeaderValue,
    is_head: bool,
) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    // An answer that is passed on has more of them.
    headers
        .entry(ACCESS_CONTROL_EXPOSE_HEADERS)
        .or_insert(EXPOSED_HEADERS);
    headers.entry(X_REQUEST_ID).or_insert(request_id);
    if is_head && let Some(length) = response.body_mut().cut_for_head() {
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}
