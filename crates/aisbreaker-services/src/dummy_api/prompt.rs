//! The message that is answered: the last one of the user, or the last result of a tool.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fault::Fault;
use crate::json_scan::{elements, text};

/// The longest text that is answered, in bytes. The rest of a longer one is left out, as if the
/// model could write no more.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// What is answered.
#[derive(Debug, Default)]
pub(super) struct Prompt {
    pub(super) text: String,
    pub(super) is_cut: bool,
    /// Whether it is the result of a tool.
    pub(super) is_tool_result: bool,
}

/// A message of a conversation, or an item of the input of a response.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: Option<Cow<'a, str>>,
    role: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
}

/// A part of a message.
#[derive(Deserialize)]
struct Part<'a> {
    #[serde(rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

impl Prompt {
    /// Reads the last message that can be answered. `messages` is a list of them, or a text.
    pub(super) fn of(messages: &RawValue, param: &'static str) -> Result<Self, Fault> {
        let mut prompt = Self::default();
        if let Some(text) = text(bytes(messages)) {
            prompt.add(&text);
            return Ok(prompt);
        }
        if !messages.get().starts_with('[') {
            return Err(Fault::invalid(param, "must be a list of messages"));
        }
        let mut last = None;
        for element in elements(bytes(messages)) {
            let message: Message<'_> =
                parse(element).ok_or_else(|| Fault::invalid(param, "has a malformed message"))?;
            if message.is_answered() {
                last = Some(message);
            }
        }
        if let Some(message) = last {
            prompt.is_tool_result = message.is_tool_result();
            if let Some(content) = message.output.or(message.content) {
                prompt.add_content(content, 0);
            }
        }
        Ok(prompt)
    }

    /// Adds a text, on a line of its own.
    pub(super) fn add(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let room = MAX_TEXT_BYTES.saturating_sub(self.text.len());
        let end = text.floor_char_boundary_at(room);
        self.is_cut |= end < text.len();
        self.text.push_str(text.get(..end).unwrap_or_default());
    }

    /// Adds the texts of the content of a message, including the results of tools in it.
    fn add_content(&mut self, content: &RawValue, depth: u8) {
        if let Some(text) = text(bytes(content)) {
            return self.add(&text);
        }
        for element in elements(bytes(content)) {
            let Some(part) = parse::<Part<'_>>(element) else {
                continue;
            };
            if let Some(text) = part.text.and_then(|value| text(bytes(value))) {
                self.add(&text);
            }
            if part.kind.as_deref() == Some("tool_result") {
                self.is_tool_result = true;
                if let Some(content) = part.content.filter(|_| depth == 0) {
                    self.add_content(content, 1);
                }
            }
        }
    }
}

impl Message<'_> {
    fn is_answered(&self) -> bool {
        self.is_tool_result() || self.role.as_deref() == Some("user")
    }

    fn is_tool_result(&self) -> bool {
        matches!(self.role.as_deref(), Some("tool" | "function"))
            || matches!(
                self.kind.as_deref(),
                Some("function_call_output" | "custom_tool_call_output")
            )
    }
}

pub(super) fn bytes(value: &RawValue) -> &[u8] {
    value.get().as_bytes()
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    serde_json::from_slice(json).ok()
}

/// Finds where a text may be cut.
pub(super) trait CharBoundary {
    /// Returns the largest place up to `at` where a character begins or the text ends.
    fn floor_char_boundary_at(&self, at: usize) -> usize;
}

impl CharBoundary for str {
    fn floor_char_boundary_at(&self, at: usize) -> usize {
        let mut end = at.min(self.len());
        while !self.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        end
    }
}
