//! What the services make of requests and of what providers answer, over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "JSON that is written where it is used reads best"
)]

mod anthropic;
mod faults;
mod filters;
mod gemini;
mod golden;
mod images;
mod native;
mod network;
mod openai;
mod openai_stream;
mod provider;
mod replicate;
mod small;
mod usage;

use std::sync::Arc;

use aisbreaker_api::{ConversationState, Output, ProcessCall, Progress, Response};
use aisbreaker_egress::{Client, Policy, Timeouts};
use aisbreaker_services::{
    Call, Credentials, Event, Registry, Reply, ServiceError,
    services::{Options, standard},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

/// The caller's own secret in these tests.
const SECRET: &str = "sk-secret-of-the-caller-0123456789";

fn client(timeouts: Timeouts) -> Client {
    Client::new(Policy::strict().allow("127.0.0.0/8").unwrap(), timeouts)
}

fn registry() -> Registry {
    standard(client(Timeouts::default()), Options::default()).build()
}

fn call_with(registry: &Registry, service: Value, request: Value) -> Call {
    let body = json!({"service": service, "request": request}).to_string();
    let ProcessCall { service, request } = ProcessCall::from_json(body.as_bytes()).unwrap();
    let credentials = Arc::new(Credentials::Caller(SECRET.into()));
    Call::new(service, request, credentials, registry.clone()).unwrap()
}

/// The request of one user text.
fn says(text: &str) -> Value {
    json!({"inputs": [{"text": {"role": "user", "content": text}}]})
}

fn streamed(mut request: Value) -> Value {
    request["stream"] = json!(true);
    request
}

async fn reply(service: Value, request: Value) -> Result<Reply, ServiceError> {
    let registry = registry();
    registry.call(call_with(&registry, service, request)).await
}

async fn answer(service: Value, request: Value) -> Result<Response, ServiceError> {
    let Reply::Final(response) = reply(service, request).await? else {
        panic!("a stream without being asked")
    };
    Ok(response)
}

/// All events of a streamed answer; an error before the stream is the only event.
async fn events(service: Value, request: Value) -> Vec<Result<Event, ServiceError>> {
    match reply(service, streamed(request)).await {
        Err(error) => vec![Err(error)],
        Ok(Reply::Stream(events)) => events.collect().await,
        Ok(other) => panic!("a stream was asked for, not {other:?}"),
    }
}

/// The pieces of a streamed answer, and the answer that ends it.
async fn pieces(service: Value, request: Value) -> (Vec<Progress>, Response) {
    let mut events = events(service, request).await;
    let Some(Ok(Event::Final(response))) = events.pop() else {
        panic!("no final answer after {events:?}")
    };
    let pieces = events.into_iter().map(|event| match event.unwrap() {
        Event::Progress(progress) => progress,
        Event::Final(_) => panic!("two final answers"),
    });
    (pieces.collect(), response)
}

/// The texts of outputs.
fn texts(outputs: &[Output]) -> Vec<&str> {
    outputs.iter().filter_map(text_of).collect()
}

fn text_of(output: &Output) -> Option<&str> {
    if let Output::Text(text) = output {
        Some(&text.content)
    } else {
        None
    }
}

fn json_of(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

/// What a state holds, as JSON.
fn state_of(response: &Response) -> Value {
    json_of(&ConversationState::decode(response.conversation_state.as_deref().unwrap()).unwrap())
}
