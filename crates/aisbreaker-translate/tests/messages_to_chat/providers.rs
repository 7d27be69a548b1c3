//! The answers of all providers of OpenAI's dialect, in the forms of their references.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::{accumulate, answers, parse_events, read_json, translate_stream};

/// Checks the text and the usage of a message. Input that was cached counts as input.
fn check(provider: &str, message: &Value, expected: &Value) {
    let content = json!([{"type": "text", "text": expected["outputs"][0]}]);
    assert_eq!(message["content"], content, "{provider}");
    assert_eq!(message["stop_reason"], "end_turn", "{provider}");
    // Perplexity counts the tokens of its searches in members of their own, and not in the total.
    if provider == "perplexity.ai" {
        return;
    }
    let usage = &message["usage"];
    let count = |name: &str| usage[name].as_u64().unwrap();
    let cached = count("cache_read_input_tokens");
    let input = count("input_tokens") + cached + count("cache_creation_input_tokens");
    let tokens = &expected["tokens"];
    assert_eq!(
        json!([input, cached, count("output_tokens")]),
        json!([
            tokens["input"],
            tokens["cached"].as_u64().unwrap_or(0),
            tokens["output"]
        ]),
        "{provider}: input, cached, output"
    );
}

#[test]
fn answers_of_all_providers_become_messages() {
    let providers =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../aisbreaker-services/tests/golden");
    let mut checked = 0;
    for provider in fs::read_dir(providers).unwrap() {
        let folder = provider.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        let provider = folder.file_name().unwrap().to_string_lossy();
        let expected = read_json(&folder.join("expected.json"));
        let answers = answers(false);

        let response = fs::read(folder.join("answer.json")).unwrap();
        let message = answers.translate_response(&response);
        let message = message.unwrap_or_else(|error| panic!("{provider}: {error}"));
        check(
            &provider,
            &serde_json::from_slice(&message).unwrap(),
            &expected,
        );

        let stream = fs::read_to_string(folder.join("stream.txt")).unwrap();
        let stream = translate_stream(&answers, &parse_events(&stream));
        let stream = stream.unwrap_or_else(|error| panic!("{provider}: {error}"));
        let message = accumulate(&stream).unwrap();
        match expected["streamTellsNoUsage"].as_bool() {
            // The files hold what is sent to a client that does not ask for the usage.
            Some(true) => assert_eq!(message["content"][0]["text"], expected["outputs"][0]),
            _ => check(&provider, &message, &expected),
        }
        checked += 1;
    }
    assert!(checked > 20);
}
