//! Contract section 4, `chat:openai.com`: what the provider receives, and what is returned of its
//! response.

use serde_json::{Value, json};

use super::mirror;
use crate::support::{
    Provider, Request, Server, call,
    openai::{SECRET, completion, completion_stream, openai_call, openai_key, progress_texts},
    output_text, service, service_at, sse, state_of, streamed, user_text,
};

#[test]
fn provider_receives_only_the_documented_request() {
    let provider = Provider::with_response(200, completion("Hello!"));
    let server = Server::with_loopback_egress(&[]);
    let key = openai_key(&server, &provider);
    let request = Request::process(&openai_call("Hi"))
        .bearer(&key)
        .header("Cookie", "session=canary")
        .header("X-Forwarded-For", "192.0.2.1")
        .header("X-Api-Key", "canary")
        .header("Origin", "https://app.example")
        .header("Referer", "https://app.example/canary");

    assert_eq!(server.send(&request).content(), "Hello!");

    let sent = provider.only_request();
    assert_eq!(
        (&*sent.method, &*sent.target),
        ("POST", "/v1/chat/completions")
    );
    assert_eq!(
        sent.header("authorization"),
        Some(&*format!("Bearer {SECRET}"))
    );
    assert_eq!(sent.header("content-type"), Some("application/json"));
    assert_eq!(sent.header("host"), Some(&*provider.address().to_string()));
    let expected = json!({"messages": [{"role": "user", "content": "Hi"}], "model": "gpt-4o", "stream": false});
    assert_eq!(sent.json(), expected);
    for header in [
        "cookie",
        "x-forwarded-for",
        "x-api-key",
        "origin",
        "referer",
    ] {
        assert_eq!(sent.header(header), None, "{header} was forwarded");
    }
    assert!(
        !format!("{:?}", sent.headers).contains("aisbreaker_"),
        "the key was forwarded: {sent:?}"
    );
}

#[test]
fn intern_options_are_forwarded_but_override_nothing() {
    let provider = Provider::with_response(200, completion("ok"));
    let server = Server::with_loopback_egress(&[]);
    let mut body = openai_call("Hi");
    body["request"]["internOptions"] = json!({
        "temperature": 0.25, "max_tokens": 7, "seed": 9_007_199_254_740_993_u64, "stop": ["\n"],
        "messages": [{"role": "user", "content": "other"}], "stream": true,
    });

    assert_eq!(
        server
            .process(&openai_key(&server, &provider), &body)
            .content(),
        "ok"
    );

    let expected = json!({
        "messages": [{"role": "user", "content": "Hi"}], "model": "gpt-4o", "stream": false,
        "temperature": 0.25, "max_tokens": 7, "seed": 9_007_199_254_740_993_u64, "stop": ["\n"],
    });
    assert_eq!(provider.only_request().json(), expected);
}

#[test]
fn images_are_sent_as_image_url_parts() {
    let provider = Provider::with_response(200, completion("ok"));
    let server = Server::with_loopback_egress(&[]);
    let inputs = json!([
        {"text": {"role": "system", "content": "Be brief."}},
        user_text("What is this?"),
        {"image": {"role": "user", "url": "https://images.example/x.png"}},
        {"image": {"role": "user", "base64": "iVBORw0KGgo="}},
    ]);
    let body = json!({"service": service("chat:openai.com/gpt-4o"), "request": {"inputs": inputs}});

    assert_eq!(
        server
            .process(&openai_key(&server, &provider), &body)
            .content(),
        "ok"
    );

    let sent = provider.only_request().json();
    let messages = sent["messages"].as_array().unwrap();
    assert_eq!(
        messages[0],
        json!({"role": "system", "content": "Be brief."})
    );
    let images: Vec<&Value> = messages
        .iter()
        .filter_map(|message| message["content"].as_array())
        .flatten()
        .filter(|part| part["type"] == "image_url")
        .collect();
    assert_eq!(
        images[0]["image_url"]["url"], "https://images.example/x.png",
        "{sent}"
    );
    assert_eq!(
        images[1]["image_url"]["url"], "data:image/png;base64,iVBORw0KGgo=",
        "{sent}"
    );
    assert!(sent.to_string().contains("What is this?"), "{sent}");
}

