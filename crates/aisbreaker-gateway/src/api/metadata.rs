//! `GET /.well-known/oauth-authorization-server`: where the endpoints for keys are (RFC 8414).

use http::{HeaderValue, Response, StatusCode, header::CACHE_CONTROL};
use serde::Serialize;

use crate::response::{self, ResponseBody};

const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=900");

/// The metadata of an authorization server (RFC 8414 section 2).
#[derive(Serialize)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
    jwks_uri: String,
    revocation_endpoint: String,
    introspection_endpoint: String,
    grant_types_supported: [&'static str; 1],
    /// There is no authorization endpoint.
    response_types_supported: [&'static str; 0],
    token_endpoint_auth_methods_supported: [&'static str; 2],
}

/// Answers with the metadata of the server at this origin, whose host must be one of its own: clients
/// trust the endpoints.
pub(crate) fn serve(origin: &str) -> Response<ResponseBody> {
    let at = |path: &str| format!("{origin}{path}");
    let metadata = Metadata {
        issuer: at(""),
        token_endpoint: at("/api/v1/oauth/token"),
        jwks_uri: at("/.well-known/jwks.json"),
        revocation_endpoint: at("/api/v1/oauth/revoke"),
        introspection_endpoint: at("/api/v1/oauth/introspect"),
        grant_types_supported: ["urn:ietf:params:oauth:grant-type:token-exchange"],
        response_types_supported: [],
        token_endpoint_auth_methods_supported: ["none", "client_secret_basic"],
    };
    let mut response = response::json(StatusCode::OK, &metadata);
    response.headers_mut().insert(CACHE_CONTROL, CACHE);
    response
}
