//! Contract section 4, `chat:openai.com`: streams.

use serde_json::json;

use crate::support::{
    Provider, Request, Server, gate,
    openai::{
        completion, completion_stream, content_event, finish_event, openai_call, openai_key,
        progress_texts,
    },
    output_text, sse, state_of, streamed, user_text,
};

#[test]
fn streamed_call_asks_the_provider_to_stream() {
    let provider = Provider::start(|_, wire| wire.whole_stream(completion_stream(&["a"])));
    let server = Server::with_loopback_egress(&[]);

    server
        .process(
            &openai_key(&server, &provider),
            &streamed(openai_call("Hi")),
        )
        .stream();

    let expected =
        json!({"messages": [{"role": "user", "content": "Hi"}], "model": "gpt-4o", "stream": true});
    assert_eq!(provider.only_request().json(), expected);
}

#[test]
fn stream_is_forwarded_in_pieces_and_summarised() {
    const PIECES: [&str; 3] = ["Hel", "lo", " w\u{f6}rld\n"];
    let stream = completion_stream(&PIECES);
    let usage = sse(&json!({"choices": [], "usage": {"total_tokens": 21}}));
    let rows = [
        ("with [DONE]", stream.clone()),
        ("without [DONE]", stream.replace("data: [DONE]\n\n", "")),
        ("with CRLF", stream.replace("\n\n", "\r\n\r\n")),
        ("without spaces", stream.replace("data: ", "data:")),
        (
            "with comments",
            stream.replace("\n\n", "\n\n: keep-alive\n\n"),
        ),
        (
            "with more after [DONE]",
            stream.clone() + &content_event("more"),
        ),
        (
            "with usage",
            stream.replace("data: [DONE]", &format!("{usage}data: [DONE]")),
        ),
    ];

    for (row, text) in rows {
        let has_usage = row == "with usage";
        let provider = Provider::start(move |_, wire| wire.whole_stream(&text));
        let server = Server::with_loopback_egress(&[]);
        let (progress, last) = server
            .process(
                &openai_key(&server, &provider),
                &streamed(openai_call("Hi")),
            )
            .stream();
        assert_eq!(progress_texts(&progress), PIECES, "{row}");
        for event in &progress {
            let text = &event["outputs"][0]["text"];
            assert_eq!(text["index"], 0, "{row}: {event}");
            assert_eq!(text["role"], "assistant", "{row}: {event}");
            assert_eq!(text["isDelta"], true, "{row}: {event}");
            assert_eq!(text["isProcessing"], true, "{row}: {event}");
        }
        let output = json!({"text": {
            "index": 0, "role": "assistant", "content": "Hello w\u{f6}rld\n",
            "isDelta": false, "isProcessing": false,
        }});
        assert_eq!(last["outputs"], json!([output]), "{row}");
        let state = json!({"messages": [{"input": user_text("Hi")}, {"output": output}]});
        assert_eq!(state_of(&last), state, "{row}");
        assert_eq!(
            last["usage"]["service"]["engine"], "gpt-4o-2024-08-06",
            "{row}"
        );
        let tokens = last["usage"]["totalTokens"].as_u64();
        assert_eq!(tokens, has_usage.then_some(21), "{row}: {last}");
    }
}

#[test]
fn piece_is_forwarded_before_the_next_arrives() {
    let (gate, waiter) = gate();
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        for content in ["one", "two"] {
            wire.chunk(content_event(content));
            waiter.wait();
        }
        wire.chunk(format!("{}data: [DONE]\n\n", finish_event()));
        wire.end();
    });
    let server = Server::with_loopback_egress(&[]);
    let mut connection = server.connect();

    connection.write(
        &Request::process(&streamed(openai_call("Hi")))
            .bearer(&openai_key(&server, &provider))
            .to_bytes(),
    );

    assert_eq!(connection.head().status, 200);
    for content in ["one", "two"] {
        let event = connection.event().unwrap();
        assert_eq!(output_text(&event.data), content);
        gate.release_one();
    }
    assert_eq!(connection.event().unwrap().name, "final");
    assert_eq!(connection.event(), None);
}

#[test]
fn connection_of_a_finished_stream_is_reused() {
    const CALLS: usize = 10;
    let (gate, waiter) = gate();
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        wire.chunk(completion_stream(&["Hi"]));
        // Providers end the body a moment after its last event.
        waiter.wait();
        wire.end();
    });
    let server = Server::with_loopback_egress(&[]);
    let request =
        Request::process(&streamed(openai_call("Hi"))).bearer(&openai_key(&server, &provider));

    for call in 0..CALLS {
        let mut connection = server.connect();
        connection.write(&request.to_bytes());
        assert_eq!(connection.head().status, 200, "{call}");
        assert_eq!(connection.event().unwrap().name, "progress", "{call}");
        assert_eq!(connection.event().unwrap().name, "final", "{call}");
        gate.release_one();
        assert_eq!(connection.event(), None, "{call}");
    }

    assert_eq!(provider.requests().len(), CALLS);
    // One connection is enough, but a server that waits for the end too long may close it.
    assert!(provider.connections() < CALLS, "no connection was reused");
}

#[test]
fn stream_head_is_sent_before_the_provider_responds() {
    let (gate, waiter) = gate();
    let provider = Provider::start(move |_, wire| {
        waiter.wait();
        wire.whole_stream(completion_stream(&["late"]));
    });
    let server = Server::with_loopback_egress(&[("AISBREAKER_PROVIDER_TIMEOUT", "5s")]);
    let mut connection = server.connect();
    connection.write(
        &Request::process(&streamed(openai_call("Hi")))
            .bearer(&openai_key(&server, &provider))
            .to_bytes(),
    );

    // Clients of the original server give up if no head arrives within ten seconds.
    let head = connection.head();
    assert_eq!(head.status, 200, "{head:?}");
    gate.release_one();

    assert_eq!(output_text(&connection.event().unwrap().data), "late");
}

#[test]
fn whole_answer_of_a_provider_is_streamed_on_request() {
    let provider = Provider::with_response(200, completion("whole"));
    let server = Server::with_loopback_egress(&[]);

    let (progress, last) = server
        .process(
            &openai_key(&server, &provider),
            &streamed(openai_call("Hi")),
        )
        .stream();

    assert_eq!(progress_texts(&progress).concat(), "whole");
    assert_eq!(output_text(&last), "whole");
}
