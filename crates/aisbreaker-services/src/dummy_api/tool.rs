//! Whether a tool is called, and which.
//!
//! A tool is called if `tool_choice` forces one, or if the message of the user names one: by its whole
//! name, or by a word of four letters or more of it, as "What is the weather?" names `get_weather`. The
//! result of a tool is answered with a text, unless a call is forced. At most one tool is called.

use std::{borrow::Cow, collections::HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    fault::Fault,
    prompt::{Prompt, bytes},
    schema,
};
use crate::json_scan::{elements, text};

/// Words of fewer letters, such as `get`, name no tool.
const MIN_WORD_LETTERS: usize = 4;

/// The tools that a request offers: `tools`, as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tools<'a>(pub(super) Option<&'a RawValue>);

/// A tool with arguments that a schema describes.
#[derive(Debug)]
pub(super) struct Tool<'a> {
    pub(super) name: Cow<'a, str>,
    schema: Option<&'a RawValue>,
}

/// What a request says about the tool to call.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) enum ToolChoice {
    #[default]
    Auto,
    None,
    /// One of these must be called; if there are none, any.
    Forced(Vec<String>),
    /// One of these may be called.
    Allowed(Vec<String>),
}

/// A tool in any of the three shapes.
#[derive(Deserialize)]
struct WrittenTool<'a> {
    #[serde(rename = "type")]
    kind: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow)]
    input_schema: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<WrittenFunction<'a>>,
}

#[derive(Deserialize)]
struct WrittenFunction<'a> {
    name: Cow<'a, str>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

/// `tool_choice` as an object, in any of the three shapes.
#[derive(Deserialize)]
struct WrittenChoice<'a> {
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    function: Option<WrittenFunction<'a>>,
    mode: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tools: Option<Vec<WrittenTool<'a>>>,
    #[serde(borrow)]
    allowed_tools: Option<AllowedTools<'a>>,
}

#[derive(Deserialize)]
struct AllowedTools<'a> {
    mode: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tools: Vec<WrittenTool<'a>>,
}

impl<'a> Tools<'a> {
    /// Returns the tools with arguments. Those that the provider runs itself are left out.
    fn iter(&self) -> impl Iterator<Item = Tool<'a>> {
        let tools = self.0.map(bytes).unwrap_or_default();
        elements(tools).filter_map(|tool| {
            let tool: WrittenTool<'a> = serde_json::from_slice(tool).ok()?;
            tool.into_tool()
        })
    }
}

impl<'a> WrittenTool<'a> {
    fn into_tool(self) -> Option<Tool<'a>> {
        if let Some(function) = self.function {
            return Some(Tool {
                name: function.name,
                schema: function.parameters,
            });
        }
        if self.kind.as_deref() != Some("function") && self.input_schema.is_none() {
            return None;
        }
        Some(Tool {
            name: self.name?,
            schema: self.parameters.or(self.input_schema),
        })
    }

    fn into_name(self) -> Option<String> {
        let name = self.function.map(|function| function.name).or(self.name);
        name.map(Cow::into_owned)
    }
}

impl Tool<'_> {
    /// Returns arguments that satisfy the schema, as JSON.
    pub(super) fn arguments(&self) -> Result<String, Fault> {
        match self.schema {
            Some(schema) => schema::instance(schema),
            None => Ok("{}".to_owned()),
        }
    }
}

