//! `aisbreaker:mirror`: reverses the texts of the service behind it.

use aisbreaker_api::{Output, Response};
use futures_util::StreamExt as _;

use super::filter::inner_call;
use crate::{
    error::ServiceError,
    service::{Call, Event, Reached, Reply, ReplyFuture, Service, Target},
};

/// Reverses every text of the service behind it, character by character; each streamed piece by
/// itself.
///
/// The conversation state keeps the original text.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Mirror;

impl Service for Mirror {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(mirror(call))
    }

    fn reached(&self, _target: &Target<'_>) -> Result<Reached, ServiceError> {
        Ok(Reached::Behind)
    }
}

async fn mirror(call: Call) -> Result<Reply, ServiceError> {
    let registry = call.registry.clone();
    Ok(match registry.call(inner_call(call)?).await? {
        Reply::Final(response) => Reply::Final(mirror_response(response)),
        Reply::Stream(events) => {
            Reply::Stream(Box::pin(events.map(|event| event.map(mirror_event))))
        }
    })
}

fn mirror_event(event: Event) -> Event {
    match event {
        Event::Progress(mut progress) => {
            mirror_outputs(&mut progress.outputs);
            Event::Progress(progress)
        }
        Event::Final(response) => Event::Final(mirror_response(response)),
    }
}

fn mirror_response(mut response: Response) -> Response {
    mirror_outputs(&mut response.outputs);
    let service_id = &mut response.usage.service.service_id;
    *service_id = format!("aisbreaker:mirror/service/{service_id}");
    response
}

fn mirror_outputs(outputs: &mut [Output]) {
    for output in outputs {
        if let Output::Text(text) = output {
            text.content = text.content.chars().rev().collect();
        }
    }
}
