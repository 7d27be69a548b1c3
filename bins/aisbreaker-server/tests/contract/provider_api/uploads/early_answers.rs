//! Providers that answer before they have read an upload, or never answer.

use super::{LONG, Transport, head, key, upload};
use crate::support::{Server, UploadProvider};

/// Starts a provider that reads so many bytes and answers with this status.
fn early_provider(bytes: usize, status: u16, is_closed: bool) -> UploadProvider {
    UploadProvider::start(move |upload| {
        upload.read(bytes);
        upload.respond(status);
        if !is_closed {
            // The server drops the connection, since it cannot be used again.
            upload.wire.hold();
        }
    })
}

#[test]
fn early_error_of_a_provider_is_passed_on_and_ends_the_upload() {
    for (status, bytes, is_closed) in [
        (413, 0, true),
        (401, 1, false),
        (429, 200_000, true),
        (400, 2_000_000, false),
    ] {
        let provider = early_provider(bytes, status, is_closed);
        let server = Server::with_loopback_egress(&[]);
        let key = key(&server, &provider);
        for transport in Transport::ALL {
            let row = format!("{status}, {transport:?}");
            let response = upload(&server, &key, transport, LONG);
            assert_eq!(response.status, status, "{row}: {response:?}");
            assert!(response.text().contains("too early"), "{row}: {response:?}");
            if response.version == "HTTP/1.1" {
                assert_eq!(response.header("connection"), Some("close"), "{row}");
            }
            let received = provider.next_upload();
            assert!(
                !received.is_complete && received.is_intact,
                "{row}: {received:?}"
            );
        }
    }
}

/// The client learns of the error although it sends nothing more.
#[test]
fn early_error_does_not_wait_for_the_client() {
    let provider = early_provider(1, 413, false);
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    for transport in [Transport::Length, Transport::Chunked(10)] {
        let mut connection = server.connect();
        connection.write(&head(&key, transport, LONG).to_bytes());
        super::write_content(&mut connection, transport, 0, 10);
        let response = connection.response_to("POST");
        assert_eq!(response.status, 413, "{response:?}");
        assert_eq!(provider.next_upload().bytes, 10);
    }
}

#[test]
fn success_before_the_end_of_an_upload_does_not_end_it() {
    let provider = UploadProvider::start(|upload| {
        upload.read(100_000);
        upload.wire.head(
            200,
            &[
                ("Content-Type", "application/json"),
                ("Content-Length", "2"),
            ],
        );
        upload.read_to_end();
        upload.wire.write("{}");
    });
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    for transport in Transport::ALL {
        let response = upload(&server, &key, transport, LONG);
        assert_eq!(response.status, 200, "{transport:?}: {response:?}");
        assert_eq!(response.text(), "{}");
        let received = provider.next_upload();
        assert!(
            received.is_complete && received.is_intact,
            "{transport:?}: {received:?}"
        );
        assert_eq!(received.bytes, LONG);
    }
}

#[test]
fn provider_that_breaks_off_is_reported_and_not_called_again() {
    for bytes in [0, 1, 100_000, 2_000_000] {
        let provider = UploadProvider::start(move |upload| {
            upload.read(bytes);
            upload.wire.reset();
        });
        let server = Server::with_loopback_egress(&[]);
        let key = key(&server, &provider);
        for transport in Transport::ALL {
            let row = format!("{bytes} bytes, {transport:?}");
            let response = upload(&server, &key, transport, LONG);
            assert_eq!(response.status, 502, "{row}: {response:?}");
            let received = provider.next_upload();
            assert!(
                !received.is_complete && received.is_intact,
                "{row}: {received:?}"
            );
        }
        assert!(provider.has_no_upload());
        assert_eq!(provider.connections(), Transport::ALL.len());
    }
}

#[test]
fn connection_that_died_in_the_pool_carries_no_upload() {
    let provider = UploadProvider::start(|upload| {
        upload.read_to_end();
        upload.respond(200);
        upload.wire.close();
    });
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    for round in 0..10 {
        for transport in Transport::ALL {
            let response = upload(&server, &key, transport, 300_000);
            assert_eq!(response.status, 200, "{round}, {transport:?}: {response:?}");
            let received = provider.next_upload();
            assert!(received.is_complete && received.is_intact, "{received:?}");
            assert_eq!(received.bytes, 300_000);
        }
    }
    assert!(provider.has_no_upload(), "an upload was sent twice");
}
