//! Translates the messages of a request.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::reasoning;
use super::{
    chat::{ChatMessage, Content, FunctionCall, FunctionType, Part, ToolCall},
    content::{Block, SEPARATOR, content_of, join},
    tools::ToolChanges,
};
use crate::{
    Untranslatable,
    members::{Members, NO_COUNTERPART, boolean, for_each_item, is_string, object, text},
};

/// The most messages that the messages API takes.
const MAX_MESSAGES: usize = 100_000;

/// Stands in a tool message for images and documents, since it holds only text.
const MOVED: &str =
    "[The images and documents of this result are in the next message of the user.]";

/// The provider's messages, and the tools that they load.
pub(super) struct Conversation<'a> {
    model: &'a str,
    pub(super) messages: Vec<ChatMessage<'a>>,
    pub(super) tool_changes: ToolChanges<'a>,
}

/// A message whose content is not read yet.
struct Message<'a> {
    role: Role,
    content: &'a RawValue,
    /// Whether the model stops seeing it after the next message of the user.
    is_cleared: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    System,
    User,
    Assistant,
}

impl<'a> Conversation<'a> {
    /// Begins a conversation with a model of the provider.
    pub(super) fn new(model: &'a str) -> Self {
        Self {
            model,
            messages: Vec::new(),
            tool_changes: ToolChanges::new(),
        }
    }

    /// Adds a system message, unless it is empty.
    pub(super) fn push_system(&mut self, content: Cow<'a, str>) {
        if !content.is_empty() {
            self.messages.push(ChatMessage::System { content });
        }
    }

    /// Reads the messages of a request.
    pub(super) fn read(&mut self, list: &'a RawValue) -> Result<(), Untranslatable> {
        let mut messages = Vec::new();
        for_each_item(list, |index, message| {
            if index == MAX_MESSAGES {
                return Err(Untranslatable::new("", "is one more than 100,000 messages"));
            }
            messages.push(Message::read(message)?);
            Ok(())
        })?;
        let last = messages
            .iter()
            .rposition(|message| message.role != Role::System);
        let last = last.and_then(|index| Some((index, messages.get(index)?.role)));
        match last {
            Some((_, Role::User)) => {}
            Some((index, _)) => {
                return Err(Untranslatable::new(format!("[{index}].role"), PREFILL));
            }
            None => return Err(Untranslatable::new("", "holds no message of the user")),
        }
        let last_user = messages
            .iter()
            .rposition(|message| message.role == Role::User);
        for (index, message) in messages.iter().enumerate() {
            let is_cleared = message.is_cleared && last_user.is_some_and(|last| last > index);
            if !is_cleared {
                self.read_message(message)
                    .map_err(|error| error.within("content").within(&format!("[{index}]")))?;
            }
        }
        Ok(())
    }

    fn read_message(&mut self, message: &Message<'a>) -> Result<(), Untranslatable> {
        match message.role {
            Role::System => self.read_system(message.content),
            Role::User => self.read_user(message.content),
            Role::Assistant => self.read_assistant(message.content),
        }
    }
}

/// Why an answer cannot be begun by the client.
const PREFILL: &str = "is assistant in the last message, whose text the provider cannot continue";

impl<'a> Message<'a> {
    fn read(message: &'a RawValue) -> Result<Self, Untranslatable> {
        let mut message = Members::read(message)?;
        let role = message.require_as("role", |role| match text(role)?.as_ref() {
            "system" => Ok(Role::System),
            "user" => Ok(Role::User),
            "assistant" => Ok(Role::Assistant),
            _ => Err(Untranslatable::new("", "is not user, assistant or system")),
        })?;
        let content = message.require("content")?;
        let is_cleared = match role {
            Role::System => message.take_as("clear_at", is_cleared)?,
            Role::User | Role::Assistant => None,
        };
        message.finish()?;
        Ok(Self {
            role,
            content,
            is_cleared: is_cleared.unwrap_or(false),
        })
    }
}

