//! Input that nobody meant: nothing panics, nothing is dropped in silence, and no error holds content.

use aisbreaker_translate::{Untranslatable, chat_to_messages::translate_request};
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Map, Value, json};

use crate::support::{MODEL, answers, decode_events, golden, translate_stream};

/// Members whose values are passed on unread.
const OPAQUE: [&str; 3] = ["/parameters", "/schema", "/cache_control"];
/// A text that occurs nowhere else.
const CANARY: &str = "canary-7f3a";

/// Returns the values of a member in the golden files of a folder.
fn golden_values(folder: &str, member: &str) -> Vec<(String, Value)> {
    let mut values = Vec::new();
    for (name, file) in golden(folder, ".json") {
        let case: Value = serde_json::from_str(&file).unwrap();
        values.push((name, case[member].clone()));
    }
    values
}

/// Returns the JSON pointers of a value and of all values in it.
fn pointers(value: &Value) -> Vec<String> {
    let mut found = vec![String::new()];
    let children: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(k, v)| (k.clone(), v)).collect(),
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            numbered.map(|(i, v)| (i.to_string(), v)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (name, child) in children {
        found.extend(pointers(child).iter().map(|rest| format!("/{name}{rest}")));
    }
    found
}

/// Returns the pointers of a request to values that are read.
fn read_pointers(request: &Value) -> Vec<String> {
    let mut pointers = pointers(request);
    pointers.retain(|pointer| !OPAQUE.iter().any(|opaque| pointer.contains(opaque)));
    pointers
}

fn translate(request: &Value) -> Result<Value, Untranslatable> {
    let translated = translate_request(request.to_string().as_bytes(), MODEL)?;
    Ok(serde_json::from_slice(&translated.body).unwrap())
}

/// Checks what every translation of a request is.
fn check_request(request: &Value) {
    match translate(request) {
        Ok(body) => {
            assert_eq!(body["model"], MODEL);
            assert!(body["max_tokens"].as_u64() >= Some(1), "{request}");
            assert!(
                !body["messages"].as_array().unwrap().is_empty(),
                "{request}"
            );
        }
        Err(error) => {
            assert!(!error.member.is_empty(), "{request}");
            assert!(!error.to_string().contains(CANARY), "{error}");
        }
    }
}

fn samples() -> [Value; 11] {
    [
        Value::Null,
        json!(true),
        json!(0),
        json!(-1.5),
        json!(u64::MAX),
        json!(""),
        json!(CANARY),
        json!([]),
        json!([[CANARY]]),
        json!({}),
        json!({CANARY: {"a": CANARY}}),
    ]
}

#[test]
fn a_member_that_no_reference_has_is_refused_wherever_it_is() {
    for (name, request) in golden_values("requests", "client") {
        for pointer in read_pointers(&request) {
            let mut changed = request.clone();
            let Some(Value::Object(object)) = changed.pointer_mut(&pointer) else {
                continue;
            };
            object.insert("zz".to_owned(), json!(1));

            let error = translate(&changed).unwrap_err();

            // Of objects that must be empty, the error names the object.
            let named =
                error.member.ends_with("zz") || request.pointer(&pointer) == Some(&json!({}));
            assert!(named, "{name}: {error}");
        }
    }
}

#[test]
fn a_member_with_the_value_null_is_absent() {
    for (name, request) in golden_values("requests", "client") {
        for pointer in read_pointers(&request) {
            let (parent, member) = pointer.rsplit_once('/').unwrap_or_default();
            let mut without = request.clone();
            let Some(Value::Object(object)) = without.pointer_mut(parent) else {
                continue;
            };
            let mut with_null = request.clone();
            object.remove(member);
            if let Some(value) = with_null.pointer_mut(&pointer) {
                *value = Value::Null;
            }

            if !pointer.is_empty() {
                assert_eq!(
                    translate(&with_null),
                    translate(&without),
                    "{name}: {pointer}"
                );
            }
        }
    }
}

#[test]
fn no_value_in_the_place_of_another_panics_or_shows_in_an_error() {
    for (_, request) in golden_values("requests", "client") {
        for pointer in pointers(&request) {
            for sample in samples() {
                let mut changed = request.clone();
                *changed.pointer_mut(&pointer).unwrap() = sample;
                // The names of unknown members are shown, and this one is the canary.
                let shows_name = changed.pointer(&format!("{pointer}/{CANARY}")).is_some();
                if !shows_name {
                    check_request(&changed);
                }
            }
        }
    }
    for (_, message) in golden_values("responses", "provider") {
        for pointer in pointers(&message) {
            for sample in samples() {
                let mut changed = message.clone();
                *changed.pointer_mut(&pointer).unwrap() = sample;
                check_response(changed.to_string().as_bytes());
            }
        }
    }
}

