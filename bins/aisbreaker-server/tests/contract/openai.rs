//! Contract section 4, `chat:openai.com`, and section 6 as far as providers are concerned.

use std::sync::{Mutex, mpsc};

use serde_json::{Value, json};

use crate::support::{
    ConfigFile, Provider, Request, Server, assert_error, call, service, service_at, sse, state_of,
    streamed,
};

pub(super) const SECRET: &str = "sk-canary-0123456789abcdef";

fn user(text: &str) -> Value {
    json!({"text": {"role": "user", "content": text}})
}

/// A key whose secret is bound to this provider.
pub(super) fn key_for(server: &Server, provider: &Provider) -> String {
    server.mint_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": SECRET, "url": provider.url()},
    ]))
}

pub(super) fn chat(text: &str) -> Value {
    call(service("chat:openai.com/gpt-4o"), text)
}

pub(super) fn completion(content: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-08-06",
        "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": content, "refusal": null},
        }],
        "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
    })
}

pub(super) fn piece(content: &str) -> String {
    sse(&json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": null}],
    }))
}

fn first_piece() -> String {
    sse(&json!({
        "id": "chatcmpl-1", "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}],
    }))
}

fn last_piece() -> String {
    sse(&json!({
        "id": "chatcmpl-1", "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
    }))
}

/// A provider's whole stream.
pub(super) fn stream_of(pieces: &[&str]) -> String {
    let pieces: String = pieces.iter().map(|content| piece(content)).collect();
    format!("{}{pieces}{}data: [DONE]\n\n", first_piece(), last_piece())
}

pub(super) fn pieces_of(progress: &[Value]) -> Vec<&str> {
    let outputs = progress
        .iter()
        .flat_map(|event| event["outputs"].as_array().unwrap());
    outputs
        .map(|output| output["text"]["content"].as_str().unwrap())
        .collect()
}

#[test]
fn the_provider_gets_what_was_asked_for_and_nothing_else() {
    let provider = Provider::with_answer(200, completion("Hello!"));
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);
    let request = Request::process(&chat("Hi"))
        .bearer(&key)
        .header("Cookie", "session=canary")
        .header("X-Forwarded-For", "192.0.2.1")
        .header("X-Api-Key", "canary")
        .header("Origin", "https://app.example")
        .header("Referer", "https://app.example/canary");

    assert_eq!(server.send(&request).content(), "Hello!");

    let sent = provider.sole_request();
    assert_eq!(
        (&*sent.method, &*sent.target),
        ("POST", "/v1/chat/completions")
    );
    assert_eq!(
        sent.header("authorization"),
        Some(&*format!("Bearer {SECRET}"))
    );
    assert_eq!(sent.header("content-type"), Some("application/json"));
    assert_eq!(sent.header("host"), Some(&*provider.address().to_string()));
    let expected = json!({"messages": [{"role": "user", "content": "Hi"}], "model": "gpt-4o", "stream": false});
    assert_eq!(sent.json(), expected);
    for header in [
        "cookie",
        "x-forwarded-for",
        "x-api-key",
        "origin",
        "referer",
    ] {
        assert_eq!(sent.header(header), None, "{header} was passed on");
    }
    assert!(
        !format!("{:?}", sent.headers).contains("aisbreaker_"),
        "the key was passed on: {sent:?}"
    );
}

#[test]
fn a_streamed_call_is_a_streamed_call_to_the_provider() {
    let provider = Provider::start(|_, wire| wire.whole_stream(stream_of(&["a"])));
    let server = Server::with_egress(&[]);

    server
        .process(&key_for(&server, &provider), &streamed(chat("Hi")))
        .stream();

    let expected =
        json!({"messages": [{"role": "user", "content": "Hi"}], "model": "gpt-4o", "stream": true});
    assert_eq!(provider.sole_request().json(), expected);
}

