//! `chat:openai.com` with streaming.

use aisbreaker_egress::Timeouts;
use aisbreaker_services::{
    Event, Reply, ServiceError,
    services::{Options, standard},
};
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::{Value, json};

use crate::support::{
    call_with, client, json_of, pieces, provider,
    provider::{Act, Provider},
    registry, reply, state_of, streamed, texts, user_text,
};

fn service(provider: &Provider) -> Value {
    json!({"serviceId": "chat:openai.com", "url": provider.url()})
}

fn delta(choices: &Value) -> String {
    let chunk = json!({"id": "c", "object": "chat.completion.chunk", "model": "gpt-test",
        "choices": choices});
    format!("data: {chunk}\n\n")
}

fn piece(text: &str) -> String {
    delta(&json!([{"index": 0, "delta": {"content": text}, "finish_reason": null}]))
}

/// Returns a whole stream as OpenAI sends it.
fn whole_stream() -> String {
    [
        delta(&json!([
            {"index": 0, "delta": {"role": "assistant", "content": "", "refusal": null}},
        ])),
        piece("Grüße"),
        ": keep-alive\r\n\r\n".to_owned(),
        piece(", Welt"),
        delta(&json!([{"index": 0, "delta": {}, "finish_reason": "stop"}])),
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2,\
         \"total_tokens\":7}}\n\n"
            .to_owned(),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat()
}

#[tokio::test]
async fn streams_pieces_and_then_the_whole_answer() {
    let provider = Provider::start([provider::stream([whole_stream().as_bytes()])]).await;
    let (pieces, response) = pieces(service(&provider), user_text("Hello")).await;

    let piece = |text: &str| {
        json!({"outputs": [{"text":
            {"index": 0, "role": "assistant", "content": text, "isDelta": true,
                "isProcessing": true}}]})
    };
    assert_eq!(json_of(&pieces), json!([piece("Grüße"), piece(", Welt")]));
    let output = json!({"text":
        {"index": 0, "role": "assistant", "content": "Grüße, Welt", "isDelta": false,
            "isProcessing": false}});
    let mut response_json = json_of(&response);
    assert!(response_json["usage"]["totalMilliseconds"].take().is_u64());
    assert_eq!(
        response_json,
        json!({
            "outputs": [output],
            "conversationState": response.conversation_state,
            "usage": {
                "service": {
                    "serviceId": "chat:openai.com",
                    "engine": "gpt-test",
                    "url": format!("{}/v1/chat/completions", provider.url()),
                },
                "inputTokens": 5, "outputTokens": 2, "totalTokens": 7, "totalMilliseconds": null,
            },
        })
    );
    assert_eq!(
        state_of(&response)["messages"][1],
        json!({"output": output})
    );
    let received = provider.request();
    assert_eq!(received.header("accept"), Some("text/event-stream"));
    assert_eq!(
        received.body,
        json!({
            "model": "gpt-4.1-mini", "stream": true,
            "messages": [{"role": "user", "content": "Hello"}],
        })
    );
}

#[tokio::test]
async fn a_stream_from_openai_itself_requests_its_usage() {
    for (options, expected) in [
        (json!({}), json!({"include_usage": true})),
        (json!({"stream_options": null}), json!(null)),
    ] {
        let provider = Provider::start([provider::stream([whole_stream().as_bytes()])]).await;
        let row = json!({"provider": [
            {"id": "openai.com", "url": provider.url(), "openai": "/v1", "engine": "gpt",
                "stream_usage": true},
        ]});
        let mut services = Options::default();
        services.providers = services
            .providers
            .with_rows(serde_json::from_value(row).unwrap())
            .unwrap();
        let registry = standard(client(Timeouts::default()), services).build();
        let mut request = user_text("Hello");
        (request["stream"], request["internOptions"]) = (json!(true), options);

        let call = call_with(&registry, json!({"serviceId": "chat:openai.com"}), request);
        let Reply::Stream(events) = registry.call(call).await.unwrap() else {
            panic!("no stream")
        };
        let events: Vec<_> = events.collect().await;

        assert!(
            matches!(events.last(), Some(Ok(Event::Final(_)))),
            "{events:?}"
        );
        assert_eq!(provider.request().body["stream_options"], expected);
    }
}

#[tokio::test]
async fn stream_does_not_depend_on_chunk_boundaries() {
    let whole = whole_stream();
    let bytes = whole.as_bytes();
    let mut scripts: Vec<_> = (0..=bytes.len())
        .map(|at| provider::stream([&bytes[..at], &bytes[at..]]))
        .collect();
    scripts.push(provider::stream(bytes.chunks(1)));
    let count = scripts.len();
    let provider = Provider::start(scripts).await;
    let registry = registry();

    for cut in 0..count {
        let call = call_with(&registry, service(&provider), streamed(user_text("Hello")));
        let Reply::Stream(events) = registry.call(call).await.unwrap() else {
            panic!("no stream")
        };
        let mut chars = Vec::new();
        for event in events.collect::<Vec<_>>().await {
            match event.unwrap() {
                Event::Progress(progress) => {
                    chars.extend(texts(&progress.outputs).join("|").chars())
                }
                Event::Final(response) => {
                    assert_eq!(response.first_text(), Some("Grüße, Welt"), "cut at {cut}")
                }
            }
        }
        assert_eq!(
            chars.iter().collect::<String>(),
            "Grüße, Welt",
            "cut at {cut}"
        );
    }
    assert_eq!(
        provider.connections(),
        1,
        "a stream that was read to its end leaves its connection for the next"
    );
}

#[tokio::test]
async fn several_choices_are_kept_apart() {
    let body = [
        delta(&json!([
            {"index": 0, "delta": {"content": "a"}},
            {"index": 1, "delta": {"content": "x"}},
        ])),
        delta(&json!([{"index": 1, "delta": {"content": "y"}}])),
        delta(&json!([{"index": 0, "delta": {"content": "b"}}])),
    ]
    .concat();
    let provider = Provider::start([provider::stream([body.as_bytes()])]).await;
    let (pieces, response) = pieces(service(&provider), user_text("a")).await;

    let streamed: Vec<_> = pieces.iter().map(|piece| texts(&piece.outputs)).collect();
    assert_eq!(streamed, [vec!["a", "x"], vec!["y"], vec!["b"]]);
    assert_eq!(texts(&response.outputs), ["ab", "xy"]);
}

#[tokio::test]
async fn a_tool_call_is_passed_on_as_the_providers_own_event() {
    let choices = json!([{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "call_1"}]}}]);
    let body = delta(&choices) + "data: [DONE]\n\n";
    let provider = Provider::start([provider::stream([body.as_bytes()])]).await;
    let (pieces, response) = pieces(service(&provider), user_text("a")).await;

    assert_eq!(pieces.len(), 1);
    assert_eq!(pieces[0].outputs, []);
    assert_eq!(
        pieces[0].intern_response.as_ref().unwrap()["choices"],
        choices
    );
    assert_eq!(response.outputs, []);
}

