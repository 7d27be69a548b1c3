//! Translation between the dialects, as one interface over both directions.

use aisbreaker_services::Dialect;
use aisbreaker_translate::{UnreadableAnswer, Untranslatable, chat_to_messages, messages_to_chat};

/// A request in the dialect of a provider.
pub(crate) struct TranslatedRequest {
    pub(crate) body: Vec<u8>,
    pub(crate) answers: Answers,
}

/// Translates the answer to a translated request.
#[derive(Clone, Debug)]
pub(crate) enum Answers {
    ToOpenAi(chat_to_messages::Answers),
    ToAnthropic(messages_to_chat::Answers),
}

/// Translates the events of a stream.
#[derive(Debug)]
pub(crate) enum Events {
    ToOpenAi(chat_to_messages::Events),
    ToAnthropic(Box<messages_to_chat::Events>),
}

/// Translates a request that a client of this dialect sent. `model` is the provider's name of the
/// model.
pub(crate) fn translate_request(
    body: &[u8],
    model: &str,
    of_client: Dialect,
) -> Result<TranslatedRequest, Untranslatable> {
    match of_client {
        Dialect::OpenAi => {
            let translated = chat_to_messages::translate_request(body, model)?;
            Ok(TranslatedRequest {
                body: translated.body,
                answers: Answers::ToOpenAi(translated.answers),
            })
        }
        Dialect::Anthropic => {
            let translated = messages_to_chat::translate_request(body, model)?;
            Ok(TranslatedRequest {
                body: translated.body,
                answers: Answers::ToAnthropic(translated.answers),
            })
        }
    }
}

impl Answers {
    /// Returns whether the client asked for a stream.
    pub(crate) fn is_stream(&self) -> bool {
        match self {
            Self::ToOpenAi(answers) => answers.is_stream(),
            Self::ToAnthropic(answers) => answers.is_stream(),
        }
    }

    pub(crate) fn translate_response(&self, body: &[u8]) -> Result<Vec<u8>, UnreadableAnswer> {
        match self {
            Self::ToOpenAi(answers) => answers.translate_response(body),
            Self::ToAnthropic(answers) => answers.translate_response(body),
        }
    }

    pub(crate) fn translate_error(&self, status: u16, body: &[u8]) -> Vec<u8> {
        match self {
            Self::ToOpenAi(answers) => answers.translate_error(status, body),
            Self::ToAnthropic(answers) => answers.translate_error(status, body),
        }
    }

    pub(crate) fn events(&self) -> Events {
        match self {
            Self::ToOpenAi(answers) => Events::ToOpenAi(answers.events()),
            Self::ToAnthropic(answers) => Events::ToAnthropic(Box::new(answers.events())),
        }
    }
}

impl Events {
    /// Translates one event, and appends what the client gets of it.
    pub(crate) fn translate_event(
        &mut self,
        event: &str,
        data: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), UnreadableAnswer> {
        match self {
            Self::ToOpenAi(events) => events.translate_event(event, data, out),
            Self::ToAnthropic(events) => events.translate_event(event, data, out),
        }
    }

    /// Appends what ends the client's stream.
    ///
    /// # Errors
    /// The provider's stream was cut.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), UnreadableAnswer> {
        match self {
            Self::ToOpenAi(events) => events.finish(out),
            Self::ToAnthropic(events) => events.finish(out),
        }
    }
}
