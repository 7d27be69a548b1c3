//! Where the server may connect changes with a reload, for connections that are open already too.

use crate::{
    shutdown::{begin_stream, two_part_provider},
    support::{
        Provider, ReloadableServer, Ticker, assert_error, call, openai, output_text, service_at,
    },
};

/// Long, so that an idle connection is there whenever it may be reused.
const POOL: &str = "pool_idle_timeout = \"10m\"\n";
const OPEN: &str = "egress.allow = [\"127.0.0.0/8\"]\negress.allow_callers = true\n";
const OPEN_OTHERWISE: &str = "egress.allow = [\"127.0.0.1\"]\negress.allow_callers = true\n";
const OPERATOR_ONLY: &str = "egress.allow = [\"127.0.0.1\"]\n";

#[test]
fn connections_last_as_long_as_the_policy_that_allowed_them() {
    let provider = Provider::with_response(200, openai::completion("Hello"));
    let call = call(service_at("chat:openai.com", &provider.url()), "Hi");
    let server = ReloadableServer::start(POOL);
    let reload = |text: &str| server.reload(&format!("{POOL}{text}"));
    let assert_allowed = |connections: usize| {
        assert_eq!(server.process("sk-own", &call).content(), "Hello");
        assert_eq!(provider.connections(), connections);
    };
    let assert_refused = || {
        let (requests, connections) = (provider.requests().len(), provider.connections());
        assert_error("refused", &server.process("sk-own", &call), 403, "");
        assert_eq!(provider.requests().len(), requests);
        assert_eq!(provider.connections(), connections);
    };
    assert_refused();
    reload(OPEN);
    assert_allowed(1);
    reload(&format!("{OPEN}require_key = false\n"));
    assert_allowed(1);
    reload(OPEN_OTHERWISE);
    let mut ticker = Ticker::start(100);
    while provider.open_connections() > 0 {
        // The idle connection of the former policy closes.
        ticker.tick();
    }
    assert_allowed(2);
    reload(OPERATOR_ONLY);
    assert_refused();
    reload(OPEN_OTHERWISE);
    assert_allowed(3);
    reload("");
    assert_refused();
}

#[test]
fn a_stream_goes_on_as_it_began() {
    let (provider, gate) = two_part_provider();
    let server = ReloadableServer::start(OPEN);
    let mut stream = begin_stream(&server, &provider);

    server.reload("require_key = true");

    let call = call(service_at("chat:openai.com", &provider.url()), "Hi");
    assert_eq!(server.process("sk-own", &call).status, 401);
    gate.open();
    assert_eq!(output_text(&stream.event().unwrap().data), "two");
    let last = stream.event().unwrap();
    assert_eq!((&*last.name, output_text(&last.data)), ("final", "onetwo"));
    assert_eq!(stream.event(), None);
}
