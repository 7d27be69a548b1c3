use serde_json::{Value, json};

use super::*;

fn read(body: &Value) -> Demand {
    Demand::of_json(body.to_string().as_bytes())
        .unwrap()
        .obeying(CAPS_OF_CHAT)
}

fn len(body: &Value) -> u64 {
    u64::try_from(body.to_string().len()).unwrap()
}

const NOTHING_KNOWN: ModelBounds = ModelBounds {
    max_output: None,
    context: None,
};

#[test]
fn the_largest_cap_counts_times_the_answers() {
    let rows = [
        (json!({}), 4_096),
        (json!({"max_tokens": 7}), 7),
        (
            json!({"max_tokens": 1, "max_completion_tokens": 30_000}),
            30_000,
        ),
        (
            json!({"max_completion_tokens": 1, "max_tokens": 30_000}),
            30_000,
        ),
        (json!({"max_completion_tokens": 5, "max_tokens": null}), 5),
        // An API that does not know a cap does not obey it.
        (json!({"max_output_tokens": 5, "max_tokens": null}), 4_096),
        (json!({"max_output_tokens": 9_000}), 9_000),
        (json!({"max_tokens": 5, "max_output_tokens": 9_000}), 9_000),
        // Some take these for none.
        (json!({"max_tokens": -1}), 4_096),
        (json!({"max_tokens": 0}), 4_096),
        (json!({"max_tokens": "many"}), 4_096),
        (json!({"max_tokens": [1]}), 4_096),
        (json!({"max_tokens": -1, "max_completion_tokens": 5}), 4_096),
        (
            json!({"max_tokens": -1, "max_completion_tokens": 5_000}),
            5_000,
        ),
        (
            json!({"max_tokens": 1, "generationConfig": {"maxOutputTokens": 30_000}}),
            30_000,
        ),
        (
            json!({"max_tokens": 1, "generation_config": {"max_output_tokens": 30_000}}),
            30_000,
        ),
        (
            json!({"max_tokens": 1, "generationConfig": {"maxOutputTokens": null}}),
            4_096,
        ),
        (
            json!({"max_tokens": 1, "generationConfig": {"candidateCount": 8}}),
            8,
        ),
        // A prompt is answered for itself.
        (json!({"max_tokens": 7, "prompt": "a"}), 7),
        (json!({"max_tokens": 7, "prompt": ["a", "b", "c"]}), 21),
        (json!({"max_tokens": 7, "prompt": ["a", "b"], "n": 3}), 42),
        (json!({"max_tokens": 7, "prompt": [[1, 2], [3]]}), 14),
        (json!({"max_tokens": 7, "prompt": [1, 2, 3]}), 7),
        (json!({"MAX_TOKENS": 9}), 9),
        (json!({"max_tokens": "12"}), 12),
        (json!({"max_tokens": 12.5}), 13),
        (json!({"max_tokens": 10, "n": 128}), 1_280),
        (json!({"max_tokens": 10, "n": 2, "best_of": 5}), 50),
        (json!({"n": 2}), 8_192),
        (json!({"max_tokens": u64::MAX, "n": 2}), u64::MAX),
    ];
    for (body, output) in rows {
        let needed = read(&body).estimate(4_096, NOTHING_KNOWN);
        assert_eq!(needed.output, output, "{body}");
        assert_eq!(needed.input, len(&body).div_ceil(2), "{body}");
    }
}

