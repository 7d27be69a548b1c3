//! The events of a service as server-sent events (`text/event-stream`, WHATWG HTML section 9.2).

use std::{
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use aisbreaker_services::{Event, EventStream, ReportedTokens, ServiceError, Tokens};
use bytes::Bytes;
use http::HeaderValue;
use serde::Serialize;

use super::{
    keep_alive::{COMMENT, KeepAlive},
    stream_failure::StreamFailure,
};
use crate::{
    budgets::hold::{BodyBudget, BudgetHold, Outcome},
    failure::Failure,
    memory::ClientMemory,
    telemetry::access_line::dollars,
};

/// Events that are ready together leave in one frame of about this many bytes.
const BATCH_BYTES: usize = 16 << 10;

/// The events of one response, encoded.
///
/// The service is polled only when the client can take more. The stream ends after the first
/// `final` or `error` event; if the service ends without either, this adds an `error` event.
pub(crate) struct EventBytes {
    events: Option<EventStream>,
    /// The last event was returned, and only the end of the service's stream is awaited.
    is_over: bool,
    failure: Option<StreamFailure>,
    request_id: HeaderValue,
    /// Those of the final response.
    tokens: Option<Tokens>,
    reported: ReportedTokens,
    keep_alive: KeepAlive,
    /// Every frame is held of this until the client has read it.
    memory: Arc<ClientMemory>,
    budget: BodyBudget,
    /// Whether the answer came in pieces.
    has_progress: bool,
}

impl EventBytes {
    /// Creates the encoder; `reported` has the tokens before the final event, and `keep_alive` is the
    /// idle time after which a comment is sent.
    pub(crate) fn new(
        events: EventStream,
        reported: ReportedTokens,
        keep_alive: Duration,
        memory: Arc<ClientMemory>,
        request_id: HeaderValue,
    ) -> Self {
        Self {
            events: Some(events),
            is_over: false,
            failure: None,
            request_id,
            tokens: None,
            reported,
            keep_alive: KeepAlive::new(keep_alive),
            memory,
            budget: BodyBudget::default(),
            has_progress: false,
        }
    }

    /// Sets what is settled when the stream is over.
    pub(crate) fn hold_budget(&mut self, hold: Box<BudgetHold>) {
        self.budget.set(hold);
    }

    /// Settles what is reserved for the stream, which is over.
    pub(crate) fn settle(&mut self) {
        let (last, so_far) = (self.tokens, self.reported.get());
        let (has_progress, is_cut) = (self.has_progress, self.failure.is_some());
        self.budget.settle(|| match last {
            Some(tokens) if has_progress => Outcome::Streamed(tokens),
            Some(tokens) => Outcome::Answered(tokens),
            None if is_cut => Outcome::Cut(so_far),
            None => Outcome::Left(so_far),
        });
    }

    /// Returns what the stream cost in nano-dollars, once that is settled and if it is known.
    pub(crate) fn cost(&self) -> Option<u64> {
        self.budget.cost()
    }

    /// Returns why the stream ended in an error, for the log.
    pub(crate) fn failure(&self) -> Option<&StreamFailure> {
        self.failure.as_ref()
    }

    /// Returns the tokens that the service reported so far.
    pub(crate) fn tokens(&self) -> Tokens {
        self.tokens.unwrap_or_else(|| self.reported.get())
    }

    /// Returns whether the last event was returned.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over || self.events.is_none()
    }

    /// Polls for the next frame; `None` at the end.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut frame = Vec::new();
        while let Some(events) = &mut self.events
            && frame.len() < BATCH_BYTES
        {
            if self.is_over {
                if frame.is_empty() {
                    // Services use this poll to make their connection reusable.
                    let _end = ready!(next(events, cx));
                    self.events = None;
                }
                break;
            }
            match next(events, cx) {
                Poll::Pending if frame.is_empty() => {
                    ready!(self.keep_alive.poll(cx));
                    return Poll::Ready(Some(Bytes::from_static(COMMENT)));
                }
                Poll::Pending => break,
                Poll::Ready(Some(Ok(Event::Progress(progress)))) => {
                    self.has_progress = true;
                    write_event(&mut frame, "progress", &progress)
                }
                Poll::Ready(Some(Ok(Event::Final(mut response)))) => {
                    let tokens = Tokens::of(&response.usage).merge(self.reported.get());
                    self.tokens = Some(tokens);
                    self.settle();
                    response.usage.cost = self.budget.cost().and_then(dollars);
                    write_event(&mut frame, "final", &response);
                    self.is_over = true;
                }
                Poll::Ready(Some(Err(error))) => self.fail(&mut frame, error),
                Poll::Ready(None) => {
                    self.fail(
                        &mut frame,
                        ServiceError::BadAnswer("the service ended without a final answer".into()),
                    );
                }
            }
        }
        self.keep_alive.reset();
        Poll::Ready((!frame.is_empty()).then(|| self.hold(frame)))
    }

    /// Holds memory for a frame. Without room for it, the stream ends in an error event.
    fn hold(&mut self, frame: Vec<u8>) -> Bytes {
        match self.memory.attach(frame.into()) {
            Ok(held) => held,
            Err(error) => {
                let mut last = Vec::new();
                self.fail(&mut last, error);
                last.into()
            }
        }
    }

    fn fail(&mut self, frame: &mut Vec<u8>, error: ServiceError) {
        if !self.has_progress && self.tokens() == Tokens::default() {
            self.budget.settle(|| Outcome::of_failure(&error));
        }
        let mut failure = Failure::from(error);
        failure.name_request(&self.request_id);
        write_event(frame, "error", &failure.error_body());
        self.failure = Some(StreamFailure {
            error_type: failure.error_type,
            cause: failure
                .cause
                .unwrap_or_else(|| format!("stream failed with {}", failure.status.as_u16())),
        });
        self.events = None;
    }
}

