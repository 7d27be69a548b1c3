use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

use super::*;
use crate::{ConversationState, ProcessCall};

/// Members that can be added to any object, most of them where they do not belong.
fn noise() -> impl Strategy<Value = String> {
    let names = select(vec![
        "service",
        "request",
        "serviceId",
        "url",
        "forward2ServiceProps",
        "inputs",
        "text",
        "image",
        "role",
        "content",
        "base64",
        "stream",
        "internOptions",
        "conversationState",
        "requested",
        "clientUser",
        "input",
        "output",
        "messages",
        "x",
        "\\u0072ole",
        "$serde_json::private::RawValue",
    ]);
    let values = select(vec![
        "null",
        "true",
        "0",
        "-0.0",
        "1e400",
        "12345678901234567890123",
        "\"\"",
        "\"user\"",
        "\"null\"",
        "\"a\\n\u{1f642}\"",
        "\"\\ud83d\"",
        "[]",
        "{}",
        "[{\"text\":{\"content\":\"c\"}}]",
        "{\"a\":1,\"a\":2}",
        "{\"serviceId\":\"s\"}",
        "{\"url\":\"u\"}",
        "{\"content\":\"c\",\"role\":null}",
        "{\"user\":null}",
    ]);
    (names, values).prop_map(|(name, value)| format!("\"{name}\":{value}"))
}

/// An object with these members and some others between them.
fn with_noise(members: impl Strategy<Value = Vec<String>>) -> impl Strategy<Value = String> {
    let noise = vec((any::<Index>(), noise()), 0..2);
    (members, noise).prop_map(|(mut members, noise)| {
        for (index, one) in noise {
            members.insert(index.index(members.len() + 1), one);
        }
        format!("{{{}}}", members.join(", "))
    })
}

fn member(
    name: &'static str,
    value: impl Strategy<Value = String>,
) -> impl Strategy<Value = String> {
    value.prop_map(move |value| format!("\"{name}\":{value}"))
}

fn input() -> impl Strategy<Value = String> {
    let role = || {
        member(
            "role",
            select(vec!["\"user\"", "\"system\"", "null"]).prop_map(str::to_owned),
        )
    };
    let content = member("content", Just("\"Hi\"".to_owned()));
    let url = member("url", Just("\"http://a.example\"".to_owned()));
    let text = with_noise((role(), content).prop_map(|(role, content)| vec![role, content]));
    let image = with_noise((role(), url).prop_map(|(role, url)| vec![url, role]));
    let input = prop_oneof![member("text", text), member("image", image)];
    with_noise(input.prop_map(|input| vec![input]))
}

fn list(entries: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    vec(entries, 1..3).prop_map(|entries| format!("[{}]", entries.join(",")))
}

fn body() -> impl Strategy<Value = String> {
    let id = member("serviceId", Just("\"chat:dummy\"".to_owned()));
    let service = with_noise(id.prop_map(|id| vec![id]));
    let request = with_noise(member("inputs", list(input())).prop_map(|inputs| vec![inputs]));
    let members = (member("service", service), member("request", request));
    with_noise(members.prop_map(|(service, request)| vec![service, request]))
}

fn state() -> impl Strategy<Value = String> {
    let output = select(vec![
        r#"{"text":{"index":0,"role":"assistant","content":"a","isDelta":false}}"#,
        r#"{"text":{"role":"assistant","content":"a","isDelta":null,"x":{}}}"#,
        r#"{"image":{"role":"assistant","url":"u","n":1.50,"x":[{}]}}"#,
        r#"{"text":{"role":"assistant","content":"a"},"x":1}"#,
        "{}",
    ]);
    let output = member("output", output.prop_map(str::to_owned));
    let message = prop_oneof![output, member("input", input())];
    let messages = list(with_noise(message.prop_map(|message| vec![message])));
    with_noise(member("messages", messages).prop_map(|messages| vec![messages]))
}

proptest! {
    #[test]
    fn a_call_is_read_as_by_way_of_a_tree(body in body()) {
        if let Some((service, request)) = call(body.as_bytes()) {
            let call = ProcessCall { service, request };
            prop_assert_eq!(ProcessCall::from_value(body.as_bytes()), Ok(call));
        }
    }

    #[test]
    fn a_state_is_read_as_by_way_of_a_tree(state in state()) {
        if let Some(messages) = messages(state.as_bytes()) {
            let value = crate::read::json(state.as_bytes()).unwrap();
            let expected = ConversationState::from_value(value).unwrap();
            prop_assert_eq!(messages, expected.messages);
        }
    }
}

#[test]
fn what_clients_send_is_read_directly() {
    for body in [
        r#"{"service":{"serviceId":"chat:dummy"},"request":{"inputs":[{"text":{"role":"user","content":"Hi"}}]}}"#,
        "\u{feff}{\"service\":{\"serviceId\":\"a:b\",\"greeting\":\"x\"},\"request\":{\"inputs\":\
         [{\"image\":{\"url\":\"u\"}}],\"stream\":true,\"conversationState\":null,\"x\":[{}]}}",
    ] {
        assert!(call(body.as_bytes()).is_some(), "{body}");
    }
    let state = r#"{"messages":[{"input":{"text":{"content":"Hi"}}},{"output":{"text":{"role":"assistant","content":"Hello"}}}]}"#;
    assert!(messages(state.as_bytes()).is_some());
}

#[test]
fn what_the_tree_treats_specially_is_left_to_it() {
    let call_with = |member: &str| {
        format!(
            r#"{{"service":{{"serviceId":"a:b"}},"request":{{"inputs":[{{"text":{{"content":"Hi"}}}}],{member}}}}}"#
        )
    };
    let deep = format!("\"x\":{}{}", "[".repeat(130), "]".repeat(130));
    for member in [
        deep.as_str(),
        r#""x":"\ud83d""#,
        r#""x":1e999"#,
        r#""stream":true,"stream":false"#,
        r#""internOptions":[]"#,
        r#""$serde_json::private::RawValue":"1""#,
    ] {
        assert!(call(call_with(member).as_bytes()).is_none(), "{member}");
    }
    assert!(call(call_with(r#""x":1"#).as_bytes()).is_some());
}
