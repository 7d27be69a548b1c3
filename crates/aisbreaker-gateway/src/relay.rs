//! The providers' own APIs: a request is passed on in the provider's protocol, byte by byte, with
//! the caller's key replaced by the secret that is sealed in it.
//!
//! - `choose` finds the services to call;
//! - `head` is what becomes of header fields on both ways;
//! - `passing` is the answer on its way back, `gather` its bytes as they come, `events` the events
//!   in it;
//! - `models` makes one list of the models of all services.

mod choose;
mod events;
mod gather;
mod head;
pub(crate) mod models;
mod passing;

use std::sync::Arc;

use aisbreaker_api::InvalidRequest;
use aisbreaker_egress::{self as egress, Outgoing, Payload};
use aisbreaker_services::{
    Attempts, Dialect, DialectConfig, Relay, ServiceError, is_retryable_status,
};
use aisbreaker_token::PREFIX;
use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_ENCODING},
    request, response,
};
use tokio::time::Instant;

#[cfg(any(fuzzing, test))]
pub(crate) use self::events::passed_on;
pub use self::passing::CutOff;
pub(crate) use self::{
    choose::{Chooser, Chosen, NoService},
    passing::{How, Passing},
};
use crate::{
    answer::Failure,
    authenticate::{Caller, is_key},
    body::ResponseBody,
    config::Config,
    form,
    model::{self, Model},
    operation::{self, Operation},
    parse::BodyForm,
    process,
    record::Record,
    shares::Share,
};

/// A request that is to be passed on, whose body has come.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) operation: Operation,
    pub(crate) dialect: Dialect,
    pub(crate) parts: &'a request::Parts,
    pub(crate) hops: u8,
    pub(crate) body: Bytes,
    /// Whether the body came with a coding, which was undone.
    pub(crate) was_coded: bool,
    /// The model that the body names.
    pub(crate) model: Option<Model>,
    pub(crate) share: Arc<Share>,
}

/// The model that a body names.
pub(crate) fn model_in(
    content_type: Option<&HeaderValue>,
    form: BodyForm,
    body: &[u8],
) -> Result<Option<Model>, InvalidRequest> {
    match content_type.filter(|_| form == BodyForm::Multipart) {
        Some(content_type) => model::of_multipart(body, content_type),
        None => model::of_json(body),
    }
}

/// Passes a request on and its answer back.
pub(crate) async fn pass_on(
    asking: Asking<'_>,
    caller: &Caller,
    (relay, config): (&Relay, &Config),
    record: &mut Record,
) -> Result<Response<ResponseBody>, Failure> {
    let named = asking.named_model()?;
    let chooser = Chooser::new(relay.providers(), caller, asking.dialect, asking.operation);
    let chosen = chooser.choose(named.as_deref())?;
    let attempts = Attempts::default();
    let outcome = try_all(&asking, &chosen, caller, relay, &attempts).await;
    if let Some(last) = attempts.last() {
        record.service(&last);
    }
    // One attempt is told by the rest of the answer and of the line.
    let told = if chosen.len() > 1 {
        attempts
    } else {
        Attempts::default()
    };
    record.attempts(told.clone());
    let (service, parts, body) = outcome.map_err(|error| {
        let mut failure = told_to_client(error);
        process::tell_attempts(&told, &mut failure.headers);
        failure
    })?;
    // Nobody needs the request any more.
    drop(record.held());
    let Some(spoken) = service.provider.dialect(asking.dialect) else {
        return Err(ServiceError::Internal("a provider forgot its dialect".into()).into());
    };
    let mut response = answer(parts, body, &asking, spoken, config, record);
    process::tell_attempts(&told, response.headers_mut());
    Ok(response)
}

/// The failure of a call, in words for those who know of API keys only.
fn told_to_client(error: ServiceError) -> Failure {
    let is_missing = matches!(error, ServiceError::MissingSecret { .. });
    let mut failure = Failure::from(error);
    if is_missing {
        let hint = "; the API key must be a key of this server that has a secret for it, or that secret itself";
        failure.message.push_str(hint);
    }
    failure
}

