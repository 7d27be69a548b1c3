//! Whole requests, responses, streams and errors, in the shapes of the providers' references.

use std::fs;

use aisbreaker_translate::messages_to_chat::translate_request;
use serde_json::Value;

use crate::support::{
    accumulate, answers, body, golden, parse_events, read_json, translate_stream,
};

/// Compares every file of a folder, and reports all differences at once.
fn check(folder: &str, differs: impl Fn(&Value) -> Option<String>) {
    let differences: Vec<_> = golden(folder)
        .iter()
        .filter_map(|(name, path)| Some(format!("{folder}/{name}: {}", differs(&read_json(path))?)))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

fn difference(actual: &Value, expected: &Value) -> Option<String> {
    (actual != expected).then(|| format!("{actual:#}"))
}

fn parse(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap()
}

#[test]
fn requests_become_chat_completions() {
    check("requests", |golden| {
        let model = golden["model"].as_str().unwrap();
        let translated = translate_request(&body(golden, "request"), model).unwrap();
        let is_stream = golden["request"]["stream"] == true;
        assert_eq!(translated.answers.is_stream(), is_stream);
        difference(&parse(&translated.body), &golden["becomes"])
    });
}

#[test]
fn what_has_no_counterpart_is_refused_by_name() {
    check("refused", |golden| {
        let refusal = match translate_request(&body(golden, "request"), "any") {
            Ok(translated) => format!("translated to {}", parse(&translated.body)),
            Err(refusal) => refusal.to_string(),
        };
        difference(&refusal.into(), &golden["refusal"])
    });
}

#[test]
fn responses_become_messages() {
    check("responses", |golden| {
        let answers = answers(golden["thinking"] == true);
        let message = answers
            .translate_response(&body(golden, "response"))
            .unwrap();
        difference(&parse(&message), &golden["becomes"])
    });
}

#[test]
fn unreadable_responses_are_errors_without_content() {
    check("unreadable", |golden| {
        let error = answers(true)
            .translate_response(&body(golden, "response"))
            .unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
        difference(&error.to_string().into(), &golden["reason"])
    });
}

#[test]
fn errors_become_error_objects() {
    check("errors", |golden| {
        let status = golden["status"].as_u64().unwrap().try_into().unwrap();
        let error = answers(false).translate_error(status, &body(golden, "body"));
        difference(&parse(&error), &golden["becomes"])
    });
}

#[test]
fn streams_become_events_of_messages() {
    for (folder, has_thinking) in [("streams", false), ("streams_with_thinking", true)] {
        for (name, path) in golden(folder) {
            let stream = fs::read_to_string(&path).unwrap();
            let expected = fs::read_to_string(path.with_extension("expected.sse")).unwrap();
            let translated = translate_stream(&answers(has_thinking), &parse_events(&stream));
            assert_eq!(
                translated.as_deref(),
                Ok(expected.as_str()),
                "{folder}/{name}"
            );
            let is_error = accumulate(&expected).is_err();
            assert_eq!(is_error, name.starts_with("error"), "{folder}/{name}");
        }
    }
}

#[test]
fn streams_that_are_cut_off_or_wrong_are_errors_without_content() {
    for (name, path) in golden("unreadable_streams") {
        let stream = fs::read_to_string(&path).unwrap();
        let expected = fs::read_to_string(path.with_extension("expected.sse")).unwrap();
        let error = translate_stream(&answers(true), &parse_events(&stream)).unwrap_err();
        assert_eq!(error, expected.trim_end(), "{name}");
        assert!(!error.contains("secret"), "{name}");
    }
}