#[test]
fn provider_receives_the_whole_conversation() {
    let provider = Provider::start(|received, wire| {
        let messages = received.json()["messages"].as_array().unwrap().len();
        wire.json(200, &completion(&format!("answer to {messages}")));
    });
    let server = Server::with_loopback_egress(&[]);
    let key = openai_key(&server, &provider);
    let first = server.process(&key, &openai_call("one")).json();
    let mut second_call = openai_call("two");
    second_call["request"]["conversationState"] = first["conversationState"].clone();

    let second = server.process(&key, &second_call).json();

    let expected = json!([
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "answer to 1"},
        {"role": "user", "content": "two"},
    ]);
    assert_eq!(provider.requests()[1].json()["messages"], expected);
    let output = |text: &str| {
        json!({"output": {"text": {
            "index": 0, "role": "assistant", "content": text, "isDelta": false, "isProcessing": false,
        }}})
    };
    let messages = json!([{"input": user_text("one")}, output("answer to 1"), {"input": user_text("two")}, output("answer to 3")]);
    assert_eq!(state_of(&second), json!({"messages": messages}));
}

#[test]
fn answer_contains_output_state_and_usage_of_the_provider() {
    let provider = Provider::with_response(200, completion("Hello!"));
    let server = Server::with_loopback_egress(&[]);

    let response = server
        .process(&openai_key(&server, &provider), &openai_call("Hi"))
        .json();

    let output = json!({"text": {
        "index": 0, "role": "assistant", "content": "Hello!", "isDelta": false, "isProcessing": false,
    }});
    assert_eq!(response["outputs"], json!([output]));
    assert_eq!(response["internResponse"], completion("Hello!"));
    assert_eq!(
        state_of(&response),
        json!({"messages": [{"input": user_text("Hi")}, {"output": output}]})
    );
    let usage = response["usage"].as_object().unwrap();
    let service = json!({
        "serviceId": "chat:openai.com/gpt-4o", "engine": "gpt-4o-2024-08-06",
        "url": format!("{}/v1/chat/completions", provider.url()),
    });
    assert_eq!(usage["service"], service);
    assert!(usage["totalMilliseconds"].is_u64(), "{usage:?}");
    let tokens = ["inputTokens", "outputTokens", "totalTokens"].map(|name| usage[name].as_u64());
    assert_eq!(tokens, [Some(9), Some(12), Some(21)]);
}

#[test]
fn all_that_the_provider_reports_is_logged() {
    let usage = json!({
        "prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 16},
        "completion_tokens_details": {"reasoning_tokens": 4},
    });
    let mut whole = completion("Hello!");
    whole["usage"] = usage.clone();
    let last = sse(&json!({"choices": [], "usage": usage}));
    let stream = completion_stream(&["a"]).replace("data: [DONE]", &format!("{last}data: [DONE]"));
    let provider = Provider::start(move |request, wire| {
        if request.json()["stream"] == true {
            wire.whole_stream(&stream);
        } else {
            wire.respond(
                200,
                &[("Content-Type", "application/json")],
                whole.to_string(),
            );
        }
    });
    let server = Server::with_loopback_egress(&[]);
    let key = openai_key(&server, &provider);
    for (id, call) in [
        ("whole", openai_call("Hi")),
        ("streamed", streamed(openai_call("Hi"))),
    ] {
        let request = Request::process(&call)
            .bearer(&key)
            .header("x-request-id", id);
        assert_eq!(server.send(&request).status, 200, "{id}");
        let line = server.wait_for_request(id);
        let logged = [
            "input_tokens",
            "output_tokens",
            "cached_tokens",
            "reasoning_tokens",
        ]
        .map(|name| line[name].as_u64());
        assert_eq!(logged, [Some(20), Some(9), Some(16), Some(4)], "{line}");
    }
}

#[test]
fn unreported_token_counts_are_omitted() {
    let mut without_usage = completion("ok");
    without_usage.as_object_mut().unwrap().remove("usage");
    let provider = Provider::with_response(200, without_usage);
    let server = Server::with_loopback_egress(&[]);

    let response = server
        .process(&openai_key(&server, &provider), &openai_call("Hi"))
        .json();

    for name in ["inputTokens", "outputTokens", "totalTokens"] {
        assert_eq!(response["usage"].get(name), None, "{name}");
    }
}

