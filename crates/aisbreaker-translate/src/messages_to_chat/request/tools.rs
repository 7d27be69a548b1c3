//! Tools: which are offered, and which the model has to call.

use std::{borrow::Cow, collections::HashMap};

use serde_json::value::RawValue;

use super::{
    chat::{Function, FunctionName, FunctionType, Tool, ToolChoice},
    options::empty_list,
};
use crate::{
    Untranslatable,
    members::{Members, NO_COUNTERPART, boolean, for_each_item, object, text},
};

/// Tools that the conversation loaded (`true`) or removed (`false`).
pub(super) type ToolChanges<'a> = HashMap<Cow<'a, str>, bool>;

/// Reads the tools that are offered.
pub(super) fn read<'a>(
    list: &'a RawValue,
    changes: &ToolChanges<'a>,
) -> Result<Vec<Tool<'a>>, Untranslatable> {
    let mut tools = Vec::new();
    for_each_item(list, |_, tool| {
        tools.extend(read_tool(tool, changes)?);
        Ok(())
    })?;
    Ok(tools)
}

/// Reads a tool. One that is neither loaded from the beginning nor by the conversation is not offered.
fn read_tool<'a>(
    tool: &'a RawValue,
    changes: &ToolChanges<'a>,
) -> Result<Option<Tool<'a>>, Untranslatable> {
    let mut tool = Members::read(tool)?;
    tool.take_as("type", custom_type)?;
    let function = Function {
        name: tool.require_as("name", text)?,
        description: tool.take_as("description", text)?,
        parameters: tool.require_as("input_schema", object)?,
        strict: tool.take_as("strict", boolean)?,
    };
    tool.take_as("cache_control", object)?;
    tool.take_as("eager_input_streaming", boolean)?;
    tool.take_as("input_examples", empty_list)?;
    tool.take_as("allowed_callers", direct_callers)?;
    let is_deferred = tool.take_as("defer_loading", boolean)?.unwrap_or(false);
    tool.finish()?;
    let is_offered = changes.get(&function.name).copied().unwrap_or(!is_deferred);
    Ok(is_offered.then_some(Tool {
        kind: FunctionType::Function,
        function,
    }))
}

/// Anthropic's own tools, by the beginnings of their types. Their schemas are known to its models only.
const ANTHROPIC_TOOLS: [(&str, &str); 11] = [
    (
        "advisor_",
        "is the advisor tool, which has no counterpart in the provider's API",
    ),
    (
        "bash_",
        "is Anthropic's bash tool, which has no counterpart in the provider's API",
    ),
    (
        "browser_",
        "is the browser toolset, which has no counterpart in the provider's API",
    ),
    (
        "code_execution_",
        "is the code execution tool, which has no counterpart in the provider's API",
    ),
    (
        "computer_",
        "is the computer use tool, which has no counterpart in the provider's API",
    ),
    (
        "mcp_toolset",
        "is an MCP toolset, which has no counterpart in the provider's API",
    ),
    (
        "memory_",
        "is the memory tool, which has no counterpart in the provider's API",
    ),
    (
        "text_editor_",
        "is the text editor tool, which has no counterpart in the provider's API",
    ),
    (
        "tool_search_",
        "is the tool search tool, which has no counterpart in the provider's API",
    ),
    (
        "web_fetch_",
        "is the web fetch tool, which has no counterpart in the provider's API",
    ),
    (
        "web_search_",
        "is the web search tool, which has no counterpart in the provider's API",
    ),
];

fn custom_type(kind: &RawValue) -> Result<(), Untranslatable> {
    let kind = text(kind)?;
    if kind == "custom" {
        return Ok(());
    }
    let known = ANTHROPIC_TOOLS
        .iter()
        .find(|(prefix, _)| kind.starts_with(prefix));
    let reason = known.map_or("is not custom", |(_, reason)| reason);
    Err(Untranslatable::new("", reason))
}

fn direct_callers(list: &RawValue) -> Result<(), Untranslatable> {
    for_each_item(list, |_, caller| match text(caller)?.as_ref() {
        "direct" => Ok(()),
        _ => Err(Untranslatable::new("", NO_COUNTERPART)),
    })
}

/// What the model may and has to call.
#[derive(Default)]
pub(super) struct Choice<'a> {
    pub(super) tool_choice: Option<ToolChoice<'a>>,
    pub(super) parallel_tool_calls: Option<bool>,
}

/// Reads `tool_choice`. Providers take it only if there are tools.
pub(super) fn read_choice<'a>(
    choice: &'a RawValue,
    tools: &[Tool<'a>],
) -> Result<Choice<'a>, Untranslatable> {
    let mut choice = Members::read(choice)?;
    let kind = choice.require_as("type", text)?;
    let is_sequential = match kind.as_ref() {
        "none" => None,
        _ => choice.take_as("disable_parallel_tool_use", boolean)?,
    };
    let tool_choice = match kind.as_ref() {
        "auto" => ToolChoice::Mode("auto"),
        "none" => ToolChoice::Mode("none"),
        "any" => ToolChoice::Mode("required"),
        "tool" => ToolChoice::Function {
            kind: FunctionType::Function,
            function: FunctionName {
                name: choice.require_as("name", text)?,
            },
        },
        _ => {
            return Err(Untranslatable::new(
                "type",
                "is not auto, any, tool or none",
            ));
        }
    };
    choice.finish()?;
    if !tools.is_empty() {
        return Ok(Choice {
            tool_choice: Some(tool_choice),
            parallel_tool_calls: is_sequential
                .filter(|is_sequential| *is_sequential)
                .map(|_| false),
        });
    }
    match kind.as_ref() {
        "auto" | "none" => Ok(Choice::default()),
        _ => Err(Untranslatable::new(
            "",
            "asks for a call, but no tool is offered",
        )),
    }
}
