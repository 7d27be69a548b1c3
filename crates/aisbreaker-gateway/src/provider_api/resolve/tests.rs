//! One row for each way to name a service.

mod restricted;
mod translated;

use std::collections::BTreeMap;

use aisbreaker_api::ServicePattern;
use aisbreaker_egress::UrlSource;
use aisbreaker_services::ServiceRestrictions;

use super::*;

const DIALECTS: [(Dialect, Operation); 2] = [
    (Dialect::OpenAi, Operation::ChatCompletions),
    (Dialect::Anthropic, Operation::Messages),
];

fn key(entries: &[(&str, &str)]) -> Credentials {
    let sealed = |(id, secret): &(&str, &str)| {
        SealedSecret::new(
            ServicePattern::parse(*id).unwrap(),
            (*secret).into(),
            Vec::new(),
        )
    };
    Credentials::Sealed {
        secrets: entries.iter().map(sealed).collect(),
        bearer: None,
        restrictions: ServiceRestrictions::default(),
        url_source: UrlSource::Trusted,
    }
}

/// Resolves a model, and returns the services as text: the id, and the model if it is renamed.
fn resolve(
    credentials: &Credentials,
    aliases: &[(&str, &str)],
    (dialect, operation): (Dialect, Operation),
    model: Option<&str>,
) -> Result<Vec<String>, String> {
    let aliases: BTreeMap<String, ModelAlias> = aliases
        .iter()
        .map(|(name, target)| ((*name).to_owned(), ModelAlias::from(*target)))
        .collect();
    let providers = Providers::builtin();
    let resolver = Resolver {
        providers: &providers,
        credentials,
        aliases: &aliases,
        dialect,
        operation,
        other_models: None,
        is_translated: false,
        family: None,
    };
    let text = |service: ResolvedService| match service.engine {
        Some(engine) => format!("{} as {engine}", service.service_id),
        None => service.service_id.to_string(),
    };
    resolver
        .resolve(model)
        .map(|all| all.into_iter().map(text).collect())
        .map_err(|unresolved| match unresolved {
            Unresolved::NoService(text) => text,
            Unresolved::Restricted { what } => format!("restricted: {what}"),
            Unresolved::Bypass(error) => format!("bypass: {error:?}"),
        })
}

fn check(entries: &[(&str, &str)], at: (Dialect, Operation), model: &str, expected: &str) {
    let found = resolve(
        &key(entries),
        &[("fast", "chat:groq.com/llama"), ("x", "y")],
        at,
        Some(model),
    );
    assert_eq!(found, Ok(vec![expected.to_owned()]), "{entries:?} {model}");
}

#[test]
fn a_bare_name_goes_to_the_first_service_that_speaks_the_dialect() {
    let [openai, anthropic] = DIALECTS;
    let both = [
        ("chat:anthropic.com", "a"),
        ("chat:groq.com", "g"),
        ("chat:openai.com", "o"),
    ];
    check(&both, openai, "gpt-4o", "chat:groq.com/gpt-4o");
    check(&both, anthropic, "claude", "chat:anthropic.com/claude");
    check(
        &[("chat:ollama", "")],
        openai,
        "llama3:8b",
        "chat:ollama/llama3:8b",
    );
    check(
        &[("chat:openai.com", ""), ("chat:groq.com", "g")],
        openai,
        "m",
        "chat:groq.com/m",
    );
    check(
        &[("chat:openai.com", "INVALID"), ("chat:groq.com", "g")],
        openai,
        "m",
        "chat:groq.com/m",
    );
    check(
        &[("chat:openai.com/one", "a"), ("chat:groq.com", "g")],
        openai,
        "other",
        "chat:groq.com/other",
    );
    check(
        &[("chat:openai.com/one", "a"), ("chat:groq.com", "g")],
        openai,
        "one",
        "chat:openai.com/one",
    );
    check(
        &[("aisbreaker:network", "n"), ("chat:dummy", ""), ("", "all")],
        openai,
        "m",
        "chat:openai.com/m",
    );
    check(&[("chat:", "all")], anthropic, "m", "chat:anthropic.com/m");
    check(
        &[("chat:openrouter.ai", "r")],
        openai,
        "openai/gpt-4o",
        "chat:openrouter.ai/openai/gpt-4o",
    );
    // The first matching entry decides.
    check(
        &[("chat:openai.com/a", "INVALID"), ("chat:openai.com", "o")],
        openai,
        "b",
        "chat:openai.com/b",
    );
}