#[tokio::test]
async fn a_whole_answer_is_streamed_as_one_piece() {
    let body = json!({"model": "m", "choices": [{"message": {"content": "Hi."}}]});
    let provider = Provider::start([provider::json("200 OK", &body)]).await;
    let (pieces, response) = pieces(service(&provider), user_text("a")).await;

    let piece = json!({"outputs": [{"text":
        {"index": 0, "role": "assistant", "content": "Hi.", "isDelta": true,
            "isProcessing": true}}]});
    assert_eq!(json_of(&pieces), json!([piece]));
    assert_eq!(response.first_text(), Some("Hi."));
    assert_eq!(response.intern_response, Some(body.into()));
}

#[tokio::test]
async fn dropping_a_stream_closes_the_connection_to_the_provider() {
    let mut script = provider::open_stream([piece("a").as_bytes()]);
    script.push(Act::Hold);
    let provider = Provider::start([script]).await;
    let Ok(Reply::Stream(mut events)) = reply(service(&provider), streamed(user_text("a"))).await
    else {
        panic!("no stream")
    };
    events.next().await.unwrap().unwrap();

    drop(events);

    provider.was_closed().await;
}

#[tokio::test]
async fn a_stream_that_is_not_polled_is_not_collected() {
    let mut script = provider::open_stream([]);
    script.push(Act::Flood(provider::chunk(
        piece(&"x".repeat(10_000)).as_bytes(),
    )));
    let provider = Provider::start([script]).await;
    let Ok(Reply::Stream(events)) = reply(service(&provider), streamed(user_text("a"))).await
    else {
        panic!("no stream")
    };
    let read: Vec<_> = events.take(3).collect().await;

    assert_eq!(read.iter().filter(|event| event.is_ok()).count(), 3);
    provider.was_closed().await;
}

#[tokio::test]
async fn the_answer_ends_even_if_the_provider_holds_the_connection() {
    let mut script = provider::open_stream([whole_stream().as_bytes()]);
    script.push(Act::Hold);
    let provider = Provider::start([script]).await;
    let (_, response) = pieces(service(&provider), user_text("a")).await;

    assert_eq!(response.first_text(), Some("Grüße, Welt"));
    provider.was_closed().await;
}

#[tokio::test]
async fn a_stream_begins_before_the_provider_has_answered() {
    let url = provider::closed_port().await;
    let service = json!({"serviceId": "chat:openai.com", "url": url});

    let begun = reply(service, streamed(user_text("a"))).now_or_never();

    let Some(Ok(Reply::Stream(events))) = begun else {
        panic!("not begun at once: {begun:?}")
    };
    let events: Vec<_> = events.collect().await;
    assert!(
        matches!(events.as_slice(), [Err(ServiceError::Unreachable(_))]),
        "{events:?}"
    );
}

#[tokio::test]
async fn faults_of_the_call_itself_are_reported_before_the_stream() {
    let service = json!({"serviceId": "chat:openai.com", "url": "https://a.example?x=1"});

    let refused = reply(service, streamed(user_text("a"))).await;

    assert!(
        matches!(refused, Err(ServiceError::BadRequest(_))),
        "{refused:?}"
    );
}
