//! Who has requests translated: nobody who did not ask for it.

use serde_json::{Value, json};

use super::{
    PROVIDER_PATHS, chat, directions, key, key_at, message, provider, request, send, with_members,
};
use crate::support::{
    ConfigFile, KEY, Provider, Request, Server, ample_quotas,
    provider_api::{ANTHROPIC_SECRET, CHAT, MESSAGES, OPENAI_SECRET, post_with_key},
};

#[test]
fn nothing_is_translated_without_the_alias() {
    let provider = Provider::trap();
    let server = Server::with_loopback_egress(&[]);
    let aliases = [
        json!({"mine": "chat:anthropic.com/claude-x", "own": "chat:openai.com/gpt-x"}),
        json!({
            "mine": {"model": "chat:anthropic.com/claude-x"},
            "own": {"model": "chat:openai.com/gpt-x", "translate": false},
        }),
    ];
    for aliases in aliases {
        let key = key_at(&server, &provider.url(), &json!({"modelAliases": aliases}));
        for (path, models) in [
            (
                CHAT,
                [
                    "mine",
                    "anthropic.com/claude-x",
                    "chat:anthropic.com/claude-x",
                ],
            ),
            (
                MESSAGES,
                ["own", "openai.com/gpt-x", "chat:openai.com/gpt-x"],
            ),
        ] {
            for model in models {
                let body =
                    with_members(chat(&json!({})), &json!({"model": model, "max_tokens": 5}));
                let response = send(&server, (path, &key), &body);
                assert_eq!(response.status, 404, "{model}: {response:?}");
                let text = response.message();
                assert!(text.contains("does not speak the"), "{text}");
                assert!(text.contains("a model alias with translate"), "{text}");
            }
        }
    }
    assert_eq!(provider.connections(), 0);
}

/// A bare name goes where it always did, though the key has a translated alias of another service.
#[test]
fn what_needs_no_translation_is_forwarded_byte_by_byte() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let aliases = json!({"modelAliases": {
        "gpt": {"model": "chat:openai.com/gpt-x", "translate": true},
        "claude": {"model": "chat:anthropic.com/claude-x", "translate": true},
    }});
    let key = key_at(&server, &provider.url(), &aliases);
    let text = r#"{ "unknown" : [1.50], "model":"gpt-9" , "n":2}"#;
    let response = server.send(&post_with_key(CHAT, &key, text));
    assert_eq!(response.status, 200, "{response:?}");
    let sent = provider.only_request();
    assert_eq!(sent.body, text.as_bytes());
    // The alias of a service that speaks the dialect is a new name, and no more.
    let text = r#"{ "unknown" : [1.50], "model":"gpt" , "n":2}"#;
    let response = server.send(&post_with_key(CHAT, &key, text));
    assert_eq!(response.status, 200, "{response:?}");
    let sent = provider.requests().pop().unwrap();
    assert_eq!(sent.body, text.replace("\"gpt\"", "\"gpt-x\"").as_bytes());
    let text = r#"{ "unknown" : [1.50], "model":"claude" , "n":2}"#;
    let response = server.send(&post_with_key(MESSAGES, &key, text));
    assert_eq!(response.status, 200, "{response:?}");
    let sent = provider.requests().pop().unwrap();
    assert_eq!(sent.body, text.replace("claude", "claude-x").as_bytes());
}

