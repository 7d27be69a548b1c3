//! A client of OpenAI's chat completions, and a provider of Anthropic's messages.
//!
//! # Requests
//!
//! | OpenAI | Anthropic |
//! |---|---|
//! | `model` | The provider's name of the model |
//! | `messages`: `system`, `developer` | Before all others: `system`. Later ones: messages of the role `system`, which recent models accept after a user's turn |
//! | `messages`: `user`, `assistant`, `tool` | Messages of the roles `user` and `assistant`. Neighbours of one role are one message; a tool's result is the user's |
//! | `content`: strings, `text`, `refusal` | Text. Empty texts of the assistant are left out |
//! | `image_url` | `image`, by base64 or URL. `detail` may be `auto` or `high` |
//! | `file` with a PDF or plain text in `file_data` | `document`, with `filename` as its title |
//! | `tool_calls`; `role: tool` | `tool_use`; `tool_result`. The `name` of a result is left out, since its id says it |
//! | `tools`, `tool_choice`, `parallel_tool_calls` | `tools`, `tool_choice`, `disable_parallel_tool_use` |
//! | `max_completion_tokens`, `max_tokens` | `max_tokens`, or [`DEFAULT_MAX_TOKENS`] |
//! | `temperature`, `top_p` | The same from 0 to 1. A 1, the default of both APIs, is left out, since recent models accept no value |
//! | `stop` | `stop_sequences` |
//! | `reasoning_effort` | `output_config.effort`; `none` is `thinking: disabled` |
//! | `response_format: json_schema` | `output_config.format`. Its `name` is left out |
//! | `user`, `safety_identifier` | `metadata.user_id` |
//! | `service_tier` | `default` is `standard_only`, `auto` is left out |
//! | `stream`, `stream_options.include_usage` | `stream`; the usage is part of every stream of Anthropic's |
//! | `cache_control` of a part, a tool or the request | The same. It is no parameter of OpenAI's, but what many clients write |
//!
//! All else is refused by name, unless its value asks for nothing, such as `null`, `n: 1` or a penalty of 0.
//! JSON schemas and the arguments of tool calls are passed on as they are written.
//!
//! A conversation that ends with an assistant's message is passed on too: Anthropic's models continue that message,
//! or refuse to.
//!
//! # Answers
//!
//! | Anthropic | OpenAI |
//! |---|---|
//! | `id: msg_…` | `id: chatcmpl-…` |
//! | `text` | `content`, joined. Citations are left out |
//! | `tool_use` | `tool_calls` |
//! | `thinking`, `redacted_thinking` | Nothing: chat completions do not show what a model thinks. Its tokens are in `usage` |
//! | Other content blocks | An error: they come from tools that no chat completion can ask for |
//! | `end_turn`, `stop_sequence` | `stop` |
//! | `max_tokens`, `model_context_window_exceeded`, `pause_turn` | `length` |
//! | `tool_use` | `tool_calls` |
//! | `refusal` with its explanation | `content_filter`, and `refusal` in the message |
//! | `input_tokens` + `cache_creation_input_tokens` + `cache_read_input_tokens` | `prompt_tokens` |
//! | `cache_read_input_tokens`, `cache_creation_input_tokens` | `cached_tokens`, `cache_write_tokens` |
//! | `output_tokens`, `thinking_tokens` | `completion_tokens`, `reasoning_tokens` |
//! | `service_tier`: `standard`, `priority` | `default`, `priority` |
//! | The event `ping` | Nothing |
//! | The event `error` | A chunk with an `error`, after which the stream ends without `[DONE]` |

mod answers;
mod completion;
mod error;
mod events;
mod message;
mod request;
mod response;

pub use self::{
    answers::Answers,
    events::Events,
    request::{DEFAULT_MAX_TOKENS, TranslatedRequest, translate_request},
};
