//! `chat:gemini.google.com` and `chat:gemini.vertexai.google.com` apart from their golden
//! files: URLs, secrets, options, faults.

use std::sync::Arc;

use aisbreaker_api::ErrorObject;
use aisbreaker_services::{Credentials, Reply, ServiceError};
use serde_json::{Value, json};

use crate::support::{
    SECRET, answer, bad_answer, call_with, events, golden, in_answer, json_bytes, json_of, pieces,
    provider::{self, Provider},
    registry, sealed_call, texts, user_text,
};

const ID: &str = "chat:gemini.google.com/gemini-test";
const VERTEX: &str = "chat:gemini.vertexai.google.com/gemini-test";

fn service(provider: &Provider) -> Value {
    json!({"serviceId": ID, "url": provider.url()})
}

fn golden_answer() -> Vec<provider::Act> {
    json_bytes(golden("gemini.google.com", "answer.json"))
}

/// Returns a script that streams these events.
fn stream_of(events: &[Value]) -> Vec<provider::Act> {
    let body: String = events
        .iter()
        .map(|event| format!("data: {event}\r\n\r\n"))
        .collect();
    provider::stream([body.as_bytes()])
}

fn candidate(text: &str, finish_reason: Value) -> Value {
    json!({"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": finish_reason})
}

#[tokio::test]
async fn a_base_url_may_name_the_version_or_a_project() {
    let method = "models/gemini-test:generateContent";
    let rows = [
        (ID, "", format!("/v1beta/{method}")),
        (ID, "/v1beta", format!("/v1beta/{method}")),
        (ID, "/v1beta/models/", format!("/v1beta/{method}")),
        (VERTEX, "", format!("/v1/publishers/google/{method}")),
        (VERTEX, "/v1", format!("/v1/publishers/google/{method}")),
        (
            VERTEX,
            "/v1/projects/p/locations/l",
            format!("/v1/projects/p/locations/l/publishers/google/{method}"),
        ),
        (
            VERTEX,
            "/v1beta1/projects/p/locations/l/publishers/google/",
            format!("/v1beta1/projects/p/locations/l/publishers/google/{method}"),
        ),
        (
            VERTEX,
            "/x/${engine}#no-default-path",
            "/x/gemini-test".to_owned(),
        ),
    ];
    for (id, base, expected) in rows {
        let provider = Provider::start([golden_answer()]).await;
        let url = format!("{}{base}", provider.url());
        answer(json!({"serviceId": id, "url": url}), user_text("a"))
            .await
            .unwrap();
        let head = provider.request().head;
        assert!(
            head.starts_with(&format!("POST {expected} HTTP/1.1\r\n")),
            "{id} {base}: {head}"
        );
    }
}

#[tokio::test]
async fn an_access_token_is_sent_as_a_bearer_value_unlike_a_key() {
    let registry = registry();
    let rows = [
        ("ya29.a-token", Some("Bearer ya29.a-token"), None),
        ("AIza-a-key", None, Some("AIza-a-key")),
    ];
    for id in [ID, VERTEX] {
        for (secret, bearer, key) in rows {
            let provider = Provider::start([golden_answer()]).await;
            let mut call = call_with(
                &registry,
                json!({"serviceId": id, "url": provider.url()}),
                user_text("a"),
            );
            call.credentials = Arc::new(Credentials::Caller(secret.into()));
            registry.call(call).await.unwrap();

            let received = provider.request();
            let credentials = (
                received.header("authorization"),
                received.header("x-goog-api-key"),
            );
            assert_eq!(credentials, (bearer, key), "{id} {secret}");
        }
    }
}

#[tokio::test]
async fn an_engine_in_an_option_leaves_the_service_id_unchanged() {
    let registry = registry();
    for id in ["chat:gemini.google.com", "chat:gemini", "chat:gemini/"] {
        let provider = Provider::start([golden_answer()]).await;
        let mut request = user_text("a");
        request["internOptions"] = json!({"model": "my model/of-option"});
        let call = sealed_call(
            &registry,
            id.trim_end_matches('/'),
            &provider.url(),
            request,
        );
        let Reply::Final(response) = registry.call(call).await.unwrap() else {
            panic!("a stream")
        };

        let head = provider.request().head;
        let start = "POST /v1beta/models/my%20model/of-option:generateContent HTTP/1.1\r\n";
        assert!(head.starts_with(start), "{head}");
        assert_eq!(response.usage.service.service_id, id.trim_end_matches('/'));
    }
}

