//! Public documents that clients and caches keep, and ask for again only if they have changed.
//!
//! Source: RFC 9110 sections 8.8.3 (`ETag`) and 13.1.2 (`If-None-Match`).

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH},
};

use super::{ResponseBody, empty, json_bytes};

const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=900");

/// Creates the response with a JSON document whose entity tag is `"tag"`, or a 304 for a client
/// that has it.
pub(crate) fn json_document(
    request: &HeaderMap,
    tag: &str,
    document: impl FnOnce() -> Bytes,
) -> Response<ResponseBody> {
    let tag = format!("\"{tag}\"");
    let mut response = if has_tag(request, tag.as_bytes()) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        json_bytes(StatusCode::OK, document())
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, CACHE);
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// Returns whether the client has the representation with this tag, by the weak comparison.
pub(crate) fn has_tag(request: &HeaderMap, tag: &[u8]) -> bool {
    let lists = request.get_all(IF_NONE_MATCH);
    let mut listed = lists
        .iter()
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim);
    listed.any(|listed| {
        let opaque = listed.strip_prefix("W/").unwrap_or(listed);
        listed == "*" || opaque.as_bytes() == tag
    })
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
            assert_eq!(has_tag(&headers, b"\"a\""), is_found, "{lists:?}");
        }
    }
}