#[test]
fn a_member_that_decides_is_there_once() {
    for (body, member) in [
        (r#"{"max_tokens":1,"max_tokens":30000}"#, "max_tokens"),
        (r#"{"max_tokens":1,"Max_Tokens":30000}"#, "max_tokens"),
        (r#"{"n":1,"n":128}"#, "n"),
        (
            r#"{"service_tier":"flex","service_tier":"priority"}"#,
            "service_tier",
        ),
        (r#"{"max_tokens":1,"max_token\u0073":30000}"#, "max_tokens"),
    ] {
        let error = Demand::of_json(body.as_bytes()).unwrap_err().to_string();
        assert!(
            error.contains(member) && error.contains("twice"),
            "{body}: {error}"
        );
    }
    for body in ["", "[]", "7", "{} {}", "{\"max_tokens\":1"] {
        assert!(Demand::of_json(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn media_are_not_counted_as_text() {
    let base64 = "iVBORw0KGgo".repeat(1_000);
    let url = format!("data:image/png;base64,{base64}");
    let image = json!({"messages": [{"content": [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image", "source": {"type": "base64", "data": base64}},
    ]}]});
    let media = u64::try_from(url.len() + base64.len()).unwrap();
    let needed = read(&image).estimate(0, NOTHING_KNOWN);
    assert_eq!(needed.input, (len(&image) - media).div_ceil(2) + 4_000);

    // Text is text, whatever it looks like.
    for text in [
        json!({"messages": [{"content": base64}]}),
        json!({"messages": [{"content": [{"type": "text", "text": url}, {"type": "x", "note": base64}]}]}),
        json!({"data": "a plain text that is no base64 at all ".repeat(100)}),
        json!({"url": format!("data:text/plain;base64,{base64}")}),
    ] {
        let is_url = text["messages"][0]["content"][0]["text"].is_string();
        let needed = read(&text).estimate(0, NOTHING_KNOWN);
        if !is_url {
            assert_eq!(needed.input, len(&text).div_ceil(2), "{text:.80}");
        }
    }
}

#[test]
fn a_strict_reservation_needs_a_bound_of_everything() {
    let known = ModelBounds {
        max_output: Some(1_000),
        context: Some(200_000),
    };
    let text = json!({"messages": [{"content": "Hi"}], "max_tokens": 5});
    let bound = read(&text).bound(NOTHING_KNOWN);
    let input = len(&text);
    assert_eq!(bound, Ok(NeededTokens { input, output: 5 }));
    let uncapped = json!({"messages": []});
    assert_eq!(read(&uncapped).bound(NOTHING_KNOWN), Err(Unbounded::Output));
    assert_eq!(read(&uncapped).bound(known).unwrap().output, 1_000);
    for elsewhere in [
        json!({"previous_response_id": "resp_1"}),
        json!({"messages": [{"content": [{"image_url": {"url": "https://a.example/x.png"}}]}]}),
        json!({"messages": [{"content": [{"type": "file", "file": {"file_id": "file-1"}}]}]}),
        json!({"tools": [{"type": "web_search"}]}),
        json!({"tools": [{"type": "mcp", "server_url": "x"}]}),
        json!({"web_search_options": {}}),
        json!({"tools": [{"google_search": {}}]}),
        json!({"prompt": {"id": "pmpt_1"}}),
        json!({"input": [{"type": "item_reference", "id": "msg_1"}]}),
        json!({"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}),
        json!({"contents": [{"parts": [{"fileData": {"fileUri": "gs://a/b"}}]}]}),
        json!({"messages": [{"content": [{"image_url": {"url": " HTTPS://a.example/x.png"}}]}]}),
        json!({"messages": [{"content": [{"image_url": "gs://a/x.png"}]}]}),
        json!({"messages": [{"content": [{"image_url": "data:image/png;base64,QUJD"}]}]}),
        json!({"messages": [{"content": [{"source": {"data": "QUJD"}}]}]}),
        json!({"inputs": [{"image": {"base64": "QUJD"}}]}),
        json!({"messages": [{"content": [{"source": {"data": "QUJD".repeat(100)}}]}]}),
    ] {
        let mut body = elsewhere.clone();
        body["max_tokens"] = json!(5);
        let demand = read(&body);
        assert_eq!(demand.bound(NOTHING_KNOWN), Err(Unbounded::Input), "{body}");
        assert_eq!(demand.bound(known).unwrap().input, 200_000, "{body}");
    }
    let own_tools = json!({"max_tokens": 5, "tools": [
        {"type": "function", "function": {"parameters": {"type": "object", "properties": {"type": {"type": "string"}}}}},
        {"name": "x", "input_schema": {"type": "object"}},
        {"type": "custom", "name": "y"},
    ]});
    assert!(read(&own_tools).bound(NOTHING_KNOWN).is_ok());
    assert_eq!(
        Demand::of_form().bound(NOTHING_KNOWN),
        Err(Unbounded::Input)
    );
}

#[test]
fn caching_and_the_tier_are_seen() {
    let demand = read(&json!({
        "service_tier": "priority",
        "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}],
    }));
    assert!(demand.writes_cache);
    assert_eq!(demand.tier, Some(ServiceTier::Priority));
    for body in [
        json!({"speed": "fast", "service_tier": "standard_only"}),
        json!({"service_tier": "Priority", "speed": "standard"}),
    ] {
        assert_eq!(read(&body).tier, Some(ServiceTier::Priority), "{body}");
    }
    let demand = read(&json!({"service_tier": "no such tier", "cache_control": null}));
    assert!(!demand.writes_cache);
    assert_eq!(demand.tier, None);
}