#[tokio::test]
async fn an_engine_cannot_leave_its_place_in_the_path() {
    let rows = ["..", "../../x", "a/../b", "./a", "a//b", ""];
    for engine in rows {
        let mut request = user_text("a");
        request["internOptions"] = json!({"model": engine});
        let service = json!({"serviceId": "chat:gemini.google.com", "url": "http://127.0.0.1:1"});
        let error = answer(service, request).await.unwrap_err();
        let ServiceError::BadRequest(detail) = error else {
            panic!("{engine}: {error:?}")
        };
        assert!(
            detail
                .text()
                .contains("the name of the model must not have"),
            "{engine}: {detail}"
        );
    }
}

#[tokio::test]
async fn options_are_sent_with_openais_names_translated() {
    let rows = [
        (
            json!({"temperature": 0, "top_p": 0.5, "max_tokens": 7, "stop": "x", "n": 2,
                "model": "m", "stream": true}),
            json!({"generationConfig": {
                "temperature": 0, "topP": 0.5, "maxOutputTokens": 7, "stopSequences": ["x"],
                "candidateCount": 2,
            }}),
        ),
        (
            json!({"generationConfig": {"temperature": 1, "responseMimeType": "application/json"},
                "temperature": 0,
                   "stop": ["x", "y"], "top_p": null}),
            json!({"generationConfig": {
                "temperature": 1, "responseMimeType": "application/json",
                "stopSequences": ["x", "y"],
            }}),
        ),
        (
            json!({"safetySettings": [{"category": "c"}], "tools": [{"googleSearch": {}}],
                   "systemInstruction": {"parts": [{"text": "s"}]}, "contents": []}),
            json!({"safetySettings": [{"category": "c"}], "tools": [{"googleSearch": {}}],
                   "systemInstruction": {"parts": [{"text": "s"}]}}),
        ),
    ];
    for (options, mut expected) in rows {
        let provider = Provider::start([golden_answer()]).await;
        let mut request = user_text("a");
        request["internOptions"] = options.clone();
        answer(service(&provider), request).await.unwrap();

        expected["contents"] = json!([{"role": "user", "parts": [{"text": "a"}]}]);
        assert_eq!(provider.request().body, expected, "{options}");
    }

    let mut request = user_text("a");
    request["internOptions"] = json!({"generationConfig": []});
    let error = answer(json!({"serviceId": ID}), request).await.unwrap_err();
    let expected = "request.internOptions.generationConfig must be an object";
    assert_eq!(error, ServiceError::BadRequest(expected.into()));
}

#[tokio::test]
async fn candidates_become_outputs_by_their_index() {
    let mut one = candidate("A", json!(null));
    one["index"] = json!(1);
    let mut other = candidate("B", json!("MAX_TOKENS"));
    other["index"] = json!(0);
    let mut end = candidate("a", json!("STOP"));
    end["index"] = json!(1);
    let events = [
        json!({"candidates": [one]}),
        json!({"candidates": [other, end]}),
    ];
    let provider = Provider::start([stream_of(&events)]).await;
    let (_, response) = pieces(service(&provider), user_text("a")).await;

    assert_eq!(texts(&response.outputs), ["B", "Aa"]);
    assert_eq!(
        response.usage.service.engine.as_deref(),
        Some("gemini-test"),
        "the requested model"
    );
}

#[tokio::test]
async fn content_that_is_not_text_is_passed_on_unchanged() {
    let call = json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]},
        "finishReason": "STOP"}]});
    let provider = Provider::start([
        stream_of(std::slice::from_ref(&call)),
        json_bytes(call.to_string()),
    ])
    .await;
    let (pieces, streamed) = pieces(service(&provider), user_text("a")).await;
    let whole = answer(service(&provider), user_text("a")).await.unwrap();

    assert_eq!(
        json_of(&pieces),
        json!([{"outputs": [], "internResponse": call}])
    );
    assert_eq!((streamed.outputs, whole.outputs), (vec![], vec![]));
    assert_eq!(whole.intern_response, Some(call.into()));
}

fn provider_error(
    status: u16,
    status_text: &str,
    kind: &str,
    text: &str,
    wait: Option<u64>,
) -> ServiceError {
    let message = format!("{ID}: {text}");
    let mut error = ErrorObject::new(status, status_text, message);
    error.kind = Some(kind.to_owned());
    ServiceError::Provider {
        error: Box::new(error),
        retry_after: wait.map(std::time::Duration::from_secs),
        is_in_answer: false,
    }
}

