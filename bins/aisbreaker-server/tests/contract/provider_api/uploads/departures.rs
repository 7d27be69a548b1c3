//! Clients that leave in the middle of an upload, and the end of the server.

use std::net::Shutdown;

use super::{LONG, Transport, end_content, head, key, write_content};
use crate::support::{Connection, Request, Server, UploadProvider};

const HALF: usize = LONG / 2;

/// Begins an upload and sends half of it.
fn begin(server: &Server, request: &Request, transport: Transport) -> Connection {
    let mut connection = server.connect();
    connection.write(&request.to_bytes());
    assert!(write_content(&mut connection, transport, 0, HALF));
    connection
}

#[test]
fn provider_never_takes_an_upload_without_its_end_for_complete() {
    let provider = UploadProvider::taking_all();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    for transport in [Transport::Length, Transport::Chunked(10_000)] {
        let request = head(&key, transport, LONG).header("X-Request-Id", "gone");
        let connection = begin(&server, &request, transport);
        connection.writer().shutdown(Shutdown::Both).unwrap();

        let received = provider.next_upload();
        assert!(!received.is_complete && received.is_intact, "{received:?}");
        let line = server.wait_for_request("gone");
        assert_eq!(line["error"], "incomplete_body", "{line}");
    }
}

/// A client that only ends its side may still read.
#[test]
fn client_that_ends_its_side_too_soon_is_told() {
    let provider = UploadProvider::taking_all();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    for transport in [Transport::Length, Transport::Chunked(10_000)] {
        let mut connection = begin(&server, &head(&key, transport, LONG), transport);
        connection.finish_writing();
        if let Some(status) = connection.status_or_end() {
            assert_eq!(status, 400, "{transport:?}");
        }
        let received = provider.next_upload();
        assert!(!received.is_complete && received.is_intact, "{received:?}");
    }
}

#[test]
fn malformed_chunks_break_an_upload_off() {
    let provider = UploadProvider::taking_all();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let transport = Transport::Chunked(10_000);
    let mut connection = begin(&server, &head(&key, transport, LONG), transport);
    connection.write(b"zz\r\n");
    let response = connection.response_to("POST");
    assert_eq!(response.status, 400, "{response:?}");
    assert_eq!(response.header("connection"), Some("close"));
    let received = provider.next_upload();
    assert!(!received.is_complete && received.is_intact, "{received:?}");
}

#[test]
fn shutdown_waits_for_uploads() {
    let provider = UploadProvider::taking_all();
    let mut server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let mut uploads = [Transport::Length, Transport::Chunked(10_000)].map(|transport| {
        let connection = begin(&server, &head(&key, transport, LONG), transport);
        (transport, connection)
    });

    server.start_draining();

    for (transport, connection) in &mut uploads {
        assert!(write_content(connection, *transport, HALF, LONG));
        end_content(connection, *transport);
        let response = connection.response_to("POST");
        assert_eq!(response.status, 200, "{transport:?}: {response:?}");
        assert!(provider.next_upload().is_complete);
    }
    let (status, log) = server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("cut off"), "{log}");
}

#[test]
fn uploads_that_take_too_long_are_cut_off_at_the_shutdown() {
    let provider = UploadProvider::taking_all();
    let mut server = Server::with_loopback_egress(&[("AISBREAKER_DRAIN_TIMEOUT", "100ms")]);
    let key = key(&server, &provider);
    let transport = Transport::Length;
    let connection = begin(&server, &head(&key, transport, LONG), transport);

    server.start_draining();

    assert!(!provider.next_upload().is_complete);
    let (status, log) = server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("cut off"), "{log}");
    drop(connection);
}

#[test]
fn log_line_and_metrics_show_an_upload() {
    let provider = UploadProvider::taking_all();
    let server = Server::with_loopback_egress(&[("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0")]);
    let key = key(&server, &provider);
    let request = head(&key, Transport::Length, LONG).header("X-Request-Id", "whole");
    let response = super::upload_with(&server, &request, Transport::Length, LONG);
    assert_eq!(response.status, 200, "{response:?}");
    let line = server.wait_for_request("whole");
    assert_eq!(line["route"], "/v1/files", "{line}");
    assert_eq!(line["operation"], "files", "{line}");
    assert_eq!(line["status"], 200, "{line}");
    assert_eq!(line["service"], "chat:openai.com", "{line}");
    assert_eq!(line["provider"], "openai.com", "{line}");
    assert_eq!(line["stream"], false, "{line}");
    // It is not received first.
    assert!(line["receive_ms"].is_null(), "{line}");
    assert!(line["upstream_ms"].is_number(), "{line}");
    assert!(provider.next_upload().is_complete);

    let request = head(&key, Transport::Chunked(9), LONG).header("X-Request-Id", "bad");
    let mut connection = begin(&server, &request, Transport::Chunked(10_000));
    connection.write(b"zz\r\n");
    assert_eq!(connection.response_to("POST").status, 400);
    let line = server.wait_for_request("bad");
    assert_eq!(line["error"], "incomplete_body", "{line}");

    let address = server.metrics_address();
    let metrics = Connection::open(address).send(&Request::get("/metrics"));
    let sample = |name: &str, labels: &[&str]| -> Option<f64> {
        let mut lines = metrics.text().lines();
        let line = lines.find(|line| {
            line.starts_with(name) && labels.iter().all(|label| line.contains(label))
        })?;
        line.rsplit(' ').next()?.parse().ok()
    };
    assert_eq!(sample("aisbreaker_buffered_bytes ", &[]), Some(0.0));
    let calls = "aisbreaker_provider_calls_total";
    let files = r#"operation="files""#;
    assert_eq!(
        sample(calls, &[files, r#"outcome="ok""#]),
        Some(1.0),
        "{}",
        metrics.text()
    );
    // The provider is not to blame for the client's fault.
    assert_eq!(sample(calls, &[files, r#"outcome="left""#]), Some(1.0));
    assert_eq!(
        sample(calls, &[files, r#"outcome="cut""#]).unwrap_or(0.0),
        0.0
    );
}
