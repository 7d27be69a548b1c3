//! Makes a value that satisfies a JSON Schema: the arguments of a tool, or a structured answer.
//!
//! A value that the schema itself names comes first (`const`, `enum`, `default`, `examples`). Otherwise
//! it is made by `type` and the limits of length, size and value. Objects have the properties that are
//! required, lists as many elements as they must have, and the first of several alternatives counts.
//! `pattern`, `not` and conditions are not looked at.

use serde_json::{Map, Number, Value, json, value::RawValue};

use super::fault::Fault;

/// The longest schema in bytes.
const MAX_SCHEMA_BYTES: usize = 64 << 10;
/// How deep a value may be: references may go round in circles.
const MAX_DEPTH: usize = 32;
/// The most values that one is made of.
const MAX_VALUES: usize = 2_000;
/// The longest text that is made, in characters.
const MAX_TEXT_CHARS: u64 = 4_096;
const TEXT: &str = "dummy";

/// Returns a value that satisfies the schema, as JSON.
///
/// # Errors
/// [`Fault`] if the schema is too long, or a value would be too deep or too large.
pub(super) fn instance(schema: &RawValue) -> Result<String, Fault> {
    if schema.get().len() > MAX_SCHEMA_BYTES {
        let problem = format!("has a schema of more than {MAX_SCHEMA_BYTES} bytes");
        return Err(Fault::invalid("schema", &problem));
    }
    let Ok(root) = serde_json::from_str(schema.get()) else {
        return Err(Fault::invalid("schema", "is malformed"));
    };
    let mut maker = Maker {
        root: &root,
        values: 0,
    };
    match maker.make(&root, 0) {
        Some(value) => Ok(value.to_string()),
        None => Err(Fault::invalid(
            "schema",
            "describes values that are too deep or too large for the dummy",
        )),
    }
}

/// Makes values by the parts of one schema.
struct Maker<'a> {
    root: &'a Value,
    /// How many values were made.
    values: usize,
}

impl<'a> Maker<'a> {
    /// Returns a value; `None` if it would be too deep or too large.
    fn make(&mut self, schema: &'a Value, depth: usize) -> Option<Value> {
        self.values += 1;
        if depth > MAX_DEPTH || self.values > MAX_VALUES {
            return None;
        }
        let Value::Object(schema) = schema else {
            // `true` allows everything.
            return Some(json!({}));
        };
        if let Some(value) = named_value(schema) {
            return Some(value.clone());
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let target = self.root.pointer(target.strip_prefix('#')?)?;
            return self.make(target, depth + 1);
        }
        for alternatives in ["anyOf", "oneOf"] {
            if let Some(Value::Array(list)) = schema.get(alternatives)
                && !schema.contains_key("properties")
            {
                return self.make_first(list, depth);
            }
        }
        if let Some(Value::Array(parts)) = schema.get("allOf") {
            return self.make_all(schema, parts, depth);
        }
        self.make_type(schema, depth)
    }

    /// Returns a value of the first alternative for which there is one, `null` last.
    fn make_first(&mut self, alternatives: &'a [Value], depth: usize) -> Option<Value> {
        let is_null = |schema: &&Value| schema.get("type").is_some_and(|kind| kind == "null");
        let (nulls, others): (Vec<_>, Vec<_>) = alternatives.iter().partition(is_null);
        for schema in others.into_iter().chain(nulls) {
            if let Some(value) = self.make(schema, depth + 1) {
                return Some(value);
            }
        }
        None
    }

    /// Returns a value with the members of those of all parts.
    fn make_all(
        &mut self,
        schema: &'a Map<String, Value>,
        parts: &'a [Value],
        depth: usize,
    ) -> Option<Value> {
        let mut members = Map::new();
        for part in parts {
            let value = self.make(part, depth + 1)?;
            let Value::Object(more) = value else {
                return Some(value);
            };
            members.extend(more);
        }
        if let Some(Value::Object(more)) = self.make_object(schema, depth) {
            members.extend(more);
        }
        Some(Value::Object(members))
    }