impl ToolChoice {
    /// Reads `tool_choice`.
    pub(super) fn of(choice: Option<&RawValue>) -> Result<Self, Fault> {
        let Some(choice) = choice else {
            return Ok(Self::Auto);
        };
        if let Some(mode) = text(bytes(choice)) {
            return Self::of_mode(&mode, Vec::new());
        }
        let Ok(choice) = serde_json::from_str::<WrittenChoice<'_>>(choice.get()) else {
            return Err(Fault::invalid("tool_choice", "is malformed"));
        };
        let function = choice.function.map(|function| function.name);
        let named = choice.name.or(function).map(Cow::into_owned);
        match (&*choice.kind, named) {
            ("tool" | "function" | "custom", Some(name)) => Ok(Self::Forced(vec![name])),
            ("allowed_tools", _) => {
                let (mode, tools) = match choice.allowed_tools {
                    Some(allowed) => (allowed.mode, allowed.tools),
                    None => (choice.mode, choice.tools.unwrap_or_default()),
                };
                let names = tools.into_iter().filter_map(WrittenTool::into_name);
                Self::of_mode(mode.as_deref().unwrap_or("auto"), names.collect())
            }
            (mode, _) => Self::of_mode(mode, Vec::new()),
        }
    }

    fn of_mode(mode: &str, names: Vec<String>) -> Result<Self, Fault> {
        match mode {
            "none" => Ok(Self::None),
            "auto" if names.is_empty() => Ok(Self::Auto),
            "auto" => Ok(Self::Allowed(names)),
            "required" | "any" => Ok(Self::Forced(names)),
            _ => Err(Fault::invalid(
                "tool_choice",
                "names no way to choose a tool",
            )),
        }
    }
}

/// Returns the tool to call, if one is to be called.
pub(super) fn chosen<'a>(
    tools: &Tools<'a>,
    choice: &ToolChoice,
    prompt: &Prompt,
) -> Result<Option<Tool<'a>>, Fault> {
    let (names, is_forced) = match choice {
        ToolChoice::None => return Ok(None),
        ToolChoice::Auto => (&[][..], false),
        ToolChoice::Allowed(names) => (&names[..], false),
        ToolChoice::Forced(names) => (&names[..], true),
    };
    if prompt.is_tool_result && !is_forced {
        return Ok(None);
    }
    let is_candidate =
        |tool: &Tool<'_>| names.is_empty() || names.iter().any(|name| *name == tool.name);
    let mut first = None;
    let mut best: Option<(usize, Tool<'a>)> = None;
    let prompt = PromptWords::of(prompt);
    for tool in tools.iter().filter(is_candidate) {
        let matches = prompt.matches(&tool.name);
        if first.is_none() {
            first = Some(Tool {
                name: tool.name.clone(),
                schema: tool.schema,
            });
        }
        if matches > best.as_ref().map_or(0, |(most, _)| *most) {
            best = Some((matches, tool));
        }
    }
    match (best, first) {
        (Some((_, tool)), _) => Ok(Some(tool)),
        (None, first) if is_forced => match first {
            Some(tool) => Ok(Some(tool)),
            None => Err(Fault::invalid(
                "tool_choice",
                "forces a tool that is not in tools, or has no schema of arguments",
            )),
        },
        (None, _) => Ok(None),
    }
}

/// The words of a message, in small letters.
struct PromptWords {
    /// With the signs that names of tools may have.
    names: HashSet<String>,
    words: HashSet<String>,
}

impl PromptWords {
    fn of(prompt: &Prompt) -> Self {
        let text = prompt.text.to_lowercase();
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let names = text.split(|c| !is_name(c)).map(str::to_owned);
        let words = text
            .split(|c: char| !c.is_alphanumeric())
            .map(str::to_owned);
        Self {
            names: names.collect(),
            words: words.collect(),
        }
    }

    /// Returns how well a tool of this name matches; 0 if the message does not name it.
    fn matches(&self, name: &str) -> usize {
        if self.names.contains(&name.to_lowercase()) {
            return usize::MAX;
        }
        let words = words_of(name);
        let is_named = |word: &&String| {
            word.chars().count() >= MIN_WORD_LETTERS && self.words.contains(word.as_str())
        };
        words.iter().filter(is_named).count()
    }
}

/// Returns the words of a name such as `get_weather` or `getWeather`, in small letters.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && was_small) {
            words.push(String::new());
        }
        was_small = c.is_lowercase();
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
    }
    words
}
