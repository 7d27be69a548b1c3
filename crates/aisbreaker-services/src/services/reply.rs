//! The reply to a call, made from the answer of a provider.

use std::collections::BTreeMap;

use aisbreaker_api::{JsonText, Output, OutputText, Progress, Response, ServiceUrl};
use futures_util::stream;

use super::{conversation::Conversation, json_view::JsonView};
use crate::{
    error::ServiceError,
    service::{Event, Reply, ReplyKind},
    usage::{ReportedTokens, Tokens},
};

/// The number of choices from which an answer is refused.
const MAX_CHOICES: u32 = 1024;

/// The answer of a provider, as far as its protocol was understood.
#[derive(Debug, Default)]
pub(super) struct ProviderReply {
    pub(super) outputs: Vec<Output>,
    /// The model that answered, if the provider names it.
    pub(super) model: Option<String>,
    pub(super) tokens: Tokens,
    /// All tokens, as the provider counts them.
    pub(super) total_tokens: Option<u64>,
    /// The provider's own JSON, unless it came as a stream.
    pub(super) json: Option<JsonText>,
}

/// A call whose answer has not come yet.
#[derive(Debug)]
pub(super) struct PendingReply {
    conversation: Conversation,
    /// The model that was requested.
    model: String,
    /// The URL that was called, as the caller may see it.
    url: String,
    reported: ReportedTokens,
}

impl PendingReply {
    /// `reported` is where tokens are reported, also before the reply is complete.
    pub(super) fn new(
        conversation: Conversation,
        model: String,
        url: &ServiceUrl,
        reported: ReportedTokens,
    ) -> Self {
        Self {
            conversation,
            model,
            url: without_query(url),
            reported,
        }
    }

    /// Reports the tokens so far.
    pub(super) fn report(&self, tokens: Tokens) {
        self.reported.set(tokens);
    }

    /// Returns the response, with the state of the conversation.
    pub(super) fn finish(self, mut reply: ProviderReply) -> Response {
        self.report(reply.tokens);
        let outputs = std::mem::take(&mut reply.outputs);
        let response = self.conversation.finish(outputs);
        complete(response, reply, self.model, self.url)
    }

    /// Returns the response of a service that does not continue conversations: images would make
    /// the state too large to be sent around.
    pub(super) fn finish_without_state(self, mut reply: ProviderReply) -> Response {
        self.report(reply.tokens);
        let outputs = std::mem::take(&mut reply.outputs);
        let response = self.conversation.finish_without_state(outputs);
        complete(response, reply, self.model, self.url)
    }
}

/// Adds all of the provider's reply except its outputs.
fn complete(
    mut response: Response,
    reply: ProviderReply,
    requested_model: String,
    url: String,
) -> Response {
    let usage = &mut response.usage;
    usage.service.engine = Some(reply.model.unwrap_or(requested_model));
    usage.service.url = Some(url);
    usage.input_tokens = reply.tokens.input;
    usage.output_tokens = reply.tokens.output;
    // A provider that counts reasoning apart from its completion may leave it out of its total.
    usage.total_tokens = reply.total_tokens.max(reply.tokens.total());
    response.intern_response = reply.json;
    response
}

/// Returns a URL as `usage` shows it: its query may hold a secret of the operator.
fn without_query(url: &ServiceUrl) -> String {
    let url = url.as_str();
    let end = url.find('?').unwrap_or(url.len());
    url[..end].to_owned()
}

/// Returns the index of a choice: its own, else its position.
///
/// # Errors
/// [`ServiceError::BadAnswer`] when the answer has too many choices.
pub(super) fn choice_index(choice: &impl JsonView, position: usize) -> Result<u32, ServiceError> {
    let index = match choice.member("index").and_then(JsonView::as_count) {
        Some(index) => u32::try_from(index),
        None => u32::try_from(position),
    };
    match index {
        Ok(index) if index < MAX_CHOICES => Ok(index),
        Ok(_) | Err(_) => Err(ServiceError::BadAnswer(
            "the provider's answer has too many choices".into(),
        )),
    }
}

/// Returns the texts as outputs, in the order of their index; empty texts are left out.
pub(super) fn text_outputs(texts: BTreeMap<u32, String>) -> Vec<Output> {
    texts
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(index, text)| Output::Text(OutputText::complete(index, text)))
        .collect()
}

/// Returns a whole response as a reply. As a stream, it has all outputs in a single piece.
pub(super) fn whole_reply(response: Response, kind: ReplyKind) -> Reply {
    match kind {
        ReplyKind::Final => Reply::Final(response),
        ReplyKind::Stream => {
            let mut progress = Progress::new(response.outputs.clone());
            for output in &mut progress.outputs {
                if let Output::Text(text) = output {
                    text.is_delta = Some(true);
                    text.is_processing = Some(true);
                }
            }
            let events = [Event::Progress(progress), Event::Final(response)];
            Reply::Stream(Box::pin(stream::iter(events.map(Ok))))
        }
    }
}

/// Returns the error of an answer that was cut before it was complete.
pub(super) fn cut_short() -> ServiceError {
    ServiceError::BadAnswer("the provider's answer was cut short".into())
}
