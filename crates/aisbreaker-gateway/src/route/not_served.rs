//! The message about a path of a provider's API that is not served.

use std::fmt;

use http::Method;

use super::operation::Operation;

/// The longest word of a path that is shown.
const MAX_WORD_LEN: usize = 24;
/// The most segments of a path that are shown.
const MAX_SEGMENTS: usize = 8;

/// A request for an operation of a provider's API that is not served. Shows the path without what may
/// be an id or a secret, and what is served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NotServed<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
}

impl fmt::Display for NotServed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this server does not serve ")?;
        if is_word(&self.method.as_str().to_ascii_lowercase()) {
            write!(f, "{} ", self.method)?;
        }
        write_path(self.path, f)?;
        write!(f, "; below /v1 it serves ")?;
        for (index, name) in Operation::names()
            .filter(|name| is_listed(name))
            .enumerate()
        {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{name}")?;
        }
        write!(
            f,
            " and what is below them; see /openapi.json, or \
             https://github.com/aisbreaker/aisbreaker/blob/main/docs/provider-api.md"
        )
    }
}

/// Returns whether no other name stands for this one: that of an id is below another.
fn is_listed(name: &str) -> bool {
    !name.contains('{')
}

/// Writes the path with `{id}` in place of what is not a word.
fn write_path(path: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    for (index, segment) in segments.enumerate() {
        if index == MAX_SEGMENTS {
            return f.write_str("/…");
        }
        let shown = if is_word(segment) { segment } else { "{id}" };
        write!(f, "/{shown}")?;
    }
    Ok(())
}

/// Returns whether a segment is a word or a version, as paths have them, and neither an id nor a
/// secret.
fn is_word(segment: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let is_version = segment.len() <= 8
        && segment.starts_with('v')
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_version || (segment.len() <= MAX_WORD_LEN && segment.bytes().all(is_letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_shown_without_ids_and_secrets() {
        let rows = [
            ("/v1/threads", "POST /v1/threads"),
            ("/v1/threads/", "POST /v1/threads"),
            (
                "/openai/v1/threads/thread_abc123/runs",
                "POST /openai/v1/threads/{id}/runs",
            ),
            ("/v1/sk-secret", "POST /v1/{id}"),
            ("/v1/AKIASECRET", "POST /v1/{id}"),
            ("/v1/aisbreaker_v2_secret", "POST /v1/{id}"),
            ("/v1/%61%69", "POST /v1/{id}"),
            ("/v1/abcdefghijklmnopqrstuvwxyzabcdef", "POST /v1/{id}"),
            ("/v1/a/b/c/d/e/f/g/h", "POST /v1/a/b/c/d/e/f/g/…"),
            ("/v1/<b>", "POST /v1/{id}"),
        ];
        for (path, shown) in rows {
            let method = &Method::POST;
            let message = NotServed { method, path }.to_string();
            let expected = format!("this server does not serve {shown}; below /v1 it serves ");
            assert!(message.starts_with(&expected), "{path}: {message}");
            assert!(message.contains(" files, uploads, "), "{message}");
        }
        let method = &Method::from_bytes(b"SK-SECRET").unwrap();
        let path = "/v1/threads";
        let message = NotServed { method, path }.to_string();
        assert!(!message.contains("SECRET"), "{message}");
    }
}
