#![doc = include_str!("../README.md")]
//!
//! | Module | The client speaks | The provider speaks |
//! |---|---|---|
//! | [`chat_to_messages`] | OpenAI's chat completions | Anthropic's messages |
//! | [`messages_to_chat`] | Anthropic's messages | OpenAI's chat completions |
//!
//! Both have the same parts: `translate_request` returns the provider's request and an `Answers`, which
//! translates what the provider answers: a response, an error, or the events of a stream.
//!
//! Sources: the API references of OpenAI and Anthropic.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod chat_to_messages;
pub mod messages_to_chat;

mod error;
mod members;

pub use self::error::{UnreadableAnswer, Untranslatable};
