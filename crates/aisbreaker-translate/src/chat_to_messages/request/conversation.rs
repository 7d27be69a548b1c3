//! The messages of a conversation.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    blocks::{Block, Content},
    content::{self, Parts},
};
use crate::{
    Untranslatable,
    members::{self, Members, NO_COUNTERPART},
};

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Assistant,
    System,
}

/// A message of Anthropic's API.
#[derive(Serialize)]
pub(super) struct Turn<'a> {
    role: Role,
    content: Content<'a>,
}

/// The conversation as Anthropic's API has it.
#[derive(Default)]
pub(super) struct Conversation<'a> {
    /// The system and developer messages before the first other message.
    pub(super) system: Content<'a>,
    /// The turns. Neighbours of one role are one turn.
    pub(super) turns: Vec<Turn<'a>>,
}

impl<'a> Conversation<'a> {
    /// Reads the messages of a request.
    pub(super) fn read(messages: &'a RawValue) -> Result<Self, Untranslatable> {
        let mut conversation = Self::default();
        members::for_each_item(messages, |_, message| conversation.read_message(message))?;
        if conversation.turns.is_empty() {
            return Err(Untranslatable::new(
                "",
                "has no message besides those of the system, and the provider's API needs one",
            ));
        }
        Ok(conversation)
    }

    fn read_message(&mut self, message: &'a RawValue) -> Result<(), Untranslatable> {
        let mut message = Members::read(message)?;
        let role = message.require_as("role", members::text)?;
        match &*role {
            "system" | "developer" => self.read_system(&mut message)?,
            "user" => {
                let blocks = self.blocks_of(Role::User);
                message.require_as("content", |content| {
                    content::read(content, Parts::TextAndFiles, blocks)
                })?;
            }
            "assistant" => read_assistant(&mut message, self.blocks_of(Role::Assistant))?,
            "tool" => {
                let result = read_tool_result(&mut message)?;
                self.blocks_of(Role::User).push(result);
            }
            "function" => {
                return Err(Untranslatable::new(
                    "role",
                    "is function, which OpenAI has retired: use tool",
                ));
            }
            _ => {
                return Err(Untranslatable::new(
                    "role",
                    "is not one of system, developer, user, assistant and tool",
                ));
            }
        }
        message.finish()
    }

    /// Leading messages become the system prompt, later ones stay where they are.
    fn read_system(&mut self, message: &mut Members<'a>) -> Result<(), Untranslatable> {
        let blocks = if self.turns.is_empty() {
            &mut self.system.0
        } else {
            self.blocks_of(Role::System)
        };
        message.require_as("content", |content| {
            content::read(content, Parts::Text, blocks)
        })
    }

    /// Returns the blocks of the last turn if it is of this role, or else those of a new turn.
    fn blocks_of(&mut self, role: Role) -> &mut Vec<Block<'a>> {
        if self.turns.last().is_none_or(|turn| turn.role != role) {
            self.turns.push(Turn {
                role,
                content: Content::default(),
            });
        }
        let last = self.turns.len() - 1;
        &mut self.turns[last].content.0
    }
}

fn read_assistant<'a>(
    message: &mut Members<'a>,
    blocks: &mut Vec<Block<'a>>,
) -> Result<(), Untranslatable> {
    let before = blocks.len();
    message.take_as("content", |content| {
        content::read(content, Parts::TextAndRefusals, blocks)
    })?;
    if let Some(refusal) = message.take_as("refusal", members::text)?
        && !refusal.is_empty()
    {
        blocks.push(Block::text(refusal));
    }
    message.take_as("tool_calls", |calls| {
        members::for_each_item(calls, |_, call| {
            blocks.push(read_tool_call(call)?);
            Ok(())
        })
    })?;
    // Of a response that is sent back. An empty list says nothing.
    if let Some(annotations) = message.take("annotations") {
        members::for_each_item(annotations, |_, _| {
            Err(Untranslatable::new("", NO_COUNTERPART))
        })
        .map_err(|error| error.within("annotations"))?;
    }
    if message.take("function_call").is_some() {
        return Err(Untranslatable::new(
            "function_call",
            "is retired by OpenAI: use tool_calls",
        ));
    }
    if blocks.len() == before {
        return Err(Untranslatable::new(
            "content",
            "is empty, and there are no tool_calls: the provider's API needs either",
        ));
    }
    Ok(())
}

fn read_tool_call(call: &RawValue) -> Result<Block<'_>, Untranslatable> {
    let mut call = Members::read(call)?;
    super::tools::require_function(&mut call)?;
    let id = call.require_as("id", members::text)?;
    let (name, input) = call.require_as("function", |function| {
        let mut function = Members::read(function)?;
        let name = function.require_as("name", members::text)?;
        let arguments = function.require_as("arguments", members::text)?;
        function.finish()?;
        let input = read_arguments(arguments).map_err(|error| error.within("arguments"))?;
        Ok((name, input))
    })?;
    call.finish()?;
    Ok(Block::ToolUse { id, name, input })
}

/// Reads arguments, which are JSON in a string. Models write none at all for a function without parameters.
fn read_arguments(arguments: Cow<'_, str>) -> Result<Box<RawValue>, Untranslatable> {
    let text = if arguments.trim().is_empty() {
        "{}".to_owned()
    } else {
        arguments.into_owned()
    };
    match RawValue::from_string(text) {
        Ok(input) if input.get().starts_with('{') => Ok(input),
        Ok(_) | Err(_) => Err(Untranslatable::new("", "is not a JSON object in a string")),
    }
}

fn read_tool_result<'a>(message: &mut Members<'a>) -> Result<Block<'a>, Untranslatable> {
    let tool_use_id = message.require_as("tool_call_id", members::text)?;
    let mut content = Content::default();
    message.require_as("content", |value| {
        content::read(value, Parts::TextAndFiles, &mut content.0)
    })?;
    // The id says which function it was.
    message.take_as("name", members::text)?;
    Ok(Block::ToolResult {
        tool_use_id,
        content,
    })
}
