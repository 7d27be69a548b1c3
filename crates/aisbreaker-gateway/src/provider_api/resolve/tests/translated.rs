//! Services whose provider speaks the other dialect.

use serde_json::json;

use super::*;

/// An alias of a model of Anthropic, and one of OpenAI, both with translation.
fn aliases() -> BTreeMap<String, ModelAlias> {
    [
        ("claude", "chat:anthropic.com/c"),
        ("gpt", "chat:openai.com/g"),
        ("both", "chat:deepseek.com/d"),
        ("picture", "text-to-image:openai.com/i"),
    ]
    .map(|(name, model)| (name.to_owned(), ModelAlias::from(model).translated()))
    .into()
}

/// Returns the built-in providers, of which Anthropic may be translated for.
fn providers(is_translated: bool) -> Providers {
    let row = json!({"id": "anthropic.com", "anthropic": "/v1", "translate": is_translated});
    let rows = serde_json::from_value(json!({"provider": [row]})).unwrap();
    Providers::builtin().with_rows(rows).unwrap()
}

/// A key for three providers. Each but the last falls back to those behind it.
fn credentials() -> Credentials {
    let ids = ["chat:openai.com", "chat:anthropic.com", "chat:deepseek.com"];
    let mut credentials = key(&ids.map(|id| (id, "s")));
    if let Credentials::Sealed { secrets, .. } = &mut credentials {
        let fallback = |ids: &[&str]| {
            ids.iter()
                .map(|id| ServiceId::parse(*id).unwrap())
                .collect()
        };
        secrets[0].fallback = fallback(&ids[1..]);
        secrets[1].fallback = fallback(&[ids[0], ids[2]]);
    }
    credentials
}

/// Resolves a model, and returns the services with the dialect that each is called in.
fn resolve(
    providers: &Providers,
    (dialect, operation): (Dialect, Operation),
    model: Option<&str>,
) -> Result<Vec<String>, String> {
    let (credentials, aliases) = (credentials(), aliases());
    let resolver = Resolver {
        providers,
        credentials: &credentials,
        aliases: &aliases,
        dialect,
        operation,
        other_models: None,
        is_translated: false,
        family: None,
    };
    let text = |service: ResolvedService| match service.dialect {
        Dialect::OpenAi => format!("{} openai", service.service_id),
        Dialect::Anthropic => format!("{} anthropic", service.service_id),
    };
    match resolver.resolve(model) {
        Ok(services) => Ok(services.into_iter().map(text).collect()),
        Err(Unresolved::NoService(problem)) => Err(problem),
        Err(Unresolved::Bypass(bypass)) => Err(format!("{bypass:?}")),
        Err(Unresolved::Restricted { what }) => Err(format!("restricted: {what}")),
    }
}

fn check(at: (Dialect, Operation), model: &str, is_translated: bool, expected: &[&str]) {
    let found = resolve(&providers(is_translated), at, Some(model));
    let expected = expected.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(found, Ok(expected), "{model} {is_translated}");
}

#[test]
fn an_alias_has_its_service_and_the_fallbacks_translated() {
    let [openai, anthropic] = DIALECTS;
    check(
        openai,
        "claude",
        false,
        &[
            "chat:anthropic.com/c anthropic",
            "chat:openai.com/c openai",
            "chat:deepseek.com/c openai",
        ],
    );
    check(
        anthropic,
        "gpt",
        false,
        &[
            "chat:openai.com/g openai",
            "chat:anthropic.com/g anthropic",
            "chat:deepseek.com/g anthropic",
        ],
    );
    // What speaks the dialect is called in it.
    check(openai, "both", false, &["chat:deepseek.com/d openai"]);
    check(anthropic, "both", false, &["chat:deepseek.com/d anthropic"]);
}

#[test]
fn a_row_has_its_provider_translated_for_whatever_the_model_is_called() {
    let [openai, anthropic] = DIALECTS;
    let fallbacks = |is_translated: bool| {
        let mut services = vec!["chat:openai.com/m openai", "chat:deepseek.com/m openai"];
        if is_translated {
            services.insert(1, "chat:anthropic.com/m anthropic");
        }
        services
    };
    for is_translated in [false, true] {
        // The bare name goes to the first that speaks the dialect.
        check(openai, "m", is_translated, &fallbacks(is_translated));
        check(
            anthropic,
            "m",
            is_translated,
            &[
                "chat:anthropic.com/m anthropic",
                "chat:deepseek.com/m anthropic",
            ],
        );
    }
    check(
        openai,
        "anthropic.com/c",
        true,
        &[
            "chat:anthropic.com/c anthropic",
            "chat:openai.com/c openai",
            "chat:deepseek.com/c openai",
        ],
    );
}

#[test]
fn a_bare_name_is_translated_if_no_service_speaks_the_dialect() {
    let providers = providers(true);
    let credentials = key(&[("chat:anthropic.com", "a"), ("chat:openai.com", "INVALID")]);
    let aliases = BTreeMap::new();
    let resolver = |operation| Resolver {
        providers: &providers,
        credentials: &credentials,
        aliases: &aliases,
        dialect: Dialect::OpenAi,
        operation,
        other_models: None,
        is_translated: false,
        family: None,
    };
    let found = resolver(Operation::ChatCompletions)
        .resolve(Some("m"))
        .unwrap();
    assert_eq!(found[0].service_id.as_str(), "chat:anthropic.com/m");
    assert_eq!(found[0].dialect, Dialect::Anthropic);
    let found = resolver(Operation::Embeddings).resolve(Some("m")).unwrap();
    assert_eq!(found[0].service_id.as_str(), "chat:openai.com/m");
}

#[test]
fn nothing_is_translated_that_nobody_allowed_or_that_has_no_counterpart() {
    let [openai, _] = DIALECTS;
    let cases = [
        (
            openai,
            "anthropic.com/c",
            "chat:anthropic.com/c does not speak the OpenAI dialect; a model alias with translate",
        ),
        (
            (Dialect::OpenAi, Operation::Responses),
            "claude",
            "chat:anthropic.com/c does not speak the OpenAI dialect, and only chat/completions and \
             messages are translated",
        ),
        (
            (Dialect::OpenAi, Operation::Embeddings),
            "anthropic.com/c",
            "chat:anthropic.com/c does not speak the OpenAI dialect; the services",
        ),
        (
            (Dialect::Anthropic, Operation::CountTokens),
            "gpt",
            "chat:openai.com/g does not speak the Anthropic dialect, and only",
        ),
        (
            (Dialect::Anthropic, Operation::Messages),
            "picture",
            "text-to-image:openai.com/i is for making images only",
        ),
    ];
    for (at, model, expected) in cases {
        let problem = resolve(&providers(false), at, Some(model)).unwrap_err();
        assert!(problem.starts_with(expected), "{model}: {problem}");
    }
}
