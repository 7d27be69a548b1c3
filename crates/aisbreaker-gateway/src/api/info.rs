//! Responses that need neither key nor service: version, ping and health.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::{
    form_urlencoded,
    response::{self, ResponseBody},
};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The longest name in the version message, in characters.
const MAX_NAME_CHARS: usize = 200;
const ROOT_HEAD: &str = r#"<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>AIsBreaker Server</title></head>
<body>
<h1>AIsBreaker Server</h1>
<ul>
"#;
/// Relative, so that it holds below a prefix that a proxy takes off.
const CONSOLE_LINK: &str = "<li><a href=\"console/\">Console</a></li>\n";
const ROOT_TAIL: &str = r#"<li><a href="/api/v1/version">Version</a></li>
<li><a href="https://aisbreaker.org/">AIsBreaker.org Website</a></li>
<li><a href="https://aisbreaker.org/docs">Documentation</a></li>
</ul>
</body>
</html>
"#;

/// Answers with a page of links, to the console too if there is one.
pub(crate) fn root(has_console: bool) -> Response<ResponseBody> {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let console_link = if has_console { CONSOLE_LINK } else { "" };
    let page = [ROOT_HEAD, console_link, ROOT_TAIL].concat();
    response::full(StatusCode::OK, html, Bytes::from(page))
}

pub(crate) fn ping() -> Response<ResponseBody> {
    response::json(StatusCode::OK, &json!({"message": "api-pong"}))
}

pub(crate) fn version(query: Option<&str>) -> Response<ResponseBody> {
    let name = match query.and_then(name_in) {
        Some(name) => name,
        None => "stranger".to_owned(),
    };
    let message = format!("Hello {name}, ... I'm AIsBreaker.org server version {VERSION} !");
    response::json(
        StatusCode::OK,
        &json!({"version": VERSION, "message": message}),
    )
}

/// Answers the request by which Anthropic's agents look for a server before their first call.
pub(crate) fn hello() -> Response<ResponseBody> {
    response::json(StatusCode::OK, &json!({"message": "hello"}))
}

pub(crate) fn health() -> Response<ResponseBody> {
    response::json(StatusCode::OK, &json!({"status": "ok"}))
}

pub(crate) fn ready() -> Response<ResponseBody> {
    response::json(StatusCode::OK, &json!({"status": "ready"}))
}

/// Returns the value of `name` in a query (WHATWG URL section 5.1).
fn name_in(query: &str) -> Option<String> {
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("name="))?;
    let name: String = form_urlencoded::decode(value)
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_NAME_CHARS)
        .collect();
    if name.is_empty() { None } else { Some(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_and_decodes_the_name() {
        let rows = [
            ("name=Ada", Some("Ada")),
            ("x=1&name=Ada+L%C3%B6we", Some("Ada Löwe")),
            ("name=a%0Ab", Some("ab")),
            ("name=", None),
            ("surname=x", None),
        ];
        for (query, expected) in rows {
            assert_eq!(name_in(query).as_deref(), expected, "{query}");
        }
    }
}
