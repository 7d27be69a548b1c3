//! JSON and streams that JavaScript reads, though they are unusual: from providers and from callers.

use serde_json::{Value, json};

use crate::support::{
    Provider, Request, Server, call,
    openai::{
        SECRET, completion, completion_stream, content_event, openai_call, openai_key,
        progress_texts,
    },
    service_at, state_of, streamed,
};

const DONE: &str = "data: [DONE]\n\n";

/// Calls a provider that responds with this body, and returns the final response.
fn whole(server: &Server, body: impl Into<Vec<u8>>) -> Value {
    let body = body.into();
    let provider = Provider::start(move |_, wire| {
        wire.respond(200, &[("Content-Type", "application/json")], &body);
    });
    let response = server.process(&openai_key(server, &provider), &openai_call("Hi"));
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

/// Calls a service of a provider that streams this body, and returns the pieces and the final
/// response.
fn stream(server: &Server, id: &str, body: impl Into<Vec<u8>>) -> (Vec<String>, Value) {
    stream_as(server, id, Some("text/event-stream"), body)
}

fn stream_as(
    server: &Server,
    id: &str,
    content_type: Option<&'static str>,
    body: impl Into<Vec<u8>>,
) -> (Vec<String>, Value) {
    let body = body.into();
    let provider = Provider::start(move |_, wire| match content_type {
        Some(content_type) => wire.respond(200, &[("Content-Type", content_type)], &body),
        None => wire.respond(200, &[], &body),
    });
    let body = streamed(call(service_at(id, &provider.url()), "Hi"));
    let (progress, last) = server.process(SECRET, &body).stream();
    let texts = progress_texts(&progress);
    (texts.into_iter().map(str::to_owned).collect(), last)
}

fn text_of(response: &Value) -> &Value {
    &response["outputs"][0]["text"]["content"]
}

fn state_text(response: &Value) -> Value {
    state_of(response)["messages"][1]["output"]["text"]["content"].clone()
}

#[test]
fn unusual_json_of_a_provider_is_read() {
    let server = Server::with_loopback_egress(&[]);
    let answer = |member: &str| {
        format!(
            r#"{{{member}"choices":[{{"index":0,"finish_reason":"stop","message":{{"content":"good"}}}}]}}"#
        )
    };
    let chunk = |member: &str| {
        let chunk =
            format!(r#"{{{member}"choices":[{{"index":0,"delta":{{"content":"good"}}}}]}}"#);
        format!("data: {chunk}\n\n{DONE}")
    };
    let deep = format!("{}{}", "[{\"a\":".repeat(20_000), "}]".repeat(20_000));
    let members = [
        r#""x":1e999,"#.to_owned(),
        r#""x":[-1e999, {"y": 1E+400}],"#.to_owned(),
        format!(r#""x":{},"#, deep.replace(":}", ":1}")),
        r#""x":"\ud83d","\ude42":1,"#.to_owned(),
        r#""error":"","#.to_owned(),
        r#""error":false,"#.to_owned(),
        r#""error":{},"#.to_owned(),
        r#""error":null,"#.to_owned(),
        r#""error":0,"#.to_owned(),
        r#""error":[],"#.to_owned(),
        r#""error":{"message":null,"code":""},"#.to_owned(),
    ];
    for member in members {
        let row = member.get(..40).unwrap_or(&member);
        assert_eq!(text_of(&whole(&server, answer(&member))), "good", "{row}");
        let (pieces, last) = stream(&server, "chat:openai.com/m", chunk(&member));
        assert_eq!(
            (pieces, text_of(&last)),
            (vec!["good".to_owned()], &json!("good")),
            "{row}"
        );
    }
    let marked = format!("\u{feff}{}", answer(""));
    assert_eq!(text_of(&whole(&server, marked)), "good");
    let (pieces, _) = stream(
        &server,
        "chat:openai.com/m",
        format!("\u{feff}{}", chunk("")),
    );
    assert_eq!(pieces, ["good"]);
}

#[test]
fn errors_of_a_provider_are_still_errors() {
    let server = Server::with_loopback_egress(&[]);
    for error in [
        json!("No."),
        json!({"message": "No."}),
        json!({"code": 500}),
        json!(true),
        json!(["No."]),
    ] {
        let mut body = completion("good");
        body["error"] = error.clone();
        let provider = Provider::with_response(200, body);
        let response = server.process(&openai_key(&server, &provider), &openai_call("Hi"));
        assert!(response.status >= 500, "{error}: {response:?}");
    }
}

#[test]
fn characters_split_over_two_pieces_stay_whole() {
    let server = Server::with_loopback_egress(&[]);
    let event = |index: usize, content: &str| {
        format!(r#"data: {{"choices":[{{"index":{index},"delta":{{"content":"{content}"}}}}]}}"#)
            + "\n\n"
    };
    let openai = [
        event(0, r"a\ud83d"),
        event(1, r"\ud83d"),
        event(0, r"\ude42b"),
        event(1, "x"),
        event(0, r"\ud83d"),
        event(0, ""),
        event(0, r"\ude43"),
        event(0, r"\ud83d"),
    ]
    .concat()
        + DONE;
    let (pieces, last) = stream(&server, "chat:openai.com/m", openai);
    assert_eq!(
        pieces,
        ["a", "\u{1f642}b", "\u{fffd}x", "\u{1f643}"],
        "pieces"
    );
    assert_eq!(text_of(&last), "a\u{1f642}b\u{1f643}\u{fffd}");
    assert_eq!(state_text(&last), "a\u{1f642}b\u{1f643}\u{fffd}");
    assert_eq!(last["outputs"][1]["text"]["content"], "\u{fffd}x");

    let delta = |text: &str| {
        format!(
            r#"data: {{"type":"content_block_delta","delta":{{"type":"text_delta","text":"{text}"}}}}"#
        ) + "\n\n"
    };
    let anthropic = [
        delta(r"a\ud83d"),
        delta(r"\ude42b"),
        "data: {\"type\":\"message_stop\"}\n\n".to_owned(),
    ]
    .concat();
    let (pieces, last) = stream(&server, "chat:anthropic.com/m", anthropic);
    assert_eq!(
        (pieces.concat().as_str(), text_of(&last)),
        ("a\u{1f642}b", &json!("a\u{1f642}b"))
    );

    let candidate = |text: &str, end: &str| {
        format!(
            r#"data: {{"candidates":[{{"index":0,"content":{{"parts":[{{"text":"{text}"}}]}}{end}}}]}}"#
        ) + "\n\n"
    };
    let gemini = [
        candidate(r"a\ud83d", ""),
        candidate(r"\ude42b", r#","finishReason":"STOP""#),
    ]
    .concat();
    let (pieces, last) = stream(&server, "chat:gemini.google.com/m", gemini);
    assert_eq!(
        (pieces.concat().as_str(), text_of(&last)),
        ("a\u{1f642}b", &json!("a\u{1f642}b"))
    );

    let content = r#"{"choices":[{"index":0,"message":{"content":"a\ud83d \ud83d\ude42"}}]}"#;
    let response = whole(&server, content);
    assert_eq!(text_of(&response), "a\u{fffd} \u{1f642}");
    assert_eq!(state_text(&response), "a\u{fffd} \u{1f642}");
}

#[test]
fn genuine_private_characters_are_unchanged() {
    let server = Server::with_loopback_egress(&[]);
    let text = "\u{10f800}\u{10fffd}";
    let event = format!(
        r#"data: {{"x":"\ud83d","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#
    );
    let (pieces, last) = stream(&server, "chat:openai.com/m", format!("{event}\n\n{DONE}"));
    assert_eq!(
        (pieces.concat().as_str(), text_of(&last)),
        (text, &json!(text))
    );
}

#[test]
fn streams_are_known_by_their_first_bytes() {
    let server = Server::with_loopback_egress(&[]);
    let events = completion_stream(&["a", "b"]);
    for content_type in [
        None,
        Some("text/plain"),
        Some("application/json"),
        Some("application/octet-stream"),
        Some("text/event-stream; charset=utf-8"),
    ] {
        for start in [
            "",
            "\n",
            ": hello\n\n",
            "\u{feff}",
            "event: message\r\n",
            "retry: 3\n",
        ] {
            let body = format!("{start}{events}");
            let (pieces, last) = stream_as(&server, "chat:openai.com/m", content_type, body);
            assert_eq!(pieces, ["a", "b"], "{content_type:?} {start:?}");
            assert_eq!(text_of(&last), "ab", "{content_type:?} {start:?}");
        }
        let body = format!(" \n{}", completion("ab"));
        let (pieces, last) = stream_as(&server, "chat:openai.com/m", content_type, body);
        assert_eq!(
            (pieces, text_of(&last)),
            (vec!["ab".to_owned()], &json!("ab")),
            "{content_type:?}"
        );
    }
}

#[test]
fn unlabelled_stream_that_comes_in_single_bytes_is_known() {
    let provider = Provider::start(|_, wire| {
        wire.head(200, &[("Transfer-Encoding", "chunked")]);
        for byte in completion_stream(&["a"]).bytes() {
            wire.chunk([byte]);
        }
        wire.end();
    });
    let server = Server::with_loopback_egress(&[]);
    let key = openai_key(&server, &provider);
    let (_, last) = server.process(&key, &streamed(openai_call("Hi"))).stream();
    assert_eq!(text_of(&last), "a");
}

#[test]
fn large_event_is_bounded_by_the_largest_answer_only() {
    let server = Server::with_loopback_egress(&[("AISBREAKER_MAX_ANSWER_BYTES", "4000000")]);
    let picture = "x".repeat(3_000_000);
    let (pieces, last) = stream(&server, "chat:openai.com/m", content_event(&picture) + DONE);
    assert_eq!(pieces.concat().len(), picture.len());
    assert_eq!(text_of(&last).as_str().map(str::len), Some(picture.len()));

    let provider = Provider::start(|_, wire| {
        wire.whole_stream(content_event(&"x".repeat(5_000_000)) + DONE);
    });
    let key = openai_key(&server, &provider);
    let (_, error) = server
        .process(&key, &streamed(openai_call("Hi")))
        .stream_error();
    assert_eq!(error["statusCode"], 502, "{error}");
}

#[test]
fn unusual_json_of_a_caller_is_read() {
    let provider = Provider::with_response(200, completion("good"));
    let server = Server::with_loopback_egress(&[]);
    let key = openai_key(&server, &provider);
    let body = r#"{"service":{"serviceId":"chat:openai.com/m","x":"\ude42"},"request":{"inputs":[
        {"text":{"role":"user","content":"a\ud83d b\ud83d\ude42"}}],
        "internOptions":{"stop":["\ud83d"],"temperature":1e999}}}"#;

    let request = Request::post("/api/v1/process", body).bearer(&key);
    assert_eq!(server.send(&request).content(), "good");

    let received = provider.only_request().json();
    assert_eq!(received["messages"][0]["content"], "a\u{fffd} b\u{1f642}");
    assert_eq!(received["stop"], json!(["\u{fffd}"]));
    assert_eq!(received["temperature"], Value::Null);

    let raw = r#"{"model":"m","stop":["\ud83d"],"messages":[{"content":"a\ud83d"}],"n":1e999}"#;
    let response = server.send(&Request::post("/v1/chat/completions", raw).bearer(&key));
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(provider.requests()[1].body, raw.as_bytes());
}

#[test]
fn deeply_nested_request_is_refused_without_harm() {
    let server = Server::start(&[]);
    let deep = "[".repeat(100_000);
    for end in ["", &"]".repeat(100_000)] {
        let body = format!(
            r#"{{"service":{{"serviceId":"chat:dummy"}},"request":{{"inputs":[{{"text":{{"content":"a"}}}}],"internOptions":{{"a":{deep}{end}}}}}}}"#
        );
        let response = server.send(&Request::post("/api/v1/process", body));
        assert_eq!(response.status, 400, "{response:?}");
    }
    let response = server.send(&Request::process(&crate::support::dummy_call()));
    assert_eq!(response.status, 200);
}
