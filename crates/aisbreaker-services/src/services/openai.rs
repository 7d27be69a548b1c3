//! `chat:openai.com`, and every other chat service with the protocol of OpenAI's chat completions.
//!
//! - `request` makes the provider's request of ours;
//! - `answer` reads its answer out of one JSON value;
//! - `stream` reads its answer out of a stream of events.
//!
//! Source: the API reference of `POST /v1/chat/completions`.

mod answer;
mod request;
mod stream;

use std::sync::Arc;

use aisbreaker_api::{Origin, ServiceUrl};
use aisbreaker_egress::{Client, Outgoing};

use self::stream::Reading;
use super::{
    exchange::exchange,
    told::{self, MAX_ERROR_TEXT_BYTES, Pending},
    turn::{self, Turn},
    upstream::{self, Context},
};
use crate::{
    destination::{Destination, Endpoint},
    error::ServiceError,
    providers::{Dialect, Provider},
    service::{Call, Reply, ReplyFuture, Service},
    usage::UsageRule,
};

const OPERATION: &str = "/chat/completions";
/// The provider to whose URLs everything is appended, as the original server does it.
const OPENAI: &str = "openai.com";

/// A chat service with the protocol of OpenAI's chat completions.
///
/// The provider gets the messages of the conversation, the model, whether to stream, and what the
/// request's `internOptions` hold; nothing else, but that a stream is asked for its usage if the
/// provider wants to be asked. The model is the engine of the service id, else
/// `internOptions.model`, else the default one.
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
            name: told::service_name(&provider.id, "ChatService"),
            default_path: format!("{prefix}{OPERATION}"),
            usage: spoken
                .map(|spoken| Arc::clone(&spoken.usage))
                .unwrap_or_default(),
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
        let model = turn::engine(&call, self.default_engine.as_deref())?;
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
        let context = Context::new(
            &self.name,
            call.service_id.as_str(),
            &destination,
            MAX_ERROR_TEXT_BYTES,
        );
        let pending = Pending::new(turn, model, &destination.url);
        let answer = Reading::new(Arc::clone(&self.usage));
        let (stream, outgoing) = (
            call.request.stream,
            Outgoing::post(headers, body).with_budget(call.budget),
        );
        context
            .reply(
                stream,
                exchange(
                    self.client.clone(),
                    destination,
                    outgoing,
                    pending,
                    answer,
                    stream,
                ),
            )
            .await
    }
}

impl OpenAiChat {
    /// Whether a stream from this address must be asked for its usage. `chat:openai.com` is, by an
    /// address of the caller's or the key's own, any compatible server, which may not know what it
    /// is asked.
    fn is_asked_for_usage(&self, url: &ServiceUrl) -> bool {
        let is_own = |own: &str| Origin::parse(own).is_ok_and(|own| own == *url.origin());
        let is_known =
            self.provider.id != OPENAI || self.provider.url.as_deref().is_some_and(is_own);
        self.provider.asks_for_usage && is_known
    }
}

impl Service for OpenAiChat {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(self.answer(call))
    }
}