#[tokio::test]
async fn a_refusal_has_the_providers_status_and_retry_after() {
    let error = |code: u16, status: &str| {
        let message = format!("no {SECRET}");
        json!({"error": {"code": code, "message": message, "status": status}})
    };
    let rows = [
        (
            "400 Bad Request",
            "",
            error(400, "INVALID_ARGUMENT"),
            (400, "Bad Request", "INVALID_ARGUMENT", None),
        ),
        (
            "429 Too Many Requests",
            "retry-after: 9\r\n",
            json!([error(429, "RESOURCE_EXHAUSTED")]),
            (429, "Too Many Requests", "RESOURCE_EXHAUSTED", Some(9)),
        ),
        (
            "503 Service Unavailable",
            "",
            error(503, "UNAVAILABLE"),
            (503, "Service Unavailable", "UNAVAILABLE", None),
        ),
    ];
    for (status, headers, body, (code, text, kind, wait)) in rows {
        let script = || provider::plain(status, headers, body.to_string());
        let provider = Provider::start([script(), script()]).await;
        let expected = provider_error(code, text, kind, "no ***", wait);
        assert_eq!(
            answer(service(&provider), user_text("a")).await,
            Err(expected.clone()),
            "{status}"
        );
        assert_eq!(
            events(service(&provider), user_text("a")).await,
            [Err(expected)],
            "{status}"
        );
    }
}

#[tokio::test]
async fn an_error_in_a_stream_has_its_own_status() {
    let error = json!({"error": {"code": 503, "message": "Later.", "status": "UNAVAILABLE"}});
    let provider = Provider::start([stream_of(&[
        json!({"candidates": [candidate("a", json!(null))]}),
        error,
    ])])
    .await;
    let mut events = events(service(&provider), user_text("a")).await;

    let expected = in_answer(provider_error(
        503,
        "Service Unavailable",
        "UNAVAILABLE",
        "Later.",
        None,
    ));
    assert_eq!(events.pop(), Some(Err(expected)));
    assert_eq!(events.len(), 1, "the piece before it");
}

#[tokio::test]
async fn a_blocked_prompt_is_an_error_with_the_reason() {
    let rows = [
        (
            json!({"blockReason": "SAFETY"}),
            "SAFETY",
            "(SAFETY); change it",
        ),
        (
            json!({"blockReason": "OTHER", "blockReasonMessage": "Not today."}),
            "OTHER",
            "(OTHER): Not today.; change it",
        ),
    ];
    for (feedback, kind, words) in rows {
        let provider_json =
            json!({"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 3}});
        let provider = Provider::start([
            json_bytes(provider_json.to_string()),
            stream_of(&[provider_json]),
        ])
        .await;
        let text = format!(
            "the provider blocked the prompt {words}, or set request.internOptions.safetySettings"
        );
        let expected = in_answer(provider_error(400, "Bad Request", kind, &text, None));
        assert_eq!(
            answer(service(&provider), user_text("a")).await,
            Err(expected.clone()),
            "{kind}"
        );
        assert_eq!(
            events(service(&provider), user_text("a")).await,
            [Err(expected)],
            "{kind}"
        );
    }
}

#[tokio::test]
async fn unusable_answers_are_errors() {
    let unfinished =
        json!({"candidates": [candidate("a", json!("STOP")), candidate("b", json!(null))]})
            .to_string();
    let many = json!({"candidates": [{"index": 5000}]}).to_string();
    let rows = [
        ("not JSON", false, "<html>", "the provider's answer"),
        (
            "a list",
            false,
            "[{}]",
            "the provider's answer is not a JSON object",
        ),
        (
            "no candidates",
            false,
            "{}",
            "the provider's answer has no candidates",
        ),
        (
            "too many candidates",
            false,
            &many,
            "the provider's answer has too many choices",
        ),
        (
            "an event without JSON",
            true,
            "data: {\n\n",
            "the provider's answer",
        ),
        (
            "a candidate without an end",
            true,
            &format!("data: {unfinished}\n\n"),
            "the provider's answer was cut short",
        ),
        ("nothing", true, "\n", "the provider's answer was cut short"),
    ];
    for (name, stream, body, expected) in rows {
        let text = bad_answer(service, stream, body, &format!("{ID}: ")).await;
        assert!(text.starts_with(expected), "{name}: {text}");
    }
}
