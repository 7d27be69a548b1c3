//! What a provider told, out of which the answer is made; its errors too.

use std::{collections::BTreeMap, time::Duration};

use aisbreaker_api::{ErrorObject, Output, OutputText, Progress, Response, ServiceUrl, read};
use futures_util::stream as streams;
use http::StatusCode;
use serde_json::{Map, Value};

use super::{
    turn::Turn,
    upstream::{error_status, reason},
};
use crate::{
    error::ServiceError,
    service::{Event, Reply},
    usage::Tokens,
};

/// How much of the provider's error text is passed on, in bytes.
pub(super) const MAX_ERROR_TEXT_BYTES: usize = 2048;

/// How many answers to one request are read.
const MAX_CHOICES: u64 = 1024;

/// What the provider told.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) outputs: Vec<Output>,
    /// The model that answered.
    pub(super) model: Option<String>,
    /// What it took.
    pub(super) tokens: Tokens,
    /// All tokens, as the provider counts them.
    pub(super) total: Option<u64>,
    /// All that was told, if it was told at once.
    pub(super) whole: Option<Value>,
}

/// A call whose answer is awaited.
pub(super) struct Pending {
    pub(super) turn: Turn,
    /// The model that was asked for.
    pub(super) model: String,
    /// Where it was asked for, as it is told.
    pub(super) url: String,
}

impl Pending {
    pub(super) fn new(turn: Turn, model: String, url: &ServiceUrl) -> Self {
        Self {
            turn,
            model,
            url: told_url(url),
        }
    }

    /// The answer, with the conversation so far.
    pub(super) fn finish(self, mut told: Told) -> Response {
        let response = self.turn.finish(std::mem::take(&mut told.outputs));
        filled(response, told, self.model, self.url)
    }

    /// The answer of a service that does not go on with a conversation: pictures make a state too
    /// large to be sent around.
    pub(super) fn finish_for_good(self, mut told: Told) -> Response {
        let response = self.turn.finish_for_good(std::mem::take(&mut told.outputs));
        filled(response, told, self.model, self.url)
    }
}

/// The answer with all that was told but the outputs.
fn filled(mut response: Response, told: Told, model: String, url: String) -> Response {
    response.usage.service.engine = Some(told.model.unwrap_or(model));
    response.usage.service.url = Some(url);
    response.usage.input_tokens = told.tokens.input;
    response.usage.output_tokens = told.tokens.output;
    // A provider that counts reasoning beside its completion may leave it out of its total.
    response.usage.total_tokens = told.total.max(told.tokens.total());
    response.intern_response = told.whole;
    response
}

/// The name of a service, as the original server names its services: `OpenaiComChatService`.
pub(super) fn service_name(provider: &str, kind: &str) -> String {
    let words = provider
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let capitals = words
        .map(|word| word.split_at(1))
        .map(|(first, rest)| first.to_ascii_uppercase() + rest);
    capitals.chain([kind.to_owned()]).collect()
}

/// The address as it is told in `usage`: its query may hold what is not for the caller.
fn told_url(url: &ServiceUrl) -> String {
    url.as_str()
        .split('?')
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// The index of a choice, its position where it has none.
pub(super) fn index(choice: &Value, position: usize) -> Result<u32, ServiceError> {
    let index = choice.get("index").and_then(Value::as_u64);
    let index = index
        .or_else(|| u64::try_from(position).ok())
        .filter(|index| *index < MAX_CHOICES);
    index
        .and_then(|index| u32::try_from(index).ok())
        .ok_or_else(|| {
            ServiceError::BadAnswer("the provider's answer has too many choices".to_owned())
        })
}

/// The texts by their index as outputs; an empty text is none.
pub(super) fn outputs_of(texts: BTreeMap<u32, String>) -> Vec<Output> {
    let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
    texts
        .map(|(index, text)| Output::Text(OutputText::complete(index, text)))
        .collect()
}

/// The answer of a provider that does not stream though it was asked to.
pub(super) fn in_one_piece(response: Response) -> Reply {
    let mut progress = Progress::new(response.outputs.clone());
    for output in &mut progress.outputs {
        if let Output::Text(text) = output {
            text.is_delta = Some(true);
            text.is_processing = Some(true);
        }
    }
    Reply::Stream(Box::pin(streams::iter([
        Ok(Event::Progress(progress)),
        Ok(Event::Final(response)),
    ])))
}

/// The JSON object that `json` is; an error object in it is an error.
pub(super) fn object(json: &[u8]) -> Result<Map<String, Value>, ServiceError> {
    let value = read::json(json)
        .map_err(|fault| ServiceError::BadAnswer(format!("the provider's answer {fault}")))?;
    let Value::Object(object) = value else {
        return Err(ServiceError::BadAnswer(
            "the provider's answer is not a JSON object".to_owned(),
        ));
    };
    match object.get("error") {
        None | Some(Value::Null) => Ok(object),
        Some(error) => {
            let code = error
                .get("code")
                .or_else(|| error.get("status"))
                .and_then(Value::as_u64);
            let status = code
                .and_then(error_status)
                .or_else(|| status_of_type(error));
            Err(told_error(
                status.unwrap_or(StatusCode::BAD_GATEWAY),
                &Value::Object(object),
                None,
            ))
        }
    }
}

/// The error of an event that is named `error`, though it holds no error object.
pub(super) fn error_event(event: Map<String, Value>) -> ServiceError {
    told_error(StatusCode::BAD_GATEWAY, &Value::Object(event), None)
}

/// The error of an answer with an error status.
pub(super) fn refusal(
    status: StatusCode,
    body: &[u8],
    retry_after: Option<Duration>,
) -> ServiceError {
    told_error(status, &read::json(body).unwrap_or_default(), retry_after)
}

/// The error that the provider tells in one of the shapes that are in use.
fn told_error(status: StatusCode, body: &Value, retry_after: Option<Duration>) -> ServiceError {
    let body = body.get(0).unwrap_or(body);
    let texts = [
        "/error/message",
        "/error",
        "/message",
        "/detail",
        "/error/detail",
        "/errors/0",
    ];
    let text = texts
        .iter()
        .find_map(|path| body.pointer(path)?.as_str())
        .filter(|text| !text.is_empty());
    let mut error = ErrorObject::new(
        status.as_u16(),
        reason(status),
        text.unwrap_or_else(|| reason(status)),
    );
    let kinds = ["/error/type", "/error/status", "/name"];
    error.kind = kinds
        .iter()
        .find_map(|path| body.pointer(path)?.as_str())
        .map(str::to_owned);
    ServiceError::Provider {
        error: Box::new(error),
        retry_after,
    }
}

/// The status that an error of this type has where it is the answer's own: in a stream, only the
/// type is told.
///
/// Source: the API reference of Anthropic, on errors.
fn status_of_type(error: &Value) -> Option<StatusCode> {
    let code = match error.get("type")?.as_str()? {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "api_error" => 500,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => return None,
    };
    error_status(code)
}