/// Calls one service after the other until one of them answers well enough.
async fn try_all<'a>(
    asking: &Asking<'_>,
    chosen: &'a [Chosen],
    caller: &Caller,
    relay: &Relay,
    attempts: &Attempts,
) -> Result<(&'a Chosen, response::Parts, egress::Body), ServiceError> {
    let deadline = relay.deadline();
    let mut outcome = None;
    for service in chosen {
        if outcome.is_some() && Instant::now() >= deadline {
            break;
        }
        let sent = relay.send(asking.passing(service, caller, deadline)).await;
        let (status, is_passing) = match &sent {
            Ok((parts, _)) => (parts.status, is_retryable_status(parts.status.as_u16())),
            // What the one before came to says more.
            Err(error) if outcome.is_some() && error.is_before_call() => continue,
            Err(error) => {
                let is_passing = matches!(
                    error,
                    ServiceError::Unreachable(_) | ServiceError::Timeout(_)
                );
                (Failure::from(error.clone()).status, is_passing)
            }
        };
        attempts.record(&service.service_id, status.as_u16());
        outcome = Some(sent.map(|(parts, body)| (service, parts, body)));
        if !is_passing {
            break;
        }
    }
    // The first of them is always there.
    outcome.unwrap_or_else(|| Err(ServiceError::Internal("no service to call".into())))
}

impl Asking<'_> {
    /// The model that the request names, in its body or its path.
    fn named_model(&self) -> Result<Option<String>, Failure> {
        let named = if self.operation == Operation::Model {
            Some(models::named_in(self.parts.uri.path())?)
        } else {
            self.model.as_ref().map(|model| model.name.clone())
        };
        // It would be told in the log, and to the provider.
        if named.as_deref().is_some_and(is_key) {
            return Err(
                Failure::new(StatusCode::BAD_REQUEST, "model is a key; name a model")
                    .with_param("model"),
            );
        }
        if self
            .parts
            .uri
            .query()
            .is_some_and(|query| form::decode(query).contains(PREFIX))
        {
            let text =
                "the query holds a key, which would go to the provider; send it in Authorization";
            return Err(Failure::new(StatusCode::BAD_REQUEST, text));
        }
        Ok(named)
    }

    fn passing<'a>(
        &'a self,
        service: &'a Chosen,
        caller: &'a Caller,
        deadline: Instant,
    ) -> aisbreaker_services::ForwardedRequest<'a> {
        let headers = head::for_provider(&self.parts.headers, self.was_coded);
        let outgoing = Outgoing::new(self.method(), headers, self.payload(service))
            .with_query(self.parts.uri.query().map(str::to_owned))
            .with_budget(self.share.budget().clone())
            .with_deadline(deadline);
        aisbreaker_services::ForwardedRequest {
            service_id: &service.service_id,
            provider: &service.provider,
            dialect: self.dialect,
            path: self.path(),
            credentials: &caller.credentials,
            hops: self.hops,
            outgoing,
        }
    }

    /// Who asks for the head only gets the head of a whole answer.
    fn method(&self) -> Method {
        if self.parts.method == Method::HEAD {
            Method::GET
        } else {
            self.parts.method.clone()
        }
    }

    fn payload(&self, service: &Chosen) -> Payload {
        match (&self.model, &service.engine) {
            (Some(model), Some(engine)) => {
                Payload::from_pieces(model::renamed(&self.body, model, engine))
            }
            _ => self.body.clone().into(),
        }
    }

    /// The path of the operation behind the provider's prefix.
    fn path(&self) -> &str {
        if self.operation == Operation::Model {
            return "/models/${engine}";
        }
        operation::below(operation::slash_free(self.parts.uri.path())).unwrap_or_default()
    }
}

/// The provider's answer with its own status, fields and bytes.
fn answer(
    parts: response::Parts,
    body: egress::Body,
    asking: &Asking<'_>,
    spoken: &DialectConfig,
    config: &Config,
    record: &mut Record,
) -> Response<ResponseBody> {
    if let Some(id) = parts
        .headers
        .get("x-request-id")
        .or_else(|| parts.headers.get("request-id"))
    {
        record.provider_request_id(id);
    }
    let usage = Arc::clone(&spoken.usage);
    let share = Arc::clone(&asking.share);
    // What has a coding cannot be looked into.
    let is_of_type = |essence| {
        head::is_of_type(&parts.headers, essence) && !parts.headers.contains_key(CONTENT_ENCODING)
    };
    let is_stream = is_of_type("text/event-stream");
    let passing = if is_stream {
        let is_framed = egress::is_framed(&parts);
        let how = How {
            dialect: asking.dialect,
            is_framed,
            keep_alive: config.stream_keep_alive,
            usage,
        };
        Passing::events(body, how, share)
    } else {
        Passing::whole(body, is_of_type("application/json"), usage, share)
    };
    let mut response = Response::new(ResponseBody::passing(passing));
    *response.status_mut() = parts.status;
    *response.headers_mut() = head::for_client(parts.headers);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    if is_stream {
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-cache"));
        headers
            .entry(process::X_ACCEL_BUFFERING)
            .or_insert(HeaderValue::from_static("no"));
    }
    response
}
