//! The families of resources in the description: written from their table, so that each row is in it.

use aisbreaker_services::Dialect;
use serde_json::{Map, Value, json};

use crate::route::{
    family::{self, Resource},
    operation::Operation,
};

/// What comes after the paths of the document.
const END_OF_PATHS: &str = "\n  },\n  \"components\": {";

/// Adds the paths of resources to the document, unless they are in it.
pub(super) fn add_to(document: &str) -> String {
    let Some((before, after)) = document.split_once(END_OF_PATHS) else {
        // Not expected: the tests look for the paths.
        return document.to_owned();
    };
    let mut described = before.to_owned();
    let is_call = |resource: &Resource| {
        let mut calls = Operation::CALLS.into_iter();
        calls.any(|call| call.template() == resource.template())
    };
    for resource in family::resources().filter(|resource| !is_call(resource)) {
        let (template, item) = (Value::from(resource.template()), path_item(&resource));
        described.push_str(&format!(",\n    {template}: {item}"));
    }
    described + END_OF_PATHS + after
}

fn path_item(resource: &Resource) -> Value {
    let mut item = Map::new();
    let parameters: Vec<_> = names(resource.template()).map(parameter).collect();
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), parameters.into());
    }
    for method in resource.methods().split(", ") {
        let operation = match method {
            "OPTIONS" => preflight(),
            "HEAD" => head(resource),
            _ => operation(resource, method),
        };
        item.insert(method.to_ascii_lowercase(), operation);
    }
    item.into()
}

/// Returns the names of the ids in a template.
fn names(template: &str) -> impl Iterator<Item = &str> {
    let names = template.split('/').map(|segment| {
        let name = segment.strip_prefix('{')?;
        name.strip_suffix('}')
    });
    names.flatten()
}

fn parameter(name: &str) -> Value {
    json!({
        "name": name,
        "in": "path",
        "required": true,
        "schema": {"$ref": "#/components/schemas/ResourceId"},
    })
}

fn operation(resource: &Resource, method: &str) -> Value {
    let error = match resource.family.dialect {
        Some(Dialect::OpenAi) => "OpenAiError",
        Some(Dialect::Anthropic) => "AnthropicError",
        None => "ModelsError",
    };
    let mut operation = json!({
        "tags": tags(resource),
        "operationId": id(resource.template(), method),
        "summary": format!("Passed through to the provider, as part of `{}`", resource.family.name()),
        "security": security(),
        "responses": responses("ProviderResponse", error),
    });
    if method == "POST" {
        operation["requestBody"] = json!({"$ref": "#/components/requestBodies/ProviderContent"});
    }
    operation
}

fn head(resource: &Resource) -> Value {
    json!({
        "tags": tags(resource),
        "summary": "As GET, without content",
        "security": security(),
        "responses": responses("Head", "HeadOfError"),
    })
}

fn preflight() -> Value {
    let response = |name| json!({"$ref": format!("#/components/responses/{name}")});
    json!({
        "tags": ["Preflight"],
        "security": [],
        "responses": {
            "204": response("Preflight"),
            "4XX": response("HeadOfError"),
            "5XX": response("HeadOfError"),
        },
    })
}

fn tags(resource: &Resource) -> Value {
    match resource.family.dialect {
        Some(Dialect::OpenAi) => json!(["OpenAI"]),
        Some(Dialect::Anthropic) => json!(["Anthropic"]),
        None => json!(["OpenAI", "Anthropic"]),
    }
}

fn security() -> Value {
    json!([{}, {"key": []}, {"xApiKey": []}, {"apiKey": []}])
}

fn responses(success: &str, error: &str) -> Value {
    let response = |name: &str| json!({"$ref": format!("#/components/responses/{name}")});
    json!({"2XX": response(success), "4XX": response(error), "5XX": response(error)})
}

/// Returns an id that only this method of this path has, such as `getFilesFileIdContent`.
fn id(template: &str, method: &str) -> String {
    let mut id = method.to_ascii_lowercase();
    let words = template.split(|c: char| !c.is_ascii_alphanumeric());
    for word in words.skip_while(|word| *word != "v1").skip(1) {
        let (first, rest) = word.split_at(word.len().min(1));
        id.push_str(&first.to_ascii_uppercase());
        id.push_str(rest);
    }
    id
}
