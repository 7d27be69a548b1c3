//! `drain_delay`: a load balancer sees that the server is not ready before it stops serving.

use std::net::TcpStream;

use serde_json::json;

use super::{begin_stream, two_part_provider};
use crate::support::{Request, Server, dummy_call, grant, output_text, quotas};

fn start(drain_delay: &str) -> Server {
    Server::with_loopback_egress(&[("AISBREAKER_DRAIN_DELAY", drain_delay)])
}

fn terminate(server: &Server) {
    server.signal("TERM");
    server.wait_for_log("the delay", |line| {
        let text = line["message"].as_str().unwrap_or_default();
        text.starts_with("not ready")
    });
}

#[test]
fn requests_are_served_while_the_server_is_not_ready() {
    let mut server = start("10m");
    let mut open = server.connect();
    assert_eq!(open.send(&Request::get("/readyz")).status, 200);

    terminate(&server);

    for round in 0..3 {
        for connection in [&mut open, &mut server.connect()] {
            let ready = connection.send(&Request::get("/readyz"));
            assert_eq!(ready.status, 503, "{round}: {ready:?}");
            assert_eq!(
                connection.send(&Request::get("/healthz")).status,
                200,
                "{round}"
            );
            let served = connection.send(&Request::process(&dummy_call()));
            assert_eq!(served.status, 200, "{round}: {served:?}");
        }
        let key = server.mint(&grant(&quotas([9; 3], [9; 3]), &json!([])));
        assert_eq!(server.process(&key, &dummy_call()).status, 200, "{round}");
    }
    let log = server.log();
    assert!(!log.contains("\"message\":\"draining\""), "{log}");

    server.signal("TERM");
    let (status, log) = server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopped at once by a second signal"), "{log}");
}

#[test]
fn the_drain_follows() {
    let (provider, gate) = two_part_provider();
    let mut server = start("100ms");
    let mut stream = begin_stream(&server, &provider);

    terminate(&server);
    server.wait_for_draining();

    assert!(
        TcpStream::connect(server.address()).is_err(),
        "still listening"
    );
    gate.open();
    assert_eq!(output_text(&stream.event().unwrap().data), "two");
    assert_eq!(stream.event().unwrap().name, "final");
    drop(stream);
    let (status, log) = server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn without_a_delay_the_drain_begins_at_once() {
    let mut server = start("0s");
    server.signal("TERM");
    let (status, log) = server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("not ready"), "{log}");
}
