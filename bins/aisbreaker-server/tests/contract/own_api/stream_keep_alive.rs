//! Streams of the server's own API while their provider pauses.

use crate::support::{
    Provider, Request, Server, gate,
    openai::{completion_stream, openai_call, openai_key},
    streamed,
};

#[test]
fn paused_stream_is_kept_alive_with_comments() {
    let (gate, waiter) = gate();
    let stream = completion_stream(&["a", "b"]);
    let (first, rest) = stream.split_at(stream.find("\n\n").unwrap() + 2);
    let (first, rest) = (first.to_owned(), rest.to_owned());
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        wire.chunk(&first);
        wire.chunk(": at work\n");
        waiter.wait();
        wire.chunk(&rest);
        wire.end();
    });
    let server = Server::with_loopback_egress(&[("AISBREAKER_STREAM_KEEP_ALIVE", "20ms")]);
    let mut connection = server.connect();
    let request =
        Request::process(&streamed(openai_call("Hi"))).bearer(&openai_key(&server, &provider));
    connection.write(&request.to_bytes());
    assert_eq!(connection.head().status, 200);
    for _ in 0..2 {
        assert_eq!(
            connection.try_chunk().as_deref(),
            Some(&b": keep-alive\n"[..])
        );
    }

    gate.release_one();

    let mut text = String::new();
    while let Some(chunk) = connection.try_chunk().filter(|chunk| !chunk.is_empty()) {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let text = text.replace(": keep-alive\n", "");
    assert!(text.starts_with("event: progress\n"), "{text}");
    assert!(text.contains("event: final\n"), "{text}");
}
