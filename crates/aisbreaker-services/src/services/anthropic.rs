//! `chat:anthropic.com`, and every other provider that supports Anthropic's dialect and not
//! OpenAI's.
//!
//! - `request` writes the provider's request;
//! - `message` reads its answer, whole or streamed.
//!
//! Source: the API reference of `POST /v1/messages`, version 2023-06-01.

mod message;
mod request;

use std::{future::ready, sync::Arc};

use aisbreaker_egress::Client;

use self::message::MessageReader;
use super::{provider_chat::ProviderChat, settings::ServiceSettings};
use crate::{
    endpoint::PathJoin,
    error::ServiceError,
    providers::{Dialect, Provider},
    service::{Call, Reached, ReplyFuture, Service, Target},
};

const OPERATION: &str = "/messages";

/// A chat service with the protocol of Anthropic's messages.
///
/// The provider gets the conversation with its instructions apart, the model, whether to stream,
/// and the request's `internOptions`. The protocol requires `max_tokens`, which is 4096 unless the
/// options set it. The model is the engine of the service id, else `internOptions.model`, else that
/// of the settings or the provider table.
#[derive(Clone, Debug)]
pub struct AnthropicChat(ProviderChat);

impl AnthropicChat {
    /// Creates the chat of a provider that supports the dialect.
    #[must_use]
    pub fn new(client: Client, provider: &Arc<Provider>, settings: ServiceSettings) -> Self {
        Self(ProviderChat::new(
            client,
            provider,
            Dialect::Anthropic,
            OPERATION,
            settings,
        ))
    }

    /// Prepares a call, and returns the exchange with the provider.
    fn chat(&self, call: Call) -> Result<ReplyFuture<'static>, ServiceError> {
        let mut prepared = self.0.prepare(call, PathJoin::Overlap)?;
        let kind = prepared.call.reply_kind();
        let options = std::mem::take(&mut prepared.call.request.intern_options);
        let body = request::body(&prepared.conversation, &prepared.model, options, kind);
        Ok(self.0.send(prepared, body, MessageReader::new))
    }
}

impl Service for AnthropicChat {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        self.chat(call)
            .unwrap_or_else(|error| Box::pin(ready(Err(error))))
    }

    fn reached(&self, target: &Target<'_>) -> Result<Reached, ServiceError> {
        self.0.reached(target)
    }
}