#[test]
fn intern_options_reach_the_provider_but_rule_nothing() {
    let provider = Provider::with_answer(200, completion("ok"));
    let server = Server::with_egress(&[]);
    let mut body = chat("Hi");
    body["request"]["internOptions"] = json!({
        "temperature": 0.25, "max_tokens": 7, "seed": 9_007_199_254_740_993_u64, "stop": ["\n"],
        "messages": [{"role": "user", "content": "other"}], "stream": true,
    });

    assert_eq!(
        server
            .process(&key_for(&server, &provider), &body)
            .content(),
        "ok"
    );

    let expected = json!({
        "messages": [{"role": "user", "content": "Hi"}], "model": "gpt-4o", "stream": false,
        "temperature": 0.25, "max_tokens": 7, "seed": 9_007_199_254_740_993_u64, "stop": ["\n"],
    });
    assert_eq!(provider.sole_request().json(), expected);
}

#[test]
fn images_are_sent_as_image_url_parts() {
    let provider = Provider::with_answer(200, completion("ok"));
    let server = Server::with_egress(&[]);
    let inputs = json!([
        {"text": {"role": "system", "content": "Be brief."}},
        user("What is this?"),
        {"image": {"role": "user", "url": "https://images.example/x.png"}},
        {"image": {"role": "user", "base64": "iVBORw0KGgo="}},
    ]);
    let body = json!({"service": service("chat:openai.com/gpt-4o"), "request": {"inputs": inputs}});

    assert_eq!(
        server
            .process(&key_for(&server, &provider), &body)
            .content(),
        "ok"
    );

    let sent = provider.sole_request().json();
    let messages = sent["messages"].as_array().unwrap();
    assert_eq!(
        messages[0],
        json!({"role": "system", "content": "Be brief."})
    );
    let parts: Vec<&Value> = messages
        .iter()
        .filter_map(|message| message["content"].as_array())
        .flatten()
        .collect();
    let images: Vec<&Value> = parts
        .into_iter()
        .filter(|part| part["type"] == "image_url")
        .collect();
    assert_eq!(
        images[0]["image_url"]["url"], "https://images.example/x.png",
        "{sent}"
    );
    assert_eq!(
        images[1]["image_url"]["url"], "data:image/png;base64,iVBORw0KGgo=",
        "{sent}"
    );
    assert!(sent.to_string().contains("What is this?"), "{sent}");
}

#[test]
fn the_provider_gets_the_whole_conversation() {
    let provider = Provider::start(|received, wire| {
        let turns = received.json()["messages"].as_array().unwrap().len();
        wire.json(200, &completion(&format!("answer to {turns}")));
    });
    let server = Server::with_egress(&[]);
    let key = key_for(&server, &provider);
    let first = server.process(&key, &chat("one")).json();
    let mut second = chat("two");
    second["request"]["conversationState"] = first["conversationState"].clone();

    let second = server.process(&key, &second).json();

    let expected = json!([
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "answer to 1"},
        {"role": "user", "content": "two"},
    ]);
    assert_eq!(provider.requests()[1].json()["messages"], expected);
    let output = |text: &str| {
        json!({"output": {"text": {
            "index": 0, "role": "assistant", "content": text, "isDelta": false, "isProcessing": false,
        }}})
    };
    let messages = json!([{"input": user("one")}, output("answer to 1"), {"input": user("two")}, output("answer to 3")]);
    assert_eq!(state_of(&second), json!({"messages": messages}));
}

