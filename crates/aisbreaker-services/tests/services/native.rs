//! The chats with protocols of their own, against their golden files: what the provider is sent,
//! and what is made of its answer, streamed and not.

use std::{fs, path::PathBuf};

use aisbreaker_api::{Input, Origin, OutputText, ServicePattern};
use aisbreaker_egress::{Bounds, MemoryBudget};
use aisbreaker_services::{SealedSecret, services::configurable_ids};
use serde_json::json;

use super::{
    provider::{self, Provider, Received},
    *,
};

/// A service, and what of its requests is not in the golden body.
struct Line {
    id: &'static str,
    engine: &'static str,
    /// The path where the key names only an origin; plain and streamed.
    paths: [&'static str; 2],
    /// The header of the secret, with what stands before it.
    secret: (&'static str, &'static str),
    /// Other headers than every request has.
    headers: &'static [(&'static str, &'static str)],
    /// Whether the body tells that a stream is wanted.
    tells_stream: bool,
}

const LINES: &[Line] = &[
    Line {
        id: "anthropic.com",
        engine: "claude-test-1",
        paths: ["/v1/messages", "/v1/messages"],
        secret: ("x-api-key", ""),
        headers: &[("anthropic-version", "2023-06-01")],
        tells_stream: true,
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
        tells_stream: false,
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
        tells_stream: false,
    },
];

/// A file of the service with this id.
pub(crate) fn golden(id: &str, name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden_native")
        .join(id)
        .join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn golden_json(id: &str, name: &str) -> Value {
    serde_json::from_slice(&golden(id, name)).unwrap()
}

/// A script that answers with JSON, byte for byte.
pub(crate) fn json_bytes(body: impl AsRef<[u8]>) -> Vec<provider::Act> {
    provider::plain("200 OK", "content-type: application/json\r\n", body)
}

/// A turn in the middle of a conversation, with all that it can hold.
pub(crate) fn question() -> Value {
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

/// A call with a key whose only secret is for this service and goes to this address.
pub(crate) fn sealed_call(registry: &Registry, id: &str, url: &str, request: Value) -> Call {
    let (service, _) = id.split_once('/').unwrap_or((id, ""));
    let pattern = ServicePattern::parse(service).unwrap();
    let secrets = vec![SealedSecret::new(
        pattern,
        SECRET.into(),
        vec![url.to_owned()],
    )];
    let mut call = call_with(registry, json!({"serviceId": id}), request);
    call.credentials = Arc::new(Credentials::Sealed {
        secrets,
        bearer: None,
    });
    call
}

/// Checks the request line, and that there is no header but the ordinary ones and these.
pub(crate) fn check_head(received: &Received, start: &str, headers: &[(&str, &str)]) {
    assert!(
        received.head.starts_with(&format!("{start} HTTP/1.1\r\n")),
        "{start}: {}",
        received.head
    );
    let ordinary = [
        "accept",
        "accept-encoding",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    ];
    for (name, value) in headers {
        assert_eq!(received.header(name), Some(*value), "{start} {name}");
    }
    let names = received
        .head
        .lines()
        .filter_map(|line| Some(line.split_once(": ")?.0.to_lowercase()));
    let others = names
        .filter(|name| !ordinary.contains(&&**name))
        .collect::<Vec<_>>();
    let mut expected: Vec<_> = headers.iter().map(|(name, _)| (*name).to_owned()).collect();
    expected.retain(|name| !ordinary.contains(&&**name));
    assert_eq!(sorted(others), sorted(expected), "{start}");
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
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
        if is_streamed && self.tells_stream {
            expected["stream"] = json!(true);
        }
        assert_eq!(received.body, expected, "{}", self.id);
    }

    fn check_answer(&self, response: &Response) {
        let expected = golden_json(self.id, "expected.json");
        let usage = &response.usage;
        let told = json!({
            "outputs": texts(&response.outputs),
            "engine": usage.service.engine,
            "tokens": {
                "input": usage.input_tokens, "output": usage.output_tokens, "total": usage.total_tokens,
            },
        });
        assert_eq!(told, expected, "{}", self.id);
        let state = state_of(response);
        let said = state["messages"].as_array().unwrap().len();
        assert_eq!(
            said,
            2 + 7 + 1,
            "{}: the conversation with this turn",
            self.id
        );
    }
}

#[tokio::test]
async fn a_provider_gets_what_its_reference_asks_for_and_is_understood() {
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
            Some(golden_json(line.id, "answer.json")),
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
async fn a_provider_is_understood_when_it_streams_however_the_stream_is_cut() {
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
async fn a_stream_that_ends_anywhere_before_its_end_is_an_error() {
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
async fn a_sealed_secret_does_not_go_where_the_caller_says() {
    let registry = registry();
    for line in LINES {
        let provider = Provider::start([]).await;
        let mut call = sealed_call(
            &registry,
            &line.service_id(),
            "https://bound.invalid",
            says("a"),
        );
        call.service.url = Some(provider.url());

        let told = registry.call(call).await.unwrap_err();

        assert!(
            matches!(told, ServiceError::Forbidden(_)),
            "{}: {told:?}",
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
        let mut call = call_with(&registry, service(&line.service_id()), says("a"));
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
        let nameless = answer(service(&id), says("a")).await.unwrap_err();
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

#[tokio::test]
async fn an_operator_may_set_an_engine_and_more_origins() {
    let rows = [
        ("chat:anthropic.com", "an-engine"),
        ("chat:gemini", "an-engine"),
        ("chat:gemini.google.com", "an-engine"),
        ("chat:gemini.vertexai.google.com", "an-engine"),
        ("chat:replicate.com", "an/engine"),
        ("text-to-image:openai.com", "an-engine"),
        ("text-to-image:stability.ai", "an-engine"),
    ];
    for (id, engine) in rows {
        let provider = Provider::start([provider::plain("418 I'm a teapot", "", "")]).await;
        let mut options = Options::default();
        assert!(
            configurable_ids(&options.providers).contains(&id.to_owned()),
            "{id}"
        );
        options.engines.insert(id.to_owned(), engine.to_owned());
        options
            .operator_origins
            .insert(id.to_owned(), vec![Origin::parse(&provider.url()).unwrap()]);
        let registry = standard(client(Timeouts::default()), options).build();
        let mut call = sealed_call(&registry, id, "https://bound.invalid", says("a"));
        call.service.url = Some(provider.url());

        let told = registry.call(call).await.unwrap_err();

        let ServiceError::Provider { error, .. } = told else {
            panic!("{id}: {told:?}")
        };
        assert_eq!(error.status_code, 418, "{id}");
        let received = provider.request();
        let sent = format!(
            "{}{}",
            received.head,
            String::from_utf8(received.bytes).unwrap()
        );
        assert!(sent.contains(engine), "{id}: {sent}");
    }
}

#[tokio::test]
async fn a_row_of_an_operators_own_stands_before_a_protocol_of_its_own() {
    let row = "[[provider]]\nid = \"replicate.com\"\nopenai = \"/openai/v1\"";
    let mut options = Options::default();
    options.providers = options
        .providers
        .with_rows(toml::from_str(row).unwrap())
        .unwrap();
    let provider = Provider::start([provider::plain("418 I'm a teapot", "", "")]).await;
    let registry = standard(client(Timeouts::default()), options).build();
    let service = json!({"serviceId": "chat:replicate.com/m", "url": provider.url()});
    registry
        .call(call_with(&registry, service, says("a")))
        .await
        .unwrap_err();

    let head = provider.request().head;
    assert!(
        head.starts_with("POST /openai/v1/chat/completions HTTP/1.1\r\n"),
        "{head}"
    );
}

/// More than is held without being counted.
const LONG_BYTES: usize = 20_000;

/// Ids of services with protocols of their own, and an answer to each; a chat that streams has a
/// stream too.
const ANSWERS: &[(&str, &str, &str)] = &[
    ("chat:anthropic.com/m", "anthropic.com", "answer.json"),
    ("chat:anthropic.com/m", "anthropic.com", "stream.txt"),
    (
        "chat:gemini.google.com/m",
        "gemini.google.com",
        "answer.json",
    ),
    (
        "chat:gemini.google.com/m",
        "gemini.google.com",
        "stream.txt",
    ),
    ("chat:replicate.com/o/m", "replicate.com", "answer.json"),
    (
        "text-to-image:openai.com",
        "images.openai.com",
        "answer.json",
    ),
    (
        "text-to-image:stability.ai",
        "images.stability.ai",
        "answer.json",
    ),
];

/// How a call ends for which this answer is given, made longer by spaces, or by what is said in a
/// stream.
async fn ending(
    registry: &Registry,
    answer: (&str, &str, &str),
    budget: MemoryBudget,
) -> Result<(), ServiceError> {
    let (id, directory, file) = answer;
    let (mut text, is_streamed) = (
        String::from_utf8(golden(directory, file)).unwrap(),
        file == "stream.txt",
    );
    if is_streamed {
        text = text.replace("\"Par\"", &format!("\"{}\"", "Par".repeat(LONG_BYTES / 3)));
    } else {
        text.push_str(&" ".repeat(LONG_BYTES));
    }
    let bytes = text.into_bytes();
    let script = if is_streamed {
        provider::stream([&*bytes])
    } else {
        json_bytes(&bytes)
    };
    let provider = Provider::start([script]).await;
    let request = if is_streamed {
        streamed(says("a"))
    } else {
        says("a")
    };
    let call = sealed_call(registry, id, &provider.url(), request).with_budget(budget);
    let Reply::Stream(events) = registry.call(call).await? else {
        return Ok(());
    };
    let last = events.collect::<Vec<_>>().await.pop().unwrap();
    last.map(|_final| ())
}

#[tokio::test]
async fn what_is_collected_is_held_of_the_budget_of_the_call() {
    let registry = registry();
    for answer in ANSWERS {
        assert_eq!(
            ending(&registry, *answer, MemoryBudget::new(1 << 20)).await,
            Ok(()),
            "{answer:?}"
        );

        let spent = ending(&registry, *answer, MemoryBudget::new(3)).await;
        assert!(
            matches!(spent, Err(ServiceError::Overloaded(_))),
            "{answer:?}: {spent:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_an_error() {
    let mut bounds = Bounds::default();
    bounds.max_collected_bytes = 5;
    let client = client(Timeouts::default()).with_bounds(bounds);
    let registry = standard(client, Options::default()).build();
    for answer in ANSWERS {
        let told = ending(&registry, *answer, MemoryBudget::default()).await;
        let Err(ServiceError::BadAnswer(detail)) = told else {
            panic!("{answer:?}: {told:?}")
        };
        assert!(
            detail
                .text()
                .ends_with("the service's answer is longer than 5 bytes"),
            "{answer:?}: {detail}"
        );
    }
}

#[tokio::test]
async fn a_provider_that_says_nothing_is_not_waited_for_without_end() {
    let timeouts = Timeouts::default().with_response(std::time::Duration::from_millis(50));
    let registry = standard(client(timeouts), Options::default()).build();
    for (id, ..) in ANSWERS {
        let provider = Provider::start([vec![provider::Act::Hold]]).await;
        let told = registry
            .call(sealed_call(&registry, id, &provider.url(), says("a")))
            .await
            .unwrap_err();

        assert!(matches!(told, ServiceError::Timeout(_)), "{id}: {told:?}");
        provider.was_left().await;
    }
}

#[tokio::test]
async fn whoever_leaves_takes_the_call_along() {
    let registry = registry();
    for (id, ..) in ANSWERS {
        let provider = Provider::start([vec![provider::Act::Hold]]).await;
        let call = sealed_call(&registry, id, &provider.url(), says("a"));
        let asking = registry.call(call);
        let received = async {
            while provider.received().is_empty() {
                tokio::task::yield_now().await
            }
        };
        tokio::select! {
            told = asking => panic!("{id}: {told:?}"),
            () = received => {}
        }
        provider.was_left().await;
    }
}
