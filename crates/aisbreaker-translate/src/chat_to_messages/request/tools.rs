//! Tools and the choice among them.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    Untranslatable,
    members::{self, Members},
};

/// A tool of Anthropic's API.
#[derive(Serialize)]
pub(super) struct Tool<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    input_schema: Schema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<&'a RawValue>,
}

/// The schema of a tool's input.
#[derive(Serialize)]
#[serde(untagged)]
enum Schema<'a> {
    /// The client's, as it is.
    Given(&'a RawValue),
    /// That of a function without parameters.
    Empty(EmptySchema),
}

#[derive(Serialize)]
struct EmptySchema {
    #[serde(rename = "type")]
    kind: &'static str,
    properties: NoProperties,
}

#[derive(Serialize)]
struct NoProperties {}

/// Which tools the model may or must call.
#[derive(Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ToolChoice<'a> {
    None,
    Auto {
        #[serde(skip_serializing_if = "is_false")]
        disable_parallel_tool_use: bool,
    },
    Any {
        #[serde(skip_serializing_if = "is_false")]
        disable_parallel_tool_use: bool,
    },
    Tool {
        name: Cow<'a, str>,
        #[serde(skip_serializing_if = "is_false")]
        disable_parallel_tool_use: bool,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}

/// The tools of a request, and the choice among them.
pub(super) struct Tools<'a> {
    pub(super) tools: Vec<Tool<'a>>,
    pub(super) choice: Option<ToolChoice<'a>>,
}

impl<'a> Tools<'a> {
    /// Takes `tools`, `tool_choice` and `parallel_tool_calls` out of a request.
    pub(super) fn take(request: &mut Members<'a>) -> Result<Self, Untranslatable> {
        let mut tools = Vec::new();
        request.take_as("tools", |list| {
            members::for_each_item(list, |_, tool| {
                tools.push(read_tool(tool)?);
                Ok(())
            })
        })?;
        let parallel = request.take_as("parallel_tool_calls", members::boolean)?;
        let disable_parallel = parallel == Some(false);
        let asked = request.take_as("tool_choice", |choice| {
            read_choice(choice, disable_parallel)
        })?;
        let choice = match asked {
            Some(ToolChoice::Any { .. } | ToolChoice::Tool { .. }) if tools.is_empty() => {
                return Err(Untranslatable::new("tool_choice", "needs tools"));
            }
            // Without tools, to call none is all that a model can do.
            _ if tools.is_empty() => None,
            None if disable_parallel => Some(ToolChoice::Auto {
                disable_parallel_tool_use: true,
            }),
            asked => asked,
        };
        Ok(Self { tools, choice })
    }
}

fn read_tool(tool: &RawValue) -> Result<Tool<'_>, Untranslatable> {
    let mut tool = Members::read(tool)?;
    require_function(&mut tool)?;
    let cache_control = tool.take_as("cache_control", members::object)?;
    let translated = tool.require_as("function", |function| {
        let mut function = Members::read(function)?;
        let translated = Tool {
            name: function.require_as("name", members::text)?,
            description: function.take_as("description", members::text)?,
            input_schema: match function.take_as("parameters", members::object)? {
                Some(schema) if !is_empty_object(schema) => Schema::Given(schema),
                Some(_) | None => Schema::Empty(EmptySchema {
                    kind: "object",
                    properties: NoProperties {},
                }),
            },
            strict: function
                .take_as("strict", members::boolean)?
                .filter(|strict| *strict),
            cache_control,
        };
        function.finish()?;
        Ok(translated)
    })?;
    tool.finish()?;
    Ok(translated)
}

/// Takes the type out of a tool, a call or a choice, and refuses any but `function`.
pub(super) fn require_function(value: &mut Members<'_>) -> Result<(), Untranslatable> {
    match &*value.require_as("type", members::text)? {
        "function" => Ok(()),
        "custom" => Err(Untranslatable::new(
            "type",
            "is custom, which has no counterpart in the provider's API: use function",
        )),
        "allowed_tools" => Err(Untranslatable::new(
            "type",
            "is allowed_tools, which has no counterpart in the provider's API: leave the other tools out",
        )),
        _ => Err(Untranslatable::new("type", "is not function")),
    }
}

fn read_choice(
    choice: &RawValue,
    disable_parallel_tool_use: bool,
) -> Result<ToolChoice<'_>, Untranslatable> {
    if members::is_string(choice) {
        return match &*members::text(choice)? {
            "none" => Ok(ToolChoice::None),
            "auto" => Ok(ToolChoice::Auto {
                disable_parallel_tool_use,
            }),
            "required" => Ok(ToolChoice::Any {
                disable_parallel_tool_use,
            }),
            _ => Err(Untranslatable::new(
                "",
                "is not one of none, auto and required",
            )),
        };
    }
    let mut choice = Members::read(choice)?;
    require_function(&mut choice)?;
    let name = choice.require_as("function", |function| {
        let mut function = Members::read(function)?;
        let name = function.require_as("name", members::text)?;
        function.finish()?;
        Ok(name)
    })?;
    choice.finish()?;
    Ok(ToolChoice::Tool {
        name,
        disable_parallel_tool_use,
    })
}

fn is_empty_object(value: &RawValue) -> bool {
    Members::read(value).is_ok_and(|members| members.is_empty())
}
