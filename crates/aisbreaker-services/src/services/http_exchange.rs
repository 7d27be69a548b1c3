//! One HTTP exchange with a provider: the request, then an answer of one JSON value or a stream.

use aisbreaker_api::{Response, ServiceId};
use aisbreaker_egress::{Body, Client, Outgoing, is_framed};
use http::response;

use super::{
    event_stream::{AnswerReader, StreamEnd, event_stream},
    provider_error::{self, MAX_ERROR_TEXT_BYTES},
    reply::whole_reply,
};
use crate::{
    destination::Destination,
    error::ServiceError,
    service::{Reply, ReplyKind},
    sse::Decoder,
    upstream::{
        self,
        body::{CollectedBody, read_error, read_whole},
        error_context::ErrorContext,
        headers::is_event_stream,
        status::{is_error, retry_after, unusable_status},
    },
};

/// A request to a provider that is ready to be sent.
pub(super) struct ProviderRequest<'a> {
    pub(super) client: &'a Client,
    /// The name of the service, which is in its errors.
    pub(super) service_name: &'a str,
    pub(super) service_id: &'a ServiceId,
    pub(super) destination: Destination,
    pub(super) outgoing: Outgoing,
    pub(super) reply_kind: ReplyKind,
}

impl ProviderRequest<'_> {
    /// Sends the request and reads the answer, which is whole or streamed as the provider decides.
    pub(super) async fn exchange(self, reader: impl AnswerReader) -> Result<Reply, ServiceError> {
        let context = error_context(self.service_name, self.service_id, &self.destination);
        let (client, kind) = (self.client.clone(), self.reply_kind);
        let (destination, outgoing) = (self.destination, self.outgoing);
        let exchange = async move {
            let (parts, body) = send(&client, &destination, outgoing).await?;
            if kind == ReplyKind::Stream && is_event_stream(&parts.headers) {
                let end = if is_framed(&parts) {
                    StreamEnd::CompleteBody
                } else {
                    StreamEnd::UnframedBody
                };
                let events = event_stream(body, Decoder::new(), end, reader);
                return Ok(Reply::Stream(events));
            }
            let body = read_whole(body).await?;
            Ok(whole_reply(reader.read_whole(&body)?, kind))
        };
        context.reply(kind, exchange).await
    }

    /// Sends the request and reads an answer that is always whole.
    pub(super) async fn exchange_whole(
        self,
        read: impl FnOnce(&[u8]) -> Result<Response, ServiceError> + Send + 'static,
    ) -> Result<Reply, ServiceError> {
        let context = error_context(self.service_name, self.service_id, &self.destination);
        let (client, kind) = (self.client.clone(), self.reply_kind);
        let (destination, outgoing) = (self.destination, self.outgoing);
        let exchange = async move {
            let body = fetch(&client, &destination, outgoing).await?;
            Ok(whole_reply(read(&body)?, kind))
        };
        context.reply(kind, exchange).await
    }
}

/// Returns the context for the errors of a call to a provider.
pub(super) fn error_context(
    service_name: &str,
    service_id: &ServiceId,
    destination: &Destination,
) -> ErrorContext {
    ErrorContext::new(
        service_name,
        service_id.as_str(),
        destination,
        MAX_ERROR_TEXT_BYTES,
    )
}

/// Sends a request and returns its whole answer.
pub(super) async fn fetch(
    client: &Client,
    destination: &Destination,
    outgoing: Outgoing,
) -> Result<CollectedBody, ServiceError> {
    let (_, body) = send(client, destination, outgoing).await?;
    read_whole(body).await
}

/// Sends a request and returns the successful response, whose body is still to be read.
async fn send(
    client: &Client,
    destination: &Destination,
    outgoing: Outgoing,
) -> Result<(response::Parts, Body), ServiceError> {
    let response = upstream::send::send(client, &destination.url, outgoing).await?;
    let (parts, body) = response.into_parts();
    if is_error(parts.status) {
        let retry_after = retry_after(&parts.headers);
        let body = read_error(body).await;
        return Err(provider_error::of_response(
            parts.status,
            &body,
            retry_after,
        ));
    }
    if !parts.status.is_success() {
        return Err(unusable_status(parts.status));
    }
    Ok((parts, body))
}
