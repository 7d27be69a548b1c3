//! The price tables: which row a model has, what the operator may set, and what is reserved.

use aisbreaker_services::{
    Provider, Providers, ServiceTier, Tokens,
    prices::{InvalidPrice, OperatorPrices, Price, PricedReservation, Prices},
};
use proptest::prelude::*;

/// Returns a provider of the built-in table.
fn provider(name: &str) -> Provider {
    let providers = Providers::builtin();
    Provider::clone(providers.find(name).expect(name))
}

fn builtin(name: &str, model: &str) -> Option<Price> {
    Prices::builtin().find(&provider(name), model)
}

fn read(table: &str) -> Result<OperatorPrices, Vec<InvalidPrice>> {
    OperatorPrices::read(&table.parse().unwrap(), &Providers::builtin())
}

/// Returns the prices with an operator's table.
fn prices(table: &str) -> Prices {
    Prices::builtin().with_table(read(table).unwrap())
}

fn tokens(input: u64, output: u64) -> Tokens {
    let mut tokens = Tokens::default();
    tokens.input = Some(input);
    tokens.output = Some(output);
    tokens
}

/// Returns the dollars of a million tokens read and as many written, in millionths.
fn microdollars(price: &Price) -> (u64, u64) {
    let input = price.cost(&tokens(1_000_000, 0)) / 1_000;
    (input, price.cost(&tokens(0, 1_000_000)) / 1_000)
}

#[test]
fn a_model_without_a_row_has_no_price() {
    for (name, model) in [
        ("openai.com", "gpt-none"),
        ("openai.com", ""),
        ("openai.com", "gpt-4o-2024-13-01"),
        ("anthropic.com", "gpt-4o"),
        ("azure.com", "gpt-4o"),
        ("ollama", "llama3"),
        // Other units than tokens.
        ("openai.com", "whisper-1"),
        ("openai.com", "tts-1"),
    ] {
        assert!(builtin(name, model).is_none(), "{name} {model}");
    }
}

#[test]
fn a_model_is_found_by_name_by_name_and_date_or_by_prefix() {
    for (name, model, expected) in [
        ("openai.com", "gpt-4o", (2_500_000, 10_000_000)),
        ("openai.com", "GPT-4o", (2_500_000, 10_000_000)),
        ("openai.com", "gpt-4o-2024-11-20", (2_500_000, 10_000_000)),
        ("openai.com", "gpt-4o-2031-01-31", (2_500_000, 10_000_000)),
        ("openai.com", "gpt-4o-2024-05-13", (5_000_000, 15_000_000)),
        ("openai.com", "gpt-4o-mini", (150_000, 600_000)),
        ("gemini", "models/gemini-2.5-flash", (300_000, 2_500_000)),
        (
            "anthropic.com",
            "claude-3-opus-latest",
            (15_000_000, 75_000_000),
        ),
        (
            "anthropic.com",
            "claude-3-haiku-20240307",
            (250_000, 1_250_000),
        ),
        (
            "together",
            "meta-llama/llama-3.3-70B-instruct-turbo",
            (880_000, 880_000),
        ),
    ] {
        let price = builtin(name, model).expect(model);
        assert_eq!(microdollars(&price), expected, "{name} {model}");
    }
}

#[test]
fn limits_of_tokens_are_known() {
    let price = builtin("openai.com", "gpt-4o").unwrap();
    assert_eq!(price.max_output(), Some(16_384));
    assert_eq!(price.context(), Some(128_000));
    assert_eq!(price.per_request(), None);
    let price = builtin("perplexity.ai", "sonar").unwrap();
    assert_eq!(price.per_request(), Some(12_000_000));
}

const OPERATOR: &str = r#"
["openai.com"]
"gpt-4o" = { input = 1, output = "2.5", cached = 0.1 }
"gpt-4o-*" = { input = 3, output = 4 }
"dall-e-3" = { per_request = 0.12 }
"mine" = { input = 1, output = 1, per_request = 0.5, priority = 1.5, max_output = 9, context = 99 }
[gemini]
"gemini-2.5-pro" = { input = 1.25, output = 10, above = { tokens = 200000, input = 2.5, output = 15 } }
[azure]
"my-deployment" = { like = "openai.com/gpt-4.1" }
"cheap" = { like = "openai.com/gpt-4o", max_output = 5 }
[ollama]
"*" = { free = true }
"paid" = { input = 1, output = 1 }
"#;