#[test]
fn the_row_of_a_provider_has_all_of_its_models_translated() {
    let provider = provider();
    let file = ConfigFile::new(&format!(
        "[[provider]]\nid = \"llm.example\"\nurl = \"{0}\"\nanthropic = \"/v1\"\nauth = \"bearer\"\n\
         translate = true\n\n\
         [[provider]]\nid = \"chat.example\"\nurl = \"{0}\"\nopenai = \"/v1\"\ntranslate = true\n",
        provider.url()
    ));
    let server = Server::with_loopback_egress(&[("AISBREAKER_CONFIG", file.path())]);
    let secrets = json!([{"serviceId": "chat:llm.example", "authSecret": "one"}]);
    let claude = server.mint_with_secrets(&secrets);
    let secrets = json!([{"serviceId": "chat:chat.example", "authSecret": "two"}]);
    let gpt = server.mint_with_secrets(&secrets);
    for model in ["m", "llm.example/m", "chat:llm.example/m"] {
        let response = send(&server, (CHAT, &claude), &chat(&json!({"model": model})));
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.json()["choices"][0]["message"]["content"], "Hello");
        let sent = provider.requests().pop().unwrap();
        assert_eq!(
            (&*sent.target, &sent.json()["model"]),
            (PROVIDER_PATHS[0], &json!("m"))
        );
        assert_eq!(sent.header("authorization"), Some("Bearer one"));
        assert_eq!(sent.header("anthropic-version"), Some("2023-06-01"));
    }
    for model in ["m", "chat.example/m"] {
        let response = send(
            &server,
            (MESSAGES, &gpt),
            &message(&json!({"model": model})),
        );
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.json()["content"][0]["text"], "Hello");
        let sent = provider.requests().pop().unwrap();
        assert_eq!(
            (&*sent.target, &sent.json()["model"]),
            (PROVIDER_PATHS[1], &json!("m"))
        );
    }
}

#[test]
fn other_operations_of_such_a_pair_are_refused_as_ever() {
    let provider = Provider::trap();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let rows = [
        ("/v1/responses", json!({"model": "claude", "input": "Hi"})),
        ("/v1/embeddings", json!({"model": "claude", "input": "Hi"})),
        (
            "/v1/completions",
            json!({"model": "claude", "prompt": "Hi"}),
        ),
        (
            "/v1/messages/count_tokens",
            json!({"model": "gpt", "messages": []}),
        ),
    ];
    for (path, body) in rows {
        let response = send(&server, (path, &key), &body);
        assert_eq!(response.status, 404, "{path}: {response:?}");
        let text = response.message();
        assert!(
            text.contains("only chat/completions and messages are translated"),
            "{text}"
        );
    }
    assert_eq!(provider.connections(), 0);
}

#[test]
fn restrictions_count_for_what_is_called() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let with = |restrict: Value| key_at(&server, &provider.url(), &json!({"restrict": restrict}));
    let rows = [
        (json!({"services": ["chat:anthropic.com"]}), 200, 403),
        (
            json!({"services": ["chat:anthropic.com/claude-x"]}),
            200,
            403,
        ),
        (json!({"services": ["chat:openai.com"]}), 403, 200),
        // The operation is the one that the client asks for.
        (json!({"operations": ["chat/completions"]}), 200, 403),
        (json!({"operations": ["messages"]}), 403, 200),
        (json!({"maxBodyBytes": 40}), 413, 413),
    ];
    for (restrict, of_chat, of_message) in rows {
        let key = with(restrict.clone());
        let [(chat_path, chat), (message_path, message)] = directions(&json!({}));
        let found = send(&server, (chat_path, &key), &chat).status;
        assert_eq!(found, of_chat, "{restrict}");
        let found = send(&server, (message_path, &key), &message).status;
        assert_eq!(found, of_message, "{restrict}");
    }
}

#[test]
fn a_list_of_models_has_the_translated_aliases() {
    let provider = Provider::start(|received, wire| {
        let model = match received.header("x-api-key") {
            Some(_) => json!({"type": "model", "id": "claude-x", "display_name": "Claude"}),
            None => json!({"object": "model", "id": "gpt-x"}),
        };
        wire.json(200, &json!({"data": [model]}));
    });
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let of_openai = server.send(&Request::get("/v1/models").bearer(&key));
    let request = Request::get("/v1/models").bearer(&key);
    let of_anthropic = server.send(&request.header("anthropic-version", "2023-06-01"));
    for (response, own) in [(of_openai, "gpt-x"), (of_anthropic, "claude-x")] {
        assert_eq!(response.status, 200, "{response:?}");
        let body = response.json();
        let models = body["data"].as_array().unwrap().iter();
        let mut ids: Vec<&str> = models.map(|model| model["id"].as_str().unwrap()).collect();
        ids.sort_unstable();
        let mut expected = [own, "claude", "gpt", "dummy", "dummy/echo"];
        expected.sort_unstable();
        assert_eq!(ids, expected);
    }
}

