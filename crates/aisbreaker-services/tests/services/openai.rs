//! `chat:openai.com` without streaming: its requests, and how it reads answers.

use std::sync::Arc;

use aisbreaker_api::{ErrorObject, ServicePattern};
use aisbreaker_egress::{Timeouts, UrlSource};
use aisbreaker_services::{
    Credentials, SealedSecret, ServiceError, ServiceRestrictions,
    services::{Options, standard},
};
use serde_json::{Value, json};

use crate::support::{
    SECRET, answer, call_with, client, json_of,
    provider::{self, Provider},
    registry, state_of, texts, user_text,
};

fn completion(content: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-test-2025",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content},
            "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}
    })
}

fn service(provider: &Provider) -> Value {
    json!({"serviceId": "chat:openai.com/gpt-test", "url": provider.url()})
}

#[tokio::test]
async fn sends_what_the_caller_requested_and_nothing_else() {
    let provider = Provider::start([provider::json("200 OK", &completion("Hi."))]).await;
    let request = json!({
        "inputs": [
            {"text": {"role": "system", "content": "Be short."}},
            {"text": {"role": "user", "content": "What is this?"}},
            {"image": {"role": "user", "url": "https://a.example/b.png"}},
            {"image": {"role": "user", "base64": "/9j/4AAQ"}},
            {"image": {"role": "user", "base64": "data:image/webp;base64,UklGR"}},
        ],
        "internOptions": {"temperature": 0.1, "max_tokens": 5, "stream": true, "messages": [],
            "model": "other"},
    });
    answer(service(&provider), request).await.unwrap();

    let received = provider.request();
    assert!(
        received
            .head
            .starts_with("POST /v1/chat/completions HTTP/1.1\r\n"),
        "{}",
        received.head
    );
    assert_eq!(
        received.header("authorization"),
        Some(&*format!("Bearer {SECRET}"))
    );
    assert_eq!(received.header("content-type"), Some("application/json"));
    assert_eq!(received.header("accept"), Some("application/json"));
    assert_eq!(
        received.body,
        json!({
            "model": "gpt-test", "stream": false, "temperature": 0.1, "max_tokens": 5,
            "messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
                    {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/4AAQ"}},
                    {"type": "image_url", "image_url": {"url": "data:image/webp;base64,UklGR"}},
                ]},
            ],
        })
    );
}

#[tokio::test]
async fn answers_with_the_providers_text_and_usage() {
    let provider = Provider::start([provider::json("200 OK", &completion("Hi."))]).await;
    let response = answer(service(&provider), user_text("Hello"))
        .await
        .unwrap();

    let mut response_json = json_of(&response);
    assert!(response_json["usage"]["totalMilliseconds"].take().is_u64());
    let output = json!({"text":
        {"index": 0, "role": "assistant", "content": "Hi.", "isDelta": false,
            "isProcessing": false}});
    assert_eq!(
        response_json,
        json!({
            "outputs": [output],
            "conversationState": response.conversation_state,
            "usage": {
                "service": {
                    "serviceId": "chat:openai.com/gpt-test",
                    "engine": "gpt-test-2025",
                    "url": format!("{}/v1/chat/completions", provider.url()),
                },
                "inputTokens": 10, "outputTokens": 3, "totalTokens": 13, "totalMilliseconds": null,
            },
            "internResponse": completion("Hi."),
        })
    );
    assert_eq!(
        state_of(&response),
        json!({"messages": [
            {"input": {"text": {"role": "user", "content": "Hello"}}},
            {"output": output},
        ]})
    );
}

