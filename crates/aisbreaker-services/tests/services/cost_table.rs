//! What calls cost: usage objects as providers send them, read by their rules and priced by the
//! built-in table, against dollars that were computed by hand.
//!
//! A sum is written out as tokens times dollars per million tokens, each part of the usage at its
//! rate. So a row names all prices that it depends on: a new version of the table shows here which
//! of them have changed.

use aisbreaker_services::{Dialect, Providers, prices::Prices};
use serde_json::Value;

/// Provider, dialect and model; the usage object; the sum in millionths of a dollar; the dollars.
type Row<'a> = ((&'a str, Dialect, &'a str), &'a str, &'a str, &'a str);

#[track_caller]
fn check(rows: &[Row<'_>]) {
    let providers = Providers::builtin();
    let prices = Prices::builtin();
    for &((provider, dialect, model), usage, sum, dollars) in rows {
        let provider = providers.find(provider).unwrap();
        let usage: Value = serde_json::from_str(usage).unwrap();
        let tokens = provider.dialect(dialect).unwrap().usage.read(&usage);
        let price = prices.find(provider, model).expect(model);
        let expected = nanos(dollars, 9);
        assert_eq!(sum_in_nanos(sum), expected, "{sum} is not {dollars}");
        assert_eq!(price.cost(&tokens), expected, "{model}: {sum} for {usage}");
    }
}

/// Computes a sum of products in picodollars, and rounds it up once.
fn sum_in_nanos(sum: &str) -> u64 {
    let terms = sum.split(" + ").map(|term| {
        let (tokens, rate) = term.split_once(" × ").unwrap();
        // Dollars per million are millionths of a dollar per token.
        tokens.parse::<u64>().unwrap() * nanos(rate, 6)
    });
    terms.sum::<u64>().div_ceil(1_000)
}

/// Returns a decimal as a multiple of its last possible digit.
fn nanos(decimal: &str, decimals: usize) -> u64 {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    format!("{whole}{fraction:0<decimals$}").parse().unwrap()
}

#[test]
fn usage_of_anthropic() {
    check(&[
        (
            (
                "anthropic.com",
                Dialect::Anthropic,
                "claude-3-5-sonnet-20241022",
            ),
            r#"{"input_tokens": 3, "cache_creation_input_tokens": 12304, "cache_read_input_tokens": 0, "output_tokens": 550}"#,
            "3 × 3 + 12304 × 3.75 + 550 × 15",
            "0.054399",
        ),
        (
            (
                "anthropic.com",
                Dialect::Anthropic,
                "claude-3-5-sonnet-20241022",
            ),
            r#"{"input_tokens": 3, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 12304, "output_tokens": 550}"#,
            "3 × 3 + 12304 × 0.3 + 550 × 15",
            "0.0119502",
        ),
        (
            (
                "anthropic.com",
                Dialect::Anthropic,
                "claude-3-5-sonnet-latest",
            ),
            r#"{"input_tokens": 100, "output_tokens": 200}"#,
            "100 × 3 + 200 × 15",
            "0.0033",
        ),
        (
            (
                "anthropic.com",
                Dialect::Anthropic,
                "claude-sonnet-4-20250514",
            ),
            r#"{"input_tokens": 2095, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 503, "service_tier": "standard"}"#,
            "2095 × 3 + 503 × 15",
            "0.01383",
        ),
        (
            (
                "anthropic.com",
                Dialect::Anthropic,
                "claude-opus-4-5-20251101",
            ),
            r#"{"input_tokens": 4, "cache_creation_input_tokens": 3000, "cache_read_input_tokens": 20000, "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 2000}, "output_tokens": 393}"#,
            "4 × 5 + 1000 × 6.25 + 2000 × 10 + 20000 × 0.5 + 393 × 25",
            "0.046095",
        ),
        (
            ("anthropic.com", Dialect::Anthropic, "claude-opus-4-5"),
            r#"{"input_tokens": 10, "cache_creation": {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 0}, "cache_creation_input_tokens": 7, "output_tokens": 0}"#,
            "10 × 5 + 7 × 6.25",
            "0.00009375",
        ),
        (
            ("anthropic.com", Dialect::Anthropic, "claude-opus-4-5"),
            r#"{"input_tokens": 50, "output_tokens": 8000, "output_tokens_details": {"thinking_tokens": 7500}}"#,
            "50 × 5 + 8000 × 25",
            "0.20025",
        ),
        (
            (
                "anthropic.com",
                Dialect::Anthropic,
                "claude-haiku-4-5-20251001",
            ),
            r#"{"input_tokens": 1, "output_tokens": 1}"#,
            "1 × 1 + 1 × 5",
            "0.000006",
        ),
        (
            ("anthropic.com", Dialect::Anthropic, "claude-haiku-4-5"),
            r#"{"input_tokens": 0, "output_tokens": 0}"#,
            "0 × 1",
            "0",
        ),
        (
            ("anthropic.com", Dialect::Anthropic, "claude-haiku-4-5"),
            r#"{"input_tokens": 1000, "output_tokens": 1000, "service_tier": "batch"}"#,
            "1000 × 0.5 + 1000 × 2.5",
            "0.003",
        ),
        (
            ("anthropic.com", Dialect::Anthropic, "claude-haiku-4-5"),
            r#"{"input_tokens": 1000, "output_tokens": 1000, "service_tier": "priority"}"#,
            "1000 × 1 + 1000 × 5",
            "0.006",
        ),
        (
            ("anthropic.com", Dialect::Anthropic, "claude-opus-4-8"),
            r#"{"input_tokens": 1000, "output_tokens": 1000, "service_tier": "standard", "speed": "fast"}"#,
            "1000 × 10 + 1000 × 50",
            "0.06",
        ),
        (
            ("anthropic.com", Dialect::Anthropic, "claude-opus-4-8"),
            r#"{"speed": "standard", "input_tokens": 1000, "output_tokens": 1000}"#,
            "1000 × 5 + 1000 × 25",
            "0.03",
        ),
        (
            (
                "anthropic.com",
                Dialect::Anthropic,
                "claude-sonnet-4-5-20250929",
            ),
            r#"{"input_tokens": 200000, "output_tokens": 1000}"#,
            "200000 × 3 + 1000 × 15",
            "0.615",
        ),
        (
            (
                "anthropic.com",
                Dialect::Anthropic,
                "claude-sonnet-4-5-20250929",
            ),
            r#"{"input_tokens": 200001, "output_tokens": 1000}"#,
            "200001 × 6 + 1000 × 22.5",
            "1.222506",
        ),
        (
            ("anthropic.com", Dialect::Anthropic, "claude-sonnet-4-5"),
            r#"{"input_tokens": 1, "cache_read_input_tokens": 150000, "cache_creation_input_tokens": 50000, "output_tokens": 10}"#,
            "1 × 6 + 150000 × 0.6 + 50000 × 7.5 + 10 × 22.5",
            "0.465231",
        ),
        (
            (
                "anthropic.com",
                Dialect::Anthropic,
                "claude-3-opus-20240229",
            ),
            r#"{"input_tokens": 17, "output_tokens": 23}"#,
            "17 × 15 + 23 × 75",
            "0.00198",
        ),
        (
            (
                "anthropic.com",
                Dialect::Anthropic,
                "claude-3-haiku-20240307",
            ),
            r#"{"input_tokens": 1, "output_tokens": 0}"#,
            "1 × 0.25",
            "0.00000025",
        ),
    ]);
}

#[test]
fn usage_of_openai() {
    check(&[
        (
            ("openai.com", Dialect::OpenAi, "gpt-4o"),
            r#"{"prompt_tokens": 1124, "completion_tokens": 50, "total_tokens": 1174, "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 40}}"#,
            "100 × 2.5 + 1024 × 1.25 + 50 × 10",
            "0.00203",
        ),
        (
            ("openai.com", Dialect::OpenAi, "gpt-4o-2024-08-06"),
            r#"{"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}"#,
            "10 × 2.5 + 20 × 10",
            "0.000225",
        ),
        (
            ("openai.com", Dialect::OpenAi, "gpt-4o-2024-05-13"),
            r#"{"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}"#,
            "10 × 5 + 20 × 15",
            "0.00035",
        ),
        (
            ("openai.com", Dialect::OpenAi, "GPT-4o-Mini-2024-07-18"),
            r#"{"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}"#,
            "1 × 0.15 + 1 × 0.6",
            "0.00000075",
        ),
        (
            ("openai.com", Dialect::OpenAi, "gpt-4o-mini"),
            r#"{"prompt_tokens": 1000, "completion_tokens": 1000, "service_tier": "priority"}"#,
            "1000 × 0.25 + 1000 × 1",
            "0.00125",
        ),
        (
            ("openai.com", Dialect::OpenAi, "gpt-4.1-2025-04-14"),
            r#"{"prompt_tokens": 1000, "completion_tokens": 1000, "prompt_tokens_details": {"cached_tokens": 400}, "service_tier": "priority"}"#,
            "600 × 3.5 + 400 × 0.875 + 1000 × 14",
            "0.01645",
        ),
        (
            ("openai.com", Dialect::OpenAi, "gpt-4.1"),
            r#"{"prompt_tokens": 1000, "completion_tokens": 1000, "service_tier": "default"}"#,
            "1000 × 2 + 1000 × 8",
            "0.01",
        ),
        (
            ("openai.com", Dialect::OpenAi, "gpt-5-2025-08-07"),
            r#"{"input_tokens": 328, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 52, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 380}"#,
            "328 × 1.25 + 52 × 10",
            "0.00093",
        ),
        (
            ("openai.com", Dialect::OpenAi, "gpt-5"),
            r#"{"input_tokens": 5000, "input_tokens_details": {"cached_tokens": 4096}, "output_tokens": 1500, "output_tokens_details": {"reasoning_tokens": 1472}}"#,
            "904 × 1.25 + 4096 × 0.125 + 1500 × 10",
            "0.016642",
        ),
        (
            ("openai.com", Dialect::OpenAi, "gpt-5"),
            r#"{"input_tokens": 5000, "output_tokens": 1500, "service_tier": "flex"}"#,
            "5000 × 0.625 + 1500 × 5",
            "0.010625",
        ),
        (
            ("openai.com", Dialect::OpenAi, "gpt-5"),
            r#"{"input_tokens": 5000, "output_tokens": 1500, "service_tier": "fast"}"#,
            "5000 × 2.5 + 1500 × 20",
            "0.0425",
        ),
        (
            ("openai.com", Dialect::OpenAi, "gpt-5-mini"),
            r#"{"prompt_tokens": 1000, "completion_tokens": 100, "service_tier": "priority"}"#,
            "1000 × 0.45 + 100 × 3.6",
            "0.00081",
        ),
        (
            ("openai.com", Dialect::OpenAi, "gpt-5.4"),
            r#"{"input_tokens": 272000, "output_tokens": 1}"#,
            "272000 × 2.5 + 1 × 15",
            "0.680015",
        ),
        (
            ("openai.com", Dialect::OpenAi, "gpt-5.4"),
            r#"{"input_tokens": 272001, "output_tokens": 1}"#,
            "272001 × 5 + 1 × 22.5",
            "1.3600275",
        ),
        (
            ("openai.com", Dialect::OpenAi, "gpt-5.6-sol"),
            r#"{"input_tokens": 10000, "input_tokens_details": {"cached_tokens": 3000, "cache_write_tokens": 6000}, "output_tokens": 200}"#,
            "1000 × 4 + 3000 × 0.4 + 6000 × 5 + 200 × 20",
            "0.0392",
        ),
        (
            ("openai.com", Dialect::OpenAi, "o1"),
            r#"{"prompt_tokens": 100, "completion_tokens": 2000, "completion_tokens_details": {"reasoning_tokens": 1900}}"#,
            "100 × 15 + 2000 × 60",
            "0.1215",
        ),
        (
            ("openai.com", Dialect::OpenAi, "gpt-4o-audio-preview"),
            r#"{"prompt_tokens": 300, "completion_tokens": 200, "prompt_tokens_details": {"audio_tokens": 250, "text_tokens": 50}, "completion_tokens_details": {"audio_tokens": 150, "text_tokens": 50}}"#,
            "50 × 2.5 + 250 × 40 + 50 × 10 + 150 × 80",
            "0.022625",
        ),
        (
            ("openai.com", Dialect::OpenAi, "text-embedding-3-small"),
            r#"{"prompt_tokens": 8, "total_tokens": 8}"#,
            "8 × 0.02",
            "0.00000016",
        ),
        (
            ("openai.com", Dialect::OpenAi, "text-embedding-3-large"),
            r#"{"prompt_tokens": 1, "total_tokens": 1}"#,
            "1 × 0.13",
            "0.00000013",
        ),
        (
            ("openai.com", Dialect::OpenAi, "gpt-image-1"),
            r#"{"total_tokens": 4210, "input_tokens": 50, "output_tokens": 4160, "input_tokens_details": {"text_tokens": 50, "image_tokens": 0}}"#,
            "50 × 10 + 4160 × 40",
            "0.1669",
        ),
        (
            ("openai.com", Dialect::OpenAi, "gpt-4o-transcribe"),
            r#"{"type": "tokens", "input_tokens": 14, "input_token_details": {"text_tokens": 0, "audio_tokens": 14}, "output_tokens": 45, "total_tokens": 59}"#,
            "14 × 6 + 45 × 10",
            "0.000534",
        ),
        (
            (
                "openai.com",
                Dialect::OpenAi,
                "ft:gpt-4o-mini-2024-07-18:acme::abc123",
            ),
            r#"{"prompt_tokens": 10, "completion_tokens": 10}"#,
            "10 × 0.3 + 10 × 1.2",
            "0.000015",
        ),
        (
            ("openai.com", Dialect::OpenAi, "gpt-3.5-turbo"),
            r#"{"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}"#,
            "9 × 0.5 + 12 × 1.5",
            "0.0000225",
        ),
    ]);
}

#[test]
fn usage_of_gemini() {
    check(&[
        (
            ("gemini.google.com", Dialect::OpenAi, "gemini-2.5-pro"),
            r#"{"prompt_tokens": 200000, "completion_tokens": 1000, "total_tokens": 201000}"#,
            "200000 × 1.25 + 1000 × 10",
            "0.26",
        ),
        (
            ("gemini.google.com", Dialect::OpenAi, "gemini-2.5-pro"),
            r#"{"prompt_tokens": 200001, "completion_tokens": 1000, "total_tokens": 201001}"#,
            "200001 × 2.5 + 1000 × 15",
            "0.5150025",
        ),
        (
            (
                "gemini.google.com",
                Dialect::OpenAi,
                "models/gemini-2.5-pro-preview-06-05",
            ),
            r#"{"prompt_tokens": 250000, "completion_tokens": 10, "total_tokens": 250010, "prompt_tokens_details": {"cached_tokens": 240000}}"#,
            "10000 × 2.5 + 240000 × 0.25 + 10 × 15",
            "0.08515",
        ),
        (
            ("gemini.google.com", Dialect::OpenAi, "gemini-2.5-flash"),
            r#"{"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 103}"#,
            "9 × 0.3 + 94 × 2.5",
            "0.0002377",
        ),
        (
            ("gemini.google.com", Dialect::OpenAi, "gemini-2.5-flash"),
            r#"{"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010, "prompt_tokens_details": {"audio_tokens": 600}}"#,
            "400 × 0.3 + 600 × 1 + 10 × 2.5",
            "0.000745",
        ),
        (
            (
                "gemini.google.com",
                Dialect::OpenAi,
                "gemini-2.5-flash-image",
            ),
            r#"{"prompt_tokens": 12, "completion_tokens": 1290, "total_tokens": 1302}"#,
            "12 × 0.3 + 1290 × 30",
            "0.0387036",
        ),
        (
            ("gemini.google.com", Dialect::OpenAi, "gemini-embedding-001"),
            r#"{"prompt_tokens": 5, "total_tokens": 5}"#,
            "5 × 0.15",
            "0.00000075",
        ),
    ]);
}

#[test]
fn usage_of_providers_with_their_own_cost() {
    check(&[
        (
            ("openrouter.ai", Dialect::OpenAi, "openai/gpt-4o"),
            r#"{"prompt_tokens": 14, "completion_tokens": 163, "total_tokens": 177, "cost": 0.00014, "is_byok": false}"#,
            "1 × 140",
            "0.00014",
        ),
        (
            ("openrouter.ai", Dialect::OpenAi, "openai/gpt-4o"),
            r#"{"prompt_tokens": 14, "completion_tokens": 163, "cost": 0}"#,
            "0 × 1",
            "0",
        ),
        (
            ("openrouter.ai", Dialect::OpenAi, "openai/gpt-4o"),
            r#"{"prompt_tokens": 14, "completion_tokens": 163, "cost": 1e-10}"#,
            "1 × 0.0001",
            "0.000000001",
        ),
        (
            ("openrouter.ai", Dialect::OpenAi, "openai/gpt-4o"),
            r#"{"prompt_tokens": 14, "completion_tokens": 163}"#,
            "14 × 2.5 + 163 × 10",
            "0.001665",
        ),
        (
            (
                "openrouter.ai",
                Dialect::Anthropic,
                "anthropic/claude-sonnet-4",
            ),
            r#"{"input_tokens": 10, "output_tokens": 20}"#,
            "10 × 3 + 20 × 15",
            "0.00033",
        ),
        (
            ("x.ai", Dialect::OpenAi, "grok-4"),
            r#"{"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135, "prompt_tokens_details": {"cached_tokens": 6}, "completion_tokens_details": {"reasoning_tokens": 94}, "cost_in_usd_ticks": 15000000}"#,
            "1 × 1500",
            "0.0015",
        ),
        (
            ("x.ai", Dialect::OpenAi, "grok-4"),
            r#"{"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135, "prompt_tokens_details": {"cached_tokens": 6}, "completion_tokens_details": {"reasoning_tokens": 94}}"#,
            "26 × 3 + 6 × 0.75 + 103 × 15",
            "0.0016275",
        ),
        (
            ("x.ai", Dialect::OpenAi, "grok-4.5-20260801"),
            r#"{"prompt_tokens": 200000, "completion_tokens": 10, "total_tokens": 200010}"#,
            "200000 × 4 + 10 × 12",
            "0.80012",
        ),
        (
            ("perplexity.ai", Dialect::OpenAi, "sonar-pro"),
            r#"{"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30, "cost": {"input_tokens_cost": 3e-05, "output_tokens_cost": 0.0003, "request_cost": 0.006, "total_cost": 0.00633}}"#,
            "1 × 6330",
            "0.00633",
        ),
        (
            ("perplexity.ai", Dialect::OpenAi, "sonar-pro"),
            r#"{"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}"#,
            "10 × 3 + 20 × 15 + 1 × 14000",
            "0.01433",
        ),
        (
            ("perplexity.ai", Dialect::OpenAi, "sonar-deep-research"),
            r#"{"prompt_tokens": 33, "completion_tokens": 7163, "citation_tokens": 20016, "reasoning_tokens": 73997}"#,
            "33 × 2 + 81160 × 8",
            "0.649346",
        ),
    ]);
}

#[test]
fn usage_of_others() {
    check(&[
        (
            ("deepseek.com", Dialect::OpenAi, "deepseek-chat"),
            r#"{"prompt_tokens": 80, "completion_tokens": 31, "total_tokens": 111, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 16}"#,
            "16 × 0.27 + 64 × 0.07 + 31 × 1.1",
            "0.0000429",
        ),
        (
            ("deepseek.com", Dialect::Anthropic, "deepseek-reasoner"),
            r#"{"input_tokens": 16, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 0, "output_tokens": 31}"#,
            "16 × 0.55 + 64 × 0.14 + 31 × 2.19",
            "0.00008565",
        ),
        (
            ("groq.com", Dialect::OpenAi, "llama-3.3-70b-versatile"),
            r#"{"queue_time": 0.01, "prompt_tokens": 24, "completion_tokens": 377, "total_tokens": 401}"#,
            "24 × 0.59 + 377 × 0.79",
            "0.00031199",
        ),
        (
            ("groq.com", Dialect::OpenAi, "openai/gpt-oss-120b"),
            r#"{"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 900}}"#,
            "100 × 0.15 + 900 × 0.075 + 10 × 0.6",
            "0.0000885",
        ),
        (
            ("groq.com", Dialect::OpenAi, "openai/gpt-oss-120b"),
            r#"{"prompt_tokens": 1000, "completion_tokens": 10, "service_tier": "performance"}"#,
            "1000 × 0.375 + 10 × 1.5",
            "0.00039",
        ),
        (
            ("mistral.ai", Dialect::OpenAi, "mistral-large-2411"),
            r#"{"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}"#,
            "12 × 2 + 7 × 6",
            "0.000066",
        ),
        (
            ("mistral.ai", Dialect::OpenAi, "codestral-2508"),
            r#"{"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}"#,
            "12 × 0.3 + 7 × 0.9",
            "0.0000099",
        ),
        (
            (
                "together.ai",
                Dialect::OpenAi,
                "meta-llama/Llama-3.3-70B-Instruct-Turbo",
            ),
            r#"{"prompt_tokens": 47, "completion_tokens": 30, "total_tokens": 77, "cached_tokens": 32}"#,
            "47 × 0.88 + 30 × 0.88",
            "0.00006776",
        ),
        (
            (
                "fireworks.ai",
                Dialect::OpenAi,
                "accounts/fireworks/models/deepseek-v3p2",
            ),
            r#"{"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 60}}"#,
            "40 × 0.56 + 60 × 0.28 + 10 × 1.68",
            "0.000056",
        ),
        (
            ("cohere.com", Dialect::OpenAi, "command-a-03-2025"),
            r#"{"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}"#,
            "5 × 2.5 + 6 × 10",
            "0.0000725",
        ),
        (
            ("cerebras.ai", Dialect::OpenAi, "gpt-oss-120b"),
            r#"{"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}"#,
            "5 × 0.35 + 6 × 0.75",
            "0.00000625",
        ),
        (
            ("moonshot.ai", Dialect::OpenAi, "kimi-k2-0905-preview"),
            r#"{"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, "cached_tokens": 512}"#,
            "488 × 0.6 + 512 × 0.15 + 100 × 2.5",
            "0.0006196",
        ),
        (
            ("z.ai", Dialect::Anthropic, "glm-4.6"),
            r#"{"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 5}"#,
            "10 × 0.6 + 90 × 0.11 + 5 × 2.2",
            "0.0000269",
        ),
        (
            ("deepinfra.com", Dialect::OpenAi, "deepseek-ai/DeepSeek-R1"),
            r#"{"prompt_tokens": 3, "completion_tokens": 4}"#,
            "3 × 0.7 + 4 × 2.4",
            "0.0000117",
        ),
        (
            (
                "sambanova.ai",
                Dialect::OpenAi,
                "Meta-Llama-3.3-70B-Instruct",
            ),
            r#"{"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}"#,
            "3 × 0.6 + 4 × 1.2",
            "0.0000066",
        ),
        (
            ("alibabacloud.com", Dialect::OpenAi, "qwen-max"),
            r#"{"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "prompt_tokens_details": {"cached_tokens": 1}}"#,
            "3 × 1.6 + 4 × 6.4",
            "0.0000304",
        ),
    ]);
}