    fn make_type(&mut self, schema: &'a Map<String, Value>, depth: usize) -> Option<Value> {
        Some(match type_of(schema) {
            "object" => self.make_object(schema, depth)?,
            "array" => self.make_array(schema, depth)?,
            "string" => Value::from(text_for(schema)),
            "integer" => number_for(schema, true),
            "number" => number_for(schema, false),
            "boolean" => Value::from(true),
            _ => Value::Null,
        })
    }

    fn make_object(&mut self, schema: &'a Map<String, Value>, depth: usize) -> Option<Value> {
        let mut members = Map::new();
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            let value = match schema.get("properties").and_then(|all| all.get(name)) {
                Some(property) => self.make(property, depth + 1)?,
                None => Value::from(TEXT),
            };
            members.insert(name.to_owned(), value);
        }
        Some(Value::Object(members))
    }

    fn make_array(&mut self, schema: &'a Map<String, Value>, depth: usize) -> Option<Value> {
        let count = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        let first = schema.get("prefixItems").and_then(Value::as_array);
        let mut first = first.map(Vec::as_slice).unwrap_or_default().iter();
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(match first.next().or_else(|| schema.get("items")) {
                Some(item) => self.make(item, depth + 1)?,
                None => self.make(&Value::Bool(true), depth + 1)?,
            });
        }
        Some(Value::Array(values))
    }
}

/// Returns a value that the schema itself names.
fn named_value(schema: &Map<String, Value>) -> Option<&Value> {
    if let Some(value) = schema.get("const") {
        return Some(value);
    }
    let first_of = |name: &str| schema.get(name)?.as_array()?.first();
    let default = || schema.get("default").filter(|value| !value.is_null());
    first_of("enum")
        .or_else(default)
        .or_else(|| first_of("examples"))
}

/// Returns the type of the values, by the members that only one type has if it is not named.
fn type_of(schema: &Map<String, Value>) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => return kind,
        Some(Value::Array(kinds)) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str);
            return kinds.find(|kind| *kind != "null").unwrap_or("null");
        }
        _ => {}
    }
    let has_any = |names: &[&str]| names.iter().any(|name| schema.contains_key(*name));
    if has_any(&["items", "prefixItems", "minItems"]) {
        "array"
    } else if has_any(&["pattern", "minLength", "maxLength", "format"]) {
        "string"
    } else if has_any(&["minimum", "maximum", "multipleOf"]) {
        "number"
    } else {
        "object"
    }
}

fn text_for(schema: &Map<String, Value>) -> String {
    let formatted = match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => Some("2026-01-01T00:00:00Z"),
        Some("date") => Some("2026-01-01"),
        Some("time") => Some("00:00:00Z"),
        Some("duration") => Some("PT1S"),
        Some("email") => Some("dummy@example.com"),
        Some("hostname") => Some("example.com"),
        Some("ipv4") => Some("192.0.2.1"),
        Some("ipv6") => Some("2001:db8::1"),
        Some("uri" | "url") => Some("https://example.com/"),
        Some("uuid") => Some("00000000-0000-4000-8000-000000000000"),
        _ => None,
    };
    if let Some(text) = formatted {
        return text.to_owned();
    }
    let limit = |name: &str| schema.get(name).and_then(Value::as_u64);
    let least = limit("minLength").unwrap_or(0).min(MAX_TEXT_CHARS);
    let most = limit("maxLength").unwrap_or(u64::MAX);
    let natural = u64::try_from(TEXT.len()).unwrap_or(0);
    let length = natural.max(least).min(most);
    let length = usize::try_from(length).unwrap_or(0);
    TEXT.chars().cycle().take(length).collect()
}

/// Returns the number nearest to 1 that the limits allow.
fn number_for(schema: &Map<String, Value>, is_whole: bool) -> Value {
    let limit = |name: &str| schema.get(name).and_then(Value::as_f64);
    let step = limit("multipleOf").filter(|step| *step > 0.0);
    let step = step.unwrap_or(if is_whole { 1.0 } else { 0.0 });
    let least_step = if step > 0.0 { step } else { 0.5 };
    let least = greater(
        limit("minimum"),
        limit("exclusiveMinimum").map(|end| end + least_step / 2.0),
    );
    let most = limit("maximum");
    let most_exclusive = limit("exclusiveMaximum").map(|end| end - least_step / 2.0);
    let mut number = 1.0_f64;
    if step > 0.0 {
        number = step * (number / step).ceil();
    }
    if let Some(least) = least
        && number < least
    {
        number = if step > 0.0 {
            step * (least / step).ceil()
        } else {
            least
        };
    }
    for most in [most, most_exclusive].into_iter().flatten() {
        if number > most {
            number = if step > 0.0 {
                step * (most / step).floor()
            } else {
                most
            };
        }
    }
    // Between two limits that are closer than a step.
    if let (Some(least), Some(most)) = (least, most)
        && step == 0.0
        && (number < least || number > most)
    {
        number = f64::midpoint(least, most);
    }
    as_json(number)
}