#[test]
fn the_operators_rows_win() {
    let prices = prices(OPERATOR);
    for (name, model, expected) in [
        ("openai.com", "gpt-4o", Some((1_000_000, 2_500_000))),
        (
            "openai.com",
            "gpt-4o-2024-11-20",
            Some((1_000_000, 2_500_000)),
        ),
        (
            "openai.com",
            "gpt-4o-2024-05-13",
            Some((1_000_000, 2_500_000)),
        ),
        ("openai.com", "gpt-4o-mini", Some((3_000_000, 4_000_000))),
        ("openai.com", "gpt-4.1", Some((2_000_000, 8_000_000))),
        ("openai.com", "dall-e-3", Some((120_000, 120_000))),
        ("openai.com", "mine", Some((1_500_000, 1_500_000))),
        ("openai.com", "gpt-none", None),
        ("azure.com", "my-deployment", Some((2_000_000, 8_000_000))),
        ("azure.com", "cheap", Some((1_000_000, 2_500_000))),
        ("azure.com", "other", None),
        ("ollama", "anything", Some((0, 0))),
        ("ollama", "paid", Some((1_000_000, 1_000_000))),
        ("vllm", "anything", None),
    ] {
        let price = prices.find(&provider(name), model);
        assert_eq!(price.as_ref().map(microdollars), expected, "{name} {model}");
    }
    let find = |name: &str, model: &str| prices.find(&provider(name), model).unwrap();
    let limits = |price: Price| (price.max_output(), price.context());
    let mine = find("openai.com", "mine");
    assert_eq!(limits(mine.clone()), (Some(9), Some(99)));
    assert_eq!(
        limits(find("openai.com", "gpt-4o")),
        (Some(16_384), Some(128_000))
    );
    assert_eq!(limits(find("azure.com", "cheap")), (Some(5), Some(128_000)));
    assert_eq!(limits(find("ollama", "anything")), (None, None));

    let mut counts = tokens(1_000_000, 0);
    counts.tier = Some(ServiceTier::Priority);
    assert_eq!(mine.cost(&counts), 2_000_000_000);
    counts.tier = None;
    counts.cached = Some(400_000);
    assert_eq!(find("openai.com", "gpt-4o").cost(&counts), 640_000_000);

    let gemini = find("gemini", "gemini-2.5-pro");
    assert_eq!(gemini.cost(&tokens(200_000, 1_000)), 260_000_000);
    assert_eq!(gemini.cost(&tokens(200_001, 1_000)), 515_002_500);
}

#[test]
fn what_is_not_known_never_makes_a_call_cheaper() {
    let prices = prices(
        r#"["openai.com"]
        "m" = { input = 4, output = 8 }"#,
    );
    let price = prices.find(&provider("openai.com"), "m").unwrap();
    let cost = |set: &dyn Fn(&mut Tokens)| {
        let mut counts = tokens(1_000_000, 1_000_000);
        set(&mut counts);
        price.cost(&counts) / 1_000_000
    };
    assert_eq!(cost(&|_| {}), 12_000);
    assert_eq!(cost(&|counts| counts.cached = Some(1_000_000)), 12_000);
    assert_eq!(cost(&|counts| counts.reasoning = Some(1_000_000)), 12_000);
    assert_eq!(cost(&|counts| counts.cache_write = Some(1_000_000)), 13_000);
    let for_an_hour = |counts: &mut Tokens| {
        counts.cache_write = Some(1_000_000);
        counts.cache_write_1h = Some(1_000_000);
    };
    assert_eq!(cost(&for_an_hour), 16_000);
    assert_eq!(cost(&|counts| counts.input_audio = Some(1_000_000)), 12_000);
    assert_eq!(
        cost(&|counts| counts.tier = Some(ServiceTier::Flex)),
        12_000
    );
    assert_eq!(
        cost(&|counts| counts.tier = Some(ServiceTier::Batch)),
        12_000
    );
    let of_priority = cost(&|counts| counts.tier = Some(ServiceTier::Priority));
    assert_eq!(of_priority, 30_000);
}

#[test]
fn parts_that_exceed_the_whole_count_at_the_dearest_rates() {
    let price = builtin("anthropic.com", "claude-3-5-sonnet-latest").unwrap();
    let mut counts = tokens(100, 0);
    counts.cached = Some(80);
    counts.cache_write = Some(60);
    // 60 × 3.75 and the other 40 × 0.3.
    assert_eq!(price.cost(&counts), 237_000);
    counts.cache_write = Some(u64::MAX);
    assert_eq!(price.cost(&counts), 375_000);
}

#[test]
fn the_providers_own_cost_wins() {
    let price = builtin("openai.com", "gpt-4o").unwrap();
    let mut counts = tokens(1_000, 1_000);
    for cost in [0, 1, u64::MAX] {
        counts.cost = Some(cost);
        assert_eq!(price.cost(&counts), cost);
    }
}

