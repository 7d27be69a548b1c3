//! `chat:anthropic.com`, and every other provider that speaks Anthropic's dialect and not OpenAI's.
//!
//! - `request` makes the provider's request of ours;
//! - `answer` reads its answer, whole or streamed.
//!
//! Source: the API reference of `POST /v1/messages`, version 2023-06-01.

mod answer;
mod request;

use std::sync::Arc;

use super::{
    exchange::{Settings, exchange},
    told::{self, MAX_ERROR_TEXT_BYTES, Pending},
    turn::{self, Turn},
    upstream::{self, Context},
};
use aisbreaker_egress::{Client, Outgoing};

use crate::{
    destination::{Destination, Endpoint},
    error::ServiceError,
    providers::{Dialect, Provider},
    service::{Call, Reply, ReplyFuture, Service},
    usage::UsageRule,
};

const OPERATION: &str = "/messages";

/// A chat service with the protocol of Anthropic's messages.
///
/// The provider gets the conversation with its instructions apart, the model, whether to stream,
/// and what the request's `internOptions` hold; `max_tokens`, which the protocol wants, is 4096
/// where they hold none. The model is the engine of the service id, else `internOptions.model`,
/// else that of the settings or the provider table.
#[derive(Clone, Debug)]
pub struct AnthropicChat {
    client: Client,
    provider: Arc<Provider>,
    settings: Settings,
    /// The name of the service, which is in its errors.
    name: String,
    default_path: String,
    usage: Arc<UsageRule>,
}

impl AnthropicChat {
    /// The chat of a provider, which ought to speak the dialect.
    #[must_use]
    pub fn of(client: Client, provider: &Arc<Provider>, settings: Settings) -> Self {
        let spoken = provider.spoken(Dialect::Anthropic);
        let prefix = spoken.map_or("", |spoken| &spoken.prefix);
        Self {
            client,
            settings,
            name: told::service_name(&provider.id, "ChatService"),
            default_path: format!("{prefix}{OPERATION}"),
            usage: spoken
                .map(|spoken| Arc::clone(&spoken.usage))
                .unwrap_or_default(),
            provider: Arc::clone(provider),
        }
    }

    async fn answer(&self, mut call: Call) -> Result<Reply, ServiceError> {
        let endpoint = Endpoint {
            default_url: self.provider.url.as_deref(),
            default_path: &self.default_path,
            operator_origins: &self.settings.operator_origins,
            is_continued: true,
            secret: self.provider.secret,
        };
        let destination = Destination::choose(&endpoint, &call)?;
        let turn = Turn::begin(&call.service_id, &mut call.request)?;
        let default_engine = self
            .settings
            .engine
            .as_deref()
            .or(self.provider.engine.as_deref());
        let model = turn::engine(&call, default_engine)?;
        let stream = call.request.stream;
        let mut headers = upstream::headers(&destination, self.provider.auth, stream)?;
        for (name, value) in &self.provider.headers {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        let body = request::body(&turn, &model, call.request.intern_options, stream);
        let context = Context::new(
            &self.name,
            call.service_id.as_str(),
            &destination,
            MAX_ERROR_TEXT_BYTES,
        );
        let pending = Pending::new(turn, model, &destination.url);
        let answer = answer::Reading::new(Arc::clone(&self.usage));
        let outgoing = Outgoing::post(headers, body).with_budget(call.budget);
        let exchange = exchange(
            self.client.clone(),
            destination,
            outgoing,
            pending,
            answer,
            stream,
        );
        context.reply(stream, exchange).await
    }
}

impl Service for AnthropicChat {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(self.answer(call))
    }
}
