//! What ends with a disconnect, a signal or a fault, and leaves nothing behind.

mod client_disconnect;
mod drain;
mod drain_delay;
pub(crate) mod leak_checks;
mod signals;

use crate::support::{
    Connection, Gate, Provider, Request, Server, call, gate, openai::content_event, output_text,
    service_at, streamed,
};

/// Starts a provider whose stream pauses after `one`, and goes on to `two` and its end once the gate
/// lets it.
pub(crate) fn two_part_provider() -> (Provider, Gate) {
    let (gate, waiter) = gate();
    let provider = Provider::start(move |_, wire| {
        wire.stream();
        wire.chunk(content_event("one"));
        waiter.wait();
        wire.chunk(content_event("two") + "data: [DONE]\n\n");
        wire.end();
    });
    (provider, gate)
}

/// Calls a [`two_part_provider`], and reads the first part of its stream.
pub(crate) fn begin_stream(server: &Server, provider: &Provider) -> Connection {
    let body = streamed(call(service_at("chat:openai.com", &provider.url()), "Hi"));
    let mut connection = server.connect();
    connection.write(&Request::process(&body).bearer("sk-own").to_bytes());
    assert_eq!(connection.head().status, 200);
    let first = connection.event().expect("an event");
    assert_eq!(output_text(&first.data), "one");
    connection
}
