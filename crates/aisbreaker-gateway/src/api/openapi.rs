//! `GET /openapi.json`: the description of the API (OpenAPI 3.1).
//!
//! The document is written by hand, except for the families of resources, which their table describes.
//! The tests compare it with the routes and the errors, and CI calls a server by it.

mod resources;

use std::sync::LazyLock;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use bytes::Bytes;
use http::{HeaderMap, Response};
use sha2::{Digest as _, Sha256};

use crate::response::{ResponseBody, conditional};

/// Served as `application/json`, which browsers show and every tool reads.
static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| resources::add_to(include_str!("openapi/openapi.json")));

/// The entity tag of the document.
static TAG: LazyLock<String> =
    LazyLock::new(|| Base64UrlUnpadded::encode_string(&Sha256::digest(&*DOCUMENT)));

/// Answers with the document.
pub(crate) fn serve(request: &HeaderMap) -> Response<ResponseBody> {
    conditional::json_document(request, &TAG, || Bytes::from_static(DOCUMENT.as_bytes()))
}

#[cfg(test)]
mod tests;