#[test]
fn service_ids_and_aliases_name_their_service() {
    let [openai, anthropic] = DIALECTS;
    let all = [
        ("chat:openai.com", "o"),
        ("chat:groq.com", "g"),
        ("chat:together", "t"),
        ("chat:deepseek.com", "d"),
    ];
    check(
        &all,
        openai,
        "chat:groq.com/llama-3/x",
        "chat:groq.com/llama-3/x as llama-3/x",
    );
    check(
        &all,
        openai,
        "groq.com/llama",
        "chat:groq.com/llama as llama",
    );
    check(&all, openai, "together/m", "chat:together/m as m");
    check(&all, openai, "together.ai/m", "chat:together/m as m");
    check(&all, openai, "chat:together.xyz/m", "chat:together/m as m");
    check(
        &all,
        openai,
        "chat:openai.com",
        "chat:openai.com/gpt-4.1-mini as gpt-4.1-mini",
    );
    // An entry for the provider's default model also matches a service id without a model.
    let own = [("chat:openai.com/gpt-4.1-mini", "o")];
    check(
        &own,
        openai,
        "chat:openai.com",
        "chat:openai.com/gpt-4.1-mini as gpt-4.1-mini",
    );
    check(
        &all,
        anthropic,
        "deepseek.com/m",
        "chat:deepseek.com/m as m",
    );
    check(&all, openai, "fast", "chat:groq.com/llama as llama");
    check(&all, openai, "x", "chat:openai.com/y as y");
    check(&all, openai, "fast ", "chat:openai.com/fast ");
}

#[test]
fn images_may_have_a_separate_service() {
    let images = (Dialect::OpenAi, Operation::ImageGenerations);
    let entries = [("text-to-image:openai.com", "i"), ("chat:openai.com", "o")];
    check(&entries, images, "m", "text-to-image:openai.com/m");
    check(&entries, DIALECTS[0], "m", "chat:openai.com/m");
    check(&entries[1..], images, "m", "chat:openai.com/m");
}

#[test]
fn without_a_key_the_first_provider_of_the_dialect_is_called() {
    let [openai, anthropic] = DIALECTS;
    for credentials in [Credentials::None, Credentials::Caller("own".into())] {
        let found = |at, model| resolve(&credentials, &[], at, model);
        assert_eq!(
            found(openai, Some("m")),
            Ok(vec!["chat:openai.com/m".to_owned()])
        );
        assert_eq!(found(openai, None), Ok(vec!["chat:openai.com".to_owned()]));
        assert_eq!(
            found(anthropic, Some("m")),
            Ok(vec!["chat:anthropic.com/m".to_owned()])
        );
        assert_eq!(
            found(openai, Some("groq.com/m")),
            Ok(vec!["chat:groq.com/m as m".to_owned()])
        );
    }
}

