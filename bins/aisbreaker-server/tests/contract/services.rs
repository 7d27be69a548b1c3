//! Contract section 4: the services that need no provider, conversations, and how a service is
//! found.

use serde_json::{Value, json};

use crate::support::{
    Answer, Provider, Server, assert_error, base64, call, service, service_at, state_of, streamed,
};

pub(super) const QUESTION: &str = "What is NodeJS?";
pub(super) const ANSWER: &str = "Hello, this is the reponse to 'What is NodeJS?' from DummyAssistantService \
                                 ... To get a useful answer, choose a different service/serviceId ...";

pub(super) fn dummy() -> Value {
    call(service("chat:dummy"), QUESTION)
}

pub(super) fn user(text: &str) -> Value {
    json!({"text": {"role": "user", "content": text}})
}

fn filter(id: &str, inner: &Value) -> Value {
    json!({"serviceId": id, "forward2ServiceProps": inner})
}

fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

/// The texts of all outputs.
fn contents(answer: &Value) -> Vec<&str> {
    let outputs = answer["outputs"].as_array().unwrap();
    outputs
        .iter()
        .map(|output| output["text"]["content"].as_str().unwrap())
        .collect()
}

/// An answer without what differs from call to call.
fn timeless(mut answer: Value) -> Value {
    let time = answer["usage"]
        .as_object_mut()
        .unwrap()
        .remove("totalMilliseconds");
    assert!(
        time.as_ref().is_some_and(Value::is_u64),
        "totalMilliseconds is {time:?}"
    );
    answer
}

#[test]
fn dummy_answers_in_the_words_that_clients_look_for() {
    let server = Server::start(&[]);

    let answer = server.process("", &dummy());

    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let output = json!({"text": {"index": 0, "role": "assistant", "content": ANSWER}});
    let state = json!({"messages": [{"input": user(QUESTION)}, {"output": output}]});
    let body = answer.json();
    assert_eq!(state_of(&body), state);
    let expected = json!({
        "outputs": [output],
        "conversationState": base64::encode(state.to_string().as_bytes()),
        "usage": {"service": {"serviceId": "chat:dummy"}},
    });
    let mut body = timeless(body);
    body["conversationState"] = base64::encode(state_of(&body).to_string().as_bytes()).into();
    assert_eq!(body, expected);
}

