//! Uploads that are refused: before anything of them is read, or at the byte that is too much.

use serde_json::json;

use super::{LONG, Transport, head, key, upload, upload_with, write_content};
use crate::support::{
    Response, Server, UploadProvider, ample_quotas, closed_url, gate, grant, quotas,
};

const MAX_BYTES: usize = 300_000;

fn limited_server() -> Server {
    let limit = MAX_BYTES.to_string();
    Server::with_loopback_egress(&[("AISBREAKER_MAX_UPLOAD_BYTES", &limit)])
}

#[track_caller]
fn assert_too_large(row: &str, response: &Response) {
    let error = &response.json()["error"];
    assert_eq!(
        (response.status, &error["type"], &error["code"]),
        (
            413,
            &json!("invalid_request_error"),
            &json!("request_too_large")
        ),
        "{row}: {response:?}"
    );
    let message = response.message();
    assert!(message.contains(&MAX_BYTES.to_string()), "{row}: {message}");
}

#[test]
fn announced_length_beyond_the_limit_is_refused_before_the_provider_is_called() {
    let provider = UploadProvider::taking_all();
    let server = limited_server();
    let key = key(&server, &provider);
    for transport in [Transport::Length, Transport::Http2] {
        for length in [MAX_BYTES + 1, LONG] {
            let row = format!("{transport:?}, {length} bytes");
            assert_too_large(&row, &upload(&server, &key, transport, length));
        }
    }
    assert_eq!(provider.connections(), 0);
}

#[test]
fn refusal_has_the_form_of_the_dialect() {
    let server = limited_server();
    let key = server.mint_with_secrets(&json!([
        {"serviceId": "chat:anthropic.com", "authSecret": "sk-one", "url": closed_url()},
    ]));
    let head = head(&key, Transport::Length, LONG)
        .header("anthropic-version", "2023-06-01")
        .header("X-Request-Id", "req-1");
    let response = upload_with(&server, &head, Transport::Length, LONG);
    assert_eq!(response.status, 413, "{response:?}");
    let body = response.json();
    assert_eq!(body["type"], "error", "{body}");
    assert_eq!(body["error"]["type"], "request_too_large", "{body}");
    assert_eq!(body["request_id"], "req-1", "{body}");
}

#[test]
fn unannounced_content_beyond_the_limit_never_looks_complete() {
    let provider = UploadProvider::taking_all();
    let server = limited_server();
    let key = key(&server, &provider);
    for transport in [
        Transport::Chunked(10_000),
        Transport::Chunked(MAX_BYTES + 1),
        Transport::Http2Unannounced,
    ] {
        for length in [MAX_BYTES + 1, LONG] {
            let row = format!("{transport:?}, {length} bytes");
            assert_too_large(&row, &upload(&server, &key, transport, length));
            let received = provider.next_upload();
            assert!(
                !received.is_complete && received.is_intact,
                "{row}: {received:?}"
            );
            assert!(received.bytes <= MAX_BYTES, "{row}: {received:?}");
        }
    }
}

#[test]
fn content_of_the_largest_size_passes() {
    let provider = UploadProvider::taking_all();
    let server = limited_server();
    let key = key(&server, &provider);
    for transport in Transport::ALL {
        let response = upload(&server, &key, transport, MAX_BYTES);
        assert_eq!(response.status, 200, "{transport:?}: {response:?}");
        assert!(provider.next_upload().is_complete);
    }
}

#[test]
fn limits_of_other_bodies_do_not_hold_for_uploads() {
    let provider = UploadProvider::taking_all();
    let server = Server::with_loopback_egress(&[("AISBREAKER_MAX_BODY_BYTES", "1000")]);
    let key = key(&server, &provider);
    let response = upload(&server, &key, Transport::Length, LONG);
    assert_eq!(response.status, 200, "{response:?}");
    assert!(provider.next_upload().is_complete);
}

#[test]
fn limit_of_the_key_holds_for_uploads() {
    let provider = UploadProvider::taking_all();
    let server = Server::with_loopback_egress(&[]);
    let secrets = json!([
        {"serviceId": "chat:openai.com", "authSecret": "sk-one", "url": provider.url()},
    ]);
    let mut body = grant(&ample_quotas(), &secrets);
    body["restrict"] = json!({"maxBodyBytes": MAX_BYTES});
    let key = server.mint(&body);
    for transport in Transport::ALL {
        let response = upload(&server, &key, transport, MAX_BYTES);
        assert_eq!(response.status, 200, "{transport:?}: {response:?}");
        assert!(provider.next_upload().is_complete);

        let response = upload(&server, &key, transport, MAX_BYTES + 1);
        assert_eq!(response.status, 413, "{transport:?}: {response:?}");
        assert!(response.message().contains("maxBodyBytes"), "{response:?}");
        if !transport.is_announced() {
            assert!(!provider.next_upload().is_complete);
        }
    }
}