#[test]
fn an_answer_tells_what_the_provider_told() {
    let provider = Provider::with_answer(200, completion("Hello!"));
    let server = Server::with_egress(&[]);

    let answer = server
        .process(&key_for(&server, &provider), &chat("Hi"))
        .json();

    let output = json!({"text": {
        "index": 0, "role": "assistant", "content": "Hello!", "isDelta": false, "isProcessing": false,
    }});
    assert_eq!(answer["outputs"], json!([output]));
    assert_eq!(answer["internResponse"], completion("Hello!"));
    assert_eq!(
        state_of(&answer),
        json!({"messages": [{"input": user("Hi")}, {"output": output}]})
    );
    let usage = answer["usage"].as_object().unwrap();
    let service = json!({
        "serviceId": "chat:openai.com/gpt-4o", "engine": "gpt-4o-2024-08-06",
        "url": format!("{}/v1/chat/completions", provider.url()),
    });
    assert_eq!(usage["service"], service);
    assert!(usage["totalMilliseconds"].is_u64(), "{usage:?}");
    let tokens = ["inputTokens", "outputTokens", "totalTokens"].map(|name| usage[name].as_u64());
    assert_eq!(tokens, [Some(9), Some(12), Some(21)]);
}

#[test]
fn tokens_that_the_provider_does_not_tell_are_not_made_up() {
    let mut silent = completion("ok");
    silent.as_object_mut().unwrap().remove("usage");
    let provider = Provider::with_answer(200, silent);
    let server = Server::with_egress(&[]);

    let answer = server
        .process(&key_for(&server, &provider), &chat("Hi"))
        .json();

    for name in ["inputTokens", "outputTokens", "totalTokens"] {
        assert_eq!(answer["usage"].get(name), None, "{name}");
    }
}

#[test]
fn a_stream_is_passed_on_piece_by_piece_and_summed_up() {
    let rows = [
        ("with [DONE]", stream_of(&["Hel", "lo", " w\u{f6}rld\n"])),
        (
            "without [DONE]",
            stream_of(&["Hel", "lo", " w\u{f6}rld\n"]).replace("data: [DONE]\n\n", ""),
        ),
        (
            "with CRLF",
            stream_of(&["Hel", "lo", " w\u{f6}rld\n"]).replace("\n\n", "\r\n\r\n"),
        ),
        (
            "without spaces",
            stream_of(&["Hel", "lo", " w\u{f6}rld\n"]).replace("data: ", "data:"),
        ),
        (
            "with comments",
            stream_of(&["Hel", "lo", " w\u{f6}rld\n"]).replace("\n\n", "\n\n: keep-alive\n\n"),
        ),
        (
            "with more after [DONE]",
            stream_of(&["Hel", "lo", " w\u{f6}rld\n"]) + &piece("more"),
        ),
        (
            "with usage",
            stream_of(&["Hel", "lo", " w\u{f6}rld\n"]).replace(
                "data: [DONE]",
                &format!(
                    "{}data: [DONE]",
                    sse(&json!({"choices": [], "usage": {"total_tokens": 21}}))
                ),
            ),
        ),
    ];

    for (row, text) in rows {
        let tells_usage = row == "with usage";
        let provider = Provider::start(move |_, wire| wire.whole_stream(&text));
        let server = Server::with_egress(&[]);
        let (progress, last) = server
            .process(&key_for(&server, &provider), &streamed(chat("Hi")))
            .stream();
        assert_eq!(
            pieces_of(&progress),
            ["Hel", "lo", " w\u{f6}rld\n"],
            "{row}"
        );
        for event in &progress {
            let text = &event["outputs"][0]["text"];
            let expected = (json!(0), json!("assistant"), json!(true), json!(true));
            let told = (
                &text["index"],
                &text["role"],
                &text["isDelta"],
                &text["isProcessing"],
            );
            assert_eq!(
                told,
                (&expected.0, &expected.1, &expected.2, &expected.3),
                "{row}: {event}"
            );
        }
        let output = json!({"text": {
            "index": 0, "role": "assistant", "content": "Hello w\u{f6}rld\n",
            "isDelta": false, "isProcessing": false,
        }});
        assert_eq!(last["outputs"], json!([output]), "{row}");
        let state = json!({"messages": [{"input": user("Hi")}, {"output": output}]});
        assert_eq!(state_of(&last), state, "{row}");
        assert_eq!(
            last["usage"]["service"]["engine"], "gpt-4o-2024-08-06",
            "{row}"
        );
        let tokens = last["usage"]["totalTokens"].as_u64();
        assert_eq!(tokens, tells_usage.then_some(21), "{row}: {last}");
    }
}

