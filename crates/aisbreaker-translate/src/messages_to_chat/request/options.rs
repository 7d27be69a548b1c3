//! Members that control the answer, and those that ask for nothing.

use std::collections::HashSet;

use serde_json::{Value, value::RawValue};

use super::{
    chat::{JsonSchema, ResponseFormat},
    model::Effort,
};
use crate::{
    Untranslatable,
    members::{Members, NO_COUNTERPART, for_each_item, object, positive_integer, text},
};

/// What the `thinking` of a request asks for.
#[derive(Clone, Copy, Default)]
pub(super) struct ThinkingConfig {
    pub(super) is_shown: bool,
    pub(super) effort: Option<Effort>,
}

pub(super) fn thinking(value: &RawValue) -> Result<ThinkingConfig, Untranslatable> {
    let mut members = Members::read(value)?;
    let kind = members.require_as("type", text)?;
    let config = match kind.as_ref() {
        "disabled" => ThinkingConfig::default(),
        "adaptive" => ThinkingConfig {
            is_shown: is_shown(&mut members)?,
            effort: None,
        },
        "enabled" => ThinkingConfig {
            is_shown: is_shown(&mut members)?,
            effort: Some(Effort::of_budget(
                members.require_as("budget_tokens", positive_integer)?,
            )),
        },
        "between_tools" => return Err(Untranslatable::new("type", NO_COUNTERPART)),
        _ => {
            return Err(Untranslatable::new(
                "type",
                "is not enabled, adaptive or disabled",
            ));
        }
    };
    members.finish()?;
    Ok(config)
}

/// Reads `display`. Thinking that is to be omitted is signed at most, which only Anthropic can do.
fn is_shown(thinking: &mut Members<'_>) -> Result<bool, Untranslatable> {
    match thinking.take_as("display", text)?.as_deref() {
        None | Some("summarized") => Ok(true),
        Some("omitted") => Ok(false),
        Some(_) => Err(Untranslatable::new(
            "display",
            "is not summarized or omitted",
        )),
    }
}

#[derive(Default)]
pub(super) struct OutputConfig<'a> {
    pub(super) effort: Option<Effort>,
    pub(super) format: Option<ResponseFormat<'a>>,
}

impl<'a> OutputConfig<'a> {
    pub(super) fn read(value: &'a RawValue) -> Result<Self, Untranslatable> {
        let mut members = Members::read(value)?;
        let config = Self {
            effort: members.take_as("effort", effort)?,
            format: members.take_as("format", format)?,
        };
        members.finish()?;
        Ok(config)
    }
}

fn effort(value: &RawValue) -> Result<Effort, Untranslatable> {
    Effort::of_name(&text(value)?)
        .ok_or_else(|| Untranslatable::new("", "is not low, medium, high, xhigh or max"))
}

/// Reads the schema of the answer. The messages API guarantees it, so the provider is strict, where it can be.
fn format(value: &RawValue) -> Result<ResponseFormat<'_>, Untranslatable> {
    let mut members = Members::read(value)?;
    if members.require_as("type", text)? != "json_schema" {
        return Err(Untranslatable::new("type", "is not json_schema"));
    }
    let schema = members.require_as("schema", object)?;
    members.finish()?;
    Ok(ResponseFormat::JsonSchema {
        json_schema: JsonSchema {
            name: "output",
            schema,
            strict: serde_json::from_str(schema.get()).is_ok_and(|schema| can_be_strict(&schema)),
        },
    })
}

/// Returns whether providers take a schema if they have to be strict: its objects must demand all of their properties
/// and allow no others. Anthropic's SDKs leave properties with a default optional.
fn can_be_strict(schema: &Value) -> bool {
    match schema {
        Value::Array(items) => items.iter().all(can_be_strict),
        Value::Object(members) => {
            let is_closed = match schema["properties"].as_object() {
                Some(properties) => {
                    let required = schema["required"].as_array().into_iter().flatten();
                    let required: HashSet<_> = required.filter_map(Value::as_str).collect();
                    schema["additionalProperties"] == false
                        && properties
                            .keys()
                            .all(|name| required.contains(name.as_str()))
                }
                None => true,
            };
            is_closed && members.values().all(can_be_strict)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Reads `service_tier`: `auto` is the default of both APIs.
pub(super) fn service_tier(value: &RawValue) -> Result<Option<&'static str>, Untranslatable> {
    match text(value)?.as_ref() {
        "auto" => Ok(None),
        "standard_only" => Ok(Some("default")),
        _ => Err(Untranslatable::new("", "is not auto or standard_only")),
    }
}

/// Takes the members that ask for nothing, or for nothing that chat completions do otherwise.
pub(super) fn take_what_asks_for_nothing(request: &mut Members<'_>) -> Result<(), Untranslatable> {
    request.take_as("cache_control", object)?;
    request.take_as("diagnostics", object)?;
    request.take_as("context_management", context_management)?;
    request.take_as("mcp_servers", empty_list)?;
    request.take_as("betas", empty_list)?;
    request.take_as("speed", standard_speed)?;
    Ok(())
}

/// Accepts edits that clear the thinking of earlier answers, which is not sent anyway.
fn context_management(value: &RawValue) -> Result<(), Untranslatable> {
    let mut members = Members::read(value)?;
    members.take_as("edits", |edits| {
        for_each_item(edits, |_, edit| {
            let mut edit = Members::read(edit)?;
            match edit.require_as("type", text)?.as_ref() {
                "clear_thinking_20251015" => Ok(()),
                _ => Err(Untranslatable::new("type", NO_COUNTERPART)),
            }
        })
    })?;
    members.finish()
}

pub(super) fn empty_list(value: &RawValue) -> Result<(), Untranslatable> {
    for_each_item(value, |_, _| Err(Untranslatable::new("", NO_COUNTERPART)))
}

fn standard_speed(value: &RawValue) -> Result<(), Untranslatable> {
    match text(value)?.as_ref() {
        "standard" => Ok(()),
        _ => Err(Untranslatable::new("", NO_COUNTERPART)),
    }
}
