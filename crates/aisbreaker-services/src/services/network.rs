//! `aisbreaker:network`: hands a call on to another AIsBreaker server.

use std::time::Duration;

use aisbreaker_api::{
    ErrorObject, Origin, ProcessCall, Progress, Response,
    read::{self, JsonFault},
};
use aisbreaker_egress::{Client, Outgoing};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value};

use super::{
    filter::inner_service,
    upstream::{self, Context, Messages, ReadEvents, Step},
};
use crate::{
    destination::{Destination, Endpoint, SecretNeed},
    error::ServiceError,
    providers::AuthScheme,
    request_uri::request_uri,
    service::{Call, Reply, ReplyFuture, Service},
    sse::{Decoder, Message},
};

/// The header that tells how many AIsBreaker servers a call has passed.
pub const HOPS_HEADER: &str = "x-aisbreaker-hops";
/// How many AIsBreaker servers may hand a call on.
pub const MAX_HOPS: u8 = 8;

const DEFAULT_PATH: &str = "/api/v1/process";
/// The original's name of the service, which is in its errors.
const NAME: &str = "AIsNetworkClientService";
/// How much of the other server's error text is passed on, in bytes: it may have a prefix from
/// every hop.
const MAX_ERROR_TEXT_BYTES: usize = 16 * 1024;

/// Hands `forward2ServiceProps` and the request on to the AIsBreaker server at `url`.
///
/// Answers, streams and errors are passed on as they come; the message of an error gets a prefix
/// that names the hop. A call that has passed [`MAX_HOPS`] servers already is refused as a bad
/// request: only a loop in what the caller wrote makes such a chain.
#[derive(Clone, Debug)]
pub struct Network {
    client: Client,
    operator_origins: Vec<Origin>,
}

impl Network {
    /// The service; it has no default URL, and needs no secret.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            operator_origins: Vec::new(),
        }
    }

    /// Sets the origins to which sealed secrets may go besides those in the key.
    #[must_use]
    pub fn with_operator_origins(mut self, origins: Vec<Origin>) -> Self {
        self.operator_origins = origins;
        self
    }

    async fn answer(&self, call: Call) -> Result<Reply, ServiceError> {
        let endpoint = Endpoint {
            default_url: None,
            default_path: DEFAULT_PATH,
            operator_origins: &self.operator_origins,
            is_continued: false,
            secret: SecretNeed::Optional,
        };
        let destination = Destination::choose(&endpoint, &call)?;
        let stream = call.request.stream;
        let mut headers = upstream::headers(&destination, AuthScheme::Bearer, stream)?;
        headers.insert(HeaderName::from_static(HOPS_HEADER), next_hop(call.hops)?);
        let url = call.service.url.as_deref().unwrap_or("default").to_owned();
        let (inner_id, inner) = inner_service(call.service)?;
        let body = serde_json::to_vec(&ProcessCall {
            service: inner,
            request: call.request,
        })
        .map_err(|error| ServiceError::Internal(error.to_string()))?;
        let target = format!("aisbreaker:network->{url}->{inner_id}");
        let context = Context::new(NAME, &target, &destination, MAX_ERROR_TEXT_BYTES);
        let outgoing = Outgoing::post(headers, body).with_budget(call.budget);
        context
            .reply(
                stream,
                exchange(self.client.clone(), destination, outgoing, stream),
            )
            .await
    }
}

async fn exchange(
    client: Client,
    destination: Destination,
    outgoing: Outgoing,
    stream: bool,
) -> Result<Reply, ServiceError> {
    let (parts, body) = client
        .send(&request_uri(&destination.url)?, outgoing)
        .await?
        .into_parts();
    if upstream::is_error(parts.status) {
        let retry_after = upstream::retry_after(&parts.headers);
        return Err(refusal(
            parts.status,
            &upstream::read_error(body).await,
            retry_after,
        ));
    }
    if !parts.status.is_success() {
        return Err(upstream::unusable_status(parts.status));
    }
    if stream && upstream::is_event_stream(&parts.headers) {
        let decoder = Decoder::with_limit(body.max_collected_bytes());
        let reader = Reader {
            messages: Messages::new(body, decoder),
        };
        return Ok(Reply::Stream(upstream::events_of(reader)));
    }
    let (answer, _held) = upstream::read_answer(body).await?;
    Ok(Reply::Final(read_response(&answer)?))
}

