use std::{sync::Arc, time::Duration};

use aisbreaker_egress::{Client, Policy, Timeouts};
use aisbreaker_services::{
    Relay,
    services::{Options, standard},
};
use aisbreaker_token::{KeyRing, ServerKey};
use serde_json::{Value, json};

use super::{
    super::{MintPolicy, mint_request::MintRequest},
    *,
};

const DAY: Duration = Duration::from_secs(86_400);

fn rules(allowed: &[&str], mint_secret: Option<&str>) -> (Registry, GrantRules) {
    let policy = allowed.iter().fold(Policy::strict(), |policy, allowed| {
        policy.allow(allowed).unwrap()
    });
    let client = Client::new(policy, Timeouts::default());
    let options = Options::default();
    let relay = Relay::new(client.clone(), options.providers.clone());
    let policy = MintPolicy {
        secret: mint_secret.map(Into::into),
        ..MintPolicy::default()
    };
    let rules = GrantRules {
        keys: Arc::new(KeyRing::new(ServerKey::from_bytes([7; 32]))),
        policy,
        max_lifetime: DAY,
        relay: Some(relay),
    };
    (standard(client, options).build(), rules)
}

fn warnings_of(grant: &Value, (registry, rules): &(Registry, GrantRules)) -> Vec<String> {
    let body = json!({"requestAuthAndQuotas": grant}).to_string();
    let request = MintRequest::parse(body.as_bytes(), DAY).unwrap();
    let mut warnings = request.warnings;
    add(&mut warnings, (registry, rules), &request.grant);
    warnings
}

/// Returns the warnings about these entries, at a server that allows one address and restricts
/// minting.
fn warnings(entries: &Value) -> Vec<String> {
    let server = rules(&["http://10.0.0.1:8000"], Some("open sesame"));
    warnings_of(&json!({"serviceSecrets": entries}), &server)
}

#[test]
fn an_entry_that_can_never_work_is_named() {
    let openai = || json!({"serviceId": "chat:openai.com", "authSecret": "sk"});
    let with_fallback = |id: &str, fallback: &str| json!([{"serviceId": id, "authSecret": "sk", "fallback": fallback}]);
    let at = |url: Value| json!([{"serviceId": "chat:openai.com", "authSecret": "sk", "url": url}]);
    let entry = |id: &str| json!([{"serviceId": id, "authSecret": "sk"}]);
    let rows = [
        (
            entry("openai.com"),
            "[0].serviceId",
            "mean chat:openai.com?",
        ),
        (
            entry("openai.com/gpt-4o"),
            "[0].serviceId",
            "chat:openai.com?",
        ),
        (
            entry("chat:openai"),
            "[0].serviceId",
            "mean chat:openai.com?",
        ),
        (entry("chat:opnai.com"), "[0].serviceId", "chat:openai.com?"),
        (
            entry("Chat:openai.com"),
            "[0].serviceId",
            "chat:openai.com?",
        ),
        (
            entry("chat:my-llm.example"),
            "[0].serviceId",
            "is no service",
        ),
        (entry("nonsense"), "[0].serviceId", "has no task"),
        (entry("azure.com"), "[0].serviceId", "mean chat:azure.com?"),
        (entry("chat:azure.com"), "[0].url", "no address of its own"),
        (
            entry("chat:azure/gpt-4o"),
            "[0].url",
            "no address of its own",
        ),
        (
            entry("aisbreaker:network"),
            "[0].url",
            "no address of its own",
        ),
        (
            entry("aisbreaker:proxy"),
            "[0].url",
            "no address of its own",
        ),
        (at(json!("http://a.example")), "[0].url", "egress.allow"),
        (at(json!("https://10.0.0.2")), "[0].url", "egress.allow"),
        (at(json!("https://localhost")), "[0].url", "egress.allow"),
        (at(json!("http://10.0.0.1:8001")), "[0].url", "not https"),
        (
            at(json!(["http://a.example", "https://a.example"])),
            "[0].url[0]",
            "egress.allow",
        ),
        (
            with_fallback("chat:openai.com", "chat:groq.com/m"),
            "[0].fallback",
            "without an entry",
        ),
        (
            with_fallback("chat:groq.com", "chat:groq/m"),
            "[0].fallback",
            "mean chat:groq.com?",
        ),
        (
            with_fallback("chat:openai.com", "chat:nobody.example"),
            "[0].fallback",
            "is no service",
        ),
        (
            with_fallback("", "groq.com:x"),
            "[0].fallback",
            "is no service",
        ),
        (
            json!([
                {"serviceId": "chat:openai.com", "authSecret": "sk", "fallback": ["chat:anthropic.com"]},
                {"serviceId": "chat:anthropic.com", "authSecret": "sk"},
            ]),
            "[0].fallback",
            "another dialect",
        ),
        (
            json!([
                openai(),
                {"serviceId": "chat:mistral.ai", "authSecret": "sk", "fallback": "chat:groq.com"},
                {"serviceId": "chat:groq.com", "authSecret": "INVALID"},
            ]),
            "[1].fallback",
            "INVALID",
        ),
        (
            json!([
                {"serviceId": "chat:openai.com", "authSecret": "sk", "fallback": "chat:groq.com"},
                {"serviceId": "chat:", "authSecret": ""},
            ]),
            "[0].fallback",
            "no secret",
        ),
        (
            json!([
                {"serviceId": "chat:openai.com", "authSecret": "INVALID"},
                {"serviceId": "", "authSecret": "INVALID"},
            ]),
            "",
            "no entry but INVALID",
        ),
    ];
    for (entries, path, problem) in rows {
        let found = warnings(&entries);
        let start = format!("requestAuthAndQuotas.serviceSecrets{path} ");
        assert_eq!(found.len(), 1, "{entries}: {found:?}");
        assert!(found[0].starts_with(&start), "{entries}: {found:?}");
        assert!(found[0].contains(problem), "{entries}: {found:?}");
    }
}

