//! `aisbreaker:logging`: passes on, and logs sizes and timing. Never content.

use aisbreaker_api::{ImageSource, Input, Output};
use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::{filter::inner_call, turn::milliseconds_since};
use crate::{
    error::ServiceError,
    service::{Call, Event, Reply, ReplyFuture, Service},
};

/// How much of a service id, which is the caller's text, goes into the log.
const MAX_LOGGED_CHARS: usize = 100;

/// Passes the call on, and logs at level `info` when it begins and when it ends: how much, and how
/// long it took.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Logging;

impl Service for Logging {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(logged(call))
    }
}

async fn logged(call: Call) -> Result<Reply, ServiceError> {
    let registry = call.registry.clone();
    let call = inner_call(call)?;
    // Only an id of a service is logged: any other may be anything that a caller wrote.
    let service = registry.find(&call.service_id)?;
    let mut record = Record::begin(&call);
    match service.call(call).await {
        Err(error) => {
            record.failed(&error);
            Err(error)
        }
        Ok(Reply::Final(response)) => {
            record.answered(&response.outputs);
            Ok(Reply::Final(response))
        }
        Ok(Reply::Stream(events)) => Ok(Reply::Stream(Box::pin(
            events.inspect(move |event| record.observed(event)),
        ))),
    }
}

/// What is known of a call while it runs.
struct Record {
    service: String,
    started: Instant,
    pieces: usize,
}

impl Record {
    fn begin(call: &Call) -> Self {
        let service: String = call
            .service_id
            .as_str()
            .chars()
            .take(MAX_LOGGED_CHARS)
            .collect();
        let inputs = &call.request.inputs;
        let input_bytes: usize = inputs.iter().map(input_bytes).sum();
        let stream = call.request.stream;
        tracing::info!(
            ?service,
            inputs = inputs.len(),
            input_bytes,
            stream,
            "service called"
        );
        Self {
            service,
            started: Instant::now(),
            pieces: 0,
        }
    }

    fn observed(&mut self, event: &Result<Event, ServiceError>) {
        match event {
            Ok(Event::Progress(_)) => self.pieces = self.pieces.saturating_add(1),
            Ok(Event::Final(response)) => self.answered(&response.outputs),
            Err(error) => self.failed(error),
        }
    }

    fn answered(&mut self, outputs: &[Output]) {
        let Self {
            service,
            started,
            pieces,
        } = self;
        let output_bytes: usize = outputs.iter().map(output_bytes).sum();
        let milliseconds = milliseconds_since(*started);
        tracing::info!(
            ?service,
            outputs = outputs.len(),
            output_bytes,
            pieces,
            milliseconds,
            "service answered"
        );
    }

    fn failed(&mut self, error: &ServiceError) {
        let Self {
            service,
            started,
            pieces,
        } = self;
        let milliseconds = milliseconds_since(*started);
        tracing::info!(
            ?service,
            kind = kind_of(error),
            pieces,
            milliseconds,
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
        Output::Image(image) => image
            .members
            .values()
            .filter_map(|value| value.as_str())
            .map(str::len)
            .sum(),
        _ => 0,
    }
}

/// The kind of an error; its text may repeat what the caller or the provider said.
fn kind_of(error: &ServiceError) -> &'static str {
    match error {
        ServiceError::BadRequest(_) => "bad request",
        ServiceError::MissingSecret { .. } => "missing secret",
        ServiceError::Forbidden(_) => "forbidden",
        ServiceError::UnknownService { .. } => "unknown service",
        ServiceError::Provider { .. } => "provider error",
        ServiceError::BadAnswer(_) => "bad answer",
        ServiceError::Unreachable(_) => "unreachable",
        ServiceError::Overloaded(_) => "overloaded",
        ServiceError::Timeout(_) => "timeout",
        ServiceError::Internal(_) => "internal",
    }
}
