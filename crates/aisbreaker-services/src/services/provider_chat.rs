//! A chat with a provider of the table: everything that does not depend on the dialect.

use std::sync::Arc;

use aisbreaker_egress::{Client, Outgoing};
use bytes::Bytes;
use http::HeaderMap;

use super::{
    choose_engine::{choose_engine, reached_engine},
    conversation::Conversation,
    event_stream::AnswerReader,
    http_exchange::ProviderRequest,
    reply::PendingReply,
    settings::ServiceSettings,
};
use crate::{
    destination::Destination,
    endpoint::{Endpoint, PathJoin},
    error::ServiceError,
    providers::{Dialect, Provider},
    service::{Call, Reached, ReplyFuture, Target},
    upstream::headers,
    usage::UsageRule,
};

/// A provider of the table, called in one dialect.
#[derive(Clone, Debug)]
pub(super) struct ProviderChat {
    client: Client,
    pub(super) provider: Arc<Provider>,
    settings: ServiceSettings,
    default_path: String,
    usage: Arc<UsageRule>,
}

/// A call for which only the body of its request is missing.
pub(super) struct PreparedCall {
    pub(super) call: Call,
    pub(super) destination: Destination,
    pub(super) conversation: Conversation,
    pub(super) model: String,
    headers: HeaderMap,
}

impl ProviderChat {
    /// Creates the chat; `operation` is the path behind the provider's prefix.
    pub(super) fn new(
        client: Client,
        provider: &Arc<Provider>,
        dialect: Dialect,
        operation: &str,
        settings: ServiceSettings,
    ) -> Self {
        let (prefix, usage) = match provider.dialect(dialect) {
            Some(config) => (config.prefix.as_str(), Arc::clone(&config.usage)),
            None => ("", Arc::default()),
        };
        Self {
            client,
            provider: Arc::clone(provider),
            settings,
            default_path: format!("{prefix}{operation}"),
            usage,
        }
    }

    /// Decides where the call goes, with which secret, and which model it is for.
    pub(super) fn prepare(
        &self,
        mut call: Call,
        path_join: PathJoin,
    ) -> Result<PreparedCall, ServiceError> {
        let endpoint = Endpoint {
            default_url: self.provider.url.as_deref(),
            default_path: &self.default_path,
            path_join,
            operator_origins: &self.settings.operator_origins,
            secret: self.provider.secret,
        };
        let destination = Destination::choose(&endpoint, &call)?;
        let conversation = Conversation::start(&call.service_id, &mut call.request)?;
        let model = choose_engine(&call, self.default_engine())?;
        let auth = self.provider.auth;
        let mut headers = headers::json_request(&destination, auth, call.reply_kind())?;
        self.provider.add_headers(&mut headers);
        Ok(PreparedCall {
            call,
            destination,
            conversation,
            model,
            headers,
        })
    }

    /// Returns what a call reaches.
    pub(super) fn reached(&self, target: &Target<'_>) -> Result<Reached, ServiceError> {
        reached_engine(target, self.default_engine())
    }

    fn default_engine(&self) -> Option<&str> {
        match &self.settings.engine {
            Some(engine) => Some(engine),
            None => self.provider.engine.as_deref(),
        }
    }

    /// Sends the request with this body, and reads the answer with the reader of the dialect.
    pub(super) fn send<R: AnswerReader>(
        &self,
        prepared: PreparedCall,
        body: Bytes,
        reader: fn(PendingReply, Arc<UsageRule>) -> R,
    ) -> ReplyFuture<'static> {
        let PreparedCall {
            call,
            destination,
            conversation,
            model,
            headers,
        } = prepared;
        let reply_kind = call.reply_kind();
        let observer = call.trace.call(&call.service_id, Some(&model));
        let pending = PendingReply::new(conversation, model, &destination.url, call.tokens);
        let request = ProviderRequest {
            client: &self.client,
            service_id: &call.service_id,
            destination,
            outgoing: Outgoing::post(headers, body)
                .with_budget(call.budget)
                .with_observer(observer),
            reply_kind,
            calls: call.provider_calls,
        };
        request.exchange(reader(pending, Arc::clone(&self.usage)))
    }
}