#[test]
fn the_settings_that_would_allow_a_url_are_named() {
    let grant = json!({"serviceSecrets": [
        {"serviceId": "chat:openai.com", "authSecret": "sk", "url": "http://10.0.0.1"},
    ]});
    let restricted = warnings_of(&grant, &rules(&[], Some("open sesame")));
    let open = warnings_of(&grant, &rules(&[], None));

    assert!(restricted[0].contains("AISBREAKER_EGRESS_ALLOW"));
    assert!(!restricted[0].contains("AISBREAKER_EGRESS_ALLOW_CALLERS"));
    for setting in [
        "AISBREAKER_EGRESS_ALLOW ",
        "AISBREAKER_MINT_SECRET",
        "AISBREAKER_EGRESS_ALLOW_CALLERS",
    ] {
        assert!(open[0].contains(setting), "{open:?}");
    }
}

#[test]
fn an_alias_that_can_never_work_is_named() {
    let rows = [
        ("chat:groq.com/m", "without an entry"),
        ("chat:nobody.example/m", "is no service"),
        ("chat:gropq.com/m", "mean chat:groq.com?"),
        ("chat:ollama/m", "without an entry"),
        ("chat:replicate.com/meta/m", "cannot be called below /v1"),
        ("aisbreaker:network/m", "cannot be called below /v1"),
        ("chat:mistral.ai/m", "INVALID"),
    ];
    for (target, problem) in rows {
        let grant = json!({
            "serviceSecrets": [
                {"serviceId": "chat:openai.com", "authSecret": "sk"},
                {"serviceId": "chat:mistral.ai", "authSecret": "INVALID"},
            ],
            "modelAliases": {"mine": target, "good": "chat:openai.com/gpt-4o"},
        });
        let found = warnings_of(&grant, &rules(&[], None));
        assert_eq!(found.len(), 1, "{target}: {found:?}");
        let start = "requestAuthAndQuotas.modelAliases.mine ";
        assert!(found[0].starts_with(start), "{target}: {found:?}");
        assert!(found[0].contains(problem), "{target}: {found:?}");
    }
}

#[test]
fn translation_that_never_happens_is_named() {
    let entry = |id: &str| json!({"serviceId": id, "authSecret": "sk"});
    let of_openai = json!([
        {"serviceId": "chat:openai.com", "authSecret": "sk", "fallback": "chat:anthropic.com/c"},
        entry("chat:anthropic.com"),
    ]);
    let rows = [
        (
            "chat:openrouter.ai/m",
            "mine.translate does nothing: the provider speaks both",
        ),
        (
            "text-to-image:openai.com/m",
            "mine.translate does nothing: only chat services",
        ),
        // One alias with translation is enough for the fallback.
        ("chat:openai.com/m", ""),
        ("chat:anthropic.com/m", "fallback speaks another dialect"),
    ];
    for (target, problem) in rows {
        let entries = match target {
            "chat:openrouter.ai/m" => json!([entry("chat:openrouter.ai")]),
            "text-to-image:openai.com/m" => json!([entry("text-to-image:openai.com")]),
            _ => of_openai.clone(),
        };
        let grant = json!({
            "serviceSecrets": entries,
            "modelAliases": {"mine": {"model": target, "translate": true}},
        });
        let found = warnings_of(&grant, &rules(&[], None));
        assert_eq!(
            found.len(),
            usize::from(!problem.is_empty()),
            "{target}: {found:?}"
        );
        assert!(found.concat().contains(problem), "{target}: {found:?}");
    }
}

