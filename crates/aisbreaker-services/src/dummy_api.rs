//! The providers' APIs as `chat:dummy` serves them: without a provider, a network or a secret.
//!
//! Everything follows from the request, so that a test of a client can rely on it:
//!
//! - `model` is what each model of the dummy does;
//! - `prompt` reads the message that is answered;
//! - `tool` decides whether a tool is called, and `schema` makes its arguments;
//! - `answer` is the text or the call, and its tokens;
//! - `chat_completions`, `completions`, `responses`, `messages`, `embeddings`, `images` and `models`
//!   are the shapes of the operations; `fault` is that of errors, and `event` that of streams;
//! - `id` makes the ids of what is answered.
//!
//! Source: the API references of OpenAI and Anthropic.

mod answer;
mod chat_completions;
mod completions;
mod embeddings;
mod event;
mod fault;
mod id;
mod images;
mod messages;
mod model;
mod models;
mod prompt;
mod responses;
mod schema;
mod tool;

use aisbreaker_egress::{Body, MemoryReservation};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
    response,
};
use serde::Deserialize;
use serde_json::Value;

pub(crate) use self::answer::MAX_OUTPUT_TOKENS;
pub use self::model::DUMMY_MODELS;
use self::{fault::Fault, model::Model};
use crate::{error::ServiceError, providers::Dialect, relay::ForwardedRequest};

/// The longest body that the dummy reads, in bytes. It is parsed at once, on the caller's task.
const MAX_BODY_BYTES: usize = 4 << 20;
/// The seconds to wait after an error that asks for it.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

/// The content of an answer.
enum Content {
    Json(Value),
    /// JSON in pieces, which are made as they are read.
    JsonPieces(Pieces),
    Events(Pieces),
}

type Pieces = Box<dyn Iterator<Item = Bytes> + Send>;

/// A request to the dummy.
#[derive(Clone, Copy)]
struct Request<'a> {
    model: &'a Model,
    body: &'a [u8],
}

/// Answers a request to the dummy.
///
/// # Errors
/// [`ServiceError::Overloaded`] if there is no memory for the answer. Whatever else is wrong is an
/// answer with an error status.
pub(crate) fn call(request: ForwardedRequest<'_>) -> Result<(response::Parts, Body), ServiceError> {
    let ForwardedRequest {
        service_id,
        dialect,
        path,
        outgoing,
        ..
    } = request;
    let budget = outgoing.budget.unwrap_or_default();
    // Only what is passed on unread is streamed, which is not for the dummy.
    let body = outgoing.body.into_bytes().unwrap_or_default();
    let mut reservation = budget.reservation();
    // What is made of the request is no longer than the request, or short.
    reservation.hold(body.len())?;
    let model = Model::of(service_id);
    let request = Request {
        model: &model,
        body: &body,
    };
    let (status, content) = match answer(request, dialect, (&outgoing.method, path)) {
        Ok(content) => (StatusCode::OK, content),
        Err(fault) => (fault.status, Content::Json(fault.body(dialect))),
    };
    let mut response = Response::new(());
    *response.status_mut() = status;
    let (mut parts, ()) = response.into_parts();
    if matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    ) {
        parts.headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    }
    let (pieces, length, content_type): (Pieces, _, _) = match content {
        Content::Json(value) => {
            let json = Bytes::from(value.to_string());
            let length = u64::try_from(json.len()).unwrap_or(u64::MAX);
            parts.headers.insert(CONTENT_LENGTH, length.into());
            (Box::new(std::iter::once(json)), Some(length), JSON)
        }
        Content::JsonPieces(pieces) => (pieces, None, JSON),
        Content::Events(pieces) => (pieces, None, EVENT_STREAM),
    };
    parts.headers.insert(CONTENT_TYPE, content_type);
    let pieces = Held {
        pieces,
        _reservation: reservation,
    };
    Ok((parts, Body::local(pieces, length, budget)))
}

/// Pieces, and the memory that they are made of.
struct Held {
    pieces: Pieces,
    _reservation: MemoryReservation,
}

impl Iterator for Held {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.pieces.next()
    }
}

fn answer(
    request: Request<'_>,
    dialect: Dialect,
    (method, path): (&Method, &str),
) -> Result<Content, Fault> {
    if method == Method::GET
        && let Some(name) = path.strip_prefix("/models/")
    {
        return models::one(name, dialect);
    }
    let operation = match (method, dialect, path) {
        (&Method::POST, Dialect::OpenAi, "/chat/completions") => chat_completions::answer,
        (&Method::POST, Dialect::OpenAi, "/completions") => completions::answer,
        (&Method::POST, Dialect::OpenAi, "/responses") => responses::answer,
        (&Method::POST, Dialect::OpenAi, "/responses/input_tokens") => responses::count,
        (&Method::POST, Dialect::OpenAi, "/embeddings") => embeddings::answer,
        (&Method::POST, Dialect::OpenAi, "/images/generations") => images::answer,
        (&Method::POST, Dialect::Anthropic, "/messages") => messages::answer,
        (&Method::POST, Dialect::Anthropic, "/messages/count_tokens") => messages::count,
        _ => return Err(Fault::unknown_operation(method, path)),
    };
    request.model.refuse()?;
    if request.body.len() > MAX_BODY_BYTES {
        return Err(Fault::too_large(MAX_BODY_BYTES));
    }
    operation(request)
}

impl<'a> Request<'a> {
    /// Parses the body.
    fn parse<T: Deserialize<'a>>(&self) -> Result<T, Fault> {
        serde_json::from_slice(self.body).map_err(|error| Fault::unreadable(&error))
    }
}

#[cfg(test)]
mod tests;
