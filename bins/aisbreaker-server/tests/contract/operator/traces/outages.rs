//! Collectors that are down, slow or not one: requests must not notice.

use crate::support::{Provider, Request, Server, closed_url, dummy_call};

/// Sends this many requests, which must all be answered.
fn send_requests(server: &Server, count: usize) {
    let mut connection = server.connect();
    for i in 0..count {
        let response = connection.send(&Request::process(&dummy_call()));
        assert_eq!(response.status, 200, "request {i}");
    }
}

/// Counts the warnings about lost spans.
fn warnings(log: &str) -> usize {
    let is_warning = |line: &&str| line.contains("spans were lost");
    log.lines().filter(is_warning).count()
}

#[test]
fn a_collector_that_is_down_costs_one_warning() {
    let mut server = Server::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &closed_url()),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "100"),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
    ]);
    send_requests(&server, 10);
    server.wait_for_log("a warning", |line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.contains("spans were lost"))
    });
    send_requests(&server, 10);
    server.signal("TERM");

    let (status, log) = server.wait_for_exit();
    assert!(status.success(), "{status}");
    assert_eq!(warnings(&log), 1, "{log}");
}

#[test]
fn a_collector_that_never_answers_delays_neither_requests_nor_the_end() {
    let holding = Provider::start(|_, wire| wire.hold());
    // Without a bound of its own, the server would wait longer than this test does.
    let mut server = Server::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &holding.url()),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000"),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "20"),
    ]);
    // More than the queue holds.
    send_requests(&server, 100);
    let line = server.wait_for_log("a warning", |line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.contains("spans were lost"))
    });
    assert!(
        line["reason"]
            .as_str()
            .unwrap()
            .contains("OTEL_BSP_MAX_QUEUE_SIZE"),
        "{line}"
    );
    server.signal("TERM");

    let (status, log) = server.wait_for_exit();
    assert!(status.success(), "{status}");
    assert_eq!(warnings(&log), 1, "{log}");
}

#[test]
fn a_collector_that_refuses_costs_one_warning_which_does_not_repeat_its_answer() {
    let refusing = Provider::start(|_, wire| wire.respond(403, &[], "canary-answer"));
    let mut server = Server::start(&[
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            &format!("{}/canary-path", refusing.url()),
        ),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
    ]);
    send_requests(&server, 3);
    server.signal("TERM");

    let (_, log) = server.wait_for_exit();
    assert_eq!(warnings(&log), 1, "{log}");
    assert!(log.contains("403") && !log.contains("canary"), "{log}");
    assert_eq!(refusing.requests()[0].target, "/canary-path");
}

#[test]
fn variables_that_cannot_be_used_leave_traces_off() {
    let valid = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
    for variables in [
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector-canary")][..],
        &[(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://canary:secret@127.0.0.1:4318",
        )],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://canary")],
        &[valid, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
    ] {
        let server = Server::start(variables);
        let line = server.wait_for_log("a warning", |line| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.starts_with("traces are off: "))
        });
        assert!(!line.to_string().contains("canary"), "{line}");
        send_requests(&server, 1);
    }
}
