//! The messages of a client over `/v1/responses`: each is judged and charged like a request over HTTP,
//! except for the few that are known to ask for nothing.
//!
//! The WebSocket is that of one service. A message goes there with the provider's name of its model,
//! if that is where its model is.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use aisbreaker_api::{InvalidRequest, ServiceId};
use aisbreaker_services::{Dialect, ServiceError};
use bytes::Bytes;
use http::StatusCode;

use super::ANY_MODEL;
use crate::{
    authenticate::Caller,
    failure::{ErrorType, Failure},
    provider_api::{
        error::ProviderApiError,
        model::{BodyModel, model_and_type_in_json, replace_model},
        resolve::Resolver,
    },
    request::{body::run_on_content, credentials::is_key},
    route::operation::Operation,
    surfaces::Surfaces,
    tunnel::Judge,
};

/// The events that have the provider make nothing: Codex says with the one what it has read, and the
/// other ends a response. Any other event may begin one, as `response.create` and `response.steer` do.
const FREE: [&str; 2] = ["response.processed", "response.cancel"];
/// Longer messages are charged before they are parsed, whatever they are, in bytes.
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
    is_free: bool,
    model: Option<BodyModel>,
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
    /// Judges a message, charges it unless it is free, and returns it as the provider gets it.
    async fn judge(&self, message: Bytes) -> Result<[Bytes; 3], Failure> {
        let is_long = message.len() > LONG_MESSAGE;
        if is_long {
            self.charge().await?;
        }
        let parsed = run_on_content(message.clone(), |message| parse(message)).await??;
        let renamed = match &parsed.model {
            Some(model) => self.renamed(&message, model)?,
            None => [message, Bytes::new(), Bytes::new()],
        };
        if !is_long && !parsed.is_free {
            self.charge().await?;
        }
        Ok(renamed)
    }

    /// Charges one request to the quotas, unless the handshake has paid for it.
    async fn charge(&self) -> Result<(), Failure> {
        if self.has_paid.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let pipeline = &self.surfaces.pipeline;
        let (key, clock) = (self.caller.key.as_ref(), &pipeline.clock);
        let charged = pipeline
            .admission
            .admit(key, self.client, || clock.monotonic());
        charged.await?;
        Ok(())
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
    let (model, kind) = model_and_type_in_json(message)?;
    Ok(Message {
        is_free: kind.is_some_and(|kind| FREE.contains(&&*kind)),
        model,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_that_are_known_to_ask_for_nothing_are_free() {
        let rows = [
            (r#"{"type":"response.processed"}"#, true, None),
            (r#"{"type":"response\u002eprocessed"}"#, true, None),
            (r#"{"type":"response.cancel","model":"m"}"#, true, Some("m")),
            (
                r#"{"type":"response.create","model":"m"}"#,
                false,
                Some("m"),
            ),
            (
                r#"{"model":"m","type":"response\u002ecreate"}"#,
                false,
                Some("m"),
            ),
            (r#"{"type":"response.steer","model":"m"}"#, false, Some("m")),
            (r#"{"type":"Response.Processed"}"#, false, None),
            (r#"{"type":"response.processed "}"#, false, None),
            (r#"{"type":"of next year"}"#, false, None),
            (r#"{"type":null}"#, false, None),
            ("{}", false, None),
        ];
        for (message, is_free, model) in rows {
            let read = parse(message.as_bytes()).unwrap();
            let name = read.model.map(|model| model.name);
            assert_eq!(
                (read.is_free, name.as_deref()),
                (is_free, model),
                "{message}"
            );
        }
    }

    #[test]
    fn an_event_that_can_be_read_in_two_ways_is_refused() {
        for message in [
            "",
            "[]",
            r#"{"type":"a","type":"response.create"}"#,
            r#"{"type":"response.processed","Type":"response.create"}"#,
            r#"{"TYPE":"response.processed"}"#,
            r#"{"type":"response.processed","typ\u0065":"response.create"}"#,
            r#"{"type":1}"#,
            r#"{"type":"response.create","model":"a","model":"b"}"#,
            r#"{"type":"response.create","Model":"a"}"#,
        ] {
            assert!(parse(message.as_bytes()).is_err(), "{message}");
        }
    }
}