#[test]
fn costs_are_rounded_up_once_and_saturate() {
    let prices = prices(
        r#"["openai.com"]
        "m" = { input = 0.0001, output = 0.0001, per_request = 1 }"#,
    );
    let price = prices.find(&provider("openai.com"), "m").unwrap();
    // A tenth of a nano-dollar each.
    assert_eq!(price.cost(&tokens(0, 0)), 1_000_000_000);
    assert_eq!(price.cost(&tokens(1, 0)), 1_000_000_001);
    assert_eq!(price.cost(&tokens(5, 5)), 1_000_000_001);
    assert_eq!(price.cost(&tokens(5, 6)), 1_000_000_002);
    let dearest = builtin("openai.com", "o1-pro").unwrap();
    assert_eq!(dearest.cost(&tokens(u64::MAX, u64::MAX)), u64::MAX);
}

#[test]
fn faults_are_named_by_path_and_do_not_repeat_values() {
    let rows = [
        (
            r#"["canary.example"]"#,
            r#""canary.example" is not a provider"#,
        ),
        (
            r#""openai.com" = "canary""#,
            r#""openai.com" must be a table"#,
        ),
        (
            r#"["openai.com"]
            m = "canary""#,
            r#""openai.com".m must be a table"#,
        ),
        (
            r#"["openai.com"]
            "a b" = { free = true }"#,
            r#""openai.com"."a b" must be the name"#,
        ),
        (
            r#"["openai.com"]
            "*a" = { free = true }"#,
            r#""openai.com"."*a" must be the name"#,
        ),
        (
            r#"["openai.com"]
            m = { free = true }
            M = { free = true }"#,
            r#""openai.com".m is given twice"#,
        ),
        (
            r#"[gemini]
            m = { free = true }
            ["gemini.google.com"]
            m = { like = "openai.com/gpt-4o" }"#,
            r#""gemini.google.com".m is given twice"#,
        ),
        (
            r#"["openai.com"]
            m = {}"#,
            r#""openai.com".m needs input and output"#,
        ),
        (
            r#"["openai.com"]
            m = { input = 1 }"#,
            r#""openai.com".m needs input and output"#,
        ),
        (
            r#"["openai.com"]
            m = { output = 1, max_output = 1 }"#,
            r#""openai.com".m needs input and output"#,
        ),
        (
            r#"["openai.com"]
            m = { cached = 1, per_request = 1 }"#,
            r#""openai.com".m needs input and output"#,
        ),
        (
            r#"["openai.com"]
            m = { input = "canary", output = 1 }"#,
            r#""openai.com".m.input must be dollars"#,
        ),
        (
            r#"["openai.com"]
            m = { input = -1, output = 1 }"#,
            r#""openai.com".m.input must be dollars"#,
        ),
        (
            r#"["openai.com"]
            m = { input = nan, output = 1 }"#,
            r#""openai.com".m.input must be dollars"#,
        ),
        (
            r#"["openai.com"]
            m = { input = 1, output = 10000000 }"#,
            r#""openai.com".m.output must be dollars"#,
        ),
        (
            r#"["openai.com"]
            m = { per_request = true }"#,
            r#""openai.com".m.per_request must be dollars"#,
        ),
        (
            r#"["openai.com"]
            m = { inptu = 1, output = 1 }"#,
            r#""openai.com".m.inptu is not one of input"#,
        ),
        (
            r#"["openai.com"]
            m = { input = 1, output = 1, max_output = 0 }"#,
            r#""openai.com".m.max_output must be a number"#,
        ),
        (
            r#"["openai.com"]
            m = { input = 1, output = 1, context = "canary" }"#,
            r#""openai.com".m.context must be a number"#,
        ),
        (
            r#"["openai.com"]
            m = { input = 1, output = 1, priority = "canary" }"#,
            r#""openai.com".m.priority must be a factor"#,
        ),
        (
            r#"["openai.com"]
            m = { input = 1, output = 1, above = 5 }"#,
            r#""openai.com".m.above must be a table"#,
        ),
        (
            r#"["openai.com"]
            m = { input = 1, output = 1, above = { input = 1, output = 1 } }"#,
            r#""openai.com".m.above needs tokens"#,
        ),
        (
            r#"["openai.com"]
            m = { input = 1, output = 1, above = { tokens = 1, input = 1 } }"#,
            r#""openai.com".m.above needs input and output"#,
        ),
        (
            r#"["openai.com"]
            m = { input = 1, output = 1, above = { tokens = 1, input = 1, output = "canary" } }"#,
            r#""openai.com".m.above.output must be dollars"#,
        ),
        (
            r#"["openai.com"]
            m = { input = 1, output = 1, above = { tokens = 1, input = 1, output = 1, free = true } }"#,
            r#""openai.com".m.above.free is not one of tokens"#,
        ),
        (
            r#"["openai.com"]
            m = { free = false }"#,
            r#""openai.com".m.free must be true"#,
        ),
        (
            r#"["openai.com"]
            m = { free = true, input = 1 }"#,
            r#""openai.com".m.free must stand alone"#,
        ),
        (
            r#"["openai.com"]
            m = { like = "openai.com/gpt-4o", free = true }"#,
            r#""openai.com".m.like must stand alone"#,
        ),
        (
            r#"["openai.com"]
            m = { like = 1 }"#,
            r#""openai.com".m.like must be a provider and a model"#,
        ),
        (
            r#"["openai.com"]
            m = { like = "canary" }"#,
            r#""openai.com".m.like must be a provider and a model"#,
        ),
        (
            r#"["openai.com"]
            m = { like = "canary/gpt-4o" }"#,
            r#""openai.com".m.like does not begin"#,
        ),
        (
            r#"["openai.com"]
            m = { like = "openai.com/canary" }"#,
            r#""openai.com".m.like names a model that has no price"#,
        ),
        (
            r#"["openai.com"]
            m = { like = "openai.com/m" }"#,
            r#""openai.com".m.like names a model that has no price"#,
        ),
    ];
    for (table, expected) in rows {
        let faults = read(table).unwrap_err();
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let found = texts.iter().any(|text| text.starts_with(expected));
        assert!(found, "{expected}: {texts:?}");
        let is_name = expected.contains("canary");
        assert!(is_name || !texts.concat().contains("canary"), "{texts:?}");
    }
}

