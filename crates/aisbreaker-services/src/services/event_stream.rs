//! The events of a streamed reply, read from a provider's server-sent events.

use std::time::Duration;

use aisbreaker_api::{Progress, Response};
use aisbreaker_egress::{Body, MemoryReservation};
use futures_util::stream;

use crate::{
    error::{ErrorDetail, ServiceError},
    service::{Event, EventStream},
    sse::{DecodeError, Decoder, Message},
    upstream::{body::next_data, send_error::too_long},
};

/// How long the end of a body is awaited after the last message of a stream, so that the connection
/// can be used again.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(50);
/// How many bytes may come between the last message of a stream and its end.
const MAX_DRAINED_BYTES: usize = 16 * 1024;

/// Reads the answer to one call, whole or message by message.
pub(super) trait AnswerReader: Send + 'static {
    /// Reads a whole answer.
    fn read_whole(self, body: &[u8]) -> Result<Response, ServiceError>;

    /// Reads the next message of a streamed answer.
    fn read_message(&mut self, message: &Message) -> Result<Step, ServiceError>;

    /// Returns how much text has been collected from a streamed answer, in bytes.
    fn text_bytes(&self) -> usize;

    /// Returns the response of a streamed answer that has ended.
    fn finish(self, end: StreamEnd) -> Result<Response, ServiceError>;
}

/// The meaning of a message.
pub(super) enum Step {
    /// Nothing for the caller.
    Skip,
    /// A piece of the answer.
    Progress(Progress),
    /// The end of the answer.
    Last,
}

/// How a streamed answer ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum StreamEnd {
    /// With the message that says so.
    LastMessage,
    /// With a body that is certain to be complete.
    CompleteBody,
    /// With a body that may have been cut.
    UnframedBody,
}

/// Returns the events of a streamed answer. `body_end` is the meaning of the body's end.
///
/// The body is read only as fast as the stream is polled. It is dropped with the stream, after an
/// error, or after the final event.
pub(super) fn event_stream(
    body: Body,
    decoder: Decoder,
    body_end: StreamEnd,
    reader: impl AnswerReader,
) -> EventStream {
    let text_held = body.budget().reservation();
    let events = Events {
        messages: Messages::new(body, decoder),
        body_end,
        unfinished: Some((reader, text_held)),
    };
    Box::pin(stream::try_unfold(events, |mut events| async move {
        let event = events.next().await?;
        Ok(event.map(|event| (event, events)))
    }))
}

struct Events<R> {
    messages: Messages,
    body_end: StreamEnd,
    /// The reader, and the memory reserved for its text; `None` after the final event.
    unfinished: Option<(R, MemoryReservation)>,
}

impl<R: AnswerReader> Events<R> {
    async fn next(&mut self) -> Result<Option<Event>, ServiceError> {
        let Some((mut reader, mut text_held)) = self.unfinished.take() else {
            self.messages.drain().await;
            return Ok(None);
        };
        let max_text_bytes = self.messages.body.max_collected_bytes();
        let mut end = self.body_end;
        while let Some(message) = self.messages.next().await? {
            let step = reader.read_message(&message)?;
            if reader.text_bytes() > max_text_bytes {
                return Err(too_long(max_text_bytes));
            }
            text_held.hold(reader.text_bytes())?;
            match step {
                Step::Skip => {}
                Step::Progress(progress) => {
                    self.unfinished = Some((reader, text_held));
                    return Ok(Some(Event::Progress(progress)));
                }
                Step::Last => {
                    end = StreamEnd::LastMessage;
                    break;
                }
            }
        }
        Ok(Some(Event::Final(reader.finish(end)?)))
    }
}

/// The messages in a body of server-sent events.
struct Messages {
    body: Body,
    decoder: Decoder,
    is_at_end: bool,
    /// For what the decoder keeps of an incomplete message.
    held: MemoryReservation,
}

impl Messages {
    fn new(body: Body, decoder: Decoder) -> Self {
        let held = body.budget().reservation();
        Self {
            body,
            decoder,
            is_at_end: false,
            held,
        }
    }

    /// Reads the next message; `None` at the clean end of the body.
    async fn next(&mut self) -> Result<Option<Message>, ServiceError> {
        while !self.is_at_end {
            if let Some(message) = self.decoder.take().map_err(undecodable)? {
                return Ok(Some(message));
            }
            self.held.hold(self.decoder.buffered_bytes())?;
            match next_data(&mut self.body).await? {
                Some(data) => self.decoder.feed(data),
                None => self.is_at_end = true,
            }
        }
        self.decoder.finish().map_err(undecodable)
    }

    /// Awaits the end of the body for a moment, so that its connection can be used for the next
    /// call. Otherwise the connection is closed.
    async fn drain(&mut self) {
        let drained = async {
            let mut left = MAX_DRAINED_BYTES;
            while let Ok(Some(data)) = next_data(&mut self.body).await
                && left >= data.len()
            {
                left -= data.len();
            }
        };
        let _drained_or_elapsed = tokio::time::timeout(DRAIN_TIMEOUT, drained).await;
    }
}

fn undecodable(error: DecodeError) -> ServiceError {
    if let DecodeError::TooLong { limit } = error {
        return too_long(limit);
    }
    let text = format!("the service's answer is not a stream of events that can be read: {error}");
    ServiceError::BadAnswer(ErrorDetail::new(text).with_source(error))
}