#[test]
fn errors_list_the_services_of_the_key() {
    let [openai, anthropic] = DIALECTS;
    type Row = (
        &'static [(&'static str, &'static str)],
        (Dialect, Operation),
        Option<&'static str>,
        &'static str,
    );
    let rows: [Row; 8] = [
        (
            &[
                ("chat:openai.com", "o"),
                ("chat:dummy", ""),
                ("", "INVALID"),
            ],
            anthropic,
            Some("claude"),
            "the key has no service for this model that speaks the Anthropic dialect; the services \
             in the key are: chat:openai.com, chat:dummy",
        ),
        (
            &[("chat:openai.com/one", "o")],
            openai,
            None,
            "the request names no model, and the key has no service that speaks the OpenAI \
             dialect; the services in the key are: chat:openai.com/one",
        ),
        (
            &[("chat:openai.com", "o")],
            openai,
            Some("groq.com/m"),
            "the key has no service for chat:groq.com/m; the services in the key are: \
             chat:openai.com",
        ),
        (
            &[("", "o")],
            anthropic,
            Some("chat:openai.com/m"),
            "chat:openai.com/m does not speak the Anthropic dialect; a model alias with translate, \
             or translate in the provider's row, has requests translated; the services in the key \
             are: any",
        ),
        (
            &[("", "o")],
            openai,
            Some("chat:nobody.example/m"),
            "chat:nobody.example/m is not known to speak the OpenAI dialect; the services in the \
             key are: any",
        ),
        (
            &[("", "o")],
            openai,
            Some("chat:groq.com"),
            "chat:groq.com names no model; write chat:groq.com/<model>; the services in the key \
             are: any",
        ),
        (
            &[],
            openai,
            Some("m"),
            "the key has no service for this model that speaks the OpenAI dialect; the services in \
             the key are: none",
        ),
        (
            &[("text-to-image:openai.com", "o")],
            openai,
            Some("m"),
            "the key has no service for this model that speaks the OpenAI dialect; the services in \
             the key are: text-to-image:openai.com",
        ),
    ];
    for (entries, at, model, expected) in rows {
        assert_eq!(
            resolve(&key(entries), &[], at, model),
            Err(expected.to_owned()),
            "{entries:?} {model:?}"
        );
    }
}

#[test]
fn unusable_service_is_returned_for_the_call_to_report() {
    let [openai, _] = DIALECTS;
    check(
        &[("chat:openai.com", "INVALID"), ("", "INVALID")],
        openai,
        "m",
        "chat:openai.com/m",
    );
    check(&[("chat:openai.com", "")], openai, "m", "chat:openai.com/m");
    check(
        &[("chat:openai.com", "INVALID")],
        openai,
        "openai.com/m",
        "chat:openai.com/m as m",
    );
}

#[test]
fn usable_fallbacks_have_their_own_model_or_the_same() {
    let ids = [
        "chat:groq.com/llama",
        "chat:together",
        "chat:anthropic.com/c",
        "chat:deepseek.com",
        "chat:nobody/x",
    ];
    let ids = ids.map(|id| ServiceId::parse(id).unwrap()).to_vec();
    let Credentials::Sealed {
        mut secrets,
        bearer,
        restrictions,
        url_source,
    } = key(&[
        ("chat:openai.com", "o"),
        ("chat:groq.com", "g"),
        ("chat:together", "t"),
        ("chat:anthropic.com", "a"),
    ])
    else {
        unreachable!("a key")
    };
    secrets[0].fallback = ids;
    let credentials = Credentials::Sealed {
        secrets,
        bearer,
        restrictions,
        url_source,
    };
    let found = |model| {
        resolve(
            &credentials,
            &[("mine", "chat:openai.com/gpt")],
            DIALECTS[0],
            model,
        )
    };
    let others = |model: &str| {
        vec![
            "chat:groq.com/llama as llama".to_owned(),
            format!("chat:together/{model} as {model}"),
        ]
    };

    assert_eq!(
        found(Some("gpt")),
        Ok([vec!["chat:openai.com/gpt".to_owned()], others("gpt")].concat())
    );
    assert_eq!(
        found(Some("mine")),
        Ok([vec!["chat:openai.com/gpt as gpt".to_owned()], others("gpt")].concat())
    );
    // A request that names no model has nowhere to put its model.
    let without = vec!["chat:openai.com", "chat:together"];
    assert_eq!(
        found(None),
        Ok(without.into_iter().map(str::to_owned).collect())
    );
    assert_eq!(
        found(Some("groq.com/m")),
        Ok(vec!["chat:groq.com/m as m".to_owned()])
    );
}
