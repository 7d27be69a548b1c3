//! `GET /.well-known/jwks.json`: the public key that keys for this server are sealed with offline.
//!
//! Source: RFC 7517 section 5.

use aisbreaker_token::KeyRing;
use bytes::Bytes;
use http::{HeaderMap, Response};

use crate::response::{ResponseBody, conditional};

/// Answers with the key of the ring that seals, and with that key only.
pub(crate) fn serve(keys: &KeyRing, request: &HeaderMap) -> Response<ResponseBody> {
    let key = keys.public_key();
    conditional::json_document(request, &key.thumbprint(), || Bytes::from(key.to_jwk_set()))
}
