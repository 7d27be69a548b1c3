//! `chat:replicate.com`: predictions that finish at once, later or never.

use std::{sync::Arc, time::Duration};

use aisbreaker_api::{
    ConversationState, ErrorObject, Input, Output, OutputText, Response, ServiceId,
};
use aisbreaker_egress::Timeouts;
use aisbreaker_services::{
    Credentials, Event, Registry, Reply, ServiceError,
    services::{Options, ReplicateChat, ServiceSettings, standard},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::support::{
    SECRET, answer, check_head, check_refused_unsent, client, golden, golden_json, json_bytes,
    json_of,
    provider::{self, Provider},
    registry, sealed_call, state_of, streamed, texts, user_text,
};

const ID: &str = "chat:replicate.com/meta/llama-test";
const PATH: &str = "/v1/models/meta/llama-test/predictions";

/// Returns the services, with this one polling almost without pauses.
fn hasty_registry(timeouts: Timeouts) -> Registry {
    let id = ServiceId::parse("chat:replicate.com").unwrap();
    let chat = ReplicateChat::new(client(timeouts), ServiceSettings::default());
    let chat = chat.with_first_pause(Duration::from_millis(1));
    standard(client(timeouts), Options::default())
        .with(&id, chat)
        .build()
}

async fn predict(url: &str, request: Value) -> Result<Reply, ServiceError> {
    let registry = hasty_registry(Timeouts::default());
    registry
        .call(sealed_call(&registry, ID, url, request))
        .await
}

async fn predict_whole(url: &str) -> Result<Response, ServiceError> {
    let Reply::Final(response) = predict(url, user_text("a")).await? else {
        panic!("a stream")
    };
    Ok(response)
}

fn finished() -> Vec<provider::Act> {
    json_bytes(golden("replicate.com", "answer.json"))
}

/// Returns an unfinished prediction with this URL for polling.
fn unfinished(get: Value) -> Vec<provider::Act> {
    let mut provider_json = golden_json("replicate.com", "unfinished.json");
    provider_json["urls"] = json!({"get": get});
    provider::json("201 Created", &provider_json)
}

#[tokio::test]
async fn the_provider_gets_its_golden_request_and_is_understood() {
    let provider = Provider::start([finished()]).await;
    let earlier = ConversationState::default().with_turn(
        &[Input::user_text("Hello")],
        &[Output::Text(OutputText::complete(0, "Hi."))],
    );
    let request = json!({
        "inputs": [
            {"text": {"role": "system", "content": "Answer in one word."}},
            {"text": {"role": "user", "content": "What is the capital"}},
            {"text": {"role": "user", "content": "of France?"}},
        ],
        "conversationState": earlier.encode(),
        "internOptions": {"temperature": 0.5, "prompt": "x"},
    });
    let Reply::Final(response) = predict(&provider.url(), request).await.unwrap() else {
        panic!("a stream")
    };

    let received = provider.request();
    let secret = format!("Bearer {SECRET}");
    let cancel_after = received.header("cancel-after").unwrap();
    let seconds: u64 = cancel_after.strip_suffix('s').unwrap().parse().unwrap();
    assert!((5..=180).contains(&seconds), "{cancel_after}");
    let headers = [
        ("authorization", &*secret),
        ("x-aisbreaker-sealed", "1"),
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("prefer", "wait"),
        ("cancel-after", cancel_after),
    ];
    check_head(&received, &format!("POST {PATH}"), &headers);
    assert_eq!(received.body, golden_json("replicate.com", "request.json"));
    assert_eq!(texts(&response.outputs), ["Paris."]);
    assert_eq!(
        response.intern_response,
        Some(golden_json("replicate.com", "answer.json").into())
    );
    assert_eq!(state_of(&response)["messages"].as_array().unwrap().len(), 6);
    let mut usage = json_of(&response.usage);
    assert!(usage["totalMilliseconds"].take().is_u64());
    let url = format!("{}{PATH}", provider.url());
    assert_eq!(
        usage,
        json!({
            "service": {"serviceId": ID, "engine": "meta/llama-test", "url": url},
            "inputTokens": 31, "outputTokens": 3, "totalTokens": 34, "totalMilliseconds": null,
        })
    );
}

#[tokio::test]
async fn a_version_is_in_the_body_and_a_model_in_the_path() {
    let version = json!({"version": "5c7d", "input": {"prompt": "a"}});
    let plain = json!({"input": {"prompt": "a"}});
    let rows = [
        (
            "chat:replicate.com/o/n:5c7d",
            json!({}),
            "",
            "/v1/predictions",
            version.clone(),
        ),
        (
            "chat:replicate.com",
            json!({"model": "o/n:5c7d"}),
            "/v1",
            "/v1/predictions",
            version,
        ),
        (
            "chat:replicate.com/o/n",
            json!({}),
            "/v1/",
            "/v1/models/o/n/predictions",
            plain.clone(),
        ),
        (
            "chat:replicate.com",
            json!({"model": "o/n"}),
            "",
            "/v1/models/o/n/predictions",
            plain,
        ),
        (
            "chat:replicate.com/o/n",
            json!({"model": "an input of this name"}),
            "",
            "/v1/models/o/n/predictions",
            json!({"input": {"prompt": "a", "model": "an input of this name"}}),
        ),
    ];
    for (id, options, base, path, body) in rows {
        let provider = Provider::start([finished()]).await;
        let mut request = user_text("a");
        request["internOptions"] = options;
        let url = format!("{}{base}", provider.url());
        answer(json!({"serviceId": id, "url": url}), request)
            .await
            .unwrap();

        let received = provider.request();
        assert!(
            received
                .head
                .starts_with(&format!("POST {path} HTTP/1.1\r\n")),
            "{id}: {}",
            received.head
        );
        assert_eq!(received.body, body, "{id}");
    }
}

#[tokio::test]
async fn an_unfinished_prediction_is_polled_until_it_is_finished() {
    let provider = Provider::start([]).await;
    let get = json!(format!(
        "{}/v1/predictions/golden0000?x=y#no-default-path",
        provider.url()
    ));
    let own = json!(format!("{}/elsewhere/golden0000", provider.url()));
    for script in [
        unfinished(json!(null)),
        unfinished(own),
        unfinished(get),
        finished(),
    ] {
        provider.then(script);
    }
    let response = predict_whole(&provider.url()).await.unwrap();

    assert_eq!(response.first_text(), Some("Paris."));
    assert_eq!(
        response.usage.service.url,
        Some(format!("{}{PATH}", provider.url()))
    );
    let received = provider.received();
    let paths = [
        "/v1/predictions/golden0000",
        "/elsewhere/golden0000",
        "/v1/predictions/golden0000?x=y",
    ];
    let secret = format!("Bearer {SECRET}");
    let headers = [
        ("authorization", &*secret),
        ("x-aisbreaker-sealed", "1"),
        ("accept", "application/json"),
    ];
    for (poll, path) in received[1..].iter().zip(paths) {
        check_head(poll, &format!("GET {path}"), &headers);
        assert_eq!(poll.bytes, b"", "{path}");
    }
    assert_eq!(received.len(), 4);
}

#[tokio::test]
async fn the_secret_does_not_follow_a_prediction_to_another_origin() {
    let elsewhere = Provider::start([]).await;
    let rows = [
        json!(format!("{}/v1/predictions/golden0000", elsewhere.url())),
        json!("https://api.replicate.com/v1/predictions/golden0000"),
        json!("//a.example/x"),
        json!("not an address"),
        json!(7),
    ];
    for get in rows {
        let provider = Provider::start([unfinished(get.clone()), finished()]).await;
        let response = predict_whole(&provider.url()).await.unwrap();

        assert_eq!(response.first_text(), Some("Paris."), "{get}");
        let received = provider.received();
        let start = "GET /v1/predictions/golden0000 HTTP/1.1\r\n";
        assert!(
            received[1].head.starts_with(start),
            "{get}: {}",
            received[1].head
        );
    }
    assert_eq!(elsewhere.connections(), 0);

    // A prefix of the call's path is a prefix of the poll's path as well.
    let provider = Provider::start([unfinished(json!(null)), finished()]).await;
    predict_whole(&format!("{}/proxy", provider.url()))
        .await
        .unwrap();
    let head = &provider.received()[1].head;
    assert!(
        head.starts_with("GET /proxy/v1/predictions/golden0000 HTTP/1.1\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn a_prediction_id_cannot_lead_to_another_path() {
    for id in [
        json!("../../x"),
        json!("a?b"),
        json!("@evil.example"),
        json!(""),
        json!(null),
        json!("a b"),
    ] {
        let mut provider_json = golden_json("replicate.com", "unfinished.json");
        provider_json["id"] = id.clone();
        let provider = Provider::start([json_bytes(provider_json.to_string())]).await;
        let error = predict_whole(&provider.url()).await.unwrap_err();

        let text = format!("{ID}: the provider's answer has no usable id");
        assert_eq!(error, ServiceError::BadAnswer(text.into()), "{id}");
        assert_eq!(provider.received().len(), 1, "{id}");
    }
}

#[tokio::test]
async fn a_prediction_that_never_finishes_times_out() {
    let scripts = std::iter::repeat_with(|| unfinished(json!(null))).take(100);
    let provider = Provider::start(scripts).await;
    let registry = hasty_registry(Timeouts::default().with_response(Duration::from_millis(300)));
    let error = registry
        .call(sealed_call(&registry, ID, &provider.url(), user_text("a")))
        .await
        .unwrap_err();

    assert!(matches!(error, ServiceError::Timeout(_)), "{error:?}");
}

#[tokio::test]
async fn a_stream_has_the_answer_in_one_piece() {
    let provider = Provider::start([unfinished(json!(null)), finished()]).await;
    let Reply::Stream(events) = predict(&provider.url(), streamed(user_text("a")))
        .await
        .unwrap()
    else {
        panic!("no stream")
    };
    let events: Vec<_> = events.map(|event| event.unwrap()).collect().await;

    let [Event::Progress(progress), Event::Final(response)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(texts(&progress.outputs), ["Paris."]);
    assert_eq!(response.first_text(), Some("Paris."));
    assert_eq!(
        provider.received()[0].body,
        json!({"input": {"prompt": "a"}})
    );
}

#[tokio::test]
async fn an_output_is_a_text_or_a_list_of_texts() {
    let mut provider_json = golden_json("replicate.com", "answer.json");
    let rows = [
        (json!("One"), vec!["One"]),
        (json!(["One", " two"]), vec!["One two"]),
        (json!([]), vec![]),
        (json!(null), vec![]),
    ];
    for (output, expected) in rows {
        provider_json["output"] = output.clone();
        let provider = Provider::start([json_bytes(provider_json.to_string())]).await;
        let response = predict_whole(&provider.url()).await.unwrap();
        assert_eq!(texts(&response.outputs), expected, "{output}");
    }
}

#[tokio::test]
async fn unusable_requests_are_refused_before_anything_is_sent() {
    let image = json!({"inputs": [{"image": {"url": "https://a.example/b"}}]});
    let rows = [
        (
            "chat:replicate.com",
            user_text("a"),
            "has no default model: name one",
        ),
        (
            "chat:replicate.com/llama",
            user_text("a"),
            "name the model as <owner>/<name>",
        ),
        (
            "chat:replicate.com/a/b/c",
            user_text("a"),
            "name the model as <owner>/<name>",
        ),
        (
            "chat:replicate.com/a/..",
            user_text("a"),
            "name the model as <owner>/<name>",
        ),
        (
            "chat:replicate.com/a/b:",
            user_text("a"),
            "name the model as <owner>/<name>",
        ),
        (
            "chat:replicate.com/a/b?c",
            user_text("a"),
            "name the model as <owner>/<name>",
        ),
        (ID, image, "takes no image inputs"),
    ];
    for (id, request, expected) in rows {
        check_refused_unsent(id, request, expected).await;
    }
}

#[tokio::test]
async fn the_secret_goes_nowhere_else_and_nothing_is_sent_without_it() {
    let provider = Provider::start([]).await;
    let registry = registry();
    let mut call = sealed_call(&registry, ID, "https://bound.invalid", user_text("a"));
    call.service.url = Some(provider.url());
    let elsewhere = registry.call(call.clone()).await.unwrap_err();
    call.credentials = Arc::new(Credentials::None);
    let without = registry.call(call).await.unwrap_err();

    assert!(
        matches!(elsewhere, ServiceError::Forbidden(_)),
        "{elsewhere:?}"
    );
    assert_eq!(
        without,
        ServiceError::MissingSecret {
            service_id: ID.to_owned()
        }
    );
    assert_eq!(provider.connections(), 0);
}

#[tokio::test]
async fn a_refusal_keeps_status_and_retry_after_when_polled_too() {
    let body =
        json!({"title": "Throttled", "detail": format!("no {SECRET}"), "status": 429}).to_string();
    let refused = || provider::plain("429 Too Many Requests", "retry-after: 9\r\n", &body);
    let text = format!("{ID}: no ***");
    let error = Box::new(ErrorObject::new(429, "Too Many Requests", text));
    let expected = ServiceError::Provider {
        error,
        retry_after: Some(Duration::from_secs(9)),
        is_in_answer: false,
    };
    for scripts in [vec![refused()], vec![unfinished(json!(null)), refused()]] {
        let provider = Provider::start(scripts).await;
        assert_eq!(predict_whole(&provider.url()).await, Err(expected.clone()));
    }
}

#[tokio::test]
async fn a_prediction_without_a_result_is_an_error() {
    let ended = |status: &str, error: Value| {
        let mut provider_json = golden_json("replicate.com", "answer.json");
        provider_json["status"] = json!(status);
        provider_json["error"] = error;
        provider_json.to_string()
    };
    let mut odd = golden_json("replicate.com", "answer.json");
    odd["output"] = json!([{"x": 1}]);
    let rows = [
        (ended("failed", json!("Out of memory.")), "Out of memory."),
        (
            ended("failed", json!(null)),
            "the provider's answer says that the prediction failed, and not why",
        ),
        (
            ended("canceled", json!(null)),
            "the provider's answer says that the prediction was canceled",
        ),
        (
            ended("aborted", json!(null)),
            "the provider's answer says that the prediction was canceled",
        ),
        (
            ended("unheard-of", json!(null)),
            "the provider's answer has no status of a prediction",
        ),
        (
            odd.to_string(),
            "the provider's answer has an output that is no text",
        ),
        (
            "{}".to_owned(),
            "the provider's answer has no status of a prediction",
        ),
        (
            "[]".to_owned(),
            "the provider's answer is not a JSON object",
        ),
    ];
    for (body, expected) in rows {
        for scripts in [
            vec![json_bytes(&body)],
            vec![unfinished(json!(null)), json_bytes(&body)],
        ] {
            let provider = Provider::start(scripts).await;
            let error = predict_whole(&provider.url()).await.unwrap_err();
            assert_eq!(error.to_string(), format!("{ID}: {expected}"), "{body}");
        }
    }
}