#[tokio::test]
async fn the_second_turn_includes_the_first() {
    let answers = ["One.", "Two."].map(|text| provider::json("200 OK", &completion(text)));
    let provider = Provider::start(answers).await;
    let first = answer(service(&provider), user_text("first"))
        .await
        .unwrap();
    let mut request = user_text("second");
    request["conversationState"] = json!(first.conversation_state);
    let second = answer(service(&provider), request).await.unwrap();

    assert_eq!(
        provider.received()[1].body["messages"],
        json!([
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "One."},
            {"role": "user", "content": "second"},
        ])
    );
    assert_eq!(state_of(&second)["messages"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn the_engine_comes_from_id_option_or_default_in_this_order() {
    let rows = [
        (
            "chat:openai.com/org/model",
            json!({"model": "option"}),
            "org/model",
        ),
        ("chat:openai.com", json!({"model": "option"}), "option"),
        ("chat:openai.com", json!({}), "default-engine"),
    ];
    let mut options = Options::default();
    options
        .engines
        .insert("chat:openai.com".to_owned(), "default-engine".to_owned());
    let registry = standard(client(Timeouts::default()), options).build();
    for (service_id, intern_options, expected) in rows {
        let provider = Provider::start([provider::json("200 OK", &completion("Hi."))]).await;
        let mut request = user_text("a");
        request["internOptions"] = intern_options;
        let service = json!({"serviceId": service_id, "url": provider.url()});
        registry
            .call(call_with(&registry, service, request))
            .await
            .unwrap();
        assert_eq!(provider.request().body["model"], expected, "{service_id}");
    }

    let mut request = user_text("a");
    request["internOptions"] = json!({"model": 4});
    let error = answer(json!({"serviceId": "chat:openai.com"}), request)
        .await
        .unwrap_err();
    let expected = "request.internOptions.model must be a string";
    assert_eq!(error, ServiceError::BadRequest(expected.into()));
}

#[tokio::test]
async fn a_blocked_engine_cannot_be_called_through_an_option() {
    let registry = standard(client(Timeouts::default()), Options::default()).build();
    let secret = |id: &str, secret: &str| {
        let urls = vec!["https://nowhere.invalid".to_owned()];
        SealedSecret::new(ServicePattern::parse(id).unwrap(), secret.into(), urls)
    };
    let blocked = [
        "chat:openai.com/dear",
        "chat:anthropic.com/dear",
        "chat:openai.com/gpt-4.1-mini",
    ];
    let open = ["chat:openai.com", "chat:anthropic.com"];
    let secrets = blocked
        .iter()
        .map(|id| secret(id, "INVALID"))
        .chain(open.iter().map(|id| secret(id, "sk")))
        .collect();
    let credentials = Arc::new(Credentials::Sealed {
        secrets,
        bearer: None,
        restrictions: ServiceRestrictions::default(),
        url_source: UrlSource::Trusted,
    });
    for (id, options) in [
        ("chat:openai.com", json!({"model": "dear"})),
        ("chat:openai.com/", json!({"model": "dear"})),
        ("chat:openai.com", json!({})),
        ("chat:anthropic.com", json!({"model": "dear"})),
    ] {
        let mut request = user_text("a");
        request["internOptions"] = options.clone();
        let mut call = call_with(&registry, json!({"serviceId": id}), request);
        call.credentials = Arc::clone(&credentials);
        let refused = registry.call(call).await.unwrap_err();
        let text = format!(
            "{}: the key does not allow this model of the service",
            id.trim_end_matches('/')
        );
        assert_eq!(
            refused,
            ServiceError::Forbidden(text.into()),
            "{id} {options}"
        );
    }
}

#[tokio::test]
async fn every_choice_with_text_is_an_output() {
    let mut provider_json = completion("");
    provider_json["choices"] = json!([
        {"index": 1, "message": {"role": "assistant", "content": [{"type": "text", "text": "B"}]}},
        {"index": 0, "message": {"role": "assistant", "content": "A"}},
        {"index": 2, "message": {"role": "assistant", "content": null,
            "tool_calls": [{"id": "x"}]}},
    ]);
    provider_json
        .as_object_mut()
        .unwrap()
        .retain(|name, _| name == "choices");
    let provider = Provider::start([provider::json("200 OK", &provider_json)]).await;
    let response = answer(service(&provider), user_text("a")).await.unwrap();

    assert_eq!(texts(&response.outputs), ["A", "B"]);
    assert_eq!(
        response.usage.service.engine.as_deref(),
        Some("gpt-test"),
        "the requested model"
    );
    assert_eq!(response.usage.total_tokens, None);
    assert_eq!(response.intern_response, Some(provider_json.into()));
}

#[tokio::test]
async fn passes_on_the_providers_error_without_the_secret() {
    let long = "x".repeat(3000);
    let text = format!("{}{}", "chat:openai.com/gpt-test: ", "x".repeat(2048));
    let rows = [
        (
            json!({"error": {"message": format!("Bad key: {SECRET}."), "type": "t"}}),
            "Bad key: ***.",
            Some("t"),
        ),
        (
            json!({"error": {"message": "m", "code": "invalid"}}),
            "m",
            None,
        ),
        (json!({"error": "e"}), "e", None),
        (json!({"message": "m", "error": {}}), "m", None),
        (json!({"detail": "d"}), "d", None),
        (
            json!([{"error": {"message": "in a list"}}]),
            "in a list",
            None,
        ),
        (json!({"error": {"message": ""}}), "Unauthorized", None),
        (json!({}), "Unauthorized", None),
        (
            json!({"error": {"message": long}}),
            text.split_once("test: ").unwrap().1,
            None,
        ),
    ];
    for (body, expected, kind) in rows {
        let provider = Provider::start([provider::json("401 Unauthorized", &body)]).await;
        let error = answer(service(&provider), user_text("a"))
            .await
            .unwrap_err();
        let message = format!("chat:openai.com/gpt-test: {expected}");
        let mut object = ErrorObject::new(401, "Unauthorized", message);
        object.kind = kind.map(str::to_owned);
        assert_eq!(
            error,
            ServiceError::Provider {
                error: Box::new(object),
                retry_after: None,
                is_in_answer: false,
            },
            "{body}"
        );
    }
}

#[tokio::test]
async fn nothing_is_sent_without_a_secret() {
    let provider = Provider::start([]).await;
    let registry = registry();
    let mut call = call_with(&registry, service(&provider), user_text("a"));
    call.credentials = Arc::new(Credentials::None);
    let error = registry.call(call).await.unwrap_err();

    let service_id = "chat:openai.com/gpt-test".to_owned();
    assert_eq!(error, ServiceError::MissingSecret { service_id });
    assert_eq!(provider.connections(), 0);
}

#[tokio::test]
async fn a_host_that_the_caller_did_not_name_is_hidden() {
    let secret = SealedSecret::new(
        ServicePattern::parse("chat:openai.com").unwrap(),
        SECRET.into(),
        vec!["https://llm.internal.invalid".to_owned()],
    );
    let registry = registry();
    let mut call = call_with(
        &registry,
        json!({"serviceId": "chat:openai.com"}),
        user_text("a"),
    );
    call.credentials = Arc::new(Credentials::Sealed {
        secrets: vec![secret],
        bearer: None,
        restrictions: ServiceRestrictions::default(),
        url_source: UrlSource::Trusted,
    });

    let error = registry.call(call).await.unwrap_err();

    assert!(matches!(error, ServiceError::Unreachable(_)), "{error:?}");
    assert!(!error.to_string().contains("llm.internal"), "{error}");
}

#[tokio::test]
async fn usage_shows_the_url_without_its_query() {
    let body = json!({"choices": [{"message": {"content": "a"}}]});
    let provider = Provider::start([provider::json("200 OK", &body)]).await;
    let url = format!("{}/x?key=hush#no-default-path", provider.url());

    let response = answer(
        json!({"serviceId": "chat:openai.com", "url": url}),
        user_text("a"),
    )
    .await
    .unwrap();

    assert_eq!(
        response.usage.service.url,
        Some(format!("{}/x", provider.url()))
    );
    assert!(provider.request().head.starts_with("POST /x?key=hush "));
}
