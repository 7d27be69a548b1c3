//! Which names lead to the dummy, and which do not.

use serde_json::{Value, json};

use super::{ask, content};
use crate::support::{
    ConfigFile, Provider, Request, Response, Server, ample_quotas, closed_url,
    openai::completion,
    provider_api::{CHAT, MESSAGES, OPENAI_SECRET},
};

fn chat() -> Value {
    json!({"messages": [{"role": "user", "content": "Hi there"}]})
}

fn ids(list: &Response) -> Vec<String> {
    assert_eq!(list.status, 200, "{list:?}");
    let list = list.json();
    let models = list["data"].as_array().unwrap().iter();
    models
        .map(|model| model["id"].as_str().unwrap().to_owned())
        .collect()
}

const DUMMIES: [&str; 2] = ["dummy", "dummy/echo"];

#[test]
fn models_are_listed_and_found_with_and_without_a_key() {
    let server = Server::start(&[]);
    let key = server.mint_with_secrets(&json!([]));
    let list = Request::get("/v1/models");
    assert_eq!(ids(&server.send(&list)), DUMMIES);
    assert_eq!(ids(&server.send(&list.clone().bearer(&key))), DUMMIES);
    let anthropic = list
        .header("x-api-key", &key)
        .header("anthropic-version", "2023-06-01");
    let response = server.send(&anthropic);
    assert_eq!(ids(&response), DUMMIES);
    assert_eq!(response.json()["data"][0]["type"], "model");

    for name in ["dummy", "dummy/echo", "dummy/error-418"] {
        let path = format!("/v1/models/{name}");
        let found = server.send(&Request::get(&path).bearer(&key));
        assert_eq!(
            (found.status, &found.json()["id"]),
            (200, &json!(name)),
            "{found:?}"
        );
        let found = server.send(&Request::get(&path).header("anthropic-version", "2023-06-01"));
        assert_eq!(
            (found.status, &found.json()["type"]),
            (200, &json!("model")),
            "{found:?}"
        );
    }
    let missing = server.send(&Request::get("/v1/models/dummy/nothing"));
    assert_eq!(
        (missing.status, &missing.json()["error"]["code"]),
        (404, &json!("model_not_found"))
    );
}

#[test]
fn a_caller_without_an_account_gets_a_list_and_a_key_gets_the_reason() {
    let file = ConfigFile::new(&format!(
        "[[provider]]\nid = \"openai.com\"\nopenai = \"/v1\"\nurl = \"{}\"\n",
        closed_url()
    ));
    let server = Server::with_loopback_egress(&[("AISBREAKER_CONFIG", file.path())]);
    let own = Request::get("/v1/models").bearer("sk-own");
    assert_eq!(ids(&server.send(&own)), DUMMIES);
    let entry = json!([{"serviceId": "chat:openai.com", "authSecret": "s"}]);
    let key = server.mint_with_secrets(&entry);
    let list = server.send(&Request::get("/v1/models").bearer(&key));
    assert_eq!(list.status, 503, "{list:?}");
}

#[test]
fn aliases_lead_to_the_dummy() {
    let server = Server::start(&[]);
    let minted = server.send(&Request::mint(&json!({"requestAuthAndQuotas": {
        "requestQuotas": ample_quotas(),
        "modelAliases": {"gpt-4o": "chat:dummy/echo", "small": "chat:dummy"},
    }})));
    let minted = minted.json();
    assert!(minted.get("warnings").is_none(), "{minted}");
    let key = minted["access_token"].as_str().unwrap();
    for (alias, model) in [("gpt-4o", "dummy/echo"), ("small", "dummy")] {
        let response = server.send(&ask(CHAT, alias, chat()).bearer(key));
        assert_eq!(
            (response.status, &response.json()["model"]),
            (200, &json!(model)),
            "{response:?}"
        );
    }
    let list = server.send(&Request::get("/v1/models").bearer(key));
    assert_eq!(ids(&list), ["gpt-4o", "small", "dummy", "dummy/echo"]);
}

