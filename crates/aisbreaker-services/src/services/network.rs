//! `aisbreaker:network`: forwards a call to another AIsBreaker server.

use std::time::Duration;

use aisbreaker_api::{
    ErrorObject, Origin, ProcessCall, Response,
    read::{self, JsonFault},
};
use aisbreaker_egress::{Client, Outgoing};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    event_stream::{AnswerReader, Step, StreamEnd, event_stream},
    filter::inner_service,
    provider_error::is_empty_error,
};
use crate::{
    destination::Destination,
    endpoint::{Endpoint, PathJoin, SecretNeed},
    error::{ErrorDetail, ServiceError},
    providers::AuthScheme,
    service::{Call, Reached, Reply, ReplyFuture, ReplyKind, Service, Target},
    sse::Message,
    upstream::{
        answer_form::{StreamedAnswer, read_streamed},
        body::read_whole,
        error_context::ErrorContext,
        headers,
        send::send_for_success,
        status::{error_status, reason},
    },
};

const DEFAULT_PATH: &str = "/api/v1/process";
/// The original's name of the service, which is in its errors.
const NAME: &str = "AIsNetworkClientService";
/// How much of the other server's error text is passed on, in bytes. It may have a prefix from
/// every hop.
const MAX_ERROR_TEXT_BYTES: usize = 16 * 1024;

/// Forwards `forward2ServiceProps` and the request to the AIsBreaker server at `url`.
///
/// Answers, streams and errors are passed on as they come; the message of an error gets a prefix
/// that names the hop. A call that has passed [`MAX_HOPS`](super::MAX_HOPS) servers already is
/// refused as a bad request, since only a loop in the caller's properties makes such a chain.
#[derive(Clone, Debug)]
pub struct Network {
    client: Client,
    operator_origins: Vec<Origin>,
}

impl Network {
    /// Creates the service. It has no default URL, and needs no secret.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            operator_origins: Vec::new(),
        }
    }

    /// Sets the origins to which sealed secrets may go in addition to those in the key.
    #[must_use]
    pub fn with_operator_origins(mut self, origins: Vec<Origin>) -> Self {
        self.operator_origins = origins;
        self
    }

    async fn forward(&self, call: Call) -> Result<Reply, ServiceError> {
        let endpoint = Endpoint {
            default_url: None,
            default_path: DEFAULT_PATH,
            path_join: PathJoin::Append,
            operator_origins: &self.operator_origins,
            secret: SecretNeed::Optional,
        };
        let destination = Destination::choose(&endpoint, &call)?;
        let kind = call.reply_kind();
        let mut headers = headers::json_request(&destination, AuthScheme::Bearer, kind)?;
        headers::add_hop(&mut headers, call.hops)?;
        let url = call.service.url.as_deref().unwrap_or("default").to_owned();
        let (inner_id, inner) = inner_service(call.service)?;
        let record = call.provider_calls.begin(&call.service_id);
        let body = serde_json::to_vec(&ProcessCall {
            service: inner,
            request: call.request,
        })
        .map_err(|error| ServiceError::Internal(ErrorDetail::from_source(error)))?;
        let target = format!("{NAME}(aisbreaker:network->{url}->{inner_id})");
        let context = ErrorContext::new(&target, &destination, MAX_ERROR_TEXT_BYTES);
        let outgoing = Outgoing::post(headers, body)
            .with_budget(call.budget)
            .with_observer(call.trace.call(&call.service_id, None));
        let exchange = exchange(self.client.clone(), destination, outgoing, kind);
        context.reply(kind, record, Box::pin(exchange)).await
    }
}

impl Service for Network {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(self.forward(call))
    }

    fn reached(&self, _target: &Target<'_>) -> Result<Reached, ServiceError> {
        Ok(Reached::BehindOtherServer)
    }
}

async fn exchange(
    client: Client,
    destination: Destination,
    outgoing: Outgoing,
    kind: ReplyKind,
) -> Result<Reply, ServiceError> {
    let (parts, body) =
        send_for_success(&client, &destination, outgoing, error_of_response).await?;
    let reader = ServerReader::default();
    let answer = match kind {
        ReplyKind::Final => read_whole(body).await?,
        ReplyKind::Stream => match read_streamed(&parts.headers, body).await? {
            StreamedAnswer::Whole(answer) => answer,
            StreamedAnswer::Events(body, decoder) => {
                // Only the final event ends the stream, whatever the body's framing is.
                let end = StreamEnd::UnframedBody;
                return Ok(Reply::Stream(event_stream(body, decoder, end, reader)));
            }
        },
    };
    Ok(Reply::Final(reader.read_whole(&answer)?))
}