#[test]
fn dummy_greets_as_it_is_told() {
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
fn dummy_answers_the_first_input() {
    let server = Server::start(&[]);
    let inputs = json!([{"text": {"role": "system", "content": "first"}}, user("second")]);

    let answer = server.process(
        "",
        &json!({"service": service("chat:dummy"), "request": {"inputs": inputs}}),
    );

    assert!(answer.content().contains("'first'"), "{answer:?}");
}

#[test]
fn dummy_streams_word_by_word() {
    let server = Server::start(&[]);

    let (progress, last) = server.process("", &streamed(dummy())).stream();

    let words: Vec<&str> = ANSWER.split_inclusive(' ').collect();
    assert_eq!(words.len(), 22, "what the original's clients count");
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
    let whole = timeless(server.process("", &dummy()).json());
    assert_eq!(
        timeless(last),
        whole,
        "the final answer is that of a call without stream"
    );
}

#[test]
fn dummy_pauses_only_when_asked_to() {
    let server = Server::start(&[]);
    let props = |millis: Value| json!({"serviceId": "chat:dummy", "delayMillis": millis});

    for millis in [json!(0), json!(1), json!(null)] {
        let (progress, _) = server
            .process("", &streamed(call(props(millis), QUESTION)))
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
fn echo_says_what_was_said() {
    let server = Server::start(&[]);
    let inputs = json!([
        user("one"),
        {"image": {"role": "user", "url": "https://images.example/x.png"}},
        {"text": {"role": "system", "content": "t\u{fc}rk\u{e7}e \u{1f511}\n\"two\""}},
        user(""),
    ]);
    let body = json!({"service": service("chat:echo"), "request": {"inputs": inputs}});
    let texts = [
        "[ECHO] one",
        "[ECHO] t\u{fc}rk\u{e7}e \u{1f511}\n\"two\"",
        "[ECHO] ",
    ];

    let answer = server.process("", &body).json();
    let (_, last) = server.process("", &streamed(body)).stream();

    assert_eq!(contents(&answer), texts);
    assert_eq!(timeless(last), timeless(answer.clone()));
    for output in answer["outputs"].as_array().unwrap() {
        assert_eq!(output["text"]["role"], "assistant");
        assert!(
            output["text"].get("isDelta").is_none() && output["text"].get("isProcessing").is_none()
        );
    }
    assert_eq!(
        answer["usage"]["service"],
        json!({"serviceId": "chat:echo"})
    );
}

#[test]
fn mirror_reverses_by_character_and_keeps_the_state() {
    let server = Server::start(&[]);
    let question = "a\u{e4}\u{1f511}z";
    let props = filter("aisbreaker:mirror", &service("chat:echo"));

    let answer = server.process("", &call(props.clone(), question)).json();
    let (progress, last) = server
        .process("", &streamed(call(props, question)))
        .stream();

    let plain = format!("[ECHO] {question}");
    assert_eq!(contents(&answer), [reversed(&plain)]);
    assert_eq!(
        answer["usage"]["service"]["serviceId"],
        "aisbreaker:mirror/service/chat:echo"
    );
    assert_eq!(
        state_of(&answer)["messages"][1]["output"]["text"]["content"],
        json!(plain)
    );
    assert_eq!(timeless(last), timeless(answer));
    assert!(
        progress
            .iter()
            .all(|event| contents(event) == [reversed(&plain)]),
        "{progress:?}"
    );
}

#[test]
fn mirror_reverses_each_streamed_piece_by_itself() {
    let server = Server::start(&[]);
    let props = filter("aisbreaker:mirror", &service("chat:dummy"));

    let (progress, last) = server
        .process("", &streamed(call(props, QUESTION)))
        .stream();

    let pieces: Vec<&str> = progress.iter().flat_map(contents).collect();
    let expected: Vec<String> = ANSWER.split_inclusive(' ').map(reversed).collect();
    assert_eq!(pieces, expected);
    assert_eq!(contents(&last), [reversed(ANSWER)]);
}

#[test]
fn filters_may_stand_behind_each_other() {
    let server = Server::start(&[]);
    let mirror = |inner: &Value| filter("aisbreaker:mirror", inner);
    let props = filter(
        "aisbreaker:logging",
        &mirror(&filter("aisbreaker:nop", &mirror(&service("chat:echo")))),
    );

    let answer = server.process("", &call(props, "twice")).json();

    assert_eq!(contents(&answer), ["[ECHO] twice"]);
    let id = "aisbreaker:mirror/service/aisbreaker:mirror/service/chat:echo";
    assert_eq!(answer["usage"]["service"]["serviceId"], id);
}

#[test]
fn nop_and_logging_change_nothing() {
    let server = Server::start(&[]);
    let plain = timeless(server.process("", &dummy()).json());
    let plain_stream = server.process("", &streamed(dummy())).stream();

    for id in ["aisbreaker:nop", "aisbreaker:logging"] {
        let body = call(filter(id, &service("chat:dummy")), QUESTION);
        assert_eq!(timeless(server.process("", &body).json()), plain, "{id}");
        let (progress, last) = server.process("", &streamed(body)).stream();
        assert_eq!(
            (progress, timeless(last)),
            (plain_stream.0.clone(), plain.clone()),
            "{id}"
        );
    }
}

#[test]
fn logging_logs_sizes_and_never_content() {
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
fn a_filter_that_leads_nowhere_is_a_bad_request() {
    let server = Server::start(&[]);

    for id in ["aisbreaker:mirror", "aisbreaker:nop", "aisbreaker:logging"] {
        let rows = [
            ("nothing behind it", service(id)),
            ("null behind it", filter(id, &json!(null))),
            ("text behind it", filter(id, &json!("chat:dummy"))),
            ("no service id behind it", filter(id, &json!({}))),
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
        let answer = server.process("", &call(missing, "Hi"));
        assert_error(
            id,
            &answer,
            404,
            "No factory registered for serviceId 'chat:nothing'",
        );
    }
}

#[test]
fn a_conversation_goes_on_with_the_state_of_the_answer_before() {
    let server = Server::start(&[]);

    for streams in [false, true] {
        let body = |text: &str| {
            if streams {
                streamed(call(service("chat:echo"), text))
            } else {
                call(service("chat:echo"), text)
            }
        };
        let last = |answer: &Answer| {
            if streams {
                answer.stream().1
            } else {
                answer.json()
            }
        };
        let first = last(&server.process("", &body("one")));
        let mut second = body("two");
        second["request"]["conversationState"] = first["conversationState"].clone();

        let answer = last(&server.process("", &second));

        let output = |text: &str| json!({"output": {"text": {"index": 0, "role": "assistant", "content": text}}});
        let messages = json!([
            {"input": user("one")}, output("[ECHO] one"), {"input": user("two")}, output("[ECHO] two"),
        ]);
        assert_eq!(
            state_of(&answer),
            json!({"messages": messages}),
            "streams: {streams}"
        );
    }
}

#[test]
fn a_state_is_read_in_both_alphabets_padded_or_not() {
    let server = Server::start(&[]);
    // Its base64 has a plus, a slash and two padding characters.
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
        let answer = server.process("", &body);
        assert_eq!(answer.status, 200, "{state}: {answer:?}");
        let earlier = state_of(&answer.json())["messages"]
            .as_array()
            .unwrap()
            .len();
        let expected = if state.len() < 40 { 2 } else { 3 };
        assert_eq!(earlier, expected, "{state}: {answer:?}");
    }
}

#[test]
fn what_is_no_state_is_a_bad_request() {
    let server = Server::start(&[]);
    let encoded = |text: &str| json!(base64::encode(text.as_bytes()));
    let rows = [
        ("not base64", json!("not base64!")),
        ("no JSON", encoded("hello")),
        ("a list", encoded("[]")),
        ("null", encoded("null")),
        ("no messages", encoded("{}")),
        ("messages that are no list", encoded("{\"messages\":{}}")),
        ("a message that is none", encoded("{\"messages\":[7]}")),
        (
            "an input that is none",
            encoded("{\"messages\":[{\"input\":7}]}"),
        ),
        ("cut", json!("eyJtZXNzYWdlcyI6W")),
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

#[test]
fn a_service_is_found_by_whole_segments_or_not_at_all() {
    let server = Server::start(&[]);
    let found = [
        "chat:dummy",
        "chat:dummy/x",
        "chat:dummy/x/y",
        "chat:echo/1.0",
    ];
    let missing = [
        "chat:",
        "chat",
        "chat:dummyx",
        "chat:dummy.com",
        "chat:Dummy",
        "chat:dumm",
        "chat:openai",
        "chat:openai.community",
        "chat:invalid",
        "aisbreaker:echo",
        "aisbreaker:",
        "text:dummy",
        "dummy",
        "invalid",
    ];

    for id in found {
        assert_eq!(
            server.process("", &call(service(id), "Hi")).status,
            200,
            "{id}"
        );
    }
    for id in missing {
        for body in [call(service(id), "Hi"), streamed(call(service(id), "Hi"))] {
            let message = format!("No factory registered for serviceId '{id}'");
            assert_error(id, &server.process("", &body), 404, &message);
        }
    }
}

#[test]
fn the_usage_names_the_service_as_it_was_asked_for() {
    let server = Server::start(&[]);
    let answer = server
        .process("", &call(service("chat:dummy/x"), "Hi"))
        .json();
    assert_eq!(answer["usage"]["service"]["serviceId"], "chat:dummy/x");
}

#[test]
fn the_documented_key_opens_and_blocks_the_right_services() {
    let trap = Provider::trap();
    let server = Server::with_egress(&[]);
    let key = server.mint_secrets(&json!([
        {"serviceId": "aisbreaker:network", "authSecret": "{{secret}}"},
        {"serviceId": "chat:dummy", "authSecret": ""},
        {"serviceId": "", "authSecret": "INVALID"},
    ]));
    let openai = service_at("chat:openai.com/gpt-4o", &trap.url());
    let rows = [
        ("its own entry", service("chat:dummy"), 200, ""),
        ("no secret needed", service("chat:echo"), 200, ""),
        (
            "a filter",
            filter("aisbreaker:mirror", &service("chat:dummy")),
            200,
            "",
        ),
        (
            "unknown wins over blocked",
            service("chat:invalid"),
            404,
            "'chat:invalid'",
        ),
        (
            "unknown behind a filter",
            filter("aisbreaker:mirror", &service("chat:invalid")),
            404,
            "'chat:invalid'",
        ),
        ("blocked", service("chat:openai.com"), 403, ""),
        ("blocked with an address", openai.clone(), 403, ""),
        (
            "blocked behind a filter",
            filter("aisbreaker:nop", &openai),
            403,
            "",
        ),
    ];

    for (row, props, status, message) in rows {
        for body in [call(props.clone(), "Hi"), streamed(call(props, "Hi"))] {
            let answer = server.process(&key, &body);
            assert_eq!(answer.status, status, "{row}: {answer:?}");
            if status != 200 {
                assert_error(row, &answer, status, message);
            }
        }
    }
    assert_eq!(
        trap.connections(),
        0,
        "nothing is sent for a service that is blocked"
    );
}

#[test]
fn a_service_that_needs_a_secret_says_so() {
    let trap = Provider::trap();
    let server = Server::with_egress(&[]);
    let rows = [
        ("no authorization", String::new()),
        ("a key without secrets", server.mint_secrets(&json!([]))),
        (
            "a key for another service",
            server.mint_secrets(&json!([{"serviceId": "chat:other.example", "authSecret": "x"}])),
        ),
        (
            "a key that holds none",
            server.mint_secrets(&json!([{"serviceId": "chat:openai.com", "authSecret": ""}])),
        ),
        (
            "none before one",
            server.mint_secrets(&json!([
                {"serviceId": "chat:", "authSecret": ""},
                {"serviceId": "chat:openai.com", "authSecret": "sk", "url": trap.url()},
            ])),
        ),
    ];

    for (row, bearer) in rows {
        for props in [
            service("chat:openai.com"),
            service_at("chat:openai.com", &trap.url()),
        ] {
            for body in [call(props.clone(), "Hi"), streamed(call(props, "Hi"))] {
                let answer = server.process(&bearer, &body);
                assert_error(row, &answer, 401, "chat:openai.com: missing auth.secret");
            }
        }
    }
    assert_eq!(trap.connections(), 0);
}