impl Service for Network {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(self.answer(call))
    }
}

/// The hop header of a call that has passed so many servers, if it may pass one more.
pub(crate) fn next_hop(hops: u8) -> Result<HeaderValue, ServiceError> {
    if hops >= MAX_HOPS {
        return Err(ServiceError::BadRequest(format!(
            "the call has passed {MAX_HOPS} AIsBreaker servers already; look for a loop in service.url and \
             service.forward2ServiceProps"
        )));
    }
    Ok(HeaderValue::from(u16::from(hops) + 1))
}

/// Reads the events of the other server.
struct Reader {
    messages: Messages,
}

impl ReadEvents for Reader {
    async fn next(mut self) -> Result<Step<Self>, ServiceError> {
        while let Some(message) = self.messages.next().await? {
            match message.event.as_str() {
                "ping" => {}
                "final" => {
                    let response = read_response(message.data.as_bytes())?;
                    return Ok(Step::Final(Box::new(response), Box::new(self.messages)));
                }
                "error" => return Err(error_event(&message)),
                // The original takes every other name for progress, and ignores what holds nothing.
                _ if message.data.is_empty() || message.data == "[DONE]" => {}
                _ => return Ok(Step::Progress(read_progress(&message)?, self)),
            }
        }
        Err(ServiceError::BadAnswer(
            "the server's stream ended without a final answer".to_owned(),
        ))
    }
}

fn read_response(json: &[u8]) -> Result<Response, ServiceError> {
    let value = read::json(json).map_err(not_understood)?;
    if let Some(error) = value.get("error").and_then(Value::as_object) {
        return Err(told_error(error));
    }
    serde_json::from_value(value).map_err(|_other| not_ours())
}

fn read_progress(message: &Message) -> Result<Progress, ServiceError> {
    let value = read::json(message.data.as_bytes()).map_err(not_understood)?;
    serde_json::from_value(value).map_err(|_other| not_ours())
}

/// The place tells enough; the text of the error could repeat the answer.
fn not_understood(fault: JsonFault) -> ServiceError {
    ServiceError::BadAnswer(format!("the server's answer {fault}"))
}

fn not_ours() -> ServiceError {
    ServiceError::BadAnswer("the server's answer is not one of an AIsBreaker server".to_owned())
}

fn error_event(message: &Message) -> ServiceError {
    let mut value = read::json(message.data.as_bytes()).unwrap_or_default();
    if let Some(inner) = value.get_mut("error").filter(|inner| inner.is_object()) {
        value = inner.take();
    }
    match value {
        Value::Object(error) => told_error(&error),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            ServiceError::BadAnswer(
                "the server's stream ended with an error that cannot be read".to_owned(),
            )
        }
    }
}

/// The error of an answer with an error status.
fn refusal(status: StatusCode, body: &Bytes, retry_after: Option<Duration>) -> ServiceError {
    let value = read::json(body).unwrap_or_default();
    let nothing = Map::new();
    let told = value
        .get("error")
        .and_then(Value::as_object)
        .unwrap_or(&nothing);
    ServiceError::Provider {
        error: Box::new(error_object(told, status)),
        retry_after,
    }
}

/// The error in an answer that seemed to be a success; it names its status itself.
fn told_error(told: &Map<String, Value>) -> ServiceError {
    let status = told
        .get("statusCode")
        .and_then(Value::as_u64)
        .and_then(upstream::error_status);
    let status = status.unwrap_or(StatusCode::BAD_GATEWAY);
    ServiceError::Provider {
        error: Box::new(error_object(told, status)),
        retry_after: None,
    }
}

fn error_object(told: &Map<String, Value>, status: StatusCode) -> ErrorObject {
    let text = |name| {
        told.get(name)
            .and_then(Value::as_str)
            .filter(|text: &&str| !text.is_empty())
    };
    let reason = upstream::reason(status);
    let message = text("message").map_or_else(
        || {
            format!(
                "the server answered with status {} {reason} and no error message",
                status.as_u16()
            )
        },
        str::to_owned,
    );
    let mut error = ErrorObject::new(
        status.as_u16(),
        text("statusText").unwrap_or(reason),
        message,
    );
    error.kind = text("type").map(str::to_owned);
    error
}