fn greater(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    }
}

/// Returns a number as JSON, without a fraction if it has none.
fn as_json(number: f64) -> Value {
    let text = format!("{number}");
    match text.parse::<i64>() {
        Ok(whole) => Value::from(whole),
        Err(_) => Number::from_f64(number).map_or(Value::Null, Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

    fn made(schema: &Value) -> Result<Value, String> {
        let schema = to_raw_value(schema).unwrap();
        match instance(&schema) {
            Ok(json) => Ok(serde_json::from_str(&json).unwrap()),
            Err(fault) => Err(format!("{fault:?}")),
        }
    }

    #[test]
    fn values_satisfy_their_schema() {
        let rows = [
            (json!({"const": 7}), json!(7)),
            (json!({"enum": ["celsius", "kelvin"]}), json!("celsius")),
            (json!({"type": "string", "default": "x"}), json!("x")),
            (json!({"type": ["string", "null"]}), json!("dummy")),
            (json!({"type": "string", "minLength": 7}), json!("dummydu")),
            (json!({"type": "string", "maxLength": 2}), json!("du")),
            (
                json!({"type": "string", "format": "date"}),
                json!("2026-01-01"),
            ),
            (json!({"type": "integer"}), json!(1)),
            (json!({"type": "integer", "minimum": 5}), json!(5)),
            (json!({"type": "integer", "exclusiveMinimum": 5}), json!(6)),
            (json!({"type": "integer", "maximum": -3}), json!(-3)),
            (json!({"type": "integer", "exclusiveMaximum": 0}), json!(-1)),
            (
                json!({"type": "integer", "minimum": 10, "multipleOf": 4}),
                json!(12),
            ),
            (json!({"type": "number", "maximum": 0.25}), json!(0.25)),
            (json!({"type": "boolean"}), json!(true)),
            (json!({"type": "null"}), json!(null)),
            (
                json!({"type": "array", "items": {"type": "integer"}}),
                json!([]),
            ),
            (
                json!({"items": {"type": "integer"}, "minItems": 2}),
                json!([1, 1]),
            ),
            (
                json!({"anyOf": [{"type": "null"}, {"type": "integer"}]}),
                json!(1),
            ),
            (json!(true), json!({})),
            (json!({}), json!({})),
            (
                json!({"type": "object", "required": ["a", "b"], "properties": {
                    "a": {"$ref": "#/$defs/city"}, "b": {"type": "object", "required": ["c"]},
                    "left_out": {"type": "string"},
                }, "$defs": {"city": {"type": "string"}}}),
                json!({"a": "dummy", "b": {"c": "dummy"}}),
            ),
            (
                json!({"allOf": [
                    {"required": ["a"], "properties": {"a": {"type": "integer"}}},
                    {"required": ["b"], "properties": {"b": {"type": "boolean"}}},
                ]}),
                json!({"a": 1, "b": true}),
            ),
        ];
        for (schema, expected) in rows {
            assert_eq!(made(&schema), Ok(expected), "{schema}");
        }
    }

    #[test]
    fn endless_and_huge_values_are_refused() {
        let doubling = |name: &str| {
            json!({"required": ["a", "b"], "properties": {
                "a": {"$ref": name}, "b": {"$ref": name},
            }})
        };
        let rows = [
            json!({"$ref": "#"}),
            doubling("#"),
            json!({"type": "array", "minItems": 1_000_000_000, "items": {"type": "integer"}}),
            json!({"$ref": "#/nothing"}),
            json!({"description": "x".repeat(70_000)}),
        ];
        for schema in rows {
            assert!(
                made(&schema).is_err(),
                "{}",
                &schema.to_string()[..40.min(schema.to_string().len())]
            );
        }
    }
}