fn is_cleared(clear_at: &RawValue) -> Result<bool, Untranslatable> {
    match text(clear_at)?.as_ref() {
        "never" => Ok(false),
        "next_user_message" => Ok(true),
        _ => Err(Untranslatable::new("", "is not never or next_user_message")),
    }
}

// System messages

impl<'a> Conversation<'a> {
    fn read_system(&mut self, content: &'a RawValue) -> Result<(), Untranslatable> {
        if is_string(content) {
            self.push_system(text(content)?);
            return Ok(());
        }
        let mut texts = Vec::new();
        for_each_item(content, |_, block| {
            let mut block = Block::read(block)?;
            let is_loaded = match block.kind.as_ref() {
                "text" => {
                    texts.push(block.text()?);
                    return Ok(());
                }
                "tool_addition" => true,
                "tool_removal" => false,
                _ => return Err(block.refuse()),
            };
            let name = block.members.require_as("tool", tool_reference)?;
            self.tool_changes.insert(name, is_loaded);
            block.members.finish()
        })?;
        self.push_system(join(texts));
        Ok(())
    }
}

/// Reads the name of a tool that is added or removed.
fn tool_reference(value: &RawValue) -> Result<Cow<'_, str>, Untranslatable> {
    let mut reference = Members::read(value)?;
    if reference.require_as("type", text)? != "tool_reference" {
        return Err(Untranslatable::new("type", NO_COUNTERPART));
    }
    let name = reference.require_as("name", text)?;
    reference.finish()?;
    Ok(name)
}

// Messages of the user

/// What a message of the user becomes.
#[derive(Default)]
struct UserTurn<'a> {
    results: Vec<ChatMessage<'a>>,
    /// Images and documents of the results.
    moved: Vec<Part<'a>>,
    parts: Vec<Part<'a>>,
}

impl<'a> Conversation<'a> {
    fn read_user(&mut self, content: &'a RawValue) -> Result<(), Untranslatable> {
        if is_string(content) {
            let content = Content::Text(text(content)?);
            self.messages.push(ChatMessage::User { content });
            return Ok(());
        }
        let mut turn = UserTurn::default();
        for_each_item(content, |_, block| {
            let block = Block::read(block)?;
            match block.kind.as_ref() {
                "tool_result" => self.read_tool_result(block.members, &mut turn),
                _ => block.append_to(&mut turn.parts),
            }
        })?;
        let has_results = !turn.results.is_empty();
        self.messages.append(&mut turn.results);
        let mut parts = turn.moved;
        parts.append(&mut turn.parts);
        if !parts.is_empty() {
            let content = content_of(parts);
            self.messages.push(ChatMessage::User { content });
        } else if !has_results {
            return Err(Untranslatable::new("", "holds nothing"));
        }
        Ok(())
    }

    fn read_tool_result(
        &mut self,
        mut result: Members<'a>,
        turn: &mut UserTurn<'a>,
    ) -> Result<(), Untranslatable> {
        let id = result.require_as("tool_use_id", text)?;
        let is_error = result.take_as("is_error", boolean)?.unwrap_or(false);
        let mut texts = Vec::new();
        let mut moved = Vec::new();
        result.take_as("content", |content| {
            self.read_result_content(content, &mut texts, &mut moved)
        })?;
        result.finish()?;

        if !moved.is_empty() {
            texts.push(Cow::Borrowed(MOVED));
            let text = Cow::Owned(format!("The images and documents of the tool result {id}:"));
            turn.moved.push(Part::Text { text });
            turn.moved.append(&mut moved);
        }
        let text = join(texts);
        turn.results.push(ChatMessage::Tool {
            tool_call_id: id,
            content: match (is_error, text.is_empty()) {
                (false, _) => text.into_owned(),
                (true, false) => format!("Error: {text}"),
                (true, true) => "Error".to_owned(),
            },
        });
        Ok(())
    }

