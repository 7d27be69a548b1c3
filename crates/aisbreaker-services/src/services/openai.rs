//! `chat:openai.com`, and every other chat service with the protocol of OpenAI's chat completions.
//!
//! - `request` writes the provider's request;
//! - `completion` reads an answer of one JSON value;
//! - `stream` reads a streamed answer, and is the reader for both.
//!
//! Source: the API reference of `POST /v1/chat/completions`.

mod completion;
mod request;
mod stream;

use std::{future::ready, sync::Arc};

use aisbreaker_api::{Origin, ServiceUrl};
use aisbreaker_egress::Client;

use self::{request::StreamOptions, stream::CompletionReader};
use super::{
    provider_chat::{PreparedCall, ProviderChat},
    settings::ServiceSettings,
};
use crate::{
    endpoint::PathJoin,
    error::ServiceError,
    providers::{Dialect, Provider},
    service::{Call, Reached, ReplyFuture, ReplyKind, Service, Target},
};

const OPERATION: &str = "/chat/completions";
/// The provider to whose URLs the whole path is appended, as the original server does it.
const OPENAI: &str = "openai.com";

/// A chat service with the protocol of OpenAI's chat completions.
///
/// The provider gets the messages of the conversation, the model, whether to stream, and the
/// request's `internOptions`. A stream also asks for its usage if the provider reports that on
/// request only. The model is the engine of the service id, else `internOptions.model`, else that
/// of the settings or the provider table.
#[derive(Clone, Debug)]
pub struct OpenAiChat(ProviderChat);

impl OpenAiChat {
    /// Creates the chat of a provider that supports the dialect.
    #[must_use]
    pub fn new(client: Client, provider: &Arc<Provider>, settings: ServiceSettings) -> Self {
        Self(ProviderChat::new(
            client,
            provider,
            Dialect::OpenAi,
            OPERATION,
            settings,
        ))
    }

    /// Prepares a call, and returns the exchange with the provider.
    fn chat(&self, call: Call) -> Result<ReplyFuture<'static>, ServiceError> {
        let path_join = if self.is_openai() {
            PathJoin::Append
        } else {
            PathJoin::Overlap
        };
        let prepared = self.0.prepare(call, path_join)?;
        let stream = self.stream_options(&prepared);
        let options = &prepared.call.request.intern_options;
        let body = request::body(&prepared.conversation, &prepared.model, options, stream);
        Ok(self.0.send(prepared, body, CompletionReader::new))
    }

    fn stream_options(&self, prepared: &PreparedCall) -> StreamOptions {
        match prepared.call.reply_kind() {
            ReplyKind::Final => StreamOptions::None,
            ReplyKind::Stream if self.supports_usage_option(&prepared.destination.url) => {
                StreamOptions::WithUsage
            }
            ReplyKind::Stream => StreamOptions::Plain,
        }
    }

    /// Returns whether a stream from this URL must ask for its usage.
    ///
    /// At a URL of the caller or the key, `chat:openai.com` may be any compatible server, which may
    /// not know the option.
    fn supports_usage_option(&self, url: &ServiceUrl) -> bool {
        let provider = &self.0.provider;
        if !provider.stream_usage {
            return false;
        }
        if !self.is_openai() {
            return true;
        }
        match provider.url.as_deref().map(Origin::parse) {
            Some(Ok(own)) => own == *url.origin(),
            Some(Err(_)) | None => false,
        }
    }

    fn is_openai(&self) -> bool {
        self.0.provider.id == OPENAI
    }
}

impl Service for OpenAiChat {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        self.chat(call)
            .unwrap_or_else(|error| Box::pin(ready(Err(error))))
    }

    fn reached(&self, target: &Target<'_>) -> Result<Reached, ServiceError> {
        self.0.reached(target)
    }
}
