//! Lists of models of providers that mean no good, or say nothing at all: anybody may seal a key
//! that names one.

use serde_json::{Value, json};

use crate::support::{Answer, Provider, Request, Server};

/// A provider with this list, which it does not make anew for each request.
fn provider_of(list: String) -> Provider {
    Provider::forgetful(move |_, wire| {
        wire.answer(200, &[("Content-Type", "application/json")], &list)
    })
}

/// The answer to a key with these services, all of which are at this provider.
fn listed(server: &Server, names: &[&str], provider: &Provider) -> Answer {
    let secret = |name: &&str| json!({"serviceId": format!("chat:{name}"), "authSecret": "o", "url": provider.url()});
    let key = server.mint_secrets(&Value::from(names.iter().map(secret).collect::<Vec<_>>()));
    server.send(&Request::get("/v1/models").bearer(&key))
}

fn count(list: &Answer) -> usize {
    list.json()["data"].as_array().expect("a list").len()
}

#[test]
fn a_long_list_takes_no_more_memory_than_a_few_times_its_length() {
    let short = r#"{"id":"a"},"#;
    let long = |model: &str| {
        format!(
            r#"{{"data":[{}{{"id":"z"}}]}}"#,
            model.repeat((4 << 20) / model.len() - 20)
        )
    };
    let rows = [
        ("many models", long(short), 200, 1_000),
        ("many models without a name", long("{},"), 200, 0),
        (
            "a deep model",
            long(&format!(r#"{{"id":"a","x":[{}0]}},"#, "[],".repeat(30_000))),
            200,
            1,
        ),
        (
            "longer than any",
            format!(r#"{{"data":[{}{{"id":"z"}}]}}"#, short.repeat(500_000)),
            502,
            0,
        ),
    ];
    let server = Server::with_egress(&[]);
    let names = [
        "openai.com",
        "mistral",
        "vllm",
        "ollama",
        "together",
        "together.xyz",
        "xai",
        "qwen",
    ];
    for (row, list, status, models) in rows {
        let provider = provider_of(list);
        let told = listed(&server, &names, &provider);
        assert_eq!(told.status, status, "{row}: {}", told.text());
        if status == 200 {
            assert_eq!(count(&told), models * names.len(), "{row}");
        }
    }
    // Without bounds it is over 2 GB.
    let peak = server.peak_memory();
    assert!(peak < 500 << 20, "{} MB", peak >> 20);
}

#[test]
fn a_key_with_many_services_makes_no_more_than_twenty_calls_at_once() {
    let provider = Provider::with_answer(200, json!({"data": [{"id": "m"}]}));
    let server = Server::with_egress(&[]);
    let names = [
        "openai.com",
        "gemini",
        "mistral",
        "groq",
        "deepseek",
        "xai",
        "together",
        "together.xyz",
        "fireworks",
        "perplexity",
        "openrouter",
        "cohere",
        "cohere.ai",
        "huggingface",
        "azure",
        "cerebras",
        "deepinfra",
        "moonshot",
        "kimi",
        "nvidia",
        "sambanova",
        "zai",
        "dashscope",
        "qwen",
    ];

    assert_eq!(count(&listed(&server, &names, &provider)), 20);

    assert_eq!(provider.requests().len(), 20);
}

#[test]
fn lists_of_other_forms_are_read() {
    let server = Server::with_egress(&[]);
    let rows = [
        (
            "a list alone",
            r#" [{"id":"a"},{"id":"b","x":1.50}]"#,
            200,
            2,
        ),
        (
            "null, as Ollama has it for none",
            r#"{"object":"list","data":null}"#,
            200,
            0,
        ),
        (
            "what is no model",
            r#"{"data":[1,null,[],{"id":2},{"id":"a"}]}"#,
            200,
            1,
        ),
        ("no list", "{}", 200, 0),
        ("no JSON", "<html>", 502, 0),
    ];
    for (row, list, status, models) in rows {
        let told = listed(&server, &["openai.com"], &provider_of(list.to_owned()));
        assert_eq!(told.status, status, "{row}: {}", told.text());
        if status == 200 {
            assert_eq!(count(&told), models, "{row}");
        }
    }
}

#[test]
fn a_service_that_says_nothing_does_not_keep_the_others_from_being_listed() {
    let provider = Provider::start(|received, wire| match received.header("authorization") {
        Some("Bearer silent") => wire.hold(),
        _ => wire.json(200, &json!({"data": [{"id": "m"}]})),
    });
    let server = Server::with_egress(&[]);
    let secret = |name: &str, secret: &str| json!({"serviceId": name, "authSecret": secret, "url": provider.url()});
    let key = server.mint_secrets(&json!([
        secret("chat:groq.com", "silent"),
        secret("chat:openai.com", "o")
    ]));

    let told = server.send(&Request::get("/v1/models").bearer(&key));

    assert_eq!((told.status, count(&told)), (200, 1), "{}", told.text());
    assert_eq!(told.json()["data"][0]["id"], "openai.com/m");
}
