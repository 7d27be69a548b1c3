//! One HTTP exchange with a provider: the request, then an answer of one JSON value or a stream.

use std::future::ready;

use aisbreaker_api::{Response, ServiceId};
use aisbreaker_egress::{Client, Outgoing, is_framed};

use super::{
    event_stream::{AnswerReader, StreamEnd, event_stream},
    provider_error::{MAX_ERROR_TEXT_BYTES, of_response},
    reply::whole_reply,
};
use crate::{
    destination::Destination,
    error::ServiceError,
    service::{ProviderCalls, Reply, ReplyFuture, ReplyKind},
    upstream::{
        answer_form::{StreamedAnswer, read_streamed},
        body::{CollectedBody, read_whole},
        error_context::ErrorContext,
        send::send_for_success,
    },
};

/// A request to a provider that is ready to be sent.
pub(super) struct ProviderRequest<'a> {
    pub(super) client: &'a Client,
    pub(super) service_id: &'a ServiceId,
    pub(super) destination: Destination,
    pub(super) outgoing: Outgoing,
    pub(super) reply_kind: ReplyKind,
    pub(super) calls: ProviderCalls,
}

impl ProviderRequest<'_> {
    /// Sends the request and reads the answer, which is whole or streamed as the provider decides.
    ///
    /// The exchange is boxed as it is made, since moving it costs more than the allocation.
    pub(super) fn exchange(self, reader: impl AnswerReader) -> ReplyFuture<'static> {
        let context = error_context(self.service_id, &self.destination);
        let (client, kind) = (self.client.clone(), self.reply_kind);
        let (destination, outgoing) = (self.destination, self.outgoing);
        let record = self.calls.begin(self.service_id);
        match kind {
            ReplyKind::Final => Box::pin(async move {
                let reply = match fetch(&client, &destination, outgoing).await {
                    Ok(answer) => reader.read_whole(&answer).map(Reply::Final),
                    Err(error) => Err(error),
                };
                context.end(record, reply)
            }),
            ReplyKind::Stream => {
                let exchange = Box::pin(exchange_events(client, destination, outgoing, reader));
                Box::pin(ready(Ok(context.stream(record, exchange))))
            }
        }
    }

    /// Sends the request and reads an answer that is always whole.
    pub(super) async fn exchange_whole(
        self,
        read: impl FnOnce(&[u8]) -> Result<Response, ServiceError> + Send + 'static,
    ) -> Result<Reply, ServiceError> {
        let context = error_context(self.service_id, &self.destination);
        let (client, kind) = (self.client.clone(), self.reply_kind);
        let (destination, outgoing) = (self.destination, self.outgoing);
        let record = self.calls.begin(self.service_id);
        let exchange = async move {
            let answer = fetch(&client, &destination, outgoing).await?;
            Ok(whole_reply(read(&answer)?, kind))
        };
        context.reply(kind, record, Box::pin(exchange)).await
    }
}

/// Sends a request for a stream. The provider may answer with a whole answer nevertheless.
async fn exchange_events(
    client: Client,
    destination: Destination,
    outgoing: Outgoing,
    reader: impl AnswerReader,
) -> Result<Reply, ServiceError> {
    let (parts, body) = send_for_success(&client, &destination, outgoing, of_response).await?;
    match read_streamed(&parts.headers, body).await? {
        StreamedAnswer::Whole(answer) => {
            Ok(whole_reply(reader.read_whole(&answer)?, ReplyKind::Stream))
        }
        StreamedAnswer::Events(body, decoder) => {
            let end = if is_framed(&parts) {
                StreamEnd::CompleteBody
            } else {
                StreamEnd::UnframedBody
            };
            Ok(Reply::Stream(event_stream(body, decoder, end, reader)))
        }
    }
}

/// Returns the context for the errors of a call to a provider.
pub(super) fn error_context(service_id: &ServiceId, destination: &Destination) -> ErrorContext {
    ErrorContext::new(service_id.as_str(), destination, MAX_ERROR_TEXT_BYTES)
}

/// Sends a request and returns its whole answer.
pub(super) async fn fetch(
    client: &Client,
    destination: &Destination,
    outgoing: Outgoing,
) -> Result<CollectedBody, ServiceError> {
    let (_, body) = send_for_success(client, destination, outgoing, of_response).await?;
    read_whole(body).await
}
