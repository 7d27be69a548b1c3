//! What holds for any input.

use std::{fs, sync::LazyLock};

use aisbreaker_translate::messages_to_chat::translate_request;
use proptest::{
    collection::{hash_map, vec},
    prelude::*,
    sample::{Index, select},
};
use serde_json::{Map, Value};

use crate::support::{
    ServerSentEvent, accumulate, answers, golden, parse_events, read_json, translate_stream,
};

/// Names of members of both APIs.
const NAMES: [&str; 28] = [
    "arguments",
    "cache_control",
    "choices",
    "content",
    "data",
    "delta",
    "error",
    "finish_reason",
    "function",
    "id",
    "index",
    "input",
    "is_error",
    "media_type",
    "message",
    "messages",
    "name",
    "reasoning",
    "role",
    "source",
    "system",
    "text",
    "thinking",
    "tool_calls",
    "tool_use_id",
    "tools",
    "type",
    "usage",
];

/// Values of members of both APIs.
const TEXTS: [&str; 20] = [
    "",
    "user",
    "assistant",
    "system",
    "text",
    "image",
    "document",
    "tool_use",
    "tool_result",
    "tool_reference",
    "thinking",
    "base64",
    "url",
    "enabled",
    "stop",
    "length",
    "tool_calls",
    "{}",
    "{\"a\":",
    "é\u{10ffff}\n",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![select(&TEXTS[..]).prop_map(str::to_owned), any::<String>()]
}

/// Any JSON, mostly of members that the APIs have.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        let name =
            prop_oneof![8 => select(&NAMES[..]).prop_map(str::to_owned), 1 => any::<String>()];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            hash_map(name, inner, 0..6).prop_map(|members| Value::from(Map::from_iter(members))),
        ]
    })
}

