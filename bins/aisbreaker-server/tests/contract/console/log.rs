//! What of it is logged and counted.

use super::{FILES, request_with};
use crate::support::{Connection, Request, Server};

#[test]
fn files_have_no_line_and_refusals_have_one() {
    let server = Server::start(&[("AISBREAKER_PUBLIC_HOSTS", "localhost")]);
    for (path, _) in FILES {
        let response = server.send(&request_with(path, &[("x-request-id", "a-quiet-file")]));
        assert_eq!(response.status, 200);
        let tag = response.header("etag").unwrap();
        let fields = [("x-request-id", "a-quiet-file"), ("If-None-Match", tag)];
        assert_eq!(server.send(&request_with(path, &fields)).status, 304);
    }
    let fields = [("x-request-id", "a-quiet-file")];
    let response = server.send(&request_with("/console", &fields));
    assert_eq!(response.status, 308);
    let misdirected = request_with("/console/", &[("x-request-id", "not-here")]);
    server.send(&misdirected.set("Host", "evil.example"));

    let line = server.wait_for_request("not-here");

    assert_eq!(line["route"], "/console/", "{line}");
    assert_eq!(line["status"], 421, "{line}");
    assert_eq!(line["error"], "misdirected_host", "{line}");
    let log = server.log();
    assert!(!log.contains("a-quiet-file"), "{log}");
}

#[test]
fn files_are_counted_under_one_route() {
    let server = Server::start(&[("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0")]);
    for (path, _) in FILES {
        server.get(path);
    }
    let metrics = Connection::open(server.metrics_address()).send(&Request::get("/metrics"));
    let name = "aisbreaker_requests_total{route=\"/console/\",status=\"200\"} 3";
    let of_console = metrics
        .text()
        .lines()
        .filter(|line| line.contains("console"));
    let of_console: Vec<_> = of_console.collect();
    assert!(of_console.contains(&name), "{of_console:#?}");
}