#[test]
fn a_piece_does_not_wait_for_the_next() {
    let (go, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        for content in ["one", "two"] {
            wire.chunk(piece(content));
            may_go_on.lock().unwrap().recv().unwrap();
        }
        wire.chunk(format!("{}data: [DONE]\n\n", last_piece()));
        wire.end();
    });
    let server = Server::with_egress(&[]);
    let mut connection = server.connect();

    connection.write(
        &Request::process(&streamed(chat("Hi")))
            .bearer(&key_for(&server, &provider))
            .to_bytes(),
    );

    assert_eq!(connection.head().status, 200);
    for content in ["one", "two"] {
        let event = connection.event().unwrap();
        assert_eq!(event.data["outputs"][0]["text"]["content"], content);
        go.send(()).unwrap();
    }
    assert_eq!(connection.event().unwrap().name, "final");
    assert_eq!(connection.event(), None);
}

#[test]
fn the_connection_of_a_stream_is_used_again() {
    const CALLS: usize = 10;
    let (go, may_end) = mpsc::channel::<()>();
    let may_end = Mutex::new(may_end);
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        wire.chunk(stream_of(&["Hi"]));
        // Providers end the body a moment after its last event.
        may_end.lock().unwrap().recv().unwrap();
        wire.end();
    });
    let server = Server::with_egress(&[]);
    let request = Request::process(&streamed(chat("Hi"))).bearer(&key_for(&server, &provider));

    for call in 0..CALLS {
        let mut connection = server.connect();
        connection.write(&request.to_bytes());
        assert_eq!(connection.head().status, 200, "{call}");
        assert_eq!(connection.event().unwrap().name, "progress", "{call}");
        assert_eq!(connection.event().unwrap().name, "final", "{call}");
        go.send(()).unwrap();
        assert_eq!(connection.event(), None, "{call}");
    }

    assert_eq!(provider.requests().len(), CALLS);
    // One is all it takes, but a server that is kept waiting for the end may give a connection up.
    assert!(
        provider.connections() < CALLS,
        "each stream has a connection of its own"
    );
}