    fn read_result_content(
        &mut self,
        content: &'a RawValue,
        texts: &mut Vec<Cow<'a, str>>,
        moved: &mut Vec<Part<'a>>,
    ) -> Result<(), Untranslatable> {
        if is_string(content) {
            texts.push(text(content)?);
            return Ok(());
        }
        for_each_item(content, |_, block| {
            let mut block = Block::read(block)?;
            match block.kind.as_ref() {
                "text" => texts.push(block.text()?),
                "tool_reference" => {
                    let name = block.members.require_as("tool_name", text)?;
                    block.members.finish()?;
                    texts.push(Cow::Owned(format!("The tool {name} can be called now.")));
                    self.tool_changes.insert(name, true);
                }
                _ => block.append_to(moved)?,
            }
            Ok(())
        })
    }
}

// Messages of the assistant

/// What a message of the assistant becomes.
#[derive(Default)]
struct AssistantTurn<'a> {
    text: Option<String>,
    reasoning: Option<String>,
    tool_calls: Vec<ToolCall<'a>>,
    /// Whether the block before was text, which the next text continues.
    continues: bool,
}

impl<'a> Conversation<'a> {
    fn read_assistant(&mut self, content: &'a RawValue) -> Result<(), Untranslatable> {
        let mut turn = AssistantTurn::default();
        if is_string(content) {
            turn.push_text(&text(content)?);
        } else {
            let model = self.model;
            for_each_item(content, |_, block| {
                turn.read_block(Block::read(block)?, model)
            })?;
        }
        // What held nothing but thinking is left out.
        if turn.text.is_some() || !turn.tool_calls.is_empty() {
            self.messages.push(ChatMessage::Assistant {
                content: turn.text,
                reasoning_content: turn.reasoning,
                tool_calls: turn.tool_calls,
            });
        }
        Ok(())
    }
}

impl<'a> AssistantTurn<'a> {
    fn read_block(&mut self, block: Block<'a>, model: &str) -> Result<(), Untranslatable> {
        match block.kind.as_ref() {
            "text" => {
                self.push_text(&block.text()?);
                return Ok(());
            }
            "thinking" => self.read_thinking(block.members, model)?,
            // Only the model that wrote it can read it.
            "redacted_thinking" => {}
            "tool_use" => self.tool_calls.push(tool_use(block.members)?),
            _ => return Err(block.refuse()),
        }
        self.continues = false;
        Ok(())
    }

    /// Reads thinking, of which nothing is sent but the reasoning that the model wants back.
    fn read_thinking(&mut self, mut block: Members<'a>, model: &str) -> Result<(), Untranslatable> {
        let thinking = block.take_as("thinking", text)?.unwrap_or_default();
        let signature = block.take_as("signature", text)?.unwrap_or_default();
        if let Some(returned) = reasoning::returned(thinking, &signature, model) {
            self.reasoning.get_or_insert_default().push_str(&returned);
        }
        Ok(())
    }

    fn push_text(&mut self, text: &str) {
        match &mut self.text {
            Some(so_far) => {
                if !self.continues {
                    so_far.push_str(SEPARATOR);
                }
                so_far.push_str(text);
            }
            None => self.text = Some(text.to_owned()),
        }
        self.continues = true;
    }
}

fn tool_use(mut block: Members<'_>) -> Result<ToolCall<'_>, Untranslatable> {
    let call = ToolCall {
        id: block.require_as("id", text)?,
        kind: FunctionType::Function,
        function: FunctionCall {
            name: block.require_as("name", text)?,
            arguments: block.require_as("input", object)?.get(),
        },
    };
    block.take_as("caller", |caller| {
        let mut caller = Members::read(caller)?;
        if caller.require_as("type", text)? != "direct" {
            return Err(Untranslatable::new("type", NO_COUNTERPART));
        }
        caller.finish()
    })?;
    block.finish()?;
    Ok(call)
}