#[test]
fn choices_are_ordered_by_index() {
    let mut body = completion("zero");
    body["choices"] = json!([
        {"index": 1, "message": {"role": "assistant", "content": "one"}},
        {"index": 0, "message": {"role": "assistant", "content": "zero"}},
    ]);
    let provider = Provider::with_response(200, body);
    let server = Server::with_loopback_egress(&[]);

    let response = server
        .process(&openai_key(&server, &provider), &openai_call("Hi"))
        .json();

    let texts: Vec<(&Value, &Value)> = response["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|output| (&output["text"]["index"], &output["text"]["content"]))
        .collect();
    assert_eq!(
        texts,
        [(&json!(0), &json!("zero")), (&json!(1), &json!("one"))]
    );
}

#[test]
fn sealed_secret_arrives_unchanged() {
    let provider = Provider::with_response(200, completion("ok"));
    let server = Server::with_loopback_egress(&[]);

    for secret in [
        "s\u{fc}per-\u{1f511}",
        "with spaces in it",
        "\"quoted\"",
        "a=b;c,d",
        &"x".repeat(2_000),
    ] {
        let entry =
            json!({"serviceId": "chat:openai.com", "authSecret": secret, "url": provider.url()});
        assert_eq!(
            server
                .process(
                    &server.mint_with_secrets(&json!([entry])),
                    &openai_call("Hi")
                )
                .content(),
            "ok",
            "{secret}"
        );
        let sent = provider.requests().pop().unwrap();
        assert_eq!(
            sent.header("authorization"),
            Some(&*format!("Bearer {secret}"))
        );
    }
}

#[test]
fn bearer_value_that_is_no_key_is_sent_as_the_secret() {
    let secrets = [
        "sk-own",
        "test_with_third_party_or_invalid_api_key",
        "a.b.c",
        "s\u{fc}per-\u{1f511}",
    ];
    assert_secrets_arrive(&secrets);
}

#[test]
fn bearer_value_is_a_key_only_with_the_key_prefix() {
    assert_secrets_arrive(&[
        "aisbreaker-x",
        "aisbreaker",
        "sk-aisbreaker_x",
        "AISBREAKER_x",
    ]);
}

#[test]
fn mirror_uses_the_secret_of_the_inner_service() {
    let provider = Provider::start(|received, wire| {
        if received.json()["stream"] == true {
            wire.whole_stream(completion_stream(&["abc", "def"]));
        } else {
            wire.json(200, &completion("abcdef"));
        }
    });
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint_with_secrets(&json!([
        {"serviceId": "aisbreaker:mirror", "authSecret": "sk-of-the-mirror"},
        {"serviceId": "chat:openai.com", "authSecret": SECRET, "url": provider.url()},
    ]));
    let body = call(mirror(&service("chat:openai.com/gpt-4o")), "Hi");

    let response = server.process(&key, &body).json();
    let (progress, last) = server.process(&key, &streamed(body)).stream();

    assert_eq!(output_text(&response), "fedcba");
    assert_eq!(
        response["usage"]["service"]["serviceId"],
        "aisbreaker:mirror/service/chat:openai.com/gpt-4o"
    );
    assert_eq!(
        state_of(&response)["messages"][1]["output"]["text"]["content"],
        "abcdef"
    );
    assert_eq!(progress_texts(&progress), ["cba", "fed"]);
    assert_eq!(output_text(&last), "fedcba");
    for sent in provider.requests() {
        assert_eq!(
            sent.header("authorization"),
            Some(&*format!("Bearer {SECRET}"))
        );
    }
}

/// Asserts that a provider receives these bearer values unchanged.
fn assert_secrets_arrive(secrets: &[&str]) {
    let provider = Provider::with_response(200, completion("ok"));
    let server = Server::with_loopback_egress(&[]);
    let body = call(service_at("chat:openai.com", &provider.url()), "Hi");

    for secret in secrets {
        let response = server.process(secret, &body);
        assert_eq!(response.status, 200, "{secret}: {response:?}");
        let sent = provider.requests().pop().unwrap();
        assert_eq!(
            sent.header("authorization"),
            Some(&*format!("Bearer {secret}"))
        );
    }
}