#[test]
fn bare_names_go_where_they_went_before() {
    let provider = Provider::with_response(200, completion("from the provider"));
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint_with_secrets(&json!([
        {"serviceId": "chat:dummy", "authSecret": ""},
        {"serviceId": "chat:openai.com", "authSecret": OPENAI_SECRET, "url": provider.url()},
    ]));
    for (model, sent) in [
        ("gpt-4o", "gpt-4o"),
        ("dummy-2", "dummy-2"),
        ("dummyecho", "dummyecho"),
        // The way to a model of this name at a provider.
        ("openai.com/dummy", "dummy"),
        ("openai.com/dummy/echo", "dummy/echo"),
    ] {
        let response = server.send(&ask(CHAT, model, chat()).bearer(&key));
        assert_eq!(content(&response), "from the provider", "{model}");
        assert_eq!(provider.requests().pop().unwrap().json()["model"], sent);
    }
    let calls = provider.requests().len();
    let response = server.send(&ask(CHAT, "dummy/echo", chat()).bearer(&key));
    assert_eq!(content(&response), "Hi there");
    assert_eq!(provider.requests().len(), calls);
}

#[test]
fn fallbacks_lead_from_the_dummy_and_to_it() {
    let provider = Provider::start(|received, wire| {
        if received.json()["model"] == "broken" {
            wire.json(500, &json!({}));
        } else {
            wire.json(200, &completion("from the provider"));
        }
    });
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint_with_secrets(&json!([
        {"serviceId": "chat:dummy", "authSecret": "", "fallback": ["chat:openai.com/gpt-4o"]},
        {"serviceId": "chat:openai.com", "authSecret": OPENAI_SECRET, "url": provider.url(),
         "fallback": ["chat:dummy"]},
    ]));

    let response = server.send(&ask(CHAT, "dummy/error-503", chat()).bearer(&key));
    assert_eq!(content(&response), "from the provider");
    let attempts = response.header("x-aisbreaker-attempts").unwrap();
    assert!(attempts.contains("chat:dummy/error-503"), "{attempts}");
    let response = server.send(&ask(CHAT, "dummy/error-400", chat()).bearer(&key));
    assert_eq!(response.status, 400, "not worth retrying");

    let response = server.send(&ask(CHAT, "broken", chat()).bearer(&key));
    assert_eq!(
        (response.status, &response.json()["model"]),
        (200, &json!("dummy")),
        "{response:?}"
    );
}

#[test]
fn a_provider_of_the_operator_takes_the_name() {
    let provider = Provider::with_response(200, completion("from the provider"));
    let file = ConfigFile::new(&format!(
        "[[provider]]\nid = \"dummy\"\nopenai = \"/v1\"\nurl = \"{}\"\nsecret = \"optional\"\n",
        provider.url()
    ));
    let server = Server::with_loopback_egress(&[("AISBREAKER_CONFIG", file.path())]);
    let response = server.send(&ask(CHAT, "dummy/small", chat()));
    assert_eq!(content(&response), "from the provider");
    assert_eq!(provider.requests().pop().unwrap().json()["model"], "small");
    assert_eq!(server.send(&ask(MESSAGES, "dummy", chat())).status, 404);
}

#[test]
fn the_own_secret_of_a_caller_goes_nowhere() {
    let server = Server::start(&[]);
    let response = server.send(&ask(CHAT, "dummy/echo", chat()).bearer("sk-own"));
    assert_eq!(content(&response), "Hi there");
    let entry =
        json!([{"serviceId": "chat:dummy", "authSecret": "s", "url": "https://llm.example.com"}]);
    let key = server.mint_with_secrets(&entry);
    let response = server.send(&ask(CHAT, "dummy/echo", chat()).bearer(&key));
    assert_eq!(content(&response), "Hi there");
}
