//! Contract section 4: `conversationState`.

use serde_json::json;

use crate::support::{
    Response, Server, assert_error, base64, call, service, state_of, streamed, user_text,
};

#[test]
fn state_continues_the_conversation() {
    let server = Server::start(&[]);

    for is_streamed in [false, true] {
        let body = |text: &str| {
            if is_streamed {
                streamed(call(service("chat:echo"), text))
            } else {
                call(service("chat:echo"), text)
            }
        };
        let final_body = |response: &Response| {
            if is_streamed {
                response.stream().1
            } else {
                response.json()
            }
        };
        let first = final_body(&server.process("", &body("one")));
        let mut second = body("two");
        second["request"]["conversationState"] = first["conversationState"].clone();

        let response = final_body(&server.process("", &second));

        let output = |text: &str| json!({"output": {"text": {"index": 0, "role": "assistant", "content": text}}});
        let messages = json!([
            {"input": user_text("one")}, output("[ECHO] one"), {"input": user_text("two")}, output("[ECHO] two"),
        ]);
        assert_eq!(
            state_of(&response),
            json!({"messages": messages}),
            "streams: {is_streamed}"
        );
    }
}

#[test]
fn state_is_accepted_in_both_base64_alphabets() {
    let server = Server::start(&[]);
    // Its base64 has a plus or a slash, and two padding characters.
    let state = json!({"messages": [{"input": {"text": {"role": "user", "content": "??>>~~\u{fb}\u{ff}\u{3ff}"}}}]});
    let padded = (0..3)
        .map(|spaces| base64::encode(format!("{state}{}", " ".repeat(spaces)).as_bytes()))
        .find(|text| text.ends_with("==") && text.contains('+') | text.contains('/'))
        .unwrap();
    let rows = [
        padded.clone(),
        padded.trim_end_matches('=').to_owned(),
        padded.replace('+', "-").replace('/', "_"),
        padded
            .trim_end_matches('=')
            .replace('+', "-")
            .replace('/', "_"),
        base64::encode(b"{\"messages\":[]}"),
        base64::encode(b"{\"messages\":[],\"other\":1}"),
    ];

    for state in rows {
        let mut body = call(service("chat:echo"), "Hi");
        body["request"]["conversationState"] = json!(state);
        let response = server.process("", &body);
        assert_eq!(response.status, 200, "{state}: {response:?}");
        let earlier = state_of(&response.json())["messages"]
            .as_array()
            .unwrap()
            .len();
        let expected = if state.len() < 40 { 2 } else { 3 };
        assert_eq!(earlier, expected, "{state}: {response:?}");
    }
}

#[test]
fn invalid_state_returns_400() {
    let server = Server::start(&[]);
    let encoded = |text: &str| json!(base64::encode(text.as_bytes()));
    let rows = [
        ("not base64", json!("not base64!")),
        ("no JSON", encoded("hello")),
        ("a list", encoded("[]")),
        ("null", encoded("null")),
        ("no messages", encoded("{}")),
        ("messages that are no list", encoded("{\"messages\":{}}")),
        ("an invalid message", encoded("{\"messages\":[7]}")),
        (
            "an invalid input",
            encoded("{\"messages\":[{\"input\":7}]}"),
        ),
        ("truncated", json!("eyJtZXNzYWdlcyI6W")),
        ("a number", json!(7)),
        ("an object", json!({"messages": []})),
    ];

    for (row, state) in rows {
        for id in ["chat:dummy", "chat:echo"] {
            let mut body = call(service(id), "Hi");
            body["request"]["conversationState"] = state.clone();
            assert_error(row, &server.process("", &body), 400, "conversationState");
            assert_error(
                row,
                &server.process("", &streamed(body)),
                400,
                "conversationState",
            );
        }
    }
}
