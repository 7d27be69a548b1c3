//! The chats with protocols of their own, against their golden files: the request that the provider
//! gets, and the response made of its answer, whole and streamed.

use std::sync::Arc;

use aisbreaker_api::{ConversationState, Input, Output, OutputText, Response};
use aisbreaker_services::{Credentials, Event, Reply, ServiceError};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::support::{
    SECRET, answer, call_with, check_head, golden, golden_json, json_bytes,
    provider::{self, Provider, Received},
    registry, sealed_call, state_of, streamed, texts, user_text,
};

/// A service, and the parts of its requests outside the golden body.
struct Line {
    id: &'static str,
    engine: &'static str,
    /// The path if the key names only an origin, whole and streamed.
    paths: [&'static str; 2],
    /// The header of the secret, and the prefix of its value.
    secret: (&'static str, &'static str),
    /// Headers that other services do not send.
    headers: &'static [(&'static str, &'static str)],
    /// Whether the body has a member `stream`.
    has_stream_member: bool,
}

const LINES: &[Line] = &[
    Line {
        id: "anthropic.com",
        engine: "claude-test-1",
        paths: ["/v1/messages", "/v1/messages"],
        secret: ("x-api-key", ""),
        headers: &[("anthropic-version", "2023-06-01")],
        has_stream_member: true,
    },
    Line {
        id: "gemini.google.com",
        engine: "gemini-test-1",
        paths: [
            "/v1beta/models/gemini-test-1:generateContent",
            "/v1beta/models/gemini-test-1:streamGenerateContent?alt=sse",
        ],
        secret: ("x-goog-api-key", ""),
        headers: &[],
        has_stream_member: false,
    },
    Line {
        id: "gemini.vertexai.google.com",
        engine: "gemini-test-1",
        paths: [
            "/v1/publishers/google/models/gemini-test-1:generateContent",
            "/v1/publishers/google/models/gemini-test-1:streamGenerateContent?alt=sse",
        ],
        secret: ("x-goog-api-key", ""),
        headers: &[],
        has_stream_member: false,
    },
];

/// Returns a turn in the middle of a conversation, with every kind of content.
fn question() -> Value {
    let earlier = ConversationState::default().with_turn(
        &[Input::user_text("Hello")],
        &[Output::Text(OutputText::complete(0, "Hi."))],
    );
    json!({
        "inputs": [
            {"text": {"role": "system", "content": "Answer in one word."}},
            {"text": {"role": "user", "content": "What is the capital of the country"}},
            {"text": {"role": "user", "content": "with this flag?"}},
            {"image": {"role": "user", "base64": "iVBORw0KGgo="}},
            {"text": {"role": "user", "content": ""}},
            {"image": {"role": "user", "url": "https://a.example/flag.png"}},
            {"text": {"role": "system", "content": "Be friendly."}},
        ],
        "conversationState": earlier.encode(),
        "internOptions": {"temperature": 0.5},
    })
}

impl Line {
    fn service_id(&self) -> String {
        format!("chat:{}/{}", self.id, self.engine)
    }

    fn check_request(&self, received: &Received, is_streamed: bool) {
        let (name, scheme) = self.secret;
        let secret = format!("{scheme}{SECRET}");
        let accept = if is_streamed {
            "text/event-stream"
        } else {
            "application/json"
        };
        let always = [
            (name, &*secret),
            ("x-aisbreaker-sealed", "1"),
            ("content-type", "application/json"),
            ("accept", accept),
        ];
        let headers: Vec<_> = always
            .into_iter()
            .chain(self.headers.iter().copied())
            .collect();
        let start = format!("POST {}", self.paths[usize::from(is_streamed)]);
        check_head(received, &start, &headers);
        let mut expected = golden_json(self.id, "request.json");
        if is_streamed && self.has_stream_member {
            expected["stream"] = json!(true);
        }
        assert_eq!(received.body, expected, "{}", self.id);
    }

