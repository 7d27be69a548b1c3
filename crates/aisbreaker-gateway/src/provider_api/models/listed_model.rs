//! The models of a list, and the list, in both dialects.

use std::time::{Duration, UNIX_EPOCH};

use aisbreaker_services::Dialect;
use serde_json::{
    Map, Value, json,
    value::{RawValue, to_raw_value},
};

/// The first second of the year 10000, which RFC 3339 cannot write.
const YEAR_10000: u64 = 253_402_300_800;

/// A model as it is in a list.
pub(super) struct ListedModel {
    id: String,
    pub(super) json: Box<RawValue>,
}

impl ListedModel {
    /// Converts a model; `None` if it has no id.
    pub(super) fn new(model: Map<String, Value>, dialect: Dialect) -> Option<Self> {
        let id = model.get("id")?.as_str()?.to_owned();
        let model = match dialect {
            Dialect::OpenAi => for_openai(model),
            Dialect::Anthropic => for_anthropic(model),
        };
        let json = to_raw_value(&model).ok()?;
        Some(Self { id, json })
    }
}

/// Returns the model that an alias stands for, under the name of the alias.
pub(super) fn alias_model(alias: &str, target: &str) -> Map<String, Value> {
    let (_, after_task) = target.rsplit_once(':').unwrap_or(("", target));
    let (vendor, _) = after_task.split_once('/').unwrap_or((after_task, ""));
    named_model(alias, target, vendor)
}

/// Returns a model of which no more is known than its names and its owner.
pub(super) fn named_model(id: &str, display_name: &str, owner: &str) -> Map<String, Value> {
    let mut model = Map::new();
    for (name, text) in [
        ("id", id),
        ("display_name", display_name),
        ("owned_by", owner),
    ] {
        model.insert(name.to_owned(), Value::from(text));
    }
    model
}

/// Encodes a list.
pub(super) fn encode_list(models: &[ListedModel], dialect: Dialect) -> String {
    let data: Vec<&str> = models.iter().map(|model| model.json.get()).collect();
    let data = data.join(",");
    match dialect {
        Dialect::OpenAi => format!(r#"{{"object":"list","data":[{data}]}}"#),
        Dialect::Anthropic => {
            let first = json!(models.first().map(|model| &*model.id));
            let last = json!(models.last().map(|model| &*model.id));
            format!(r#"{{"first_id":{first},"last_id":{last},"has_more":false,"data":[{data}]}}"#)
        }
    }
}

/// Adds the members that OpenAI's clients expect.
fn for_openai(mut model: Map<String, Value>) -> Value {
    let created = created_seconds(&model).unwrap_or_default();
    model.insert("object".to_owned(), Value::from("model"));
    if !model.get("created").is_some_and(Value::is_number) {
        model.insert("created".to_owned(), Value::from(created));
    }
    Value::Object(model)
}

/// Adds the members that Anthropic's clients expect.
fn for_anthropic(mut model: Map<String, Value>) -> Value {
    let created = Duration::from_secs(created_seconds(&model).unwrap_or_default());
    let created = humantime::format_rfc3339_seconds(UNIX_EPOCH + created);
    let display_name = display_name(&model).to_owned();
    model.insert("type".to_owned(), Value::from("model"));
    let defaults = [
        ("display_name", display_name),
        ("created_at", created.to_string()),
        // A listed model can be used.
        ("lifecycle", "active".to_owned()),
    ];
    for (name, text) in defaults {
        model.entry(name).or_insert_with(|| Value::from(text));
    }
    Value::Object(model)
}

fn display_name(model: &Map<String, Value>) -> &str {
    for member in ["display_name", "name", "id"] {
        if let Some(Value::String(name)) = model.get(member) {
            return name;
        }
    }
    ""
}

/// Returns when the model was created, in seconds since 1970, as either dialect reports it.
fn created_seconds(model: &Map<String, Value>) -> Option<u64> {
    match model.get("created").and_then(Value::as_u64) {
        Some(seconds) if seconds < YEAR_10000 => Some(seconds),
        Some(_) | None => {
            let text = model.get("created_at")?.as_str()?;
            let time = humantime::parse_rfc3339(text).ok()?;
            Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
        }
    }
}
