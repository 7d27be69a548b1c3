//! The values in effect and where they come from, without secrets.

use toml::Value;

use super::{
    Settings,
    given::{Given, Source},
    setting::Setting,
    table::SETTINGS,
};

/// What is shown in place of a secret.
const SET: &str = "set";
/// What is shown where there is no value.
const UNSET: &str = "unset";

/// A setting, its value in effect and where that comes from.
#[derive(Clone, Debug)]
pub(crate) struct EffectiveValue {
    /// Key in the configuration file, or else the variable.
    pub(crate) name: String,
    /// `flag`, `environment`, `file`, `credential` or `default`.
    pub(crate) source: &'static str,
    /// The value as text; `set` for a secret.
    pub(crate) value: String,
}

/// A value that was given and wins, as it may be shown.
pub(super) struct Winner {
    pub(super) setting: &'static Setting,
    /// The name that it was given by.
    pub(super) name: String,
    source: Source,
    value: String,
}

impl Winner {
    pub(super) fn new(setting: &'static Setting, given: &Given) -> Self {
        let value = match setting.is_secret {
            true => SET.to_owned(),
            false => shown(&given.value),
        };
        Self {
            setting,
            name: given.name.clone(),
            source: given.source,
            value,
        }
    }

    /// Creates one of a value that is no text, such as a path.
    pub(super) fn of_text(setting: &'static Setting, source: Source, value: String) -> Self {
        Self {
            setting,
            name: setting.variable.to_owned(),
            source,
            value,
        }
    }

    fn source(&self) -> &'static str {
        match self.source {
            Source::File => "file",
            Source::Environment if self.name.starts_with("credential ") => "credential",
            Source::Environment => "environment",
            Source::Flag => "flag",
        }
    }
}

/// Returns the value in effect of every setting, in the order of the table.
pub(super) fn effective_values(settings: &Settings, winners: &[Winner]) -> Vec<EffectiveValue> {
    let mut values = Vec::new();
    for setting in SETTINGS {
        let winner = match setting.key {
            Some("listen") => listen_winner(winners),
            Some(_) | None => winner_of(setting.variable, winners),
        };
        let value = match (setting.effective, winner) {
            (Some(effective), _) => effective(settings),
            (None, Some(winner)) => Some(winner.value.clone()),
            (None, None) => setting.default.map(str::to_owned),
        };
        values.push(EffectiveValue {
            name: setting.name().to_owned(),
            source: winner.map_or("default", Winner::source),
            value: value.unwrap_or_else(|| UNSET.to_owned()),
        });
    }
    values
}

/// Returns the last value that was given for a variable's setting, which holds.
fn winner_of<'a>(variable: &str, winners: &'a [Winner]) -> Option<&'a Winner> {
    let mut last_first = winners.iter().rev();
    last_first.find(|winner| winner.setting.variable == variable)
}

/// Returns what the address comes from: `PORT` replaces a part of what the file says.
fn listen_winner(winners: &[Winner]) -> Option<&Winner> {
    match winner_of("AISBREAKER_LISTEN", winners) {
        Some(winner) if winner.source != Source::File => Some(winner),
        in_file => winner_of("PORT", winners).or(in_file),
    }
}

/// Returns the values of a table that only the configuration file can hold, such as
/// `[services."chat:openai.com"]`.
pub(super) fn file_values(name: &str, value: &Value) -> Vec<EffectiveValue> {
    let mut values = Vec::new();
    add_file_values(name, value, &mut values);
    values
}

fn add_file_values(name: &str, value: &Value, values: &mut Vec<EffectiveValue>) {
    match value {
        Value::Table(table) => {
            for (member, value) in table {
                let name = format!("{name}.{}", quoted(member));
                add_file_values(&name, value, values);
            }
        }
        Value::Array(rows) if rows.iter().any(Value::is_table) => {
            for (index, row) in rows.iter().enumerate() {
                let position = index + 1;
                add_file_values(&format!("{name}.{position}"), row, values);
            }
        }
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_) => {
            let text = shown(value);
            // Header fields are for credentials, and a URL may hold one.
            let is_secret = name.contains(".headers.") || text.contains(['@', '?']);
            values.push(EffectiveValue {
                name: name.to_owned(),
                source: "file",
                value: if is_secret { SET.to_owned() } else { text },
            });
        }
    }
}

/// Returns a member's name as TOML has it.
fn quoted(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(is_bare) {
        return name.to_owned();
    }
    format!("{name:?}")
}

/// Returns a value on one line.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(entries) if entries.iter().all(Value::is_str) => {
            let texts: Vec<&str> = entries.iter().filter_map(Value::as_str).collect();
            texts.join(",")
        }
        Value::Datetime(time) => time.to_string(),
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Array(_)
        | Value::Table(_) => serde_json::to_string(value).unwrap_or_default(),
    };
    text.replace(char::is_control, " ")
}
