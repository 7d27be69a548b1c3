//! How slow clients and providers may be.

use std::{thread, time::Duration};

use super::{LONG, Transport, end_content, head, key, upload, write_content};
use crate::support::{
    Request, Server, Ticker, UploadProvider, ample_quotas, content_at, gate, grant,
};

#[test]
fn client_that_pauses_too_long_is_cut_off() {
    let provider = UploadProvider::taking_all();
    let server = Server::with_loopback_egress(&[("AISBREAKER_BODY_TIMEOUT", "300ms")]);
    let key = key(&server, &provider);
    for transport in [Transport::Length, Transport::Chunked(10_000)] {
        let mut connection = server.connect();
        let request = head(&key, transport, LONG).header("X-Request-Id", "slow");
        connection.write(&request.to_bytes());
        write_content(&mut connection, transport, 0, 1_000_000);
        let response = connection.response_to("POST");
        assert_eq!(response.status, 408, "{response:?}");
        assert_eq!(server.wait_for_request("slow")["error"], "incomplete_body");
        let received = provider.next_upload();
        assert!(!received.is_complete && received.is_intact, "{received:?}");
        assert_eq!(received.bytes, 1_000_000);
    }
}

#[test]
fn client_that_trickles_is_cut_off() {
    let provider = UploadProvider::taking_all();
    let server = Server::with_loopback_egress(&[("AISBREAKER_BODY_TIMEOUT", "500ms")]);
    let key = key(&server, &provider);
    let mut connection = server.connect();
    connection.write(&head(&key, Transport::Length, LONG).to_bytes());
    let mut writer = connection.writer();
    let response = thread::scope(|scope| {
        scope.spawn(move || {
            let mut ticker = Ticker::start(20);
            let mut offset = 0;
            while std::io::Write::write_all(&mut writer, &content_at(offset, 1)).is_ok() {
                offset += 1;
                ticker.tick();
            }
        });
        let response = connection.response_to("POST");
        connection
            .writer()
            .shutdown(std::net::Shutdown::Both)
            .unwrap();
        response
    });
    assert_eq!(response.status, 408, "{response:?}");
    assert!(!provider.next_upload().is_complete);
}

/// The time in which the provider takes nothing is not held against the client.
#[test]
fn slow_provider_is_waited_for() {
    let provider = UploadProvider::start(|upload| {
        let mut ticker = Ticker::start(100);
        for _ in 0..25 {
            ticker.tick();
            upload.read(500_000);
        }
        upload.read_to_end();
        upload.respond(200);
    });
    // It takes longer than each of them.
    let server = Server::with_loopback_egress(&[
        ("AISBREAKER_BODY_TIMEOUT", "300ms"),
        ("AISBREAKER_PROVIDER_TIMEOUT", "2s"),
    ]);
    let key = key(&server, &provider);
    for transport in [Transport::Length, Transport::Http2Unannounced] {
        let response = upload(&server, &key, transport, LONG);
        assert_eq!(response.status, 200, "{transport:?}: {response:?}");
        let received = provider.next_upload();
        assert!(received.is_complete && received.is_intact, "{received:?}");
    }
}

/// A long upload of a slow client does not end the time of the provider, which begins with its end.
#[test]
fn slow_client_leaves_the_provider_its_time() {
    let provider = UploadProvider::start(|upload| {
        upload.read_to_end();
        upload.wire.pause(Duration::from_millis(300));
        upload.respond(200);
    });
    let server = Server::with_loopback_egress(&[("AISBREAKER_PROVIDER_TIMEOUT", "600ms")]);
    let key = key(&server, &provider);
    let transport = Transport::Chunked(10_000);
    let mut connection = server.connect();
    connection.write(&head(&key, transport, LONG).to_bytes());
    let mut ticker = Ticker::start(100);
    for piece in 0..10 {
        write_content(
            &mut connection,
            transport,
            piece * 10_000,
            (piece + 1) * 10_000,
        );
        ticker.tick();
    }
    end_content(&mut connection, transport);
    let response = connection.response_to("POST");
    assert_eq!(response.status, 200, "{response:?}");
    assert!(provider.next_upload().is_complete);
}

#[test]
fn provider_that_takes_or_answers_nothing_is_given_up() {
    let (_gate, waiter) = gate();
    let stuck = UploadProvider::start(move |_| waiter.wait());
    let silent = UploadProvider::start(|upload| {
        upload.read_to_end();
        upload.wire.hold();
    });
    for (row, provider, setting) in [
        ("takes nothing", &stuck, "AISBREAKER_STREAM_IDLE_TIMEOUT"),
        ("answers nothing", &silent, "AISBREAKER_PROVIDER_TIMEOUT"),
    ] {
        let server = Server::with_loopback_egress(&[(setting, "500ms")]);
        let key = key(&server, provider);
        for transport in Transport::ALL {
            let response = upload(&server, &key, transport, LONG);
            assert_eq!(response.status, 504, "{row}, {transport:?}: {response:?}");
        }
    }
}

/// A connection makes room for another one if its client keeps the server waiting, but not if the
/// provider does.
#[test]
fn upload_that_waits_for_its_provider_is_not_evicted() {
    let (gate, waiter) = gate();
    let provider = UploadProvider::start(move |upload| {
        waiter.wait();
        upload.read_to_end();
        upload.respond(200);
    });
    let server = Server::with_loopback_egress(&[("AISBREAKER_MAX_CONNECTIONS", "1")]);
    // There is no other connection, not even to mint the key.
    let mut connection = server.connect();
    let secrets = serde_json::json!([
        {"serviceId": "chat:openai.com", "authSecret": "sk-one", "url": provider.url()},
    ]);
    let minted = connection.send(&Request::mint(&grant(&ample_quotas(), &secrets)));
    let key = minted.json()["access_token"].as_str().unwrap().to_owned();
    connection.write(&head(&key, Transport::Length, LONG).to_bytes());
    let mut writer = connection.writer();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut offset = 0;
            while offset < LONG {
                let piece = content_at(offset, LONG - offset);
                std::io::Write::write_all(&mut writer, &piece).unwrap();
                offset += piece.len();
            }
        });
        // Longer than a client may keep the server waiting.
        let mut ticker = Ticker::start(300);
        for _ in 0..10 {
            ticker.tick();
            assert_eq!(server.get("/api/v1/ping").status, 503);
        }
        gate.open();
        assert_eq!(connection.response_to("POST").status, 200);
    });
    assert!(provider.next_upload().is_complete);
}
