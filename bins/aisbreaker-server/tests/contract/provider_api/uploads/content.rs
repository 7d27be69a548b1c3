//! What arrives at the provider is what the client sent.

use super::{LONG, Transport, head, key, upload, upload_with};
use crate::support::{Server, UploadProvider, gzip};

/// Lengths around the sizes of buffers.
const LENGTHS: [usize; 10] = [
    1, 16_383, 16_384, 65_535, 65_536, 65_537, 131_072, 131_073, 1_048_583, 3_000_017,
];

#[test]
fn bytes_and_framing_of_the_client_arrive() {
    let provider = UploadProvider::taking_all();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let transports = [Transport::Chunked(1), Transport::Chunked(70_000)];
    for transport in Transport::ALL.into_iter().chain(transports) {
        for length in LENGTHS {
            if transport == Transport::Chunked(1) && length > 70_000 {
                continue;
            }
            let row = format!("{transport:?}, {length} bytes");
            let response = upload(&server, &key, transport, length);
            assert_eq!(response.status, 200, "{row}: {response:?}");

            let received = provider.next_upload();
            assert!(
                received.is_complete && received.is_intact,
                "{row}: {received:?}"
            );
            assert_eq!(received.bytes, length, "{row}");
            let (announced, coding) = if transport.is_announced() {
                (Some(length.to_string()), None)
            } else {
                (None, Some("chunked"))
            };
            let request = received.request;
            assert_eq!(
                request.header("content-length"),
                announced.as_deref(),
                "{row}"
            );
            assert_eq!(request.header("transfer-encoding"), coding, "{row}");
            assert_eq!(
                request.header("authorization"),
                Some("Bearer sk-one"),
                "{row}"
            );
            assert_eq!(
                request.header("content-type"),
                Some("multipart/form-data; boundary=b"),
                "{row}"
            );
        }
    }
    assert!(provider.has_no_upload());
}

#[test]
fn type_and_coding_of_content_are_not_judged() {
    let provider = UploadProvider::taking_all();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    for (media_type, coding) in [
        ("application/octet-stream", "gzip"),
        ("multipart/form-data; boundary=b; charset=utf-16", "br"),
        ("text/x-anything", "zstd, gzip"),
    ] {
        // Nobody decodes it, so it need not even be in that coding.
        let head = head(&key, Transport::Length, 100_000)
            .set("Content-Type", media_type)
            .header("Content-Encoding", coding);
        let response = upload_with(&server, &head, Transport::Length, 100_000);
        assert_eq!(response.status, 200, "{media_type}: {response:?}");
        let received = provider.next_upload();
        assert!(received.is_complete && received.is_intact, "{received:?}");
        assert_eq!(received.request.header("content-type"), Some(media_type));
        assert_eq!(received.request.header("content-encoding"), Some(coding));
    }
}

#[test]
fn coded_content_counts_as_it_is_sent() {
    let provider = UploadProvider::taking_all();
    let server = Server::with_loopback_egress(&[("AISBREAKER_MAX_UPLOAD_BYTES", "10000")]);
    let key = key(&server, &provider);
    let bomb = gzip(&vec![0; 5_000_000]);
    assert!(bomb.len() < 10_000);
    let request = head(&key, Transport::Length, bomb.len())
        .header("Content-Encoding", "gzip")
        .body(bomb.clone());

    let response = server.send(&request);

    assert_eq!(response.status, 200, "{response:?}");
    let received = provider.next_upload();
    assert!(received.is_complete, "{received:?}");
    assert_eq!(received.bytes, bomb.len());
}

#[test]
fn upload_without_content_is_passed_on() {
    let provider = UploadProvider::taking_all();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    for transport in [
        Transport::Length,
        Transport::Http2,
        Transport::Http2Unannounced,
    ] {
        let response = upload(&server, &key, transport, 0);
        assert_eq!(response.status, 200, "{transport:?}: {response:?}");
        let received = provider.next_upload();
        assert_eq!((received.bytes, received.is_complete), (0, true));
    }
}

#[test]
fn client_that_waits_for_100_uploads() {
    let provider = UploadProvider::taking_all();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let mut connection = server.connect();
    let head = head(&key, Transport::Length, LONG).header("Expect", "100-continue");
    connection.write(&head.to_bytes());

    assert_eq!(connection.head().status, 100);

    super::write_content(&mut connection, Transport::Length, 0, LONG);
    let response = connection.response_to("POST");
    assert_eq!(response.status, 200, "{response:?}");
    let received = provider.next_upload();
    assert!(received.is_complete && received.is_intact, "{received:?}");
    assert_eq!(received.request.header("expect"), None);
}

#[test]
fn connections_are_kept_for_the_next_upload() {
    let provider = UploadProvider::taking_all();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let mut connection = server.connect();
    for transport in [
        Transport::Length,
        Transport::Chunked(5_000),
        Transport::Length,
    ] {
        connection.write(&head(&key, transport, 300_000).to_bytes());
        super::write_content(&mut connection, transport, 0, 300_000);
        super::end_content(&mut connection, transport);
        let response = connection.response_to("POST");
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.header("connection"), None);
        assert!(provider.next_upload().is_complete);
    }
    assert_eq!(provider.connections(), 1);
}
