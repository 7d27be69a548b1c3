//! The text that is answered or the tool that is called, and what that takes of tokens.

use std::{iter, sync::Arc};

use serde_json::{Value, json, value::RawValue};

use super::{
    fault::Fault,
    model::Model,
    prompt::{CharBoundary as _, Prompt},
    schema,
    tool::{ToolChoice, Tools, chosen},
};

/// A token is this many bytes of text, or of the JSON that is read.
const TOKEN_BYTES: usize = 4;
/// The most tokens of an answer.
pub(crate) const MAX_OUTPUT_TOKENS: u32 = 16_384;

/// What a request asks for.
pub(super) struct Question<'a> {
    pub(super) model: &'a Model,
    pub(super) prompt: Prompt,
    pub(super) tools: Tools<'a>,
    pub(super) tool_choice: ToolChoice,
    pub(super) format: Format<'a>,
    /// The most tokens that the answer may have.
    pub(super) max_tokens: Option<u64>,
}

/// What the text of an answer must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Format<'a> {
    Text,
    Json,
    /// JSON that satisfies this schema.
    Schema(&'a RawValue),
}

/// The answer to a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    Text {
        text: Arc<str>,
        /// Whether more would follow, if there were no limit.
        is_cut: bool,
    },
    ToolCall {
        name: String,
        arguments: Arc<str>,
    },
}

impl Question<'_> {
    /// Answers the question.
    pub(super) fn answer(self) -> Result<Answer, Fault> {
        if let Some(tool) = chosen(&self.tools, &self.tool_choice, &self.prompt)? {
            let arguments = tool.arguments()?;
            let tokens = tokens_of(tool.name.len().saturating_add(arguments.len()));
            if tokens <= self.max_tokens() {
                return Ok(Answer::ToolCall {
                    name: tool.name.into_owned(),
                    arguments: arguments.into(),
                });
            }
            // A call that is cut in the middle could not be made.
            return Ok(Answer::Text {
                text: "".into(),
                is_cut: true,
            });
        }
        let (text, is_cut) = match self.format {
            Format::Text => (self.model.text_for(&self.prompt.text), self.prompt.is_cut),
            Format::Json => (
                json!({"text": self.prompt.text}).to_string(),
                self.prompt.is_cut,
            ),
            Format::Schema(schema) => (schema::instance(schema)?, false),
        };
        let most_bytes = usize::try_from(self.max_tokens())
            .unwrap_or(usize::MAX)
            .saturating_mul(TOKEN_BYTES);
        let end = text.floor_char_boundary_at(most_bytes);
        Ok(Answer::Text {
            is_cut: is_cut || end < text.len(),
            text: text.get(..end).unwrap_or_default().into(),
        })
    }
}

impl Question<'_> {
    fn max_tokens(&self) -> u64 {
        let most = u64::from(MAX_OUTPUT_TOKENS);
        self.max_tokens.map_or(most, |tokens| tokens.min(most))
    }
}

impl Answer {
    /// Returns how many tokens the answer has.
    pub(super) fn tokens(&self) -> u64 {
        tokens_of(match self {
            Self::Text { text, .. } => text.len(),
            Self::ToolCall { name, arguments } => name.len().saturating_add(arguments.len()),
        })
    }
}

/// Returns the tokens of so many bytes.
pub(super) fn tokens_of(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(TOKEN_BYTES)).unwrap_or(u64::MAX)
}

/// Returns the tokens of the members of a request that a model reads.
pub(super) fn tokens_read(members: &[Option<&RawValue>]) -> u64 {
    let lengths = members.iter().flatten().map(|member| member.get().len());
    tokens_of(lengths.sum())
}

/// Returns the words of a text, each with the space after it.
pub(super) fn words(text: Arc<str>) -> impl Iterator<Item = String> + Send {
    let mut start = 0;
    iter::from_fn(move || {
        let rest = text.get(start..)?;
        let word = rest.split_inclusive(' ').next()?;
        start += word.len();
        Some(word.to_owned())
    })
}

/// Checks a limit on the tokens of an answer, which must allow one.
pub(super) fn check_max_tokens(
    max_tokens: Option<u64>,
    param: &'static str,
) -> Result<Option<u64>, Fault> {
    match max_tokens {
        Some(0) => Err(Fault::invalid(param, "must be at least 1")),
        max_tokens => Ok(max_tokens),
    }
}

/// Returns the arguments of a tool as the object that they are.
pub(super) fn as_object(arguments: &str) -> Value {
    serde_json::from_str(arguments).unwrap_or_else(|_| json!({}))
}
