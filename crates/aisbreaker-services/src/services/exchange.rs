//! One exchange with a provider: the request goes out, and the answer is read out of one JSON value
//! or a stream.

use aisbreaker_api::{Origin, Progress};
use aisbreaker_egress::{self as egress, Body, Client, MemoryReservation, Outgoing};
use bytes::Bytes;

use super::{
    told::{self, Pending, Told, in_one_piece},
    upstream::{self, Messages, ReadEvents, Step, events_of, too_long},
};
use crate::{
    destination::Destination,
    error::ServiceError,
    request_uri::request_uri,
    service::{EventStream, Reply},
    sse::{Decoder, Message},
};

/// What an operator may set about a service that calls a provider.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The engine where the caller names none, instead of the service's own default.
    pub engine: Option<String>,
    /// The origins to which sealed secrets may go besides those in the key.
    pub operator_origins: Vec<Origin>,
}

/// How the answer of a protocol is read.
pub(super) trait Answer: Send + 'static {
    /// Reads a whole answer.
    fn read(self, body: &[u8]) -> Result<Told, ServiceError>;

    /// Reads a message of a streamed answer.
    fn add(&mut self, message: &Message) -> Result<Added, ServiceError>;

    /// How much text was collected of a stream, in bytes.
    fn text_bytes(&self) -> usize;

    /// What was told in the stream that has ended, after [`Added::Last`] or not.
    fn end(self, end: End) -> Result<Told, ServiceError>;
}

/// What a message adds to an answer.
pub(super) enum Added {
    /// Nothing that is handed out.
    Nothing,
    /// A piece.
    Progress(Progress),
    /// That it is over.
    Last,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// By the message that says so.
    Told,
    /// With the body, of which it is certain that it was not cut.
    Clean,
    /// With the body, which may have been cut.
    Unknown,
}

impl Settings {
    /// Sets the engine where the caller names none.
    #[must_use]
    pub fn with_engine(mut self, engine: impl Into<String>) -> Self {
        self.engine = Some(engine.into());
        self
    }

    /// Sets the origins to which sealed secrets may go besides those in the key.
    #[must_use]
    pub fn with_operator_origins(mut self, origins: Vec<Origin>) -> Self {
        self.operator_origins = origins;
        self
    }
}

/// An answer that was cut before it was complete.
pub(super) fn cut_short() -> ServiceError {
    ServiceError::BadAnswer("the provider's answer was cut short".to_owned())
}

/// The reply to a request.
pub(super) async fn exchange(
    client: Client,
    destination: Destination,
    outgoing: Outgoing,
    pending: Pending,
    answer: impl Answer,
    stream: bool,
) -> Result<Reply, ServiceError> {
    let (parts, body) = send(&client, &destination, outgoing).await?;
    if stream && upstream::is_event_stream(&parts.headers) {
        let end = if egress::is_framed(&parts) {
            End::Clean
        } else {
            End::Unknown
        };
        return Ok(Reply::Stream(events(body, end, pending, answer)));
    }
    let (body, _held) = upstream::read_answer(body).await?;
    let response = pending.finish(answer.read(&body)?);
    Ok(if stream {
        in_one_piece(response)
    } else {
        Reply::Final(response)
    })
}

/// The whole answer to a request, and what it holds of the budget as long as something is made of
/// it.
pub(super) async fn whole(
    client: &Client,
    destination: &Destination,
    outgoing: Outgoing,
) -> Result<(Bytes, MemoryReservation), ServiceError> {
    let (_, body) = send(client, destination, outgoing).await?;
    upstream::read_answer(body).await
}

/// The successful answer to a request, of which the body is still to be read.
async fn send(
    client: &Client,
    destination: &Destination,
    outgoing: Outgoing,
) -> Result<(http::response::Parts, Body), ServiceError> {
    let (parts, body) = client
        .send(&request_uri(&destination.url)?, outgoing)
        .await?
        .into_parts();
    if upstream::is_error(parts.status) {
        let retry_after = upstream::retry_after(&parts.headers);
        return Err(told::refusal(
            parts.status,
            &upstream::read_error(body).await,
            retry_after,
        ));
    }
    if !parts.status.is_success() {
        return Err(upstream::unusable_status(parts.status));
    }
    Ok((parts, body))
}

/// The events of an answer. `end` is what the end of the body means.
fn events(body: Body, end: End, pending: Pending, answer: impl Answer) -> EventStream {
    let messages = Messages::new(body, Decoder::new());
    let held = messages.body().budget().reservation();
    events_of(Reader {
        messages,
        end,
        pending,
        answer,
        held,
    })
}

struct Reader<A> {
    messages: Messages,
    end: End,
    pending: Pending,
    answer: A,
    /// For the text that was told so far.
    held: MemoryReservation,
}

impl<A: Answer> ReadEvents for Reader<A> {
    async fn next(mut self) -> Result<Step<Self>, ServiceError> {
        while let Some(message) = self.messages.next().await? {
            let added = self.answer.add(&message)?;
            self.check_length()?;
            match added {
                Added::Nothing => {}
                Added::Progress(progress) => return Ok(Step::Progress(progress, self)),
                Added::Last => return self.finish(End::Told),
            }
        }
        let end = self.end;
        self.finish(end)
    }
}

impl<A: Answer> Reader<A> {
    fn check_length(&mut self) -> Result<(), ServiceError> {
        let limit = self.messages.body().max_collected_bytes();
        if self.answer.text_bytes() > limit {
            return Err(too_long(limit));
        }
        Ok(self.held.hold(self.answer.text_bytes())?)
    }

    fn finish(self, end: End) -> Result<Step<Self>, ServiceError> {
        let response = self.pending.finish(self.answer.end(end)?);
        Ok(Step::Final(Box::new(response), Box::new(self.messages)))
    }
}
