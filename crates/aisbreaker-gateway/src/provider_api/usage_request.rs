//! Asks for the usage of a stream whose client did not, so that it can be charged for.
//!
//! Providers of OpenAI's dialect report the usage of a streamed completion only if the request sets
//! `stream_options`.

use aisbreaker_services::{Provider, StreamKind};
use bytes::Bytes;

use super::model::MemberEnd;
use crate::{authenticate::Caller, route::operation::Operation};

/// `stream_options`, as they follow another member.
const STREAM_OPTIONS: &[u8] = br#","stream_options":{"include_usage":true}"#;

/// How a request asks for usage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum UsageRequest {
    /// As its client does.
    AsSent,
    /// By `stream_options` that are added after this member, where the provider understands them.
    Add(MemberEnd),
}

impl UsageRequest {
    /// Returns where `stream_options` are added for this provider.
    ///
    /// Its row decides, wherever the key's URL leads: a stream without usage costs a key all that
    /// was reserved.
    pub(super) fn addition(self, provider: &Provider) -> Option<MemberEnd> {
        match self {
            Self::Add(place) if provider.stream_usage => Some(place),
            Self::Add(_) | Self::AsSent => None,
        }
    }
}

/// Returns whether a streamed response of this operation must report its usage.
pub(super) fn wants_usage(caller: &Caller, operation: Operation) -> bool {
    caller.has_budgets() && operation.stream_kind() == StreamKind::Completions
}

/// Adds `stream_options` to a body, in three pieces, without copying it.
pub(super) fn add_stream_options(body: &Bytes, place: MemberEnd) -> [Bytes; 3] {
    let [before, after] = place.split(body);
    [before, Bytes::from_static(STREAM_OPTIONS), after]
}

/// Adds `stream_options` to a body in which the value of the member before them was replaced.
pub(super) fn add_after_replaced([before, value, after]: [Bytes; 3]) -> [Bytes; 3] {
    let value = [&value, STREAM_OPTIONS].concat();
    [before, value.into(), after]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::provider_api::model::{BodyModel, model_and_stream_in_json, replace_model};

    fn parse(body: &[u8]) -> Result<(Option<BodyModel>, Option<MemberEnd>), String> {
        model_and_stream_in_json(body).map_err(|refusal| refusal.to_string())
    }

    /// Returns the body with `stream_options` if they are added, in one piece.
    fn asking(body: &str) -> Option<String> {
        let (_, place) = parse(body.as_bytes()).unwrap();
        let pieces = add_stream_options(&Bytes::copy_from_slice(body.as_bytes()), place?);
        Some(String::from_utf8(pieces.concat()).unwrap())
    }

    #[test]
    fn stream_options_follow_the_model_or_else_stream() {
        let rows = [
            (
                r#"{"model":"m","stream":true}"#,
                r#"{"model":"m","stream_options":{"include_usage":true},"stream":true}"#,
            ),
            (
                "\u{feff} {\"stream\" : true , \"model\" : \"m\" } ",
                "\u{feff} {\"stream\" : true , \"model\" : \"m\",\"stream_options\":{\"include_usage\":true} } ",
            ),
            (
                "\n{\"a\":[true],\"str\\u0065am\":true}\n",
                "\n{\"a\":[true],\"str\\u0065am\":true,\"stream_options\":{\"include_usage\":true}}\n",
            ),
            (
                r#"{"stream":true,"model":null}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true},"model":null}"#,
            ),
            (
                r#"{"x":{"stream_options":{}},"stream":true}"#,
                r#"{"x":{"stream_options":{}},"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
        ];
        for (body, expected) in rows {
            assert_eq!(asking(body).as_deref(), Some(expected), "{body}");
        }
    }

    #[test]
    fn a_body_without_a_stream_or_with_options_stays() {
        let bodies = [
            "{}",
            " { } ",
            r#"{"model":"m"}"#,
            r#"{"model":"m","stream":false}"#,
            r#"{"model":"m","stream":null}"#,
            r#"{"model":"m","stream":1}"#,
            r#"{"model":"m","stream":"true"}"#,
            r#"{"model":"m","stream":[true]}"#,
            r#"{"model":"m","x":{"stream":true}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":false}}"#,
            r#"{"stream_options":null,"model":"m","stream":true}"#,
            r#"{"stream_options":{},"stream_options":{},"model":"m","stream":true}"#,
            r#"{"Stream_Options":{},"model":"m","stream":true}"#,
            r#"{"stream\u005foptions":{},"model":"m","stream":true}"#,
        ];
        for body in bodies {
            assert_eq!(asking(body), None, "{body}");
        }
    }

    #[test]
    fn a_stream_that_parsers_could_read_differently_is_refused() {
        let case = "stream must be written in small letters";
        let rows = [
            (r#"{"stream":true,"stream":false}"#, "stream is there twice"),
            (
                r#"{"stream":null,"str\u0065am":true}"#,
                "stream is there twice",
            ),
            (r#"{"stream":true,"Stream":false}"#, case),
            (r#"{"STREAM":true}"#, case),
            (r#"{"model":"a","model":"b"}"#, "model is there twice"),
            (r#"{"stream":true"#, "request body is not valid JSON"),
        ];
        for (body, expected) in rows {
            let shown = parse(body.as_bytes()).expect_err(body);
            assert!(shown.starts_with(expected), "{body}: {shown}");
        }
    }

    proptest! {
        /// Adding the options equals parsing, setting and writing them, together with a replaced
        /// model or without.
        #[test]
        fn the_body_gets_one_member(
            mut names in prop::collection::vec("[a-z]{1,3}", 0..4),
            place in 0_usize..4,
            has_model: bool,
            is_renamed: bool,
            blank in "[ \n\t]{0,2}",
        ) {
            names.insert(place.min(names.len()), "stream".to_owned());
            if has_model {
                names.insert(place / 2, "model".to_owned());
            }
            let member = |name: &String| match name.as_str() {
                "stream" => format!("\"stream\"{blank}:{blank}true"),
                "model" => format!("\"model\":{blank}\"m\""),
                other => format!("\"{other}\":{blank}[{{\"stream\":true}}]"),
            };
            let members: Vec<String> = names.iter().map(member).collect();
            let separator = format!("{blank},{blank}");
            let body = Bytes::from(format!("{blank}{{{blank}{}{blank}}}{blank}", members.join(&separator)));

            let (model, end) = parse(&body).unwrap();
            let end = end.expect("a stream without options");
            let mut expected: Value = serde_json::from_slice(&body).unwrap();
            expected["stream_options"] = json!({"include_usage": true});
            let pieces = match &model {
                Some(model) if is_renamed => {
                    expected["model"] = json!("other");
                    add_after_replaced(replace_model(&body, model, "other"))
                }
                Some(_) | None => add_stream_options(&body, end),
            };

            prop_assert_eq!(serde_json::from_slice::<Value>(&pieces.concat()).unwrap(), expected);
            prop_assert!(body.starts_with(&pieces[0]) && body.ends_with(&pieces[2]));
        }
    }
}
