//! The stream stage: events of a service as server-sent events (`text/event-stream`, WHATWG HTML
//! section 9.2).

use std::{
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
};

use aisbreaker_services::{Event, EventStream, ServiceError, Tokens};
use bytes::Bytes;
use serde::Serialize;

use crate::{answer::Failure, process::panicked, shares::Share};

/// Events that are ready at once are passed on in one piece, up to about this many bytes.
const BATCH_BYTES: usize = 16 << 10;

/// The events of one answer, as bytes.
///
/// A service is asked for the next event only when there is room for it on the way to the client.
/// It ends after the first `final` or `error` event; a service that ends without either makes an
/// `error` event.
pub(crate) struct EventBytes {
    events: Option<EventStream>,
    /// The last event has been handed out; what is left of the service is its orderly end.
    is_over: bool,
    failure: Option<String>,
    tokens: Tokens,
    /// What is handed out counts as held until the client has taken it.
    share: Arc<Share>,
}

impl EventBytes {
    pub(crate) fn new(events: EventStream, share: Arc<Share>) -> Self {
        Self {
            events: Some(events),
            is_over: false,
            failure: None,
            tokens: Tokens::default(),
            share,
        }
    }

    /// Why the stream ended in an error, for the log.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// How many tokens the answer took.
    pub(crate) fn tokens(&self) -> Tokens {
        self.tokens
    }

    /// The next piece; `None` at the end.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut piece = Vec::new();
        while let Some(events) = &mut self.events
            && piece.len() < BATCH_BYTES
        {
            if self.is_over {
                if piece.is_empty() {
                    // Services use this moment to leave their connection fit for the next call.
                    let _end = std::task::ready!(next(events, cx));
                    self.events = None;
                }
                break;
            }
            match next(events, cx) {
                Poll::Pending if piece.is_empty() => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(Some(Ok(Event::Progress(progress)))) => {
                    write_event(&mut piece, "progress", &progress)
                }
                Poll::Ready(Some(Ok(Event::Final(response)))) => {
                    write_event(&mut piece, "final", &response);
                    self.tokens = Tokens::of(&response.usage);
                    self.is_over = true;
                }
                Poll::Ready(Some(Err(error))) => self.fail(&mut piece, error),
                Poll::Ready(None) => {
                    self.fail(
                        &mut piece,
                        ServiceError::BadAnswer("the service ended without a final answer".into()),
                    );
                }
            }
        }
        Poll::Ready((!piece.is_empty()).then(|| self.counted(piece)))
    }

    /// A piece that counts as held until the client has taken it; an error where there is no room
    /// for it.
    fn counted(&mut self, piece: Vec<u8>) -> Bytes {
        self.share
            .held()
            .until_taken(piece.into())
            .unwrap_or_else(|error| {
                let mut piece = Vec::new();
                self.fail(&mut piece, error);
                piece.into()
            })
    }

    fn fail(&mut self, piece: &mut Vec<u8>, error: ServiceError) {
        let failure = Failure::from(error);
        write_event(piece, "error", &failure.error_body());
        self.failure = Some(
            failure
                .cause
                .unwrap_or_else(|| format!("stream failed with {}", failure.status.as_u16())),
        );
        self.events = None;
    }
}

/// The next event; a panic of the service is an error like any other, after which nothing of it is
/// polled.
fn next(
    events: &mut EventStream,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Event, ServiceError>>> {
    catch_unwind(AssertUnwindSafe(|| events.as_mut().poll_next(cx)))
        .unwrap_or_else(|_panic| Poll::Ready(Some(Err(panicked()))))
}

fn write_event(piece: &mut Vec<u8>, name: &str, data: &impl Serialize) {
    // Writing to a vector cannot fail, nor can serialising types of the API.
    let _written = write!(piece, "event: {name}\ndata: ");
    let _written = serde_json::to_writer(&mut *piece, data);
    piece.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use aisbreaker_egress::MemoryBudget;

    use crate::shares::Shares;
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

    fn pieces(events: EventStream) -> Vec<String> {
        let shares = Shares::new(MemoryBudget::default(), usize::MAX);
        let mut bytes = EventBytes::new(events, shares.of([192, 0, 2, 1].into()));
        let mut pieces = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match bytes.poll_bytes(&mut cx) {
                Poll::Ready(Some(piece)) => pieces.push(String::from_utf8(piece.to_vec()).unwrap()),
                Poll::Ready(None) => return pieces,
                Poll::Pending => pieces.push("pending".to_owned()),
            }
        }
    }

    fn names(pieces: &[String]) -> Vec<&str> {
        pieces
            .iter()
            .flat_map(|piece| piece.lines())
            .filter_map(|line| line.strip_prefix("event: "))
            .collect()
    }

    #[test]
    fn events_that_are_ready_together_go_out_together() {
        let pieces = pieces(stream::iter([progress("a"), progress("b"), last()]).boxed());

        assert_eq!(pieces.len(), 1);
        assert!(pieces[0].starts_with(
            "event: progress\ndata: {\"outputs\":[{\"text\":{\"index\":0,\"role\":\"assistant\",\"content\":\"a\",\
             \"isDelta\":true,\"isProcessing\":true}}]}\n\n"
        ));
        assert_eq!(names(&pieces), ["progress", "progress", "final"]);
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

        let pieces = pieces(stream::iter([progress("a")]).chain(rest).boxed());

        assert_eq!(pieces.len(), 2);
        assert_eq!(names(&pieces), ["progress", "final"]);
    }

    #[test]
    fn nothing_follows_the_first_final_or_error() {
        let error = || Err(ServiceError::BadAnswer("cut".into()));
        assert_eq!(
            names(&pieces(
                stream::iter([last(), progress("x"), last()]).boxed()
            )),
            ["final"]
        );
        assert_eq!(
            names(&pieces(
                stream::iter([progress("a"), error(), last()]).boxed()
            )),
            ["progress", "error"]
        );
    }

    #[test]
    fn an_end_without_final_is_an_error_event() {
        let pieces = pieces(stream::iter([progress("a")]).boxed());

        assert_eq!(names(&pieces), ["progress", "error"]);
        assert!(
            pieces
                .concat()
                .contains(r#""statusCode":502,"statusText":"Bad Gateway""#)
        );
    }
}
