//! `GET /.well-known/jwks.json`: the public key that keys for this server are sealed with offline.
//!
//! Source: RFC 7517 section 5, RFC 9110 section 13.1.2 (`If-None-Match`).

use aisbreaker_token::KeyRing;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH},
};

use crate::response::{self, ResponseBody};

const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=900");

/// Answers with the key of the ring that seals, and with that key only.
pub(crate) fn serve(keys: &KeyRing, request: &HeaderMap) -> Response<ResponseBody> {
    let key = keys.public_key();
    let tag = format!("\"{}\"", key.thumbprint());
    let mut response = if has_tag(request, &tag) {
        let mut response = response::no_content();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        response::json_bytes(StatusCode::OK, Bytes::from(key.to_jwk_set()))
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, CACHE);
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// Returns whether the client has the representation with this tag, by the weak comparison.
fn has_tag(request: &HeaderMap, tag: &str) -> bool {
    let lists = request.get_all(IF_NONE_MATCH);
    let mut listed = lists
        .iter()
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim);
    listed.any(|listed| listed == "*" || listed.strip_prefix("W/").unwrap_or(listed) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_tag_in_any_list() {
        let rows = [
            (vec!["\"a\""], true),
            (vec!["W/\"a\""], true),
            (vec!["*"], true),
            (vec!["\"b\" , \"a\""], true),
            (vec!["\"b\"", "\"a\""], true),
            (vec!["a"], false),
            (vec!["\"A\""], false),
            (vec!["\"b\""], false),
            (vec![""], false),
            (vec![], false),
        ];
        for (lists, is_found) in rows {
            let mut headers = HeaderMap::new();
            for list in &lists {
                headers.append(IF_NONE_MATCH, HeaderValue::from_static(list));
            }
            assert_eq!(has_tag(&headers, "\"a\""), is_found, "{lists:?}");
        }
    }
}
