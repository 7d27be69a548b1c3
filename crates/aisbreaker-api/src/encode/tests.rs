use proptest::{collection::vec, option, prelude::*};
use serde_json::{Map, Value, json};

use super::*;
use crate::{ConversationState, JsonText, OutputImage, Role};

fn output() -> impl Strategy<Value = Output> {
    let flag = || option::of(any::<bool>());
    prop_oneof![
        (any::<u32>(), ".{0,80}", flag(), flag()).prop_map(|(index, content, delta, more)| {
            let mut text = OutputText::new(index, content);
            text.is_delta = delta;
            text.is_processing = more;
            Output::Text(text)
        }),
        ".{0,9}".prop_map(|url| Output::Image(OutputImage::url(1, url))),
    ]
}

fn other() -> impl Strategy<Value = Map<String, Value>> {
    vec((".{0,5}", any::<i64>()), 0..3).prop_map(|members| {
        members
            .into_iter()
            .map(|(name, n)| (name, json!([n])))
            .collect()
    })
}

fn usage() -> impl Strategy<Value = Usage> {
    let text = || option::of(".{0,40}");
    let count = || option::of(any::<u64>());
    let counts = (count(), count(), count(), any::<u64>());
    let rest = (option::of(any::<f64>()), vec(".{0,9}", 0..3), other());
    (".{0,40}", text(), text(), counts, rest).prop_map(|(id, engine, url, counts, rest)| {
        let mut usage = Usage::new(id);
        (usage.service.engine, usage.service.url) = (engine, url);
        (
            usage.input_tokens,
            usage.output_tokens,
            usage.total_tokens,
            usage.total_milliseconds,
        ) = counts;
        (usage.cost, usage.warnings, usage.other) = rest;
        usage
    })
}

fn response() -> impl Strategy<Value = Response> {
    let json = option::of(other().prop_map(|members| JsonText::from(Value::Object(members))));
    (vec(output(), 0..3), option::of(".{0,80}"), usage(), json).prop_map(
        |(outputs, state, usage, json)| {
            let mut response = Response::new(outputs, usage);
            response.conversation_state = state;
            response.intern_response = json;
            response
        },
    )
}

proptest! {
    #[test]
    fn a_response_is_written_as_by_serde(response in response()) {
        let json = response.to_json();
        prop_assert_eq!(str::from_utf8(&json).unwrap(), serde_json::to_string(&response).unwrap());
    }

    #[test]
    fn a_state_is_written_as_by_serde(
        earlier in vec(output(), 0..3), content in ".{0,80}", outputs in vec(output(), 0..3)
    ) {
        let mut text = Input::user_text(content);
        if let Input::Text(text) = &mut text {
            text.role = Role::System;
        }
        let image = serde_json::from_str(r#"{"messages":[{"input":{"image":{"url":"u"}}}]}"#).unwrap();
        let image = ConversationState::from_value(image).unwrap().messages;
        let earlier = ConversationState::default().with_turn(&[], &earlier);
        let messages = [image, earlier.messages].concat();
        let json = state(&messages, &[text.clone()], &outputs);
        let whole = ConversationState { messages }.with_turn(&[text], &outputs);
        prop_assert_eq!(str::from_utf8(&json).unwrap(), serde_json::to_string(&whole).unwrap());
    }
}

#[test]
fn a_state_without_messages_is_an_empty_list() {
    assert_eq!(state(&[], &[], &[]), br#"{"messages":[]}"#);
}
