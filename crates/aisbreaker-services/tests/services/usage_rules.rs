//! Usage objects of providers, read by the rules of the provider table.

use aisbreaker_services::{Dialect, Providers, Tokens};
use serde_json::{Value, json};

/// Counts of input, output, cached and reasoning tokens.
type Counts = [Option<u64>; 4];

fn read(provider: &str, dialect: Dialect, usage: &Value) -> Tokens {
    Providers::builtin()
        .find(provider)
        .expect(provider)
        .dialect(dialect)
        .expect(provider)
        .usage
        .read(usage)
}

fn counts(tokens: Tokens) -> Counts {
    [tokens.input, tokens.output, tokens.cached, tokens.reasoning]
}

fn check(
    dialect: Dialect,
    rows: impl IntoIterator<Item = (&'static str, &'static str, Value, Counts)>,
) {
    for (name, provider, usage, expected) in rows {
        assert_eq!(
            counts(read(provider, dialect, &usage)),
            expected,
            "{name} of {provider}"
        );
    }
}

#[test]
fn chats_count_cached_tokens_and_reasoning_once() {
    let of_openai = json!({
        "prompt_tokens": 1124, "completion_tokens": 50, "total_tokens": 1174,
        "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 40, "audio_tokens": 0},
    });
    let of_xai = json!({
        "prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135,
        "prompt_tokens_details": {"text_tokens": 32, "cached_tokens": 6},
        "completion_tokens_details": {"reasoning_tokens": 94},
    });
    let of_deepseek = json!({
        "prompt_tokens": 80, "completion_tokens": 31, "total_tokens": 111,
        "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 16,
        "completion_tokens_details": {"reasoning_tokens": 28},
    });
    let of_deepseek_with_details = json!({
        "prompt_tokens": 80, "completion_tokens": 31, "total_tokens": 111,
        "prompt_tokens_details": {"cached_tokens": 64},
        "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 16,
    });
    let of_research = json!({
        "prompt_tokens": 33, "completion_tokens": 7163, "total_tokens": 7196,
        "citation_tokens": 20016, "num_search_queries": 18, "reasoning_tokens": 73997,
    });
    let plain = json!({"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14});
    let of_gemini = json!({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 103});
    let of_gemini_with_details = json!({
        "prompt_tokens": 9, "completion_tokens": 94, "total_tokens": 103,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 93},
    });
    let of_gemini_without_total = json!({"prompt_tokens": 9, "completion_tokens": 1});
    let top_level = json!({
        "prompt_tokens": 47, "completion_tokens": 30, "total_tokens": 77,
        "cached_tokens": 32, "reasoning_tokens": 20,
    });
    let without_details = json!({
        "prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9,
        "prompt_tokens_details": null, "completion_tokens_details": null,
    });
    check(
        Dialect::OpenAi,
        [
            (
                "chat",
                "openai.com",
                of_openai.clone(),
                [Some(1124), Some(50), Some(1024), Some(40)],
            ),
            (
                "chat",
                "azure.com",
                of_openai.clone(),
                [Some(1124), Some(50), Some(1024), Some(40)],
            ),
            (
                "chat",
                "openrouter.ai",
                of_openai,
                [Some(1124), Some(50), Some(1024), Some(40)],
            ),
            (
                "reasoning on top",
                "x.ai",
                of_xai,
                [Some(32), Some(103), Some(6), Some(94)],
            ),
            (
                "no reasoning",
                "x.ai",
                plain.clone(),
                [Some(9), Some(5), None, None],
            ),
            (
                "names of its own",
                "deepseek.com",
                of_deepseek,
                [Some(80), Some(31), Some(64), Some(28)],
            ),
            (
                "both names",
                "deepseek.com",
                of_deepseek_with_details,
                [Some(80), Some(31), Some(64), None],
            ),
            (
                "deep research",
                "perplexity.ai",
                of_research,
                [Some(33), Some(81160), None, Some(73997)],
            ),
            (
                "search",
                "perplexity.ai",
                plain.clone(),
                [Some(9), Some(5), None, None],
            ),
            (
                "hidden thinking",
                "gemini.google.com",
                of_gemini,
                [Some(9), Some(94), None, Some(93)],
            ),
            (
                "no thinking",
                "gemini.google.com",
                plain.clone(),
                [Some(9), Some(5), None, Some(0)],
            ),
            (
                "counted thinking",
                "gemini.google.com",
                of_gemini_with_details,
                [Some(9), Some(94), Some(4), Some(93)],
            ),
            (
                "no total",
                "gemini.google.com",
                of_gemini_without_total,
                [Some(9), Some(1), None, None],
            ),
            (
                "counts at the top level",
                "together.ai",
                top_level.clone(),
                [Some(47), Some(30), Some(32), Some(20)],
            ),
            (
                "counts at the top level",
                "moonshot.ai",
                top_level,
                [Some(47), Some(30), Some(32), Some(20)],
            ),
            (
                "details that are null",
                "vllm",
                without_details,
                [Some(7), Some(2), None, None],
            ),
            ("no usage", "mistral.ai", Value::Null, [None; 4]),
            ("no object", "mistral.ai", json!([plain]), [None; 4]),
            (
                "no numbers",
                "mistral.ai",
                json!({"prompt_tokens": "9", "completion_tokens": -5}),
                [None; 4],
            ),
        ],
    );
}

#[test]
fn other_operations_are_counted_by_the_same_rules() {
    let response = json!({
        "input_tokens": 36, "input_tokens_details": {"cached_tokens": 12},
        "output_tokens": 87, "output_tokens_details": {"reasoning_tokens": 64}, "total_tokens": 123,
    });
    let counted = [Some(36), Some(87), Some(12), Some(64)];
    let images = json!({
        "input_tokens": 50, "output_tokens": 1056, "total_tokens": 1106,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
    });
    let transcription = json!({
        "type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
    });
    let embeddings = json!({"prompt_tokens": 8, "total_tokens": 8});
    check(
        Dialect::OpenAi,
        [
            ("response", "openai.com", response.clone(), counted),
            ("response", "x.ai", response.clone(), counted),
            ("response", "perplexity.ai", response.clone(), counted),
            ("response", "gemini.google.com", response, counted),
            (
                "images",
                "openai.com",
                images,
                [Some(50), Some(1056), None, None],
            ),
            (
                "transcription",
                "openai.com",
                transcription,
                [Some(14), Some(45), None, None],
            ),
            (
                "seconds of a transcription",
                "openai.com",
                json!({"type": "duration", "seconds": 9}),
                [None; 4],
            ),
            (
                "embeddings",
                "openai.com",
                embeddings.clone(),
                [Some(8), None, None, None],
            ),
            (
                "embeddings",
                "x.ai",
                embeddings.clone(),
                [Some(8), None, None, None],
            ),
            (
                "embeddings",
                "gemini.google.com",
                embeddings,
                [Some(8), Some(0), None, None],
            ),
        ],
    );
}

#[test]
fn cache_reads_and_writes_of_messages_count_as_input() {
    let cached = json!({
        "input_tokens": 21, "cache_creation_input_tokens": 188, "cache_read_input_tokens": 1000,
        "cache_creation": {"ephemeral_5m_input_tokens": 188, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 393, "output_tokens_details": {"thinking_tokens": 300},
        "service_tier": "standard",
    });
    let uncached = json!({
        "input_tokens": 21, "cache_creation_input_tokens": null, "cache_read_input_tokens": null,
        "output_tokens": 5,
    });
    check(
        Dialect::Anthropic,
        [
            (
                "cached",
                "anthropic.com",
                cached.clone(),
                [Some(1209), Some(393), Some(1000), Some(300)],
            ),
            (
                "cached",
                "deepseek.com",
                cached,
                [Some(1209), Some(393), Some(1000), Some(300)],
            ),
            (
                "uncached",
                "anthropic.com",
                uncached,
                [Some(21), Some(5), None, None],
            ),
            (
                "count of tokens",
                "anthropic.com",
                json!({"input_tokens": 14}),
                [Some(14), None, None, None],
            ),
        ],
    );
}

#[test]
fn final_counts_of_messages_complete_the_first_ones() {
    let start = json!({
        "input_tokens": 25, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 100,
        "output_tokens": 1,
    });
    let rows = [
        (
            "output alone",
            json!({"output_tokens": 15}),
            [Some(135), Some(15), Some(100), None],
        ),
        (
            "all again",
            json!({
                "input_tokens": 30, "cache_creation_input_tokens": 10,
                "cache_read_input_tokens": 100,
                "output_tokens": 15, "server_tool_use": {"web_search_requests": 1},
            }),
            [Some(140), Some(15), Some(100), None],
        ),
        ("nothing", json!({}), [Some(135), Some(1), Some(100), None]),
    ];
    for (name, delta, expected) in rows {
        let start = read("anthropic.com", Dialect::Anthropic, &start);
        let delta = read("anthropic.com", Dialect::Anthropic, &delta);
        assert_eq!(counts(delta.merge(start)), expected, "{name}");
    }
}
