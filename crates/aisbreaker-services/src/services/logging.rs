//! `aisbreaker:logging`: forwards calls, and logs sizes and times, but never content.

use aisbreaker_api::{ImageSource, Input, Output};
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::time::Instant;

use super::{conversation::milliseconds_since, filter::inner_call};
use crate::{
    error::ServiceError,
    service::{Call, Event, Reached, Reply, ReplyFuture, Service, Target},
};

/// How much of a service id, which the caller wrote, goes into the log.
const MAX_LOGGED_CHARS: usize = 100;

/// Forwards the call, and logs its beginning and its end at level `info`: how much data, and how
/// long it took.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Logging;

impl Service for Logging {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(forward_and_log(call))
    }

    fn reached(&self, _target: &Target<'_>) -> Result<Reached, ServiceError> {
        Ok(Reached::Behind)
    }
}

async fn forward_and_log(call: Call) -> Result<Reply, ServiceError> {
    let registry = call.registry.clone();
    let call = inner_call(call)?;
    // Only the id of a registered service is logged; any other id may be arbitrary text.
    registry.check(&call.service, &call.request, &call.credentials)?;
    let mut log = CallLog::begin(&call);
    match registry.call(call).await {
        Err(error) => {
            log.failed(&error);
            Err(error)
        }
        Ok(Reply::Final(response)) => {
            log.answered(&response.outputs);
            Ok(Reply::Final(response))
        }
        Ok(Reply::Stream(events)) => {
            let events = events.inspect(move |event| log.observe(event));
            Ok(Reply::Stream(Box::pin(events)))
        }
    }
}

/// The log lines of one call.
struct CallLog {
    service: String,
    started: Instant,
    pieces: usize,
}

impl CallLog {
    fn begin(call: &Call) -> Self {
        let id = call.service_id.as_str();
        let service: String = id.chars().take(MAX_LOGGED_CHARS).collect();
        let inputs = &call.request.inputs;
        let input_bytes: usize = inputs.iter().map(input_bytes).sum();
        tracing::info!(
            ?service,
            inputs = inputs.len(),
            input_bytes,
            stream = call.request.stream,
            "service called"
        );
        Self {
            service,
            started: Instant::now(),
            pieces: 0,
        }
    }

    fn observe(&mut self, event: &Result<Event, ServiceError>) {
        match event {
            Ok(Event::Progress(_)) => self.pieces = self.pieces.saturating_add(1),
            Ok(Event::Final(response)) => self.answered(&response.outputs),
            Err(error) => self.failed(error),
        }
    }

    fn answered(&self, outputs: &[Output]) {
        let output_bytes: usize = outputs.iter().map(output_bytes).sum();
        tracing::info!(
            service = ?self.service,
            outputs = outputs.len(),
            output_bytes,
            pieces = self.pieces,
            milliseconds = milliseconds_since(self.started),
            "service answered"
        );
    }

    fn failed(&self, error: &ServiceError) {
        tracing::info!(
            service = ?self.service,
            kind = kind_of(error),
            pieces = self.pieces,
            milliseconds = milliseconds_since(self.started),
            "service failed"
        );
    }
}

fn input_bytes(input: &Input) -> usize {
    match input {
        Input::Text(text) => text.content.len(),
        Input::Image(image) => match &image.source {
            ImageSource::Url(text) | ImageSource::Base64(text) => text.len(),
        },
        _ => 0,
    }
}

fn output_bytes(output: &Output) -> usize {
    match output {
        Output::Text(text) => text.content.len(),
        Output::Image(image) => {
            let texts = image.members.values().filter_map(Value::as_str);
            texts.map(str::len).sum()
        }
        _ => 0,
    }
}

/// Returns the kind of an error; its text may repeat content of the caller or the provider.
fn kind_of(error: &ServiceError) -> &'static str {
    match error {
        ServiceError::BadRequest(_) => "bad request",
        ServiceError::MissingSecret { .. } => "missing secret",
        ServiceError::Forbidden(_) | ServiceError::Restricted { .. } => "forbidden",
        ServiceError::UnknownService { .. } => "unknown service",
        ServiceError::Provider { .. } => "provider error",
        ServiceError::NoAnswer(_) => "no answer",
        ServiceError::BadAnswer(_) => "bad answer",
        ServiceError::Unreachable(_) => "unreachable",
        ServiceError::Overloaded(_) => "overloaded",
        ServiceError::Timeout(_) => "timeout",
        ServiceError::Internal(_) => "internal",
    }
}
