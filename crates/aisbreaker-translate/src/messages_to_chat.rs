//! A client of Anthropic's messages, and a provider of OpenAI's chat completions.
//!
//! ```
//! use aisbreaker_translate::messages_to_chat;
//!
//! let request = br#"{
//!     "model": "fast",
//!     "max_tokens": 100,
//!     "system": "Answer in one word.",
//!     "messages": [{"role": "user", "content": "The capital of France?"}]
//! }"#;
//! let translated = messages_to_chat::translate_request(request, "deepseek-chat")?;
//! assert_eq!(
//!     String::from_utf8(translated.body)?,
//!     concat!(
//!         r#"{"model":"deepseek-chat","messages":[{"role":"system","content":"Answer in one word."},"#,
//!         r#"{"role":"user","content":"The capital of France?"}],"max_tokens":100}"#,
//!     ),
//! );
//!
//! let response = br#"{
//!     "id": "chatcmpl-1",
//!     "model": "deepseek-chat",
//!     "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris."}, "finish_reason": "stop"}],
//!     "usage": {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22}
//! }"#;
//! let message = translated.answers.translate_response(response)?;
//! assert!(String::from_utf8(message)?.contains(r#""content":[{"type":"text","text":"Paris."}]"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Requests
//!
//! | Messages | Chat completions |
//! |---|---|
//! | `system` | the first message, with the role `system`, which most providers accept |
//! | a message with the role `system` | a message with the role `system` in the same place |
//! | text | text; the blocks of a message are joined by an empty line |
//! | `image` | an `image_url` part: its URL, or a `data:` URL |
//! | `document` | a PDF as a `file` part; text as text, after the title and the context |
//! | `tool_use` | a tool call; its input is passed on as it is written |
//! | `tool_result` | a message with the role `tool`, before the rest of the message |
//! | `is_error` | `Error: ` in front of the result |
//! | images and documents in a `tool_result` | parts of the next user message, since a `tool` message holds only text |
//! | `tools`, `tool_choice` | `tools`, `tool_choice`, `parallel_tool_calls` |
//! | `defer_loading`, `tool_reference`, `tool_addition`, `tool_removal` | a tool is offered if it is loaded at the end of the conversation |
//! | `max_tokens` | `max_completion_tokens` for OpenAI's own models, by their names; `max_tokens` for all others |
//! | `stop_sequences` | `stop`, which takes four |
//! | `temperature`, `top_p`, `stream` | the same; a stream asks for its usage |
//! | `metadata.user_id` | `user`, of which providers take 64 characters; the rest is cut off |
//! | `output_config.format` | `response_format`, which is strict if the schema demands all properties and allows no others |
//! | `output_config.effort` | `reasoning_effort` |
//! | `thinking.budget_tokens` | `reasoning_effort`, where no effort is set: `low` below 4096, `medium` below 16384, else `high` |
//! | `service_tier`: `standard_only` | `service_tier`: `default` |
//!
//! The effort `high` is the default of the messages API. It is sent to OpenAI's reasoning models only; other models
//! keep their own default, since many providers refuse the member. OpenAI's newest models take no tools with an effort
//! in chat completions: for them `high` is left out or, where they demand it, `none`.
//!
//! What asks for nothing that a provider of chat completions could do otherwise is ignored:
//!
//! - `cache_control` and `diagnostics`, which are about caching only;
//! - `thinking` and `redacted_thinking` blocks of earlier answers, which only the model that wrote them can read, and
//!   `context_management` that clears such blocks. Reasoning that the same model sent as `reasoning_content` is sent back
//!   as that;
//! - `thinking` of the types `adaptive` and `disabled`, except that they decide whether the client gets to see the
//!   provider's reasoning;
//! - `eager_input_streaming`, since chat completions always stream the input of tools.
//!
//! Anything else is refused with an [`Untranslatable`] that names it: `top_k`, tools that
//! Anthropic runs or defines, files by id, citations, a last message of the assistant that the provider would have to
//! continue, unknown members.
//!
//! # Answers
//!
//! | Chat completions | Messages |
//! |---|---|
//! | `content`, `refusal` | `text` |
//! | `reasoning_content`, `reasoning` | `thinking`, if the request asked for thinking that is shown |
//! | `tool_calls` | `tool_use` |
//! | `finish_reason`: `stop` | `end_turn`, also after a stop sequence, which the provider does not report |
//! | `length` | `max_tokens` |
//! | tool calls, whatever the reason | `tool_use` |
//! | `content_filter`, or a `refusal` | `refusal` |
//! | `prompt_tokens` less those cached | `input_tokens` |
//! | `cached_tokens`, `cache_write_tokens` | `cache_read_input_tokens`, `cache_creation_input_tokens` |
//! | `completion_tokens`, `reasoning_tokens` | `output_tokens`, `thinking_tokens` |
//!
//! Providers that send `reasoning_content` want it back with the results of tools. So the signature of such a `thinking`
//! block names the model, and reasoning that is not shown is in the signature of an empty `thinking` block before the
//! first tool call. Signatures are those of this translation: Anthropic refuses them.
//!
//! An error keeps the provider's message, and has the type that goes with its status. The message of a conversation
//! that exceeds the model's context begins with `prompt is too long`, at which clients shorten it.
//!
//! A tool call whose arguments are no JSON object is an error. If the answer was cut off by its limit, such a call is
//! left out of a response; in a stream its block ends early, as in a stream of Anthropic's.