/// Reads the answer of another AIsBreaker server.
#[derive(Default)]
struct ServerReader {
    response: Option<Response>,
}

impl AnswerReader for ServerReader {
    fn read_whole(self, body: &[u8]) -> Result<Response, ServiceError> {
        read_response(body)
    }

    fn read_message(&mut self, message: &Message) -> Result<Step, ServiceError> {
        let data = message.data.as_bytes();
        match message.event.as_str() {
            "ping" => Ok(Step::Skip),
            "final" => {
                self.response = Some(read_response(data)?);
                Ok(Step::Last)
            }
            "error" => Err(error_of_event(data)),
            // As the original does: every other name is progress, and events without data are
            // ignored.
            _ if data.is_empty() || message.data == "[DONE]" => Ok(Step::Skip),
            _ => Ok(Step::Progress(deserialize(parse(data)?)?)),
        }
    }

    /// Pieces are passed on, not collected.
    fn text_bytes(&self) -> usize {
        0
    }

    fn finish(self, _end: StreamEnd) -> Result<Response, ServiceError> {
        self.response.ok_or_else(|| {
            ServiceError::BadAnswer("the server's stream ended without a final answer".into())
        })
    }
}

fn read_response(json: &[u8]) -> Result<Response, ServiceError> {
    let value = parse(json)?;
    match value.get("error") {
        Some(Value::Object(error)) if !is_empty_error(error) => Err(error_of_object(error)),
        _ => deserialize(value),
    }
}

fn parse(json: &[u8]) -> Result<Value, ServiceError> {
    read::json(json).map_err(|fault: JsonFault| {
        let text = format!("the server's answer {fault}");
        ServiceError::BadAnswer(ErrorDetail::new(text).with_source(fault))
    })
}

fn deserialize<T: DeserializeOwned>(value: Value) -> Result<T, ServiceError> {
    // The text of serde's error could repeat the answer.
    serde_json::from_value(value).map_err(|_shape| {
        ServiceError::BadAnswer("the server's answer is not one of an AIsBreaker server".into())
    })
}

fn error_of_event(json: &[u8]) -> ServiceError {
    let mut value = read::json(json).unwrap_or_default();
    if let Some(inner) = value.get_mut("error").filter(|inner| inner.is_object()) {
        value = inner.take();
    }
    match value {
        Value::Object(error) => error_of_object(&error),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            ServiceError::BadAnswer(
                "the server's stream ended with an error that cannot be read".into(),
            )
        }
    }
}

/// Returns the error of a response with an error status.
fn error_of_response(
    status: StatusCode,
    body: &[u8],
    retry_after: Option<Duration>,
) -> ServiceError {
    let value = read::json(body).unwrap_or_default();
    let error = match value.get("error") {
        Some(Value::Object(error)) => error_object(error, status),
        _ => error_object(&Map::new(), status),
    };
    ServiceError::Provider {
        error: Box::new(error),
        retry_after,
        is_in_answer: false,
    }
}

/// Returns the error of an answer whose status was a success; the error itself has the status.
fn error_of_object(error: &Map<String, Value>) -> ServiceError {
    let code = error.get("statusCode").and_then(Value::as_u64);
    let status = code
        .and_then(error_status)
        .unwrap_or(StatusCode::BAD_GATEWAY);
    ServiceError::Provider {
        error: Box::new(error_object(error, status)),
        retry_after: None,
        is_in_answer: true,
    }
}

fn error_object(error: &Map<String, Value>, status: StatusCode) -> ErrorObject {
    let text = |name| {
        let text = error.get(name)?.as_str()?;
        (!text.is_empty()).then_some(text)
    };
    let (code, reason) = (status.as_u16(), reason(status));
    let message = match text("message") {
        Some(message) => message.to_owned(),
        None => format!("the server answered with status {code} {reason} and no error message"),
    };
    let mut object = ErrorObject::new(code, text("statusText").unwrap_or(reason), message);
    object.kind = text("type").map(str::to_owned);
    object
}
