//! `chat:anthropic.com` apart from its golden files: options, usage, faults.

use aisbreaker_api::ErrorObject;
use aisbreaker_egress::Timeouts;
use aisbreaker_services::{
    ServiceError,
    services::{Options, standard},
};
use serde_json::{Value, json};

use crate::support::{
    SECRET, answer, bad_answer, call_with, client, events, golden, in_answer, json_bytes, json_of,
    pieces,
    provider::{self, Provider},
    texts, user_text,
};

fn service(provider: &Provider) -> Value {
    json!({"serviceId": "chat:anthropic.com/claude-test", "url": provider.url()})
}

fn message(content: Value, usage: Value) -> Value {
    json!({"type": "message", "role": "assistant", "model": "m", "content": content,
        "usage": usage})
}

#[tokio::test]
async fn options_are_sent_except_those_that_the_call_sets() {
    let provider = Provider::start([json_bytes(golden("anthropic.com", "answer.json"))]).await;
    let mut request = user_text("a");
    request["internOptions"] = json!({
        "max_tokens": 10, "model": "other", "messages": [], "stream": true,
        "tools": [{"name": "t"}],
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
    });
    answer(service(&provider), request).await.unwrap();

    assert_eq!(
        provider.request().body,
        json!({
            "max_tokens": 10, "model": "claude-test", "stream": false, "tools": [{"name": "t"}],
            "messages": [{"role": "user", "content": "a"}],
            "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        })
    );
}

#[tokio::test]
async fn an_image_is_sent_with_its_own_media_type() {
    let rows = [
        (
            json!({"base64": "/9j/4AAQ"}),
            json!({"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AAQ"}),
        ),
        (
            json!({"base64": "data:image/webp;base64,UklGR"}),
            json!({"type": "base64", "media_type": "image/webp", "data": "UklGR"}),
        ),
        (
            json!({"url": "data:image/gif;x=y;base64,R0lGOD"}),
            json!({"type": "base64", "media_type": "image/gif", "data": "R0lGOD"}),
        ),
        (
            json!({"url": "https://a.example/b", "role": "system"}),
            json!({"type": "url", "url": "https://a.example/b"}),
        ),
    ];
    for (image, expected) in rows {
        let provider = Provider::start([json_bytes(golden("anthropic.com", "answer.json"))]).await;
        answer(service(&provider), json!({"inputs": [{"image": image}]}))
            .await
            .unwrap();

        let content = json!([{"type": "image", "source": expected}]);
        assert_eq!(
            provider.request().body["messages"],
            json!([{"role": "user", "content": content}])
        );
    }
}

#[tokio::test]
async fn the_engine_comes_from_id_option_or_default_in_this_order() {
    let options = {
        let mut options = Options::default();
        options
            .engines
            .insert("chat:anthropic.com".to_owned(), "default-engine".to_owned());
        options
    };
    let registry = standard(client(Timeouts::default()), options).build();
    let rows = [
        (
            "chat:anthropic.com/of-id",
            json!({"model": "option"}),
            "of-id",
        ),
        ("chat:anthropic.com", json!({"model": "option"}), "option"),
        ("chat:anthropic.com", json!({}), "default-engine"),
    ];
    for (service_id, intern_options, expected) in rows {
        let provider = Provider::start([json_bytes(golden("anthropic.com", "answer.json"))]).await;
        let mut request = user_text("a");
        request["internOptions"] = intern_options;
        let service = json!({"serviceId": service_id, "url": provider.url()});
        registry
            .call(call_with(&registry, service, request))
            .await
            .unwrap();
        assert_eq!(provider.request().body["model"], expected, "{service_id}");
    }
}

#[tokio::test]
async fn a_base_url_may_end_with_the_beginning_of_the_path() {
    for base in ["", "/", "/v1", "/v1/messages"] {
        let provider = Provider::start([json_bytes(golden("anthropic.com", "answer.json"))]).await;
        let url = format!("{}{base}", provider.url());
        answer(
            json!({"serviceId": "chat:anthropic.com/m", "url": url}),
            user_text("a"),
        )
        .await
        .unwrap();
        let head = provider.request().head;
        assert!(
            head.starts_with("POST /v1/messages HTTP/1.1\r\n"),
            "{base}: {head}"
        );
    }
}

#[tokio::test]
async fn an_answer_without_text_has_no_outputs() {
    let call = json!([{"type": "tool_use", "id": "t", "name": "n", "input": {}}]);
    // A block of an unknown type may have a text that is not for the reader.
    let unknown = json!([{"type": "redacted_note", "text": "not an answer"}]);
    for content in [json!([]), call, unknown] {
        let provider_json = message(content, json!({"input_tokens": 3}));
        let provider = Provider::start([json_bytes(provider_json.to_string())]).await;
        let response = answer(service(&provider), user_text("a")).await.unwrap();

        assert_eq!(response.outputs, []);
        let tokens = [
            response.usage.input_tokens,
            response.usage.output_tokens,
            response.usage.total_tokens,
        ];
        assert_eq!(tokens, [Some(3), None, Some(3)]);
        assert_eq!(response.intern_response, Some(provider_json.into()));
    }
}

#[tokio::test]
async fn content_that_is_not_text_is_passed_on_unchanged() {
    let events = [
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use",
            "id": "t", "name": "n"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta",
            "partial_json": "{}"}}),
    ];
    let stop = json!({"type": "message_stop"});
    // The data has the names of the events as well.
    let body: String = events
        .iter()
        .chain([&stop])
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    let provider = Provider::start([provider::stream([body.as_bytes()])]).await;
    let (pieces, response) = pieces(service(&provider), user_text("a")).await;

    assert_eq!(
        json_of(&pieces),
        json!(events.map(|event| json!({"outputs": [], "internResponse": event})))
    );
    assert_eq!(response.outputs, []);
}