    fn check_answer(&self, response: &Response) {
        let expected = golden_json(self.id, "expected.json");
        let usage = &response.usage;
        let summary = json!({
            "outputs": texts(&response.outputs),
            "engine": usage.service.engine,
            "tokens": {
                "input": usage.input_tokens, "output": usage.output_tokens,
                "total": usage.total_tokens,
            },
        });
        assert_eq!(summary, expected, "{}", self.id);
        let state = state_of(response);
        let messages = state["messages"].as_array().unwrap().len();
        assert_eq!(
            messages,
            2 + 7 + 1,
            "{}: the conversation with this turn",
            self.id
        );
    }
}

#[tokio::test]
async fn each_provider_gets_its_golden_request_and_is_understood() {
    let registry = registry();
    for line in LINES {
        let answer = golden(line.id, "answer.json");
        let provider = Provider::start([json_bytes(&answer)]).await;
        let call = sealed_call(&registry, &line.service_id(), &provider.url(), question());

        let Reply::Final(response) = registry.call(call).await.expect(line.id) else {
            panic!("{}: a stream", line.id)
        };

        line.check_request(&provider.request(), false);
        line.check_answer(&response);
        assert_eq!(
            response.intern_response,
            Some(golden_json(line.id, "answer.json").into()),
            "{}",
            line.id
        );
        let url = response.usage.service.url.unwrap();
        assert_eq!(
            url,
            format!("{}{}", provider.url(), line.paths[0]),
            "{}",
            line.id
        );
    }
}

#[tokio::test]
async fn streams_of_each_provider_are_parsed_at_any_chunk_boundaries() {
    let registry = registry();
    for line in LINES {
        let stream = golden(line.id, "stream.txt");
        for size in [stream.len(), 1, 7, 64] {
            let provider = Provider::start([provider::stream(stream.chunks(size))]).await;
            let call = sealed_call(
                &registry,
                &line.service_id(),
                &provider.url(),
                streamed(question()),
            );

            let Reply::Stream(events) = registry.call(call).await.expect(line.id) else {
                panic!("{}: no stream", line.id)
            };
            let mut events: Vec<_> = events.collect().await;

            let Some(Ok(Event::Final(response))) = events.pop() else {
                panic!("{}: {events:?}", line.id)
            };
            line.check_request(&provider.request(), true);
            line.check_answer(&response);
            let mut pieces = Vec::new();
            for event in events {
                let Event::Progress(progress) = event.expect(line.id) else {
                    panic!("{}: two ends", line.id)
                };
                pieces.extend(texts(&progress.outputs).into_iter().map(str::to_owned));
            }
            assert!(pieces.len() > 1, "{}: {pieces:?}", line.id);
            assert_eq!(
                pieces.concat(),
                texts(&response.outputs).concat(),
                "{}",
                line.id
            );
        }
    }
}

#[tokio::test]
async fn a_stream_cut_after_any_message_is_an_error() {
    let registry = registry();
    for line in LINES {
        let stream = String::from_utf8(golden(line.id, "stream.txt")).unwrap();
        let blank = if stream.contains("\r\n") {
            "\r\n\r\n"
        } else {
            "\n\n"
        };
        let ends: Vec<_> = stream
            .match_indices(blank)
            .map(|(at, _)| at + blank.len())
            .collect();
        let (whole, short) = ends.split_last().unwrap();
        assert!(stream[*whole..].trim().is_empty(), "{}", line.id);
        let scripts = short
            .iter()
            .map(|end| provider::stream([&stream.as_bytes()[..*end]]));
        let provider = Provider::start(scripts).await;
        for end in short {
            let call = sealed_call(
                &registry,
                &line.service_id(),
                &provider.url(),
                streamed(question()),
            );
            let Reply::Stream(events) = registry.call(call).await.expect(line.id) else {
                panic!("{}: no stream", line.id)
            };
            let last = events.collect::<Vec<_>>().await.pop().unwrap();
            let Err(ServiceError::BadAnswer(detail)) = &last else {
                panic!("{} at {end}: {last:?}", line.id)
            };
            assert!(
                detail
                    .text()
                    .ends_with("the provider's answer was cut short"),
                "{} at {end}: {detail}",
                line.id
            );
        }
    }
}

#[tokio::test]
async fn a_sealed_secret_does_not_go_to_the_callers_url() {
    let registry = registry();
    for line in LINES {
        let provider = Provider::start([]).await;
        let mut call = sealed_call(
            &registry,
            &line.service_id(),
            "https://bound.invalid",
            user_text("a"),
        );
        call.service.url = Some(provider.url());

        let error = registry.call(call).await.unwrap_err();

        assert!(
            matches!(error, ServiceError::Forbidden(_)),
            "{}: {error:?}",
            line.id
        );
        assert_eq!(provider.connections(), 0, "{}", line.id);
    }
}

#[tokio::test]
async fn nothing_is_sent_without_a_secret_or_without_an_engine() {
    let registry = registry();
    for line in LINES {
        let provider = Provider::start([]).await;
        let service = |id: &str| json!({"serviceId": id, "url": provider.url()});
        let mut call = call_with(&registry, service(&line.service_id()), user_text("a"));
        call.credentials = Arc::new(Credentials::None);
        let missing = registry.call(call).await.unwrap_err();
        assert_eq!(
            missing,
            ServiceError::MissingSecret {
                service_id: line.service_id()
            },
            "{}",
            line.id
        );

        let id = format!("chat:{}", line.id);
        let nameless = answer(service(&id), user_text("a")).await.unwrap_err();
        let ServiceError::BadRequest(detail) = nameless else {
            panic!("{}: {nameless:?}", line.id)
        };
        assert!(
            detail
                .text()
                .contains(&format!("{id} has no default model: name one")),
            "{}: {detail}",
            line.id
        );
        assert_eq!(provider.connections(), 0, "{}", line.id);
    }
}
