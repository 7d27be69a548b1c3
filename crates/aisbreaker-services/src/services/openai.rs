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

use std::sync::Arc;

use aisbreaker_api::{Origin, Output, OutputText, Progress, Response, ServiceUrl};
use futures_util::stream as streams;

use self::answer::Told;
use super::{
    turn::Turn,
    upstream::{self, Context},
};
use crate::{
    destination::{Destination, Endpoint},
    egress::{self, Client, Outgoing},
    error::ServiceError,
    providers::{Dialect, Provider},
    service::{Call, Event, Reply, ReplyFuture, Service},
    usage::UsageRule,
};

/// How much of the provider's error text is passed on, in bytes.
const MAX_ERROR_TEXT_BYTES: usize = 2048;
const OPERATION: &str = "/chat/completions";
/// The provider to whose URLs everything is appended, as the original server does it.
const OPENAI: &str = "openai.com";

/// A chat service with the protocol of OpenAI's chat completions.
///
/// The provider gets the messages of the conversation, the model, whether to stream, and what the request's
/// `internOptions` hold; nothing else, but that a stream is asked for its usage if the provider wants to be asked. The
/// model is the engine of the service id, else `internOptions.model`, else the default one.
#[derive(Clone, Debug)]
pub struct OpenAiChat {
    client: Client,
    provider: Arc<Provider>,
    /// The name of the service, which is in its errors.
    name: String,
    default_path: String,
    usage: Arc<UsageRule>,
    default_engine: Option<String>,
    operator_origins: Vec<Origin>,
}

impl OpenAiChat {
    /// The chat of a provider, which ought to speak the dialect.
    #[must_use]
    pub fn of(client: Client, provider: &Arc<Provider>) -> Self {
        let spoken = provider.spoken(Dialect::OpenAi);
        let prefix = spoken.map_or("", |spoken| &spoken.prefix);
        Self {
            client,
            name: service_name(&provider.id),
            default_path: format!("{prefix}{OPERATION}"),
            usage: spoken.map(|spoken| Arc::clone(&spoken.usage)).unwrap_or_default(),
            default_engine: provider.engine.clone(),
            operator_origins: Vec::new(),
            provider: Arc::clone(provider),
        }
    }

    /// Sets the engine where the caller names none.
    #[must_use]
    pub fn with_default_engine(mut self, engine: impl Into<String>) -> Self {
        self.default_engine = Some(engine.into());
        self
    }

    /// Sets the origins to which sealed secrets may go besides those in the key.
    #[must_use]
    pub fn with_operator_origins(mut self, origins: Vec<Origin>) -> Self {
        self.operator_origins = origins;
        self
    }

    async fn answer(&self, mut call: Call) -> Result<Reply, ServiceError> {
        let endpoint = Endpoint {
            default_url: self.provider.url.as_deref(),
            default_path: &self.default_path,
            operator_origins: &self.operator_origins,
            is_continued: self.provider.id != OPENAI,
            secret: self.provider.secret,
        };
        let destination = Destination::choose(&endpoint, &call)?;
        let turn = Turn::begin(&call.service_id, &mut call.request)?;
        let model = request::model(&call, self.default_engine.as_deref())?;
        let mut headers = upstream::headers(&destination, self.provider.auth, call.request.stream)?;
        for (name, value) in &self.provider.headers {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        let stream = match call.request.stream {
            false => request::Stream::None,
            true if self.is_asked_for_usage(&destination.url) => request::Stream::WithUsage,
            true => request::Stream::Plain,
        };
        let body = request::body(&turn, &model, call.request.intern_options, stream);
        let context = Context::new(&self.name, call.service_id.as_str(), &destination, MAX_ERROR_TEXT_BYTES);
        let usage = Arc::clone(&self.usage);
        let pending = Pending { turn, model, url: told_url(&destination.url), usage };
        let (stream, outgoing) =
            (call.request.stream, Outgoing::post(headers, body).with_budget(call.budget));
        context.reply(stream, exchange(self.client.clone(), destination, outgoing, pending, stream)).await
    }
}

impl OpenAiChat {
    /// Whether a stream from this address must be asked for its usage. `chat:openai.com` is, by an address of the caller's
    /// or the key's own, any compatible server, which may not know what it is asked.
    fn is_asked_for_usage(&self, url: &ServiceUrl) -> bool {
        let is_own = |own: &str| Origin::parse(own).is_ok_and(|own| own == url.origin());
        let is_known = self.provider.id != OPENAI || self.provider.url.as_deref().is_some_and(is_own);
        self.provider.asks_for_usage && is_known
    }
}

/// The name of a provider's chat as the original server names its services: `OpenaiComChatService`.
fn service_name(provider: &str) -> String {
    let words = provider.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let capitals = words.map(|word| word.split_at(1)).map(|(first, rest)| first.to_ascii_uppercase() + rest);
    capitals.chain(["ChatService".to_owned()]).collect()
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
        return Ok(Reply::Stream(stream::events(body, egress::is_framed(&parts), pending)));
    }
    let (answer, _held) = upstream::read_answer(body).await?;
    let told = answer::read(&answer, &pending.usage)?;
    let response = pending.finish(told);
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
    usage: Arc<UsageRule>,
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
        // A provider that counts reasoning beside its completion may leave it out of its total.
        response.usage.total_tokens = told.total.max(told.tokens.total());
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
