//! Signals, and what clients see of the shutdown.

use std::net::TcpStream;

use serde_json::json;

use super::{begin_stream, two_part_provider};
use crate::support::{
    Connection, Request, Server, assert_error, dummy_call, output_text, streamed,
};

#[test]
fn signal_lets_an_open_stream_complete() {
    for signal in ["TERM", "INT"] {
        let (provider, gate) = two_part_provider();
        let mut server = Server::with_loopback_egress(&[]);
        let mut idle = server.connect();
        assert_eq!(idle.send(&Request::get("/readyz")).status, 200);
        let mut stream = begin_stream(&server, &provider);

        server.signal(signal);
        server.wait_for_draining();

        // Open connections get a refusal, and new connections are not accepted.
        let ready = idle.send(&Request::get("/readyz"));
        assert_eq!(ready.status, 503, "{signal}: {ready:?}");
        let healthy = idle.send(&Request::get("/healthz"));
        assert_eq!(healthy.status, 200, "{signal}: {healthy:?}");
        assert_error(
            signal,
            &idle.send(&Request::process(&dummy_call())),
            503,
            "",
        );
        assert!(
            TcpStream::connect(server.address()).is_err(),
            "{signal}: still listening"
        );

        gate.open();
        assert_eq!(
            output_text(&stream.event().unwrap().data),
            "two",
            "{signal}"
        );
        assert_eq!(stream.event().unwrap().name, "final", "{signal}");
        assert_eq!(stream.event(), None, "{signal}");
        drop((stream, idle));
        let (status, log) = server.wait_for_exit();
        assert_eq!(status.code(), Some(0), "{signal}: {log}");
    }
}

#[test]
fn idle_server_exits_at_once() {
    let mut server = Server::start(&[
        ("AISBREAKER_DRAIN_TIMEOUT", "1h"),
        ("AISBREAKER_HEADER_TIMEOUT", "1h"),
    ]);
    // Of two connections, the version of HTTP is not known yet. They are accepted in this order.
    let (mut silent, mut begun, mut idle) = (server.connect(), server.connect(), server.connect());
    begun.write(b"PRI * HTTP/2.0");
    assert_eq!(idle.send(&Request::get("/api/v1/ping")).status, 200);

    server.signal("TERM");

    let (status, log) = server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(
        idle.read_to_end().is_empty(),
        "the idle connection got a response"
    );
    assert!(silent.read_to_end().is_empty());
}

#[test]
fn draining_server_refuses_with_retry_after_and_closes() {
    let (provider, _gate) = two_part_provider();
    let server = Server::with_loopback_egress(&[]);
    let rows = [
        Request::process(&dummy_call()),
        Request::process(&streamed(dummy_call())),
        Request::mint(&json!({"requestAuthAndQuotas": {}})),
        Request::get("/api/v1/ping"),
        Request::get("/api/v1/version"),
        Request::get("/api/v1/quota"),
        Request::get("/"),
    ];
    let mut open: Vec<Connection> = rows.iter().map(|_| server.connect()).collect();
    for connection in &mut open {
        assert_eq!(connection.send(&Request::get("/api/v1/ping")).status, 200);
    }
    let _stream = begin_stream(&server, &provider);

    server.start_draining();

    for (request, mut connection) in rows.iter().zip(open) {
        let row = format!("{request:?}");
        let response = connection.send(request);
        assert_error(&row, &response, 503, "shutting down");
        assert_eq!(
            response.header("retry-after"),
            Some("1"),
            "{row}: {response:?}"
        );
        assert_eq!(
            response.header("connection"),
            Some("close"),
            "{row}: {response:?}"
        );
        assert!(connection.read_to_end().is_empty(), "{row}");
    }
}

#[test]
fn second_signal_ends_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        let (provider, _gate) = two_part_provider();
        let mut server = Server::with_loopback_egress(&[("AISBREAKER_DRAIN_TIMEOUT", "10m")]);
        let mut stream = begin_stream(&server, &provider);

        server.signal(first);
        server.wait_for_draining();
        server.signal(second);

        server.wait_for_exit();
        assert_eq!(stream.try_chunk(), None, "{first} {second}");
    }
}