#[test]
fn the_head_of_a_stream_does_not_wait_for_the_provider() {
    let (go, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let provider = Provider::start(move |_, wire| {
        may_go_on.lock().unwrap().recv().unwrap();
        wire.whole_stream(stream_of(&["late"]));
    });
    let server = Server::with_egress(&[("AISBREAKER_PROVIDER_TIMEOUT", "5s")]);
    let mut connection = server.connect();
    connection.write(
        &Request::process(&streamed(chat("Hi")))
            .bearer(&key_for(&server, &provider))
            .to_bytes(),
    );

    // The original's clients give up when no head comes within ten seconds.
    let head = connection.head();
    assert_eq!(head.status, 200, "{head:?}");
    go.send(()).unwrap();

    assert_eq!(
        connection.event().unwrap().data["outputs"][0]["text"]["content"],
        "late"
    );
}

#[test]
fn several_answers_to_one_question_keep_their_places() {
    let mut body = completion("zero");
    body["choices"] = json!([
        {"index": 1, "message": {"role": "assistant", "content": "one"}},
        {"index": 0, "message": {"role": "assistant", "content": "zero"}},
    ]);
    let provider = Provider::with_answer(200, body);
    let server = Server::with_egress(&[]);

    let answer = server
        .process(&key_for(&server, &provider), &chat("Hi"))
        .json();

    let texts: Vec<(&Value, &Value)> = answer["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|output| (&output["text"]["index"], &output["text"]["content"]))
        .collect();
    assert_eq!(
        texts,
        [(&json!(0), &json!("zero")), (&json!(1), &json!("one"))]
    );
}

#[test]
fn a_provider_that_ignores_stream_is_streamed_all_the_same() {
    let provider = Provider::with_answer(200, completion("whole"));
    let server = Server::with_egress(&[]);

    let (progress, last) = server
        .process(&key_for(&server, &provider), &streamed(chat("Hi")))
        .stream();

    assert_eq!(pieces_of(&progress).concat(), "whole");
    assert_eq!(last["outputs"][0]["text"]["content"], "whole");
}

/// Rows of the table below: entries of the key, the service, and the secret that must arrive or the
/// status.
type Lookup = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    Result<&'static str, u16>,
);

#[test]
fn the_first_entry_that_matches_whole_segments_decides_the_secret() {
    const GPT: &str = "chat:openai.com/gpt-4";
    let rows: [Lookup; 16] = [
        (
            "the service",
            &[("chat:openai.com", "a")],
            "chat:openai.com",
            Ok("a"),
        ),
        (
            "the service for its engine",
            &[("chat:openai.com", "a")],
            GPT,
            Ok("a"),
        ),
        ("the engine", &[(GPT, "a")], GPT, Ok("a")),
        (
            "the engine's own part",
            &[("chat:openai.com/org", "a")],
            "chat:openai.com/org/m",
            Ok("a"),
        ),
        ("the task", &[("chat:", "a")], GPT, Ok("a")),
        ("everything", &[("", "a")], GPT, Ok("a")),
        (
            "the first of two",
            &[("chat:openai.com", "a"), (GPT, "b")],
            GPT,
            Ok("a"),
        ),
        (
            "the second of two",
            &[("chat:other.example", "a"), ("chat:", "b")],
            GPT,
            Ok("b"),
        ),
        (
            "an engine for the service",
            &[(GPT, "a")],
            "chat:openai.com",
            Err(401),
        ),
        (
            "an engine for another one",
            &[(GPT, "a")],
            "chat:openai.com/gpt-4o",
            Err(401),
        ),
        ("half a vendor", &[("chat:openai", "a")], GPT, Err(401)),
        (
            "half an engine",
            &[("chat:openai.com/gpt", "a")],
            GPT,
            Err(401),
        ),
        ("another task", &[("text:", "a")], GPT, Err(401)),
        (
            "none, on purpose",
            &[("chat:openai.com", ""), ("", "a")],
            GPT,
            Err(401),
        ),
        (
            "blocked",
            &[("chat:openai.com", "INVALID"), ("", "a")],
            GPT,
            Err(403),
        ),
        (
            "blocked later",
            &[("chat:openai.com", "a"), ("", "INVALID")],
            GPT,
            Ok("a"),
        ),
    ];
    let provider = Provider::with_answer(200, completion("ok"));
    let server = Server::with_egress(&[]);

    for (row, entries, id, expected) in rows {
        let entries: Vec<Value> = entries
            .iter()
            .map(|(id, secret)| json!({"serviceId": id, "authSecret": secret, "url": provider.url()}))
            .collect();
        let key = server.mint_secrets(&Value::from(entries));
        let before = provider.requests().len();
        let answer = server.process(&key, &call(service(id), "Hi"));
        let sent = provider.requests();
        match expected {
            Ok(secret) => {
                assert_eq!(answer.content(), "ok", "{row}");
                let header = format!("Bearer {secret}");
                assert_eq!(
                    sent.last().unwrap().header("authorization"),
                    Some(&*header),
                    "{row}"
                );
            }
            Err(status) => {
                assert_error(row, &answer, status, "");
                assert_eq!(sent.len(), before, "{row}: something was sent");
            }
        }
    }
}

#[test]
fn a_sealed_secret_arrives_as_it_was_sealed() {
    let provider = Provider::with_answer(200, completion("ok"));
    let server = Server::with_egress(&[]);

    for secret in [
        "s\u{fc}per-\u{1f511}",
        "with spaces in it",
        "\"quoted\"",
        "a=b;c,d",
        &"x".repeat(2_000),
    ] {
        let entry =
            json!({"serviceId": "chat:openai.com", "authSecret": secret, "url": provider.url()});
        assert_eq!(
            server
                .process(&server.mint_secrets(&json!([entry])), &chat("Hi"))
                .content(),
            "ok",
            "{secret}"
        );
        let sent = provider.requests().pop().unwrap();
        assert_eq!(
            sent.header("authorization"),
            Some(&*format!("Bearer {secret}"))
        );
    }
}

#[test]
fn a_bearer_value_that_is_no_key_is_the_secret_of_whatever_is_called() {
    let secrets = [
        "sk-own",
        "test_with_third_party_or_invalid_api_key",
        "a.b.c",
        "s\u{fc}per-\u{1f511}",
    ];
    assert_secrets_arrive(&secrets);
}

#[test]
fn a_bearer_value_is_a_key_only_if_it_begins_as_one() {
    assert_secrets_arrive(&[
        "aisbreaker-x",
        "aisbreaker",
        "sk-aisbreaker_x",
        "AISBREAKER_x",
    ]);
}

/// Checks that these bearer values are sent to a provider as they are.
fn assert_secrets_arrive(secrets: &[&str]) {
    let provider = Provider::with_answer(200, completion("ok"));
    let server = Server::with_egress(&[]);
    let body = call(service_at("chat:openai.com", &provider.url()), "Hi");

    for secret in secrets {
        let answer = server.process(secret, &body);
        assert_eq!(answer.status, 200, "{secret}: {answer:?}");
        let sent = provider.requests().pop().unwrap();
        assert_eq!(
            sent.header("authorization"),
            Some(&*format!("Bearer {secret}"))
        );
    }
}

#[test]
fn a_service_url_becomes_the_address_as_documented() {
    let provider = Provider::with_answer(200, completion("ok"));
    let server = Server::with_egress(&[]);
    let rows = [
        ("chat:openai.com", "", "/v1/chat/completions"),
        ("chat:openai.com", "/", "/v1/chat/completions"),
        ("chat:openai.com", "/api", "/api/v1/chat/completions"),
        ("chat:openai.com", "/api/", "/api/v1/chat/completions"),
        ("chat:openai.com", "/api//", "/api//v1/chat/completions"),
        ("chat:openai.com", "/exact#no-default-path", "/exact"),
        ("chat:openai.com", "/exact/#no-default-path", "/exact/"),
        (
            "chat:openai.com",
            "/exact?a=b#no-default-path",
            "/exact?a=b",
        ),
        ("chat:openai.com", "#no-default-path", "/"),
        (
            "chat:openai.com/m",
            "/x/${engine}",
            "/x/m/v1/chat/completions",
        ),
        (
            "chat:openai.com/org/m-1.5",
            "/x/${engine}#no-default-path",
            "/x/org/m-1.5",
        ),
        (
            "chat:openai.com/a b?c",
            "/x/${engine}#no-default-path",
            "/x/a%20b%3Fc",
        ),
        (
            "chat:openai.com/100%",
            "/x/${engine}#no-default-path",
            "/x/100%25",
        ),
        (
            "chat:openai.com/m#n",
            "/x/${engine}#no-default-path",
            "/x/m%23n",
        ),
    ];

    for (id, path, target) in rows {
        let url = format!("{}{path}", provider.url());
        let answer = server.process("sk-own", &call(service_at(id, &url), "Hi"));
        assert_eq!(answer.status, 200, "{id} at {path}: {answer:?}");
        assert_eq!(
            provider.requests().pop().unwrap().target,
            target,
            "{id} at {path}"
        );
        let told = answer.json()["usage"]["service"]["url"].clone();
        // A query may hold a secret, so it is not told.
        let path = target.split('?').next().unwrap();
        assert_eq!(told, format!("{}{path}", provider.url()), "{id} at {path}");
    }
}

#[test]
fn an_unusable_service_url_is_a_bad_request() {
    let trap = Provider::trap();
    let server = Server::with_egress(&[]);
    let at = trap.address();
    let rows = [
        json!(format!("http://{at}?a=b")),
        json!(format!("http://{at}/x?a=b")),
        json!(format!("http://{at}#fragment")),
        json!(format!("http://{at}/x#")),
        json!(format!("http://me@{at}")),
        json!(format!("http://me:{SECRET}@{at}")),
        json!(format!("http://me@{at}/#no-default-path")),
        json!(format!("ftp://{at}")),
        json!("file:///etc/passwd"),
        json!(format!("//{at}")),
        json!(at.to_string()),
        json!("http://"),
        json!("nonsense"),
        json!(7),
        json!([trap.url()]),
        json!({"url": trap.url()}),
    ];

    for url in rows {
        let row = url.to_string();
        let body = call(json!({"serviceId": "chat:openai.com", "url": url}), "Hi");
        for body in [body.clone(), streamed(body)] {
            let answer = server.process("sk-own", &body);
            assert_error(&row, &answer, 400, "service.url");
            assert!(
                !answer.text().contains(SECRET),
                "{row} is repeated: {answer:?}"
            );
        }
    }
    assert_eq!(trap.connections(), 0);
}

#[test]
fn the_engine_is_that_of_the_service_id_or_the_configured_default() {
    let provider = Provider::with_answer(200, completion("ok"));
    let file = ConfigFile::new("[services.\"chat:openai.com\"]\nengine = \"house-model\"\n");
    let server = Server::with_egress(&[("AISBREAKER_CONFIG", file.path())]);
    let rows = [
        ("chat:openai.com", "house-model"),
        ("chat:openai.com/gpt-4o", "gpt-4o"),
        ("chat:openai.com/a/b", "a/b"),
    ];

    for (id, model) in rows {
        let answer = server.process("sk-own", &call(service_at(id, &provider.url()), "Hi"));
        assert_eq!(answer.status, 200, "{id}: {answer:?}");
        assert_eq!(
            provider.requests().pop().unwrap().json()["model"],
            model,
            "{id}"
        );
    }
}

#[test]
fn mirror_reverses_a_provider_and_uses_the_secret_of_the_service_behind_it() {
    let provider = Provider::start(|received, wire| {
        if received.json()["stream"] == true {
            wire.whole_stream(stream_of(&["abc", "def"]));
        } else {
            wire.json(200, &completion("abcdef"));
        }
    });
    let server = Server::with_egress(&[]);
    let key = server.mint_secrets(&json!([
        {"serviceId": "aisbreaker:mirror", "authSecret": "sk-of-the-mirror"},
        {"serviceId": "chat:openai.com", "authSecret": SECRET, "url": provider.url()},
    ]));
    let body = call(
        json!({"serviceId": "aisbreaker:mirror", "forward2ServiceProps": service("chat:openai.com/gpt-4o")}),
        "Hi",
    );

    let answer = server.process(&key, &body).json();
    let (progress, last) = server.process(&key, &streamed(body)).stream();

    assert_eq!(answer["outputs"][0]["text"]["content"], "fedcba");
    assert_eq!(
        answer["usage"]["service"]["serviceId"],
        "aisbreaker:mirror/service/chat:openai.com/gpt-4o"
    );
    assert_eq!(
        state_of(&answer)["messages"][1]["output"]["text"]["content"],
        "abcdef"
    );
    assert_eq!(pieces_of(&progress), ["cba", "fed"]);
    assert_eq!(last["outputs"][0]["text"]["content"], "fedcba");
    for sent in provider.requests() {
        assert_eq!(
            sent.header("authorization"),
            Some(&*format!("Bearer {SECRET}"))
        );
    }
}
