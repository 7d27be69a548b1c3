//! Responses and errors.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::support::{answers, golden};

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    provider: &'a RawValue,
    client: Option<Value>,
    unreadable: Option<String>,
}

#[test]
fn responses_become_those_of_the_golden_files() {
    for (name, file) in golden("responses", ".json") {
        let case: Response<'_> = serde_json::from_str(&file).unwrap();

        let translated = answers(false, false).translate_response(case.provider.get().as_bytes());

        match translated {
            Ok(body) => {
                let body: Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(Some(body), case.client, "{name}");
            }
            Err(error) => assert_eq!(Some(error.reason.into_owned()), case.unreadable, "{name}"),
        }
    }
}

#[derive(Deserialize)]
struct Error<'a> {
    status: u16,
    #[serde(borrow)]
    provider: &'a RawValue,
    client: Value,
}

#[test]
fn errors_become_those_of_the_golden_files() {
    for (name, file) in golden("errors", ".json") {
        let case: Error<'_> = serde_json::from_str(&file).unwrap();

        let body =
            answers(false, false).translate_error(case.status, case.provider.get().as_bytes());

        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body, case.client, "{name}");
    }
}
