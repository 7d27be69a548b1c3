//! The messages of a client over `/v1/responses`: each `response.create` is judged and charged like a
//! request over HTTP.
//!
//! The WebSocket is that of one service. A message goes there with the provider's name of its model,
//! if that is where its model is.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use aisbreaker_api::{InvalidRequest, ServiceId};
use aisbreaker_services::{Dialect, ServiceError};
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;

use super::ANY_MODEL;
use crate::{
    authenticate::Caller,
    failure::{ErrorType, Failure},
    provider_api::{
        error::ProviderApiError,
        model::{BodyModel, model_in_json, replace_model},
        resolve::Resolver,
    },
    request::credentials::is_key,
    route::operation::Operation,
    surfaces::Surfaces,
    tunnel::Judge,
};

/// The event that asks for a response.
const CREATE: &str = "response.create";
/// Longer messages are parsed by another thread, in bytes.
const LONG_MESSAGE: usize = 64 << 10;

/// Who sends the messages, and to which service.
pub(super) struct Sender {
    pub(super) surfaces: Arc<Surfaces>,
    pub(super) caller: Arc<Caller>,
    pub(super) client: std::net::IpAddr,
    pub(super) service_id: ServiceId,
    /// Whether a request is paid for that was not sent yet: the handshake is.
    pub(super) has_paid: AtomicBool,
}

/// What is read of a message.
struct Message {
    is_create: bool,
    model: Option<BodyModel>,
}

/// The member of an event that names it.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

/// Returns what judges the messages of this sender.
pub(super) fn judge(sender: Sender) -> Judge {
    let sender = Arc::new(sender);
    Box::new(move |message| {
        let sender = Arc::clone(&sender);
        Box::pin(async move { sender.judge(message).await })
    })
}

impl Sender {
    /// Judges a message, charges it if it asks for a response, and returns it as the provider gets it.
    async fn judge(&self, message: Bytes) -> Result<[Bytes; 3], Failure> {
        let parsed = if message.len() > LONG_MESSAGE {
            let message = message.clone();
            let parsing = tokio::task::spawn_blocking(move || parse(&message));
            match parsing.await {
                Ok(parsed) => parsed?,
                Err(_panicked) => {
                    return Err(ServiceError::Internal("a message was not parsed".into()).into());
                }
            }
        } else {
            parse(&message)?
        };
        let renamed = match &parsed.model {
            Some(model) => self.renamed(&message, model)?,
            None => [message, Bytes::new(), Bytes::new()],
        };
        if parsed.is_create && !self.has_paid.swap(false, Ordering::Relaxed) {
            let pipeline = &self.surfaces.pipeline;
            let (key, clock) = (self.caller.key.as_ref(), &pipeline.clock);
            let charged = pipeline
                .admission
                .admit(key, self.client, || clock.monotonic());
            charged.await?;
        }
        Ok(renamed)
    }

    /// Returns a message with the provider's name of its model.
    fn renamed(&self, message: &Bytes, model: &BodyModel) -> Result<[Bytes; 3], Failure> {
        if is_key(&model.name) {
            return Err(ProviderApiError::ModelIsKey.into());
        }
        let Some(provider_api) = &self.surfaces.provider_api else {
            return Err(ServiceError::Internal("no provider is called any more".into()).into());
        };
        let providers = provider_api.relay.providers();
        let operation = Operation::Responses;
        let resolver = Resolver::new(providers, &self.caller, Dialect::OpenAi, operation)
            .with_other_models(Some(ANY_MODEL));
        let mut services = resolver
            .resolve(Some(&model.name))
            .map_err(ProviderApiError::from)?;
        let service = services.swap_remove(0);
        if service.service_id.vendor() != self.service_id.vendor() || !resolver.has_whole(&service)
        {
            let message = format!(
                "this WebSocket is one of {}; use HTTP for models of other services",
                self.service_id
            );
            return Err(Failure::new(StatusCode::NOT_FOUND, message)
                .with_type(ErrorType::UnknownService)
                .with_param("model"));
        }
        Ok(match &service.engine {
            Some(engine) => replace_model(message, model, engine),
            None => [message.clone(), Bytes::new(), Bytes::new()],
        })
    }
}

fn parse(message: &[u8]) -> Result<Message, InvalidRequest> {
    let model = model_in_json(message)?;
    let event: Event<'_> = serde_json::from_slice(message)
        .map_err(|_invalid| InvalidRequest::new("type", "must be a string, and there once"))?;
    Ok(Message {
        is_create: event.kind.is_some_and(|kind| kind == CREATE),
        model,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_and_its_model_are_read() {
        let rows = [
            (r#"{"type":"response.create","model":"m"}"#, true, Some("m")),
            (
                r#"{"model":"m","type":"response\u002ecreate"}"#,
                true,
                Some("m"),
            ),
            (r#"{"type":"response.processed"}"#, false, None),
            ("{}", false, None),
        ];
        for (message, is_create, model) in rows {
            let read = parse(message.as_bytes()).unwrap();
            let name = read.model.map(|model| model.name);
            assert_eq!(
                (read.is_create, name.as_deref()),
                (is_create, model),
                "{message}"
            );
        }
        for message in [
            "",
            "[]",
            r#"{"type":"a","type":"response.create"}"#,
            r#"{"type":1}"#,
            r#"{"type":"response.create","model":"a","model":"b"}"#,
        ] {
            assert!(parse(message.as_bytes()).is_err(), "{message}");
        }
    }
}