mod completion;
mod error;
mod events;
mod message;
mod reasoning;
mod request;
mod response;

pub use self::events::Events;
use crate::{UnreadableAnswer, Untranslatable};

/// A request in the provider's API, and what translates the answer.
#[derive(Clone)]
#[non_exhaustive]
pub struct TranslatedRequest {
    /// The body for `POST chat/completions`.
    pub body: Vec<u8>,
    /// Translates what the provider answers.
    pub answers: Answers,
}

/// The body, which is content, is not shown.
impl std::fmt::Debug for TranslatedRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TranslatedRequest")
            .field("body_bytes", &self.body.len())
            .field("answers", &self.answers)
            .finish()
    }
}

/// Translates the body of `POST messages` to that of `POST chat/completions`.
///
/// `model`: the provider's name of the model, put in place of the one in the body.
///
/// # Errors
///
/// [`Untranslatable`] names the member that is wrong or has no counterpart.
pub fn translate_request(body: &[u8], model: &str) -> Result<TranslatedRequest, Untranslatable> {
    let (request, answers) = request::translate(body, model)?;
    Ok(TranslatedRequest {
        body: message::to_json(&request),
        answers,
    })
}

/// What the translation of an answer needs to know of the request.
#[derive(Clone, Debug)]
pub struct Answers {
    is_stream: bool,
    thinking: Thinking,
    /// The provider's name of the model.
    model: String,
}

/// Whether the client gets to see the provider's reasoning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Thinking {
    Shown,
    Hidden,
}

impl Answers {
    /// Returns whether the client asked for a stream.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Translates the body of a response with a status of success.
    ///
    /// # Errors
    ///
    /// [`UnreadableAnswer`] if it is not a chat completion.
    pub fn translate_response(&self, body: &[u8]) -> Result<Vec<u8>, UnreadableAnswer> {
        response::translate(body, self)
    }

    /// Returns the client's error object for an error response with any body.
    ///
    /// ```
    /// # use aisbreaker_translate::messages_to_chat;
    /// # let request = br#"{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}"#;
    /// # let answers = messages_to_chat::translate_request(request, "m")?.answers;
    /// let body = br#"{"error": {"message": "Too fast.", "type": "requests", "code": "rate_limit_exceeded"}}"#;
    /// assert_eq!(
    ///     String::from_utf8(answers.translate_error(429, body))?,
    ///     r#"{"type":"error","error":{"type":"rate_limit_error","message":"Too fast."}}"#,
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn translate_error(&self, status: u16, body: &[u8]) -> Vec<u8> {
        error::translate(status, body)
    }

    /// Returns the translation of a stream from its beginning.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.clone())
    }
}