#[test]
fn all_faults_are_reported_at_once() {
    let faults = read(
        r#"["openai.com"]
        a = { input = "x", output = "y" }
        b = { like = "openai.com/none" }
        [none]"#,
    )
    .unwrap_err();
    assert_eq!(faults.len(), 4, "{faults:?}");
}

/// Models with every kind of row: tiers, parts, prices above a number of tokens and per request.
const MODELS: [(&str, &str); 8] = [
    ("anthropic.com", "claude-sonnet-4-5"),
    ("anthropic.com", "claude-opus-4-8"),
    ("gemini.google.com", "gemini-2.5-pro"),
    ("openai.com", "gpt-4o-mini"),
    ("openai.com", "gpt-5.4"),
    ("openai.com", "gpt-4o-audio-preview"),
    ("openai.com", "gpt-5.6-sol"),
    ("perplexity.ai", "sonar-pro"),
];

fn tier() -> impl Strategy<Value = Option<ServiceTier>> {
    prop::sample::select(vec![
        None,
        Some(ServiceTier::Standard),
        Some(ServiceTier::Priority),
        Some(ServiceTier::Flex),
        Some(ServiceTier::Batch),
    ])
}

proptest! {
    /// What is reserved for a call covers what it costs, if it is served in the tier that it asked
    /// for or in the standard one.
    #[test]
    fn a_reservation_covers_every_call_within_it(
        model in prop::sample::select(MODELS.to_vec()),
        (input, more_input) in (0_u64..400_000, 0_u64..400_000),
        (output, more_output) in (0_u64..100_000, 0_u64..100_000),
        (cached, written, an_hour) in (0_u64..400_000, 0_u64..400_000, 0_u64..400_000),
        (input_audio, output_audio) in (0_u64..400_000, 0_u64..100_000),
        tier in tier(),
        is_standard: bool,
        (reads_audio, writes_cache) in any::<(bool, bool)>(),
    ) {
        let price = builtin(model.0, model.1).unwrap();
        let mut counts = tokens(input, output);
        counts.cached = Some(cached);
        counts.output_audio = Some(output_audio);
        counts.tier = if is_standard { Some(ServiceTier::Standard) } else { tier };
        if reads_audio {
            counts.input_audio = Some(input_audio);
        }
        if writes_cache {
            counts.cache_write = Some(written);
            counts.cache_write_1h = Some(an_hour);
        }
        let reserved = price.reservation(PricedReservation {
            input: input + more_input,
            output: output + more_output,
            reads_audio,
            writes_cache,
            tier,
        });
        prop_assert!(price.cost(&counts) <= reserved, "{counts:?}: {reserved}");
    }

    /// More tokens never cost less, also beyond the number at which the rates change.
    #[test]
    fn more_tokens_do_not_cost_less(
        model in prop::sample::select(MODELS.to_vec()),
        (input, more_input) in (0_u64..400_000, 0_u64..400_000),
        (output, more_output) in (0_u64..100_000, 0_u64..100_000),
        tier in tier(),
    ) {
        let price = builtin(model.0, model.1).unwrap();
        let (mut one, mut other) = (tokens(input, output), tokens(input + more_input, output + more_output));
        (one.tier, other.tier) = (tier, tier);
        prop_assert!(price.cost(&one) <= price.cost(&other));
    }
}
