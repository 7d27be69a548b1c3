//! What minting says of a grant that can never work here, and what it refuses for its holder's sake.

use serde_json::{Value, json};

use crate::support::{Request, Response, Server, ample_quotas, assert_error, dummy_call, grant};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

fn mint(server: &Server, secrets: &Value) -> Response {
    server.send(&Request::mint(&grant(&ample_quotas(), secrets)))
}

fn entry(id: &str, secret: &str) -> Value {
    json!({"serviceId": id, "authSecret": secret})
}

fn warnings(response: &Response) -> Vec<String> {
    assert_eq!(response.status, 200, "{response:?}");
    let warnings = response.json()["warnings"].clone();
    let warnings = warnings.as_array().cloned().unwrap_or_default();
    warnings
        .iter()
        .map(|warning| warning.as_str().expect("a text").to_owned())
        .collect()
}

#[test]
fn what_can_never_work_is_named_with_what_would() {
    let server = Server::start(&[]);
    let at_loopback =
        json!({"serviceId": "chat:openai.com", "authSecret": "sk", "url": "http://127.0.0.1:9"});
    let with_fallback =
        json!({"serviceId": "chat:openai.com", "authSecret": "sk", "fallback": "chat:groq.com"});
    let rows = [
        (
            entry("openai.com", "sk"),
            vec!["[0].serviceId", "chat:openai.com"],
        ),
        (entry("chat:my-llm.example", "sk"), vec!["[0].serviceId"]),
        (
            entry("chat:azure.com", "sk"),
            vec!["[0].url", "address of its own"],
        ),
        (at_loopback, vec!["[0].url", "AISBREAKER_EGRESS_ALLOW"]),
        (with_fallback, vec!["[0].fallback", "without an entry"]),
        (entry("", "INVALID"), vec!["serviceSecrets ", "INVALID"]),
    ];
    for (entry, words) in rows {
        let found = warnings(&mint(&server, &json!([entry])));
        assert_eq!(found.len(), 1, "{entry}: {found:?}");
        for word in words {
            assert!(found[0].contains(word), "{entry}: {found:?}");
        }
    }

    let mut body = grant(&ample_quotas(), &json!([entry("chat:openai.com", "sk")]));
    body["requestAuthAndQuotas"]["modelAliases"] = json!({"fast": "chat:groq.com/llama"});
    body["restrict"] = json!({"services": ["chat:mistral.ai"]});
    let found = warnings(&server.send(&Request::mint(&body)));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("modelAliases.fast"), "{found:?}");
    assert!(found[1].starts_with("restrict "), "{found:?}");
}

#[test]
fn warnings_are_bounded_and_hold_no_secret() {
    const CANARY: &str = "sk-canary-misplaced-0123456789";
    let server = Server::start(&[]);
    let entries: Vec<Value> = (0..25).map(|_| entry(CANARY, CANARY)).collect();

    let response = mint(&server, &json!(entries));

    let found = warnings(&response);
    assert_eq!(found.len(), 20, "{found:?}");
    assert!(found.iter().all(|warning| !warning.contains(CANARY)));
    assert!(!server.log().contains(CANARY));
}

/// The pages whose commands mint keys.
const PAGES: [(&str, &str); 5] = [
    ("start", include_str!("../../../../../docs/start.md")),
    ("keys", include_str!("../../../../../docs/keys.md")),
    ("quotas", include_str!("../../../../../docs/quotas.md")),
    ("budgets", include_str!("../../../../../docs/budgets.md")),
    (
        "translation",
        include_str!("../../../../../docs/translation.md"),
    ),
];

#[test]
fn the_grants_of_the_documentation_and_others_that_work_get_no_warning() {
    let server = Server::with_loopback_egress(&[]);
    for (page, text) in PAGES {
        let mut tried = 0;
        for request in text.split("--data '").skip(1) {
            let body = request.split('\'').next().unwrap_or_default();
            let Ok(body) = serde_json::from_str::<Value>(body) else {
                continue;
            };
            if body.get("requestAuthAndQuotas").is_some() {
                tried += 1;
                let found = warnings(&server.send(&Request::mint(&body)));
                assert!(found.is_empty(), "{page}: {body}: {found:?}");
            }
        }
        assert!(tried > 0, "{page} has no grant");
    }

    let original = json!([
        entry("aisbreaker:network", "{{secret}}"),
        entry("chat:openai.com", "sk_..."),
        entry("chat:dummy", ""),
        entry("", "INVALID"),
    ]);
    let chain = json!([
        {"serviceId": "chat:openai.com", "authSecret": "sk", "url": "http://127.0.0.1:9",
         "fallback": ["chat:groq.com/m", "chat:ollama/m"]},
        entry("chat:groq.com", "sk"),
    ]);
    for secrets in [json!([]), original, chain] {
        let found = warnings(&mint(&server, &secrets));
        assert!(found.is_empty(), "{secrets}: {found:?}");
    }
}

#[test]
fn a_key_of_this_server_is_no_secret_of_a_service() {
    let server = Server::with_loopback_egress(&[]);
    let own = server.mint_with_secrets(&json!([entry("chat:openai.com", "sk-sealed")]));
    let elsewhere = server.mint_at("elsewhere.example", &grant(&ample_quotas(), &json!([])));
    let texts = [
        own.clone(),
        elsewhere,
        format!("\"{own}\""),
        format!("Bearer {own}"),
        format!("{}A", own.get(..own.len() - 1).expect("ASCII")),
    ];
    for text in &texts {
        for id in ["chat:openai.com", "aisbreaker:network", ""] {
            let refused = mint(&server, &json!([entry("chat:dummy", ""), entry(id, text)]));
            let path = "requestAuthAndQuotas.serviceSecrets[1].authSecret";
            assert_error(id, &refused, 400, path);
            let message = refused.message();
            assert!(message.contains(EXCHANGE), "{message}");
            assert!(
                !message.contains(own.get(120..140).expect("ASCII")),
                "{message}"
            );
        }
    }
    let in_url = json!([{"serviceId": "chat:openai.com", "authSecret": "sk",
        "url": format!("https://a.example/?key={own}#no-default-path")}]);
    assert_error("url", &mint(&server, &in_url), 400, "serviceSecrets[0].url");
}

#[test]
fn a_key_of_another_server_may_be_sealed_for_the_hop_to_it() {
    let far = Server::with_loopback_egress(&[("AUTH_ENCRYPTION_KEYPHRASE", "another server's")]);
    let near = Server::with_loopback_egress(&[]);
    let far_key = far.mint_at("127.0.0.1", &grant(&ample_quotas(), &json!([])));
    let secrets =
        json!([{"serviceId": "aisbreaker:network", "authSecret": far_key, "url": far.url()}]);

    let minted = mint(&near, &secrets);
    assert!(warnings(&minted).is_empty(), "{minted:?}");
    let key = minted.json()["access_token"]
        .as_str()
        .expect("a key")
        .to_owned();
    let mut call = dummy_call();
    call["service"] =
        json!({"serviceId": "aisbreaker:network", "forward2ServiceProps": call["service"]});

    let response = near.process(&key, &call);

    assert_eq!(response.status, 200, "{response:?}");
}