#[test]
fn a_key_that_allows_nothing_is_named() {
    let rows = [
        (json!({"services": []}), "restrict[0].services"),
        (json!({"operations": []}), "restrict[0].operations"),
        (json!({"clients": []}), "restrict[0].clients"),
        (json!([{}, {"origins": []}]), "restrict[1].origins"),
        (json!({"maxBodyBytes": 0}), "restrict[0].maxBodyBytes"),
        (json!({"services": ["chat:groq.com"]}), "restrict "),
        (json!({"services": ["chat:nobody.example"]}), "restrict "),
        (json!({"services": ["openai.com"]}), "restrict "),
        (
            json!([{"services": ["chat:openai.com"]}, {"services": ["chat:dummy"]}]),
            "restrict ",
        ),
        (
            json!([{"operations": ["process"]}, {"operations": ["responses"]}]),
            "restrict ",
        ),
        (
            json!([{"origins": ["https://a.example"]}, {"origins": ["https://b.example"]}]),
            "restrict ",
        ),
    ];
    let secrets = json!([{"serviceId": "chat:openai.com/gpt-4o", "authSecret": "sk"}]);
    for (restrict, path) in rows {
        let grant = json!({"serviceSecrets": secrets, "restrict": restrict});
        let found = warnings_of(&grant, &rules(&[], None));
        assert_eq!(found.len(), 1, "{restrict}: {found:?}");
        assert!(found[0].starts_with(path), "{restrict}: {found:?}");
    }
}

#[test]
fn a_service_that_would_receive_the_key_itself_is_named() {
    for id in ["chat:openai.com", "chat:azure", "chat:", ""] {
        let entries = json!([{"serviceId": id, "authSecret": "{{secret}}"}]);
        let found = warnings(&entries);
        assert!(
            found.iter().any(|text| text.contains("the key itself")),
            "{id}: {found:?}"
        );
    }
}

#[test]
fn a_grant_that_works_has_no_warning() {
    let secret = |id: &str| json!({"serviceId": id, "authSecret": "sk"});
    let at = |id: &str, url: Value| json!({"serviceId": id, "authSecret": "sk", "url": url});
    let entries = [
        secret("chat:openai.com"),
        secret("chat:openai.com/gpt-4o"),
        secret("chat:"),
        secret("chat"),
        secret(""),
        secret("chat:groq"),
        secret("chat:replicate.com/meta/llama:1"),
        secret("text-to-image:stability.ai"),
        json!({"serviceId": "chat:dummy", "authSecret": ""}),
        json!({"serviceId": "aisbreaker:network", "authSecret": "{{secret}}"}),
        json!({"serviceId": "aisbreaker:network", "authSecret": ""}),
        at("chat:azure.com", json!("https://x.openai.azure.com")),
        at("aisbreaker:network", json!("https://far.example/")),
        at(
            "chat:openai.com",
            json!("https://a.example/v1/${engine}#no-default-path"),
        ),
        at(
            "chat:openai.com",
            json!(["http://10.0.0.1:8000/x", "http://a.example"]),
        ),
        json!({"serviceId": "chat:mistral.ai", "authSecret": "sk",
               "fallback": ["chat:ollama/m", "chat:dummy", "chat:openai.com/m", "chat:deepseek.com"]}),
        json!({"serviceId": "chat:anthropic.com", "authSecret": "sk", "fallback": "chat:deepseek.com"}),
        secret("chat:deepseek.com/one"),
        json!({"serviceId": "", "authSecret": "INVALID"}),
    ];
    assert_eq!(warnings(&json!(entries)), [""; 0]);

    let restricts = [
        json!({}),
        json!({"services": ["chat:dummy"]}),
        json!({"services": ["chat:"]}),
        json!({"services": ["chat:openai.com/gpt-4o"], "operations": ["chat/completions"]}),
        json!([{"services": ["chat:openai.com"]}, {"services": ["chat:openai.com/gpt-4o", "chat:x"]}]),
        json!([{"operations": ["process", "responses"]}, {"operations": ["responses"]}]),
        json!({"clients": ["::1"], "origins": ["https://a.example"], "maxBodyBytes": 1}),
    ];
    for restrict in restricts {
        for secrets in [json!([secret("chat:openai.com")]), json!([secret("")])] {
            let grant = json!({
                "serviceSecrets": secrets,
                "modelAliases": {"m": "chat:openai.com/gpt-4o", "image": "text-to-image:openai.com/i"},
                "restrict": restrict,
            });
            let found = warnings_of(&grant, &rules(&[], None));
            let expected = usize::from(secrets[0]["serviceId"] != "");
            assert_eq!(found.len(), expected, "{restrict} {found:?}");
        }
    }
    for grant in [json!({}), json!({"serviceSecrets": []})] {
        assert_eq!(warnings_of(&grant, &rules(&[], None)), [""; 0]);
    }
}

#[test]
fn warnings_are_bounded_and_repeat_no_secret() {
    const CANARY: &str = "sk-canary-of-a-secret-0123456789";
    let misplaced = json!({"serviceId": CANARY, "authSecret": CANARY,
        "url": format!("http://{CANARY}.example/{CANARY}"), "fallback": [CANARY.to_owned() + ":x"]});
    let entries: Vec<Value> = (0..30).map(|_| misplaced.clone()).collect();

    let found = warnings(&json!(entries));

    assert_eq!(found.len(), MAX_WARNINGS);
    for warning in found {
        assert!(!warning.contains("canary"), "{warning}");
    }
}