/// Returns the pointers to all values inside of a value, and to itself.
fn pointers(value: &Value) -> Vec<String> {
    fn collect(value: &Value, at: &str, pointers: &mut Vec<String>) {
        pointers.push(at.to_owned());
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    collect(item, &format!("{at}/{index}"), pointers);
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    collect(member, &format!("{at}/{name}"), pointers);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut pointers = Vec::new();
    collect(value, "", &mut pointers);
    pointers
}

/// A change of one value somewhere in a document.
#[derive(Clone, Debug)]
enum Mutation {
    Replace(Value),
    Insert(&'static str, Value),
    Repeat,
    Remove,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        any_json().prop_map(Mutation::Replace),
        (select(&NAMES[..]), any_json()).prop_map(|(name, value)| Mutation::Insert(name, value)),
        Just(Mutation::Repeat),
        Just(Mutation::Remove),
    ]
}

fn mutate(document: &mut Value, at: Index, mutation: &Mutation) {
    let pointers = pointers(document);
    let at: &String = at.get(&pointers);
    let target = document.pointer_mut(at).unwrap();
    match (mutation, &mut *target) {
        (Mutation::Insert(name, value), Value::Object(members)) => {
            members.insert((*name).to_owned(), value.clone());
        }
        (Mutation::Insert(_, value), Value::Array(items)) => items.push(value.clone()),
        (Mutation::Repeat, Value::Array(items)) => items.extend_from_within(..),
        (Mutation::Remove, Value::Array(items)) => drop(items.pop()),
        (Mutation::Remove, Value::Object(members)) => {
            let name = members.keys().next().cloned();
            name.and_then(|name| members.remove(&name));
        }
        (Mutation::Replace(value) | Mutation::Insert(_, value), _) => *target = value.clone(),
        (Mutation::Repeat | Mutation::Remove, _) => *target = Value::Null,
    }
}

fn documents(folders: &[&str], member: &str) -> Vec<Value> {
    let files = folders.iter().flat_map(|folder| golden(folder));
    files
        .map(|(_, path)| read_json(&path)[member].clone())
        .filter(|document| !document.is_null())
        .collect()
}

static REQUESTS: LazyLock<Vec<Value>> =
    LazyLock::new(|| documents(&["requests", "refused"], "request"));
static RESPONSES: LazyLock<Vec<Value>> =
    LazyLock::new(|| documents(&["responses", "unreadable"], "response"));
static STREAMS: LazyLock<Vec<Vec<ServerSentEvent>>> = LazyLock::new(|| {
    let folders = ["streams", "streams_with_thinking", "unreadable_streams"];
    let files = folders.iter().flat_map(|folder| golden(folder));
    files
        .map(|(_, path)| parse_events(&fs::read_to_string(path).unwrap()))
        .collect()
});

/// Translates a request. What comes out of it has what every request has.
fn check_request(request: &Value) {
    if let Ok(translated) = translate_request(request.to_string().as_bytes(), "any") {
        let body: Value = serde_json::from_slice(&translated.body).unwrap();
        assert_eq!(body["model"], "any");
        assert!(
            body["messages"]
                .as_array()
                .is_some_and(|messages| !messages.is_empty())
        );
    }
}

fn check_response(response: &Value) {
    for has_thinking in [false, true] {
        let translated = answers(has_thinking).translate_response(response.to_string().as_bytes());
        if let Ok(message) = translated {
            let message: Value = serde_json::from_slice(&message).unwrap();
            assert_eq!(message["type"], "message");
        }
    }
}

/// Translates a stream. What comes out of it is in order, unless it failed.
fn check_stream(events: &[ServerSentEvent]) {
    for has_thinking in [false, true] {
        if let Ok(stream) = translate_stream(&answers(has_thinking), events) {
            let _message = accumulate(&stream);
        }
    }
}

proptest! {
    #[test]
    fn any_json_is_translated_or_refused(json in any_json()) {
        check_request(&json);
        check_response(&json);
        check_stream(&[("message".to_owned(), json.to_string())]);
        let _error = answers(false).translate_error(500, json.to_string().as_bytes());
    }

    #[test]
    fn any_bytes_are_translated_or_refused(bytes in any::<Vec<u8>>(), status in any::<u16>()) {
        prop_assert!(translate_request(&bytes, "any").is_err());
        prop_assert!(answers(false).translate_response(&bytes).is_err());
        let error = answers(false).translate_error(status, &bytes);
        let error: Value = serde_json::from_slice(&error).unwrap();
        prop_assert_eq!(&error["type"], "error");
        prop_assert!(error["error"]["type"].is_string() && error["error"]["message"].is_string());
    }

    #[test]
    fn a_changed_request_is_translated_or_refused(
        document in any::<Index>(),
        changes in vec((any::<Index>(), mutation()), 1..4),
    ) {
        let mut request = document.get(&REQUESTS).clone();
        for (at, mutation) in &changes {
            mutate(&mut request, *at, mutation);
        }
        check_request(&request);
    }

    #[test]
    fn a_changed_response_is_translated_or_refused(
        document in any::<Index>(),
        changes in vec((any::<Index>(), mutation()), 1..4),
    ) {
        let mut response = document.get(&RESPONSES).clone();
        for (at, mutation) in &changes {
            mutate(&mut response, *at, mutation);
        }
        check_response(&response);
    }

    #[test]
    fn a_changed_stream_is_in_order_or_fails(
        stream in any::<Index>(),
        changes in vec((any::<Index>(), any::<Index>(), mutation()), 1..4),
    ) {
        let mut events = stream.get(&STREAMS).clone();
        prop_assume!(!events.is_empty());
        for (event, at, mutation) in &changes {
            let event = event.index(events.len());
            if let Ok(mut data) = serde_json::from_str(&events[event].1) {
                mutate(&mut data, *at, mutation);
                events[event].1 = data.to_string();
            } else {
                let repeated = events[event].clone();
                events.push(repeated);
            }
        }
        check_stream(&events);
    }
}

/// Content that no error may show.
const SECRET: &str = "sk-canary-4711";

/// Returns a document once for each of its texts, with a secret in its place.
fn with_secrets(document: &Value) -> Vec<Value> {
    let texts = pointers(document)
        .into_iter()
        .filter(|at| document.pointer(at).unwrap().is_string());
    texts
        .map(|at| {
            let mut document = document.clone();
            *document.pointer_mut(&at).unwrap() = SECRET.into();
            document
        })
        .collect()
}

#[test]
fn neither_errors_nor_debug_show_content() {
    let check = |shown: String| assert!(!shown.contains(SECRET), "{shown}");
    for request in REQUESTS.iter().flat_map(with_secrets) {
        match translate_request(request.to_string().as_bytes(), "any") {
            Ok(translated) => check(format!("{translated:?} {:?}", translated.answers)),
            Err(error) => check(format!("{error} {error:?}")),
        }
    }
    for response in RESPONSES.iter().flat_map(with_secrets) {
        if let Err(error) = answers(true).translate_response(response.to_string().as_bytes()) {
            check(format!("{error} {error:?}"));
        }
    }
    for events in STREAMS.iter() {
        for (position, (event, data)) in events.iter().enumerate() {
            let Ok(data) = serde_json::from_str(data) else {
                continue;
            };
            for data in with_secrets(&data) {
                let mut translation = answers(true).events();
                for (event, data) in &events[..position] {
                    let _result = translation.translate_event(event, data, &mut Vec::new());
                }
                let result = translation.translate_event(event, &data.to_string(), &mut Vec::new());
                check(format!("{result:?} {translation:?}"));
            }
        }
    }
}
