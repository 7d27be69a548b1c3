//! `chat:openai.com`, and every other chat service with the protocol of OpenAI's chat completions.
//!
//! - `request` makes the provider's request of ours;
//! - `answer` reads its answer, or its refusal, out of one JSON value;
//! - `stream` reads its answer out of a stream of events.
//!
//! Source: the API reference of `POST /v1/chat/completions`.

mod answer;
mod request;
mod stream;

use aisbreaker_api::{Origin, Output, OutputText, Progress, Response, ServiceUrl};
use futures_util::stream as streams;

use self::answer::Told;
use super::{
    turn::Turn,
    upstream::{self, Context},
};
use crate::{
    destination::{Destination, Endpoint, SecretNeed},
    egress::{Client, Outgoing},
    error::ServiceError,
    service::{Call, Event, Reply, ReplyFuture, Service},
};

/// The engine where neither the caller nor the operator names one: small, fast, takes every classic parameter.
pub const DEFAULT_ENGINE: &str = "gpt-4.1-mini";

/// The original's name of the service, which is in its errors.
const NAME: &str = "OpenaiComChatService";
/// How much of the provider's error text is passed on, in bytes.
const MAX_ERROR_TEXT_BYTES: usize = 2048;
const DEFAULT_URL: &str = "https://api.openai.com";
const DEFAULT_PATH: &str = "/v1/chat/completions";

/// A chat service with the protocol of OpenAI's chat completions.
///
/// The provider gets the messages of the conversation, the model, whether to stream, and what the request's
/// `internOptions` hold; nothing else. The model is the engine of the service id, else `internOptions.model`, else
/// the default one.
#[derive(Clone, Debug)]
pub struct OpenAiChat {
    client: Client,
    default_url: String,
    default_engine: String,
    operator_origins: Vec<Origin>,
    secret_need: SecretNeed,
}

impl OpenAiChat {
    /// OpenAI itself: its URL, [`DEFAULT_ENGINE`], and no call without a secret.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            default_url: DEFAULT_URL.to_owned(),
            default_engine: DEFAULT_ENGINE.to_owned(),
            operator_origins: Vec::new(),
            secret_need: SecretNeed::Required,
        }
    }

    /// Sets the base URL of another provider, to which `/v1/chat/completions` is appended unless it contains
    /// `#no-default-path`.
    #[must_use]
    pub fn with_default_url(mut self, url: impl Into<String>) -> Self {
        self.default_url = url.into();
        self
    }

    /// Sets the engine where the caller names none.
    #[must_use]
    pub fn with_default_engine(mut self, engine: impl Into<String>) -> Self {
        self.default_engine = engine.into();
        self
    }

    /// Sets the origins to which sealed secrets may go besides those in the key.
    #[must_use]
    pub fn with_operator_origins(mut self, origins: Vec<Origin>) -> Self {
        self.operator_origins = origins;
        self
    }

    /// Sets whether it can be called without a secret.
    #[must_use]
    pub fn with_secret_need(mut self, need: SecretNeed) -> Self {
        self.secret_need = need;
        self
    }

    async fn answer(&self, mut call: Call) -> Result<Reply, ServiceError> {
        let endpoint = Endpoint {
            default_url: Some(&self.default_url),
            default_path: DEFAULT_PATH,
            operator_origins: &self.operator_origins,
            secret: self.secret_need,
        };
        let destination = Destination::choose(&endpoint, &call)?;
        let turn = Turn::begin(&call.service_id, &mut call.request)?;
        let model = request::model(&call, &self.default_engine)?;
        let headers = upstream::headers(&destination, call.request.stream)?;
        let body = request::body(&turn, &model, call.request.intern_options, call.request.stream);
        let context = Context::new(NAME, call.service_id.as_str(), &destination, MAX_ERROR_TEXT_BYTES);
        let pending = Pending { turn, model, url: told_url(&destination.url) };
        let (stream, outgoing) =
            (call.request.stream, Outgoing::post(headers, body).with_budget(call.budget));
        context.reply(stream, exchange(self.client.clone(), destination, outgoing, pending, stream)).await
    }
}

/// The address as it is told in `usage`: its query may hold what is not for the caller.
fn told_url(url: &ServiceUrl) -> String {
    url.as_str().split('?').next().unwrap_or_default().to_owned()
}

async fn exchange(
    client: Client,
    destination: Destination,
    outgoing: Outgoing,
    pending: Pending,
    stream: bool,
) -> Result<Reply, ServiceError> {
    let (parts, body) = client.send(&destination.url, outgoing).await?.into_parts();
    if upstream::is_error(parts.status) {
        let retry_after = upstream::retry_after(&parts.headers);
        return Err(answer::refusal(parts.status, &upstream::read_error(body).await, retry_after));
    }
    if !parts.status.is_success() {
        return Err(upstream::unusable_status(parts.status));
    }
    if stream && upstream::is_event_stream(&parts.headers) {
        return Ok(Reply::Stream(stream::events(body, upstream::is_framed(&parts), pending)));
    }
    let (answer, _held) = upstream::read_answer(body).await?;
    let response = pending.finish(answer::read(&answer)?);
    Ok(if stream { in_one_piece(response) } else { Reply::Final(response) })
}

impl Service for OpenAiChat {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(self.answer(call))
    }
}

/// A call whose answer is awaited.
struct Pending {
    turn: Turn,
    /// The model that was asked for.
    model: String,
    url: String,
}

impl Pending {
    fn finish(self, told: Told) -> Response {
        let outputs = told
            .texts
            .into_iter()
            .map(|(index, text)| Output::Text(OutputText::complete(index, text)))
            .collect();
        let mut response = self.turn.finish(outputs);
        response.usage.service.engine = Some(told.model.unwrap_or(self.model));
        response.usage.service.url = Some(self.url);
        response.usage.input_tokens = told.tokens.input;
        response.usage.output_tokens = told.tokens.output;
        response.usage.total_tokens = told.tokens.total;
        response.intern_response = told.whole;
        response
    }
}

/// The answer of a provider that does not stream though it was asked to.
fn in_one_piece(response: Response) -> Reply {
    let mut progress = Progress::new(response.outputs.clone());
    for output in &mut progress.outputs {
        if let Output::Text(text) = output {
            text.is_delta = Some(true);
            text.is_processing = Some(true);
        }
    }
    Reply::Stream(Box::pin(streams::iter([Ok(Event::Progress(progress)), Ok(Event::Final(response))])))
}
