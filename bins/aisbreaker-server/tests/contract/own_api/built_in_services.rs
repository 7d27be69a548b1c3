//! Contract section 4: the services that need no provider.

use serde_json::{Value, json};

use super::{DUMMY_ANSWER, DUMMY_QUESTION, dummy_question, filter, mirror, reversed, without_time};
use crate::support::{Server, assert_error, base64, call, service, state_of, streamed, user_text};

/// Returns the texts of all outputs.
fn contents(response: &Value) -> Vec<&str> {
    let outputs = response["outputs"].as_array().unwrap();
    outputs
        .iter()
        .map(|output| output["text"]["content"].as_str().unwrap())
        .collect()
}

#[test]
fn dummy_answers_with_the_documented_text() {
    let server = Server::start(&[]);

    let response = server.process("", &dummy_question());

    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    let output = json!({"text": {"index": 0, "role": "assistant", "content": DUMMY_ANSWER}});
    let state = json!({"messages": [{"input": user_text(DUMMY_QUESTION)}, {"output": output}]});
    let body = response.json();
    assert_eq!(state_of(&body), state);
    let expected = json!({
        "outputs": [output],
        "conversationState": base64::encode(state.to_string().as_bytes()),
        "usage": {"service": {"serviceId": "chat:dummy"}},
    });
    let mut comparable = without_time(body);
    // The state is JSON, whose members may have any order.
    comparable["conversationState"] =
        base64::encode(state_of(&comparable).to_string().as_bytes()).into();
    assert_eq!(comparable, expected);
}

#[test]
fn dummy_uses_the_given_greeting() {
    let server = Server::start(&[]);
    let rows = [
        (
            json!({"serviceId": "chat:dummy", "greeting": "Moin"}),
            "Moin, this is the reponse to",
        ),
        (
            json!({"serviceId": "chat:dummy", "greeting": ""}),
            "Hello, this is the reponse to",
        ),
        (
            json!({"serviceId": "chat:dummy", "greeting": null}),
            "Hello, this is the reponse to",
        ),
        (
            json!({"serviceId": "chat:dummy/engine"}),
            "Hello, this is the reponse to",
        ),
    ];

    for (props, expected) in rows {
        let content = server.process("", &call(props.clone(), "Hi")).content();
        assert!(content.starts_with(expected), "{props}: {content}");
    }
}

#[test]
fn usage_names_the_engine_of_the_service_id() {
    let server = Server::start(&[]);
    for (id, engine) in [
        ("chat:dummy/some-engine", json!("some-engine")),
        ("chat:dummy/some/engine", json!("some/engine")),
        ("chat:echo/e", json!("e")),
        ("text-to-image:dummy/e", json!("e")),
        ("chat:dummy", json!(null)),
        ("chat:echo", json!(null)),
    ] {
        let body = call(service(id), "Hi");
        let whole = server.process("", &body).json();
        let (_, last) = server.process("", &streamed(body)).stream();
        for response in [whole, last] {
            let service = &response["usage"]["service"];
            assert_eq!(
                (&service["serviceId"], &service["engine"]),
                (&json!(id), &engine)
            );
            assert!(engine != json!(null) || service.get("engine").is_none());
        }
    }
}

#[test]
fn dummy_answers_the_first_input() {
    let server = Server::start(&[]);
    let inputs = json!([{"text": {"role": "system", "content": "first"}}, user_text("second")]);

    let response = server.process(
        "",
        &json!({"service": service("chat:dummy"), "request": {"inputs": inputs}}),
    );

    assert!(response.content().contains("'first'"), "{response:?}");
}

#[test]
fn dummy_streams_word_by_word() {
    let server = Server::start(&[]);

    let (progress, last) = server.process("", &streamed(dummy_question())).stream();

    let words: Vec<&str> = DUMMY_ANSWER.split_inclusive(' ').collect();
    assert_eq!(
        words.len(),
        22,
        "the number that clients of the original server expect"
    );
    let expected: Vec<Value> = words
        .iter()
        .enumerate()
        .map(|(i, word)| {
            let is_processing = i + 1 < words.len();
            json!({"outputs": [{"text": {
                "index": 0, "role": "assistant", "content": word,
                "isDelta": true, "isProcessing": is_processing,
            }}]})
        })
        .collect();
    assert_eq!(progress, expected);
    let whole = without_time(server.process("", &dummy_question()).json());
    assert_eq!(
        without_time(last),
        whole,
        "the final answer differs from that of a call without stream"
    );
}

#[test]
fn dummy_accepts_delays_up_to_one_second() {
    let server = Server::start(&[]);
    let props = |millis: Value| json!({"serviceId": "chat:dummy", "delayMillis": millis});

    for millis in [json!(0), json!(1), json!(null)] {
        let (progress, _) = server
            .process("", &streamed(call(props(millis), DUMMY_QUESTION)))
            .stream();
        assert_eq!(progress.len(), 22);
    }
    for millis in [json!(1001), json!(-1), json!(0.5), json!("1"), json!(1e10)] {
        let row = millis.to_string();
        assert_error(
            &row,
            &server.process("", &call(props(millis), "Hi")),
            400,
            "delayMillis",
        );
    }
}

