//! One HTTP exchange with a provider: the request, then an answer of one JSON value or a stream.

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
    service::{ProviderCalls, Reply, ReplyKind},
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
    pub(super) async fn exchange(self, reader: impl AnswerReader) -> Result<Reply, ServiceError> {
        let context = error_context(self.service_id, &self.destination);
        let (client, kind) = (self.client.clone(), self.reply_kind);
        let (destination, outgoing) = (self.destination, self.outgoing);
        let record = self.calls.begin(self.service_id);
        let exchange = async move {
            let (parts, body) =
                send_for_success(&client, &destination, outgoing, of_response).await?;
            let answer = match kind {
                ReplyKind::Final => read_whole(body).await?,
                ReplyKind::Stream => match read_streamed(&parts.headers, body).await? {
                    StreamedAnswer::Whole(answer) => answer,
                    StreamedAnswer::Events(body, decoder) => {
                        let end = if is_framed(&parts) {
                            StreamEnd::CompleteBody
                        } else {
                            StreamEnd::UnframedBody
                        };
                        let events = event_stream(body, decoder, end, reader);
                        return Ok(Reply::Stream(events));
                    }
                },
            };
            Ok(whole_reply(reader.read_whole(&answer)?, kind))
        };
        context.reply(kind, record, exchange).await
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
        context.reply(kind, record, exchange).await
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
