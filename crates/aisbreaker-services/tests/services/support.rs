//! Calls of services, and checks of the requests that providers receive.

pub(crate) mod provider;

use std::{fs, path::PathBuf, sync::Arc};

use aisbreaker_api::{ConversationState, Output, ProcessCall, Progress, Response, ServicePattern};
use aisbreaker_egress::{Client, Policy, Timeouts, UrlSource};
use aisbreaker_services::{
    Call, Credentials, Event, Registry, Reply, SealedSecret, ServiceError, ServiceRestrictions,
    services::{Options, standard},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use self::provider::{Provider, Received};

/// The caller's own secret in these tests.
pub(crate) const SECRET: &str = "sk-secret-of-the-caller-0123456789";

pub(crate) fn client(timeouts: Timeouts) -> Client {
    let policy = Policy::strict().allow("127.0.0.0/8").unwrap();
    Client::new(policy.extend_to_untrusted(), timeouts)
}

pub(crate) fn registry() -> Registry {
    standard(client(Timeouts::default()), Options::default()).build()
}

pub(crate) fn call_with(registry: &Registry, service: Value, request: Value) -> Call {
    let body = json!({"service": service, "request": request}).to_string();
    let ProcessCall { service, request } = ProcessCall::from_json(body.as_bytes()).unwrap();
    let credentials = Arc::new(Credentials::Caller(SECRET.into()));
    Call::new(service, request, credentials, registry.clone()).unwrap()
}

/// Returns a request of one user text.
pub(crate) fn user_text(text: &str) -> Value {
    json!({"inputs": [{"text": {"role": "user", "content": text}}]})
}

pub(crate) fn streamed(mut request: Value) -> Value {
    request["stream"] = json!(true);
    request
}

pub(crate) async fn reply(service: Value, request: Value) -> Result<Reply, ServiceError> {
    let registry = registry();
    registry.call(call_with(&registry, service, request)).await
}

pub(crate) async fn answer(service: Value, request: Value) -> Result<Response, ServiceError> {
    let Reply::Final(response) = reply(service, request).await? else {
        panic!("an unrequested stream")
    };
    Ok(response)
}

/// Returns all events of a streamed answer; an error before the stream is the only event.
pub(crate) async fn events(service: Value, request: Value) -> Vec<Result<Event, ServiceError>> {
    match reply(service, streamed(request)).await {
        Err(error) => vec![Err(error)],
        Ok(Reply::Stream(events)) => events.collect().await,
        Ok(other) => panic!("not a stream: {other:?}"),
    }
}

/// Returns the pieces of a streamed answer, and the answer that ends it.
pub(crate) async fn pieces(service: Value, request: Value) -> (Vec<Progress>, Response) {
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

/// Returns the texts of outputs.
pub(crate) fn texts(outputs: &[Output]) -> Vec<&str> {
    outputs.iter().filter_map(text_of).collect()
}

pub(crate) fn text_of(output: &Output) -> Option<&str> {
    if let Output::Text(text) = output {
        Some(&text.content)
    } else {
        None
    }
}

pub(crate) fn json_of(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

/// Returns the conversation state as JSON.
pub(crate) fn state_of(response: &Response) -> Value {
    json_of(&ConversationState::decode(response.conversation_state.as_deref().unwrap()).unwrap())
}

/// Returns a golden file of a service with a protocol of its own.
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

/// Returns a script that answers with JSON, byte for byte.
pub(crate) fn json_bytes(body: impl AsRef<[u8]>) -> Vec<provider::Act> {
    provider::plain("200 OK", "content-type: application/json\r\n", body)
}

/// Returns a call with a key whose only secret is for this service and bound to this URL.
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
        restrictions: ServiceRestrictions::default(),
        url_source: UrlSource::Trusted,
    });
    call
}

/// Checks the request line, and that the headers are the ordinary ones and these.
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

/// Calls a chat whose provider answers with `body`, and returns the text of the bad answer without
/// the prefix that names the service.
pub(crate) async fn bad_answer(
    service: fn(&Provider) -> Value,
    stream: bool,
    body: &str,
    prefix: &str,
) -> String {
    let script = if stream {
        provider::stream([body.as_bytes()])
    } else {
        json_bytes(body)
    };
    let provider = Provider::start([script]).await;
    let result = if stream {
        let mut events = events(service(&provider), user_text("a")).await;
        events.pop().unwrap().map(|event| format!("{event:?}"))
    } else {
        let response = answer(service(&provider), user_text("a")).await;
        response.map(|response| format!("{response:?}"))
    };
    let Err(ServiceError::BadAnswer(detail)) = result else {
        panic!("{body}: {result:?}")
    };
    detail.text().strip_prefix(prefix).unwrap().to_owned()
}

/// Checks that a call is a bad request with this text, and that nothing is sent for it.
pub(crate) async fn check_refused_unsent(id: &str, request: Value, expected: &str) {
    let provider = Provider::start([]).await;
    let error = answer(json!({"serviceId": id, "url": provider.url()}), request)
        .await
        .unwrap_err();
    let ServiceError::BadRequest(detail) = error else {
        panic!("{id}: {error:?}")
    };
    assert!(detail.text().contains(expected), "{id}: {detail}");
    assert_eq!(provider.connections(), 0, "{id}");
}

/// The same error, in an answer whose status was a success.
pub(crate) fn in_answer(error: ServiceError) -> ServiceError {
    let ServiceError::Provider {
        error, retry_after, ..
    } = error
    else {
        panic!("no error of a provider: {error:?}")
    };
    ServiceError::Provider {
        error,
        retry_after,
        is_in_answer: true,
    }
}