#[test]
fn no_value_in_the_place_of_another_breaks_a_stream() {
    for (_, stream) in golden("streams", ".provider.sse") {
        let events = decode_events(&stream);
        for (index, (_, data)) in events.iter().enumerate() {
            let Ok(data) = serde_json::from_str::<Value>(data) else {
                continue;
            };
            for pointer in pointers(&data) {
                // A member that is gone, of another type, or of the same type with another value.
                for sample in [Value::Null, json!(0), json!(CANARY), json!([]), json!({})] {
                    let mut changed = data.clone();
                    *changed.pointer_mut(&pointer).unwrap() = sample;
                    let mut events = events.clone();
                    events[index].1 = changed.to_string();
                    check_stream(&events);
                }
            }
        }
    }
}

/// Checks what every translation of a response is.
fn check_response(body: &[u8]) {
    match answers(false, false).translate_response(body) {
        Ok(body) => {
            let completion: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(completion["choices"][0]["message"]["role"], "assistant");
        }
        Err(error) => assert!(!error.to_string().contains(CANARY), "{error}"),
    }
}

/// Checks what every translation of a stream is: events with JSON, of which only the last may be the end.
fn check_stream(events: &[(String, String)]) {
    let (out, error) = translate_stream(events, true);
    let translated = decode_events(&out);
    for (index, (_, data)) in translated.iter().enumerate() {
        if data == "[DONE]" {
            assert_eq!(index + 1, translated.len());
        } else {
            serde_json::from_str::<Map<String, Value>>(data).unwrap();
        }
    }
    assert!(error.is_none_or(|error| !error.contains(CANARY)));
}

pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "(system|user|assistant|tool|text|image_url|file|function|data:image/png;base64,|auto)"
            .prop_map(Value::from),
    ];
    let name = prop_oneof![
        any::<String>(),
        "(messages|role|content|type|text|tools|function|name|tool_calls|id|index|delta|usage|error|message)",
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((name.clone(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Overwrites, removes and repeats bytes.
fn mutate(bytes: &mut Vec<u8>, changes: &[(Index, Index, u8)]) {
    for (at, length, byte) in changes {
        if bytes.is_empty() {
            return;
        }
        let start = at.index(bytes.len());
        let end = start + length.index(bytes.len() - start);
        match byte % 4 {
            0 => bytes[start] = *byte,
            1 => drop(bytes.drain(start..end)),
            2 => bytes.truncate(end),
            _ => {
                let repeated = bytes[start..end].to_vec();
                bytes.splice(end..end, repeated);
            }
        }
    }
}

fn changes() -> impl Strategy<Value = Vec<(Index, Index, u8)>> {
    vec(any::<(Index, Index, u8)>(), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_json_panics(value in any_json(), status in any::<u16>(), kind in "[a-z_]{0,20}") {
        let text = value.to_string();
        let _ = translate_request(text.as_bytes(), MODEL);
        let _ = answers(false, false).translate_response(text.as_bytes());
        let error = answers(false, false).translate_error(status, text.as_bytes());
        serde_json::from_slice::<Value>(&error).unwrap();
        check_stream(&[(kind, text)]);
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200), status in any::<u16>()) {
        let _ = translate_request(&bytes, MODEL);
        let _ = answers(false, false).translate_response(&bytes);
        let error = answers(false, false).translate_error(status, &bytes);
        serde_json::from_slice::<Value>(&error).unwrap();
    }

    #[test]
    fn any_value_may_take_the_place_of_any_other(
        file in any::<Index>(), place in any::<Index>(), value in any_json(),
    ) {
        let requests = golden_values("requests", "client");
        let (_, request) = file.get(&requests);
        let mut changed = request.clone();
        let pointers = pointers(request);
        let pointer: &String = place.get(&pointers);
        *changed.pointer_mut(pointer).unwrap() = value;

        check_request(&changed);
    }

    #[test]
    fn mutated_golden_files_do_not_panic(file in any::<Index>(), changes in changes()) {
        let mut requests = golden("requests", ".json");
        requests.extend(golden("responses", ".json"));
        requests.extend(golden("streams", ".provider.sse"));
        let (_, text) = file.get(&requests);
        let text = match serde_json::from_str::<Value>(text) {
            Ok(case) => case.get("client").unwrap_or(&case["provider"]).to_string(),
            Err(_) => text.clone(),
        };
        let mut bytes = text.into_bytes();
        mutate(&mut bytes, &changes);

        if let Ok(translated) = translate_request(&bytes, MODEL) {
            serde_json::from_slice::<Value>(&translated.body).unwrap();
        }
        check_response(&bytes);
        check_stream(&decode_events(&String::from_utf8_lossy(&bytes)));
    }
}