/// A refusal that needs nothing of the content comes before all of it, and is not lost.
#[test]
fn refused_callers_upload_nothing() {
    let provider = UploadProvider::taking_all();
    let server = Server::with_loopback_egress(&[
        ("AISBREAKER_REQUIRE_KEY", "true"),
        ("AISBREAKER_PUBLIC_HOSTS", "localhost"),
    ]);
    let secrets = json!([
        {"serviceId": "chat:openai.com", "authSecret": "sk-one", "url": provider.url()},
    ]);
    let good = server.mint_with_secrets(&secrets);
    let mut restricted = grant(&ample_quotas(), &secrets);
    restricted["restrict"] = json!({"operations": ["chat/completions"]});
    let restricted = server.mint(&restricted);
    let once = server.mint(&grant(&quotas([1, 1000, 1000], [1, 1000, 1000]), &secrets));
    assert_eq!(upload(&server, &once, Transport::Length, 10).status, 200);
    assert!(provider.next_upload().is_complete);
    let rows = [
        ("bad key", "aisbreaker_eyJ2ZXIi.a.b", "localhost", 401),
        ("no key", "", "localhost", 401),
        ("operation", &restricted, "localhost", 403),
        ("quota", &once, "localhost", 429),
        ("host", &good, "elsewhere.example", 421),
    ];
    for (row, key, host, status) in rows {
        for transport in Transport::ALL {
            if host != "localhost" && transport.is_announced() != (transport == Transport::Length) {
                continue;
            }
            let head = head(key, transport, LONG).set("Host", host);
            let response = upload_with(&server, &head, transport, LONG);
            let is_misdirected = status == 421 && transport == Transport::Http2Unannounced;
            if !is_misdirected {
                assert_eq!(
                    response.status, status,
                    "{row}, {transport:?}: {response:?}"
                );
            }
        }
        // A client that asks first is refused at once.
        let mut connection = server.connect();
        let head = head(key, Transport::Length, LONG)
            .set("Host", host)
            .header("Expect", "100-continue");
        connection.write(&head.to_bytes());
        let response = connection.response_to("POST");
        assert_eq!(response.status, status, "{row}: {response:?}");
        assert_eq!(response.header("connection"), Some("close"), "{row}");
    }
    assert_eq!(provider.connections(), 1);
}

#[test]
fn quota_is_charged_for_an_upload_once() {
    let provider = UploadProvider::taking_all();
    let server = Server::with_loopback_egress(&[]);
    let secrets = json!([
        {"serviceId": "chat:openai.com", "authSecret": "sk-one", "url": provider.url()},
    ]);
    let key = server.mint(&grant(&quotas([3, 1000, 1000], [3, 1000, 1000]), &secrets));
    let statuses: Vec<u16> = (0..4)
        .map(|_| upload(&server, &key, Transport::Chunked(10_000), 200_000).status)
        .collect();
    assert_eq!(statuses, [200, 200, 200, 429]);
}

#[test]
fn unreachable_provider_is_reported_without_the_content() {
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "sk-one", "url": closed_url()},
    ]));
    let mut connection = server.connect();
    let head = head(&key, Transport::Length, LONG).header("Expect", "100-continue");
    connection.write(&head.to_bytes());
    let response = connection.response_to("POST");
    assert_eq!(response.status, 503, "{response:?}");
}

#[test]
fn uploads_count_for_the_memory_of_a_client() {
    let (gate, waiter) = gate();
    let provider = UploadProvider::start(move |upload| {
        waiter.wait();
        upload.read_to_end();
        upload.respond(200);
    });
    // Enough for one upload of a client.
    let server = Server::with_loopback_egress(&[
        ("AISBREAKER_MAX_BUFFERED_BYTES", "2000000"),
        ("AISBREAKER_MAX_BODY_BYTES", "1000"),
        ("AISBREAKER_MAX_ANSWER_BYTES", "1000"),
    ]);
    let key = key(&server, &provider);
    let mut held = server.connect();
    held.write(&head(&key, Transport::Length, LONG).to_bytes());
    while provider.connections() < 1 {
        std::thread::yield_now();
    }

    for transport in Transport::ALL {
        let refused = upload(&server, &key, transport, LONG);
        assert_eq!(refused.status, 503, "{transport:?}: {refused:?}");
    }
    gate.open();
    let short = upload(&server, &key, Transport::Length, 10_000);
    assert_eq!(short.status, 200, "{short:?}");
    write_content(&mut held, Transport::Length, 0, LONG);
    assert_eq!(held.response_to("POST").status, 200);
    // It is free again.
    let next = upload(&server, &key, Transport::Length, LONG);
    assert_eq!(next.status, 200, "{next:?}");
}