#[test]
fn a_provider_with_translation_lists_its_models_in_the_dialect_of_the_client() {
    let provider = Provider::start(|received, wire| {
        assert!(
            received.target.starts_with("/v1/models"),
            "{}",
            received.target
        );
        assert_eq!(received.header("anthropic-version"), Some("2023-06-01"));
        let model =
            json!({"type": "model", "id": "claude-x", "created_at": "2025-02-19T00:00:00Z"});
        wire.json(200, &json!({"data": [model], "has_more": false}));
    });
    let file = ConfigFile::new(&format!(
        "[[provider]]\nid = \"llm.example\"\nurl = \"{}\"\nanthropic = \"/v1\"\ntranslate = true\n",
        provider.url()
    ));
    let server = Server::with_loopback_egress(&[("AISBREAKER_CONFIG", file.path())]);
    let secrets = json!([{"serviceId": "chat:llm.example", "authSecret": "one"}]);
    let key = server.mint_with_secrets(&secrets);
    let response = server.send(&Request::get("/v1/models").bearer(&key));
    assert_eq!(response.status, 200, "{response:?}");
    let body = response.json();
    assert_eq!(body["object"], "list");
    assert_eq!(body["data"][0]["id"], "claude-x");
    assert_eq!(body["data"][0]["created"], 1_739_923_200);
}

#[test]
fn keys_are_the_same_after_a_restart_and_narrower_keys_keep_the_alias() {
    let provider = provider();
    let settings = [("AUTH_ENCRYPTION_KEYPHRASE", KEY)];
    let key = key(&Server::with_loopback_egress(&settings), &provider);
    let server = Server::with_loopback_egress(&settings);
    let exchange = server.send(&Request::post(
        "/api/v1/oauth/token",
        json!({
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": key,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "restrict": {"services": ["chat:anthropic.com"]},
        })
        .to_string(),
    ));
    assert_eq!(exchange.status, 200, "{exchange:?}");
    let child = exchange.json()["access_token"].as_str().unwrap().to_owned();
    for key in [&key, &child] {
        let response = server.send(&request(CHAT, key, &chat(&json!({}))));
        assert_eq!(response.status, 200, "{response:?}");
    }
    // The alias of what the child may not call is not in it, so that this is a bare name.
    let response = server.send(&request(MESSAGES, &child, &message(&json!({}))));
    assert_eq!(response.status, 200, "{response:?}");
    let sent = provider.requests().pop().unwrap();
    assert_eq!(
        (&*sent.target, &sent.json()["model"]),
        (PROVIDER_PATHS[0], &json!("gpt"))
    );
}

#[test]
fn minting_warns_of_translation_that_never_happens() {
    let server = Server::with_loopback_egress(&[]);
    let response = server.send(&Request::mint(&json!({"requestAuthAndQuotas": {
        "requestQuotas": ample_quotas(),
        "serviceSecrets": [
            {"serviceId": "chat:openrouter.ai", "authSecret": OPENAI_SECRET},
            {"serviceId": "chat:anthropic.com", "authSecret": ANTHROPIC_SECRET},
        ],
        "modelAliases": {
            "both": {"model": "chat:openrouter.ai/m", "translate": true},
            "good": {"model": "chat:anthropic.com/m", "translate": true, "colour": "red"},
        },
    }})));
    assert_eq!(response.status, 200, "{response:?}");
    let warnings = response.json()["warnings"].clone();
    assert_eq!(
        warnings,
        json!([
            "requestAuthAndQuotas.modelAliases.good.colour is not known and was ignored",
            "requestAuthAndQuotas.modelAliases.both.translate does nothing: the provider speaks both \
             dialects",
        ])
    );
}
