//! What the translation of an answer needs to know of the request.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{error, events::Events, response};
use crate::UnreadableAnswer;

/// Translates the provider's answer to one request.
#[derive(Clone, Debug)]
pub struct Answers {
    is_stream: bool,
    include_usage: bool,
    created: u64,
}

impl Answers {
    pub(super) fn new(is_stream: bool, include_usage: bool) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "every answer carries the time, and callers who have a clock set it"
        )]
        let now = SystemTime::now();
        Self {
            is_stream,
            include_usage,
            created: now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        }
    }

    /// Sets the time in the answers, in seconds since 1970 in UTC. Without it, it is that of the translation of the
    /// request.
    #[must_use]
    pub fn with_created(mut self, created: u64) -> Self {
        self.created = created;
        self
    }

    /// Returns whether the client asked for a stream.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Translates the body of a response with a status of 2xx, a message in JSON, into a chat completion.
    ///
    /// # Errors
    /// [`UnreadableAnswer`] if it is not a message, or holds what a chat completion cannot express.
    pub fn translate_response(&self, body: &[u8]) -> Result<Vec<u8>, UnreadableAnswer> {
        response::translate(body, self.created)
    }

    /// Translates the body of a response with any other status into OpenAI's error object.
    ///
    /// The status stays as it is. A body that cannot be read becomes an error that names the status.
    ///
    /// # Examples
    /// ```
    /// # use aisbreaker_translate::chat_to_messages::translate_request;
    /// # let body = br#"{"messages": [{"role": "user", "content": "Hi"}]}"#;
    /// let answers = translate_request(body, "claude-opus-5-5")?.answers;
    ///
    /// let error = answers.translate_error(502, b"<html>");
    /// assert_eq!(
    ///     String::from_utf8_lossy(&error),
    ///     concat!(
    ///         r#"{"error":{"message":"the provider answered with status 502 and no error in JSON","#,
    ///         r#""type":"server_error","param":null,"code":null}}"#
    ///     )
    /// );
    /// # Ok::<(), aisbreaker_translate::Untranslatable>(())
    /// ```
    #[must_use]
    pub fn translate_error(&self, status: u16, body: &[u8]) -> Vec<u8> {
        error::translate(status, body)
    }

    /// Returns the translation of a stream, from its start.
    ///
    /// # Examples
    /// ```
    /// # use aisbreaker_translate::chat_to_messages::translate_request;
    /// # let body = br#"{"stream": true, "messages": [{"role": "user", "content": "Hi"}]}"#;
    /// let answers = translate_request(body, "claude-opus-5-5")?.answers.with_created(1767225600);
    /// let mut events = answers.events();
    /// let mut out = Vec::new();
    ///
    /// let start = r#"{"type": "message_start", "message": {"id": "msg_1", "model": "claude-opus-5-5",
    ///     "usage": {"input_tokens": 8, "output_tokens": 1}}}"#;
    /// events.translate_event("message_start", start, &mut out)?;
    /// assert_eq!(
    ///     String::from_utf8_lossy(&out),
    ///     concat!(
    ///         r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767225600,"#,
    ///         r#""model":"claude-opus-5-5","choices":[{"index":0,"delta":{"role":"assistant","content":""},"#,
    ///         r#""logprobs":null,"finish_reason":null}]}"#,
    ///         "\n\n"
    ///     )
    /// );
    /// // The stream is cut off.
    /// assert!(events.finish(&mut out).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.include_usage, self.created)
    }
}