#[tokio::test]
async fn later_token_counts_of_a_stream_replace_earlier_ones() {
    let start = json!({"type": "message_start", "message": message(
        json!([]), json!({"input_tokens": 5, "cache_read_input_tokens": 10, "output_tokens": 1})
    )});
    let delta = |usage: Value| json!({"type": "message_delta", "delta": {}, "usage": usage});
    let rows = [
        (json!({"output_tokens": 7}), (15, 7)),
        (
            json!({"input_tokens": 6, "cache_read_input_tokens": null, "output_tokens": 8}),
            (16, 8),
        ),
        (
            json!({"cache_creation_input_tokens": 100, "cache_read_input_tokens": 0}),
            (105, 1),
        ),
        (json!("none"), (15, 1)),
    ];
    for (usage, (input, output)) in rows {
        let events = [
            start.clone(),
            delta(json!({"output_tokens": 0})),
            delta(json!({"output_tokens": 1})),
        ];
        let events = events
            .into_iter()
            .chain([delta(usage.clone()), json!({"type": "message_stop"})]);
        let body: String = events.map(|event| format!("data: {event}\n\n")).collect();
        let provider = Provider::start([provider::stream([body.as_bytes()])]).await;
        let (_, response) = pieces(service(&provider), user_text("a")).await;

        let tokens = (response.usage.input_tokens, response.usage.output_tokens);
        assert_eq!(tokens, (Some(input), Some(output)), "{usage}");
    }
}

fn provider_error(
    status: u16,
    status_text: &str,
    kind: &str,
    text: &str,
    wait: Option<u64>,
) -> ServiceError {
    let message = format!("chat:anthropic.com/claude-test: {text}");
    let mut error = ErrorObject::new(status, status_text, message);
    error.kind = Some(kind.to_owned());
    ServiceError::Provider {
        error: Box::new(error),
        retry_after: wait.map(std::time::Duration::from_secs),
        is_in_answer: false,
    }
}

fn error_body(kind: &str, text: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_1"})
}

#[tokio::test]
async fn a_refusal_has_the_providers_type_and_retry_after() {
    let rows = [
        (
            "401 Unauthorized",
            "",
            "authentication_error",
            provider_error(401, "Unauthorized", "authentication_error", "no ***", None),
        ),
        (
            "429 Too Many Requests",
            "retry-after: 9\r\n",
            "rate_limit_error",
            provider_error(
                429,
                "Too Many Requests",
                "rate_limit_error",
                "no ***",
                Some(9),
            ),
        ),
        (
            "529 Overloaded",
            "",
            "overloaded_error",
            provider_error(529, "Error", "overloaded_error", "no ***", None),
        ),
    ];
    for (status, headers, kind, expected) in rows {
        let body = error_body(kind, &format!("no {SECRET}")).to_string();
        let script = || provider::plain(status, headers, &body);
        let provider = Provider::start([script(), script()]).await;
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
async fn an_error_in_a_stream_has_the_status_of_its_type() {
    let piece = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
                 \"delta\":{\"type\":\"text_delta\",\"text\":\"Par\"}}\n\n";
    let rows = [
        ("overloaded_error", 529, "Error"),
        ("rate_limit_error", 429, "Too Many Requests"),
        ("what_comes_next_year", 502, "Bad Gateway"),
    ];
    for (kind, status, status_text) in rows {
        let body = format!(
            "{piece}event: error\ndata: {}\n\n",
            error_body(kind, "Later.")
        );
        let provider = Provider::start([provider::stream([body.as_bytes()])]).await;
        let mut events = events(service(&provider), user_text("a")).await;

        assert_eq!(
            events.pop(),
            Some(Err(in_answer(provider_error(
                status,
                status_text,
                kind,
                "Later.",
                None
            ))))
        );
        assert_eq!(events.len(), 1, "{kind}: only the piece before it");
    }
}

#[tokio::test]
async fn unusable_answers_are_errors() {
    let rows = [
        ("not JSON", false, "<html>", "the provider's answer"),
        (
            "not an object",
            false,
            "[]",
            "the provider's answer is not a JSON object",
        ),
        (
            "no content",
            false,
            "{}",
            "the provider's answer has no content",
        ),
        (
            "an event without JSON",
            true,
            "event: message_start\ndata: {\n\n",
            "the provider's answer",
        ),
        (
            "an error without words",
            true,
            "data: {\"type\":\"error\"}\n\n",
            "the provider ended its stream with an error",
        ),
        ("nothing", true, "\n", "the provider's answer was cut short"),
    ];
    for (name, stream, body, expected) in rows {
        let text = bad_answer(service, stream, body, "chat:anthropic.com/claude-test: ").await;
        assert!(text.starts_with(expected), "{name}: {text}");
    }
}

#[tokio::test]
async fn a_whole_answer_is_streamed_as_one_piece() {
    let provider = Provider::start([json_bytes(golden("anthropic.com", "answer.json"))]).await;
    let (pieces, response) = pieces(service(&provider), user_text("a")).await;

    assert_eq!(pieces.len(), 1);
    assert_eq!(texts(&pieces[0].outputs), ["Paris."]);
    assert_eq!(response.first_text(), Some("Paris."));
}
