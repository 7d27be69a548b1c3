//! The chunk of a streamed completion that only reports usage.

use crate::{
    json_scan::{elements, is_whole_object, members, text},
    stream_end::{ERROR, holds_something},
};

/// What Azure's content filter found in the prompt. It comes in a chunk without choices.
const PROMPT_FILTER_RESULTS: &str = "prompt_filter_results";

/// Returns whether an event is the chunk that `"stream_options": {"include_usage": true}` adds to a
/// stream of completions: it has no choices, and a usage object.
///
/// Other chunks without choices are not: those that report an error, or what a content filter found
/// in the prompt. The data is read without being copied or parsed as a whole.
///
/// Source: <https://platform.openai.com/docs/api-reference/chat/create>, `stream_options`.
#[must_use]
pub fn is_usage_chunk(name: &[u8], data: &[u8]) -> bool {
    if name == ERROR.as_bytes() || !is_whole_object(data) {
        return false;
    }
    let (mut has_no_choices, mut has_usage) = (false, false);
    for (name, value) in members(data) {
        match text(name).as_deref() {
            Some("choices") => has_no_choices = is_empty_array(value),
            Some("usage") => has_usage = value.starts_with(b"{"),
            Some("type") if text(value).as_deref() == Some(ERROR) => return false,
            Some(ERROR | PROMPT_FILTER_RESULTS) if holds_something(value) => return false,
            _ => {}
        }
    }
    has_no_choices && has_usage
}

fn is_empty_array(value: &[u8]) -> bool {
    value.starts_with(b"[") && elements(value).next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_chunk_with_usage_and_nothing_else_to_say_is_one() {
        let rows = [
            (r#"{"choices":[],"usage":{"prompt_tokens":3}}"#, true),
            (
                r#"{"id":"a","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":null,"choices":[],"usage":{"prompt_tokens":3},"obfuscation":"x"}"#,
                true,
            ),
            (" {\n \"usage\" : { } ,\n \"ch\\u006fices\" : [ ] } ", true),
            (r#"{"choices":[],"usage":{},"error":null}"#, true),
            (
                r#"{"choices":[],"usage":{},"prompt_filter_results":[]}"#,
                true,
            ),
            // The first chunk of Azure, without and with `include_usage`.
            (
                r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#,
                false,
            ),
            (
                r#"{"choices":[],"usage":null,"prompt_filter_results":[{"prompt_index":0}]}"#,
                false,
            ),
            (
                r#"{"choices":[],"usage":{},"prompt_filter_results":[{"prompt_index":0}]}"#,
                false,
            ),
            (r#"{"choices":[],"usage":null}"#, false),
            (r#"{"choices":[]}"#, false),
            (r#"{"usage":{"prompt_tokens":3}}"#, false),
            (r#"{"choices":null,"usage":{}}"#, false),
            (r#"{"choices":{},"usage":{}}"#, false),
            // Some providers report the usage so far in every chunk.
            (r#"{"choices":[{"index":0}],"usage":{}}"#, false),
            (r#"{"choices":[{"choices":[]}],"usage":{}}"#, false),
            (r#"{"x":{"choices":[],"usage":{}}}"#, false),
            (
                r#"{"choices":[],"usage":{},"error":{"message":"x"}}"#,
                false,
            ),
            (r#"{"choices":[],"usage":{},"type":"error"}"#, false),
            (r#"{"choices":[],"usage":{}"#, false),
            (r#"{"choices":[],"usage":{}} x"#, false),
            (r#"[{"choices":[],"usage":{}}]"#, false),
            ("[DONE]", false),
            ("", false),
        ];
        for (data, expected) in rows {
            assert_eq!(is_usage_chunk(b"", data.as_bytes()), expected, "{data}");
        }
        let usage = br#"{"choices":[],"usage":{}}"#;
        assert!(is_usage_chunk(b"message", usage));
        assert!(!is_usage_chunk(b"error", usage));
    }
}
