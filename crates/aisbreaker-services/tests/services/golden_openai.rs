//! Every provider of the table that supports OpenAI's dialect, against its golden files: the
//! request that it gets, and the response made of its answer, whole and streamed.

mod table;

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc};

use aisbreaker_api::{Response, ServiceId, ServicePattern};
use aisbreaker_egress::{Timeouts, UrlSource};
use aisbreaker_services::{
    Call, Credentials, Dialect, Event, Provider as Row, Providers, Registry, Reply, SealedSecret,
    ServiceError, ServiceRestrictions, Tokens,
    services::{OpenAiChat, Options, SEALED_HEADER, ServiceSettings, standard},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use self::table::{LINES, Line, MESSAGES};
use crate::support::{
    SECRET, answer, call_with, client, provider,
    provider::{Provider, Received},
    streamed, texts,
};

const OPERATION: &str = "/chat/completions";
/// The headers of every request to a provider, none of which is a credential.
const ORDINARY_HEADERS: &[&str] = &[
    "accept",
    "accept-encoding",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    SEALED_HEADER,
];
/// The golden files of a provider.
struct Golden {
    id: String,
    request: Value,
    answer: Vec<u8>,
    stream: Vec<u8>,
    expected: Value,
}

impl Golden {
    fn of(id: &str) -> Self {
        let read = |name: &str| fs::read(directory().join(id).join(name)).unwrap();
        let json = |name: &str| serde_json::from_slice(&read(name)).unwrap();
        Self {
            id: id.to_owned(),
            request: json("request.json"),
            answer: read("answer.json"),
            stream: read("stream.txt"),
            expected: json("expected.json"),
        }
    }

    /// Returns the id of the service with the requested engine.
    fn service_id(&self, name: &str) -> String {
        format!("chat:{name}/{}", self.request["model"].as_str().unwrap())
    }

    /// Returns the request that the provider must get.
    fn request(&self, is_streamed: bool) -> Value {
        let mut request = self.request.clone();
        if is_streamed {
            request["stream"] = json!(true);
            // At another URL, OpenAI's service may be any compatible server.
            if self.expected["asksForStreamUsage"] == true && self.id != "openai.com" {
                request["stream_options"] = json!({"include_usage": true});
            }
        }
        request
    }

    fn count(&self, name: &str) -> Option<u64> {
        self.expected["tokens"][name].as_u64()
    }

    fn check_answer(&self, response: &Response, has_usage: bool, row: &str) {
        assert_eq!(
            json!(texts(&response.outputs)),
            self.expected["outputs"],
            "{row}"
        );
        assert_eq!(
            response.usage.service.engine.as_deref(),
            self.expected["engine"].as_str(),
            "{row}"
        );
        let tokens = [
            response.usage.input_tokens,
            response.usage.output_tokens,
            response.usage.total_tokens,
        ];
        let (input, output) = (self.count("input"), self.count("output"));
        let expected = [input, output, Some(input.unwrap() + output.unwrap())];
        assert_eq!(
            tokens,
            if has_usage { expected } else { [None; 3] },
            "{row}"
        );
    }
}

/// Returns the services with every provider in OpenAI's dialect, also `gemini.google.com`, whose
/// chat otherwise uses Google's own protocol.
fn registry() -> Registry {
    let client = client(Timeouts::default());
    let row = row("gemini.google.com");
    let services = standard(client.clone(), Options::default());
    let services = row.names().fold(services, |services, name| {
        let id = ServiceId::parse(format!("chat:{name}")).unwrap();
        services.with(
            &id,
            OpenAiChat::new(client.clone(), &row, ServiceSettings::default()),
        )
    });
    services.build()
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Returns the URL without its origin.
fn path_of(url: &str) -> &str {
    let behind_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    &behind_scheme[behind_scheme.find('/').unwrap()..]
}

/// Returns a call with a key whose only secret is for this provider and bound to this URL.
fn sealed_call(
    registry: &Registry,
    service_id: &str,
    name: &str,
    url: String,
    request: Value,
) -> Call {
    let pattern = ServicePattern::parse(format!("chat:{name}")).unwrap();
    let secrets = vec![SealedSecret::new(pattern, SECRET.into(), vec![url])];
    let mut call = call_with(registry, json!({"serviceId": service_id}), request);
    call.credentials = Arc::new(Credentials::Sealed {
        secrets,
        bearer: None,
        restrictions: ServiceRestrictions::default(),
        url_source: UrlSource::Trusted,
    });
    call
}

fn question() -> Value {
    json!({
        "inputs": [
            {"text": {"role": "system", "content": "Answer in one word."}},
            {"text": {"role": "user", "content": "What is the capital of France?"}},
        ],
        "internOptions": {"temperature": 0.5},
    })
}

fn check_request(received: &Received, &(id, url, (header, scheme)): &Line, expected: &Value) {
    check_head(received, id, url, Some(header));
    assert_eq!(
        received.header(header),
        Some(&*format!("{scheme}{SECRET}")),
        "{id}"
    );
    assert_eq!(received.body, *expected, "{id}");
}

/// Checks the path, and that the headers are the ordinary ones and that of the secret.
fn check_head(received: &Received, id: &str, url: &str, credential: Option<&str>) {
    let start = format!("POST {} HTTP/1.1\r\n", path_of(url));
    assert!(received.head.starts_with(&start), "{id}: {}", received.head);
    let names = received
        .head
        .lines()
        .filter_map(|line| Some(line.split_once(": ")?.0.to_lowercase()));
    let others: Vec<_> = names
        .filter(|name| !ORDINARY_HEADERS.contains(&&**name))
        .collect();
    assert_eq!(others, Vec::from_iter(credential), "{id}");
}

#[tokio::test]
async fn each_provider_gets_its_golden_request_and_is_understood() {
    let registry = registry();
    for line @ (id, ..) in LINES {
        let golden = Golden::of(id);
        let provider = Provider::start([provider::plain(
            "200 OK",
            "content-type: application/json\r\n",
            &golden.answer,
        )])
        .await;
        let call = sealed_call(
            &registry,
            &golden.service_id(id),
            id,
            provider.url(),
            question(),
        );

        let Reply::Final(response) = registry.call(call).await.expect(id) else {
            panic!("{id}: a stream")
        };

        check_request(&provider.request(), line, &golden.request(false));
        golden.check_answer(&response, true, id);
        let answer: Value = serde_json::from_slice(&golden.answer).unwrap();
        assert_eq!(response.intern_response, Some(answer.into()), "{id}");
    }
}

#[tokio::test]
async fn each_provider_is_understood_when_it_streams() {
    let registry = registry();
    for line @ (id, ..) in LINES {
        let golden = Golden::of(id);
        let provider = Provider::start([provider::stream([&*golden.stream])]).await;
        let call = sealed_call(
            &registry,
            &golden.service_id(id),
            id,
            provider.url(),
            streamed(question()),
        );

        let Reply::Stream(events) = registry.call(call).await.expect(id) else {
            panic!("{id}: no stream")
        };
        let mut events: Vec<_> = events.collect().await;

        let Some(Ok(Event::Final(response))) = events.pop() else {
            panic!("{id}: no end after {events:?}")
        };
        check_request(&provider.request(), line, &golden.request(true));
        golden.check_answer(&response, golden.expected["streamTellsNoUsage"] != true, id);
        let mut pieces = Vec::new();
        for event in events {
            let Event::Progress(progress) = event.expect(id) else {
                panic!("{id}: two ends")
            };
            pieces.extend(texts(&progress.outputs).into_iter().map(str::to_owned));
        }
        assert!(pieces.len() > 1, "{id}: {pieces:?}");
        assert_eq!(json!([pieces.concat()]), golden.expected["outputs"], "{id}");
    }
}

#[tokio::test]
async fn every_alias_of_a_provider_is_the_same_service() {
    let registry = registry();
    for line @ (id, ..) in LINES {
        let golden = Golden::of(id);
        for name in row(id).names() {
            let script = provider::plain(
                "200 OK",
                "content-type: application/json\r\n",
                &golden.answer,
            );
            let provider = Provider::start([script]).await;
            let call = sealed_call(
                &registry,
                &golden.service_id(name),
                name,
                provider.url(),
                question(),
            );

            let Reply::Final(response) = registry.call(call).await.expect(name) else {
                panic!("{name}: a stream")
            };

            check_request(&provider.request(), line, &golden.request(false));
            golden.check_answer(&response, true, name);
        }
    }
}

#[tokio::test]
async fn only_self_hosted_servers_are_called_without_a_secret() {
    let registry = registry();
    let own = ["ollama", "vllm", "lmstudio", "llama.cpp"];
    for (id, url, _) in LINES {
        let golden = Golden::of(id);
        let provider = Provider::start([provider::plain("200 OK", "", &golden.answer)]).await;
        let service = json!({"serviceId": golden.service_id(id), "url": provider.url()});
        let mut call = call_with(&registry, service, question());
        call.credentials = Arc::new(Credentials::None);

        let result = registry.call(call).await;

        if own.contains(id) {
            assert!(result.is_ok(), "{id}: {result:?}");
            check_head(&provider.request(), id, url, None);
        } else {
            let service_id = golden.service_id(id);
            assert_eq!(
                result.unwrap_err(),
                ServiceError::MissingSecret { service_id },
                "{id}"
            );
            assert_eq!(provider.connections(), 0, "{id}");
        }
    }
}

#[tokio::test]
async fn only_openai_has_a_default_engine() {
    for (id, ..) in LINES {
        let error = answer(
            json!({"serviceId": format!("chat:{id}"), "url": "http://127.0.0.1:1"}),
            question(),
        )
        .await
        .unwrap_err();

        let has_none = matches!(&error, ServiceError::BadRequest(detail)
            if detail.text().contains("has no default model"));
        assert_eq!(has_none, *id != "openai.com", "{id}: {error}");
    }
}

#[test]
fn tokens_are_read_by_the_providers_own_rule() {
    for (id, ..) in LINES {
        let golden = Golden::of(id);
        let answer: Value = serde_json::from_slice(&golden.answer).unwrap();

        let tokens = row(id)
            .dialect(Dialect::OpenAi)
            .unwrap()
            .usage
            .read(&answer["usage"]);

        let expected = ["input", "output", "cached", "reasoning"].map(|name| golden.count(name));
        let Tokens {
            input,
            output,
            cached,
            reasoning,
            ..
        } = tokens;
        assert_eq!([input, output, cached, reasoning], expected, "{id}");
    }
}

#[test]
fn every_row_of_the_table_has_golden_files() {
    let openai = LINES
        .iter()
        .map(|(id, url, _)| ((*id).to_owned(), (*url).to_owned()));
    assert_eq!(urls(Dialect::OpenAi, OPERATION), openai.collect::<Vec<_>>());
    let anthropic = MESSAGES
        .iter()
        .map(|(id, url)| ((*id).to_owned(), (*url).to_owned()));
    assert_eq!(
        urls(Dialect::Anthropic, "/messages"),
        anthropic.collect::<Vec<_>>()
    );

    let entries = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap());
    let directories = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let found: BTreeSet<_> = directories
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        found,
        LINES.iter().map(|(id, ..)| (*id).to_owned()).collect()
    );
}

/// Returns the URLs of the providers for an operation of this dialect.
fn urls(dialect: Dialect, operation: &str) -> Vec<(String, String)> {
    let url = |provider: &Arc<Row>| {
        let prefix = &provider.dialect(dialect)?.prefix;
        Some((
            provider.id.clone(),
            format!(
                "{}{prefix}{operation}",
                provider.url.as_deref().unwrap_or_default()
            ),
        ))
    };
    Providers::builtin().iter().filter_map(url).collect()
}

fn row(id: &str) -> Arc<Row> {
    Arc::clone(Providers::builtin().find(id).expect(id))
}