#[test]
fn echo_repeats_every_text_input() {
    let server = Server::start(&[]);
    let inputs = json!([
        user_text("one"),
        {"image": {"role": "user", "url": "https://images.example/x.png"}},
        {"text": {"role": "system", "content": "t\u{fc}rk\u{e7}e \u{1f511}\n\"two\""}},
        user_text(""),
    ]);
    let body = json!({"service": service("chat:echo"), "request": {"inputs": inputs}});
    let texts = [
        "[ECHO] one",
        "[ECHO] t\u{fc}rk\u{e7}e \u{1f511}\n\"two\"",
        "[ECHO] ",
    ];

    let response = server.process("", &body).json();
    let (_, last) = server.process("", &streamed(body)).stream();

    assert_eq!(contents(&response), texts);
    assert_eq!(without_time(last), without_time(response.clone()));
    for output in response["outputs"].as_array().unwrap() {
        assert_eq!(output["text"]["role"], "assistant");
        assert!(
            output["text"].get("isDelta").is_none() && output["text"].get("isProcessing").is_none()
        );
    }
    assert_eq!(
        response["usage"]["service"],
        json!({"serviceId": "chat:echo"})
    );
}

#[test]
fn mirror_reverses_by_character_and_keeps_the_state() {
    let server = Server::start(&[]);
    let question = "a\u{e4}\u{1f511}z";
    let props = mirror(&service("chat:echo"));

    let response = server.process("", &call(props.clone(), question)).json();
    let (progress, last) = server
        .process("", &streamed(call(props, question)))
        .stream();

    let plain = format!("[ECHO] {question}");
    assert_eq!(contents(&response), [reversed(&plain)]);
    assert_eq!(
        response["usage"]["service"]["serviceId"],
        "aisbreaker:mirror/service/chat:echo"
    );
    assert_eq!(
        state_of(&response)["messages"][1]["output"]["text"]["content"],
        json!(plain)
    );
    assert_eq!(without_time(last), without_time(response));
    assert!(
        progress
            .iter()
            .all(|event| contents(event) == [reversed(&plain)]),
        "{progress:?}"
    );
}

#[test]
fn mirror_reverses_each_streamed_piece() {
    let server = Server::start(&[]);
    let props = mirror(&service("chat:dummy"));

    let (progress, last) = server
        .process("", &streamed(call(props, DUMMY_QUESTION)))
        .stream();

    let pieces: Vec<&str> = progress.iter().flat_map(contents).collect();
    let expected: Vec<String> = DUMMY_ANSWER.split_inclusive(' ').map(reversed).collect();
    assert_eq!(pieces, expected);
    assert_eq!(contents(&last), [reversed(DUMMY_ANSWER)]);
}

#[test]
fn filters_can_be_nested() {
    let server = Server::start(&[]);

    let props = filter(
        "aisbreaker:logging",
        &mirror(&filter("aisbreaker:nop", &mirror(&service("chat:echo")))),
    );

    let response = server.process("", &call(props, "twice")).json();

    assert_eq!(contents(&response), ["[ECHO] twice"]);
    let id = "aisbreaker:mirror/service/aisbreaker:mirror/service/chat:echo";
    assert_eq!(response["usage"]["service"]["serviceId"], id);
}

#[test]
fn nop_and_logging_change_nothing() {
    let server = Server::start(&[]);
    let plain = without_time(server.process("", &dummy_question()).json());
    let plain_stream = server.process("", &streamed(dummy_question())).stream();

    for id in ["aisbreaker:nop", "aisbreaker:logging"] {
        let body = call(filter(id, &service("chat:dummy")), DUMMY_QUESTION);
        assert_eq!(
            without_time(server.process("", &body).json()),
            plain,
            "{id}"
        );
        let (progress, last) = server.process("", &streamed(body)).stream();
        assert_eq!(
            (progress, without_time(last)),
            (plain_stream.0.clone(), plain.clone()),
            "{id}"
        );
    }
}

#[test]
fn logging_records_sizes_but_no_content() {
    let server = Server::start(&[("AISBREAKER_LOG", "trace")]);
    let props = filter(
        "aisbreaker:logging",
        &json!({"serviceId": "chat:dummy", "greeting": "canary-greeting"}),
    );

    for body in [
        call(props.clone(), "canary-question"),
        streamed(call(props, "canary-question")),
    ] {
        assert_eq!(server.process("", &body).status, 200);
        server.wait_for_log("the end of the call", |line| {
            line["message"] == "service answered"
        });
    }

    let line = server.wait_for_log("the sizes", |line| line["message"] == "service called");
    assert_eq!(
        (&line["inputs"], &line["input_bytes"]),
        (&json!(1), &json!("canary-question".len()))
    );
    assert!(!server.log().contains("canary"), "content in the log");
}

#[test]
fn filter_without_an_inner_service_returns_400() {
    let server = Server::start(&[]);

    for id in ["aisbreaker:mirror", "aisbreaker:nop", "aisbreaker:logging"] {
        let rows = [
            ("no inner service", service(id)),
            ("null", filter(id, &json!(null))),
            ("text", filter(id, &json!("chat:dummy"))),
            ("no service id", filter(id, &json!({}))),
            (
                "number for a service id",
                filter(id, &json!({"serviceId": 7})),
            ),
        ];
        for (row, props) in rows {
            let row = format!("{id} with {row}");
            for body in [call(props.clone(), "Hi"), streamed(call(props, "Hi"))] {
                assert_error(
                    &row,
                    &server.process("", &body),
                    400,
                    "forward2ServiceProps",
                );
            }
        }
        let missing = filter(id, &service("chat:nothing"));
        let response = server.process("", &call(missing, "Hi"));
        assert_error(
            id,
            &response,
            404,
            "No factory registered for serviceId 'chat:nothing'",
        );
    }
}