/// The error of a call whose service panicked. The panic message may hold a secret, so it is dropped.
pub(crate) fn service_panicked() -> ServiceError {
    ServiceError::Internal("the service panicked".into())
}

/// Polls for the next event. A panic of the service is an error, after which it is not polled again.
fn next(
    events: &mut EventStream,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Event, ServiceError>>> {
    catch_unwind(AssertUnwindSafe(|| events.as_mut().poll_next(cx)))
        .unwrap_or_else(|_panic| Poll::Ready(Some(Err(service_panicked()))))
}

fn write_event(frame: &mut Vec<u8>, name: &str, data: &impl Serialize) {
    // Neither writing to a vector nor serializing the API's types fails.
    let _written = write!(frame, "event: {name}\ndata: ");
    let _written = serde_json::to_writer(&mut *frame, data);
    frame.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use aisbreaker_egress::MemoryBudget;

    use crate::memory::ClientMemories;
    use aisbreaker_api::{Output, OutputText, Progress, Response, Usage};
    use futures_util::{StreamExt as _, stream};

    use super::*;

    fn progress(text: &str) -> Result<Event, ServiceError> {
        Ok(Event::Progress(Progress::text(0, text, true)))
    }

    fn last() -> Result<Event, ServiceError> {
        Ok(Event::Final(Response::new(
            vec![Output::Text(OutputText::new(0, "ab"))],
            Usage::new("chat:dummy"),
        )))
    }

    fn frames(events: EventStream) -> Vec<String> {
        let clients = ClientMemories::new(MemoryBudget::default(), usize::MAX);
        let mut bytes = EventBytes::new(
            events,
            ReportedTokens::default(),
            Duration::from_secs(15),
            clients.for_client([192, 0, 2, 1].into()),
            HeaderValue::from_static("id"),
        );
        let mut frames = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match bytes.poll_bytes(&mut cx) {
                Poll::Ready(Some(frame)) => frames.push(String::from_utf8(frame.to_vec()).unwrap()),
                Poll::Ready(None) => return frames,
                Poll::Pending => frames.push("pending".to_owned()),
            }
        }
    }

    fn names(frames: &[String]) -> Vec<&str> {
        frames
            .iter()
            .flat_map(|frame| frame.lines())
            .filter_map(|line| line.strip_prefix("event: "))
            .collect()
    }

    #[test]
    fn events_that_are_ready_together_leave_in_one_frame() {
        let frames = frames(stream::iter([progress("a"), progress("b"), last()]).boxed());

        assert_eq!(frames.len(), 1);
        assert!(frames[0].starts_with(
            "event: progress\ndata: {\"outputs\":[{\"text\":{\"index\":0,\"role\":\"assistant\",\"content\":\"a\",\
             \"isDelta\":true,\"isProcessing\":true}}]}\n\n"
        ));
        assert_eq!(names(&frames), ["progress", "progress", "final"]);
    }

    #[test]
    fn an_event_does_not_wait_for_the_next() {
        let mut polls = 0;
        let rest = stream::poll_fn(move |_| {
            polls += 1;
            match polls {
                1 => Poll::Pending,
                2 => Poll::Ready(Some(last())),
                _ => Poll::Ready(None),
            }
        });

        let frames = frames(stream::iter([progress("a")]).chain(rest).boxed());

        assert_eq!(frames.len(), 2);
        assert_eq!(names(&frames), ["progress", "final"]);
    }

    #[test]
    fn nothing_follows_the_first_final_or_error() {
        let error = || Err(ServiceError::BadAnswer("cut".into()));
        assert_eq!(
            names(&frames(
                stream::iter([last(), progress("x"), last()]).boxed()
            )),
            ["final"]
        );
        assert_eq!(
            names(&frames(
                stream::iter([progress("a"), error(), last()]).boxed()
            )),
            ["progress", "error"]
        );
    }

    #[test]
    fn an_end_without_final_is_an_error_event() {
        let frames = frames(stream::iter([progress("a")]).boxed());

        assert_eq!(names(&frames), ["progress", "error"]);
        assert!(
            frames
                .concat()
                .contains(r#""statusCode":502,"statusText":"Bad Gateway""#)
        );
        assert!(frames.concat().contains(r#" (request id)""#));
    }
}
