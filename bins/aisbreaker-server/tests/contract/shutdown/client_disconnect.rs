//! Clients that disconnect: their calls to providers end with them. A thousand at once are in
//! [`mass`].

mod mass;

use std::sync::mpsc;

use serde_json::json;

use crate::support::{
    PATIENCE, Provider, ReceivedRequest, Request, Server, Wire, call, dummy_call, hop,
    http2_first_piece_then_reset,
    openai::content_event,
    provider_api::{CHAT, MESSAGES, post_with_key, two_dialect_key},
    service_at, streamed,
};

/// A provider that reports when a call arrives, and then whether the server closes the connection.
struct MonitoredProvider {
    provider: Provider,
    arrived: mpsc::Receiver<()>,
    closed: mpsc::Receiver<bool>,
}

impl MonitoredProvider {
    /// Starts a provider whose response is as much as `begin` sends.
    fn start(begin: impl Fn(&ReceivedRequest, &mut Wire) + Send + Sync + 'static) -> Self {
        let (report_arrival, arrived) = mpsc::channel();
        let (report_closed, closed) = mpsc::channel();
        let provider = Provider::without_recording(move |request, wire| {
            begin(request, wire);
            report_arrival.send(()).unwrap();
            let is_closed = wire.wait_until_closed();
            let _test_is_over = report_closed.send(is_closed);
        });
        Self {
            provider,
            arrived,
            closed,
        }
    }

    /// Starts a provider whose streams send one event and then pause.
    fn with_one_event() -> Self {
        Self::start(|_, wire| {
            wire.stream();
            wire.chunk(content_event("one"));
        })
    }

    fn wait_for_call(&self) {
        self.arrived
            .recv_timeout(PATIENCE)
            .expect("a call to the provider");
    }

    /// Waits for the end of a call, and returns whether the server ended it.
    fn wait_for_end(&self) -> bool {
        self.closed
            .recv_timeout(PATIENCE)
            .expect("the end of the call")
    }
}

#[test]
fn disconnect_ends_the_provider_call_and_is_logged() {
    for is_streamed in [false, true] {
        let monitored = MonitoredProvider::start(move |_, wire| {
            if is_streamed {
                wire.stream();
                wire.chunk(content_event("one"));
            }
        });
        let server = Server::with_loopback_egress(&[]);
        let props = service_at("chat:openai.com", &monitored.provider.url());
        let mut body = call(props, "Hi");
        body["request"]["stream"] = json!(is_streamed);
        let request = Request::process(&body)
            .bearer("sk-own")
            .header("X-Request-Id", "left");
        let mut connection = server.connect();
        connection.write(&request.to_bytes());
        monitored.wait_for_call();
        if is_streamed {
            assert_eq!(connection.head().status, 200);
            assert_eq!(connection.event().unwrap().name, "progress");
        }

        drop(connection);

        assert!(
            monitored.wait_for_end(),
            "the call to the provider continues (streamed: {is_streamed})"
        );
        assert_eq!(
            server.wait_for_request("left")["status"],
            499,
            "streamed: {is_streamed}"
        );
    }
}

#[test]
fn http2_stream_reset_ends_the_provider_call() {
    let monitored = MonitoredProvider::with_one_event();
    let server = Server::with_loopback_egress(&[]);
    let props = service_at("chat:openai.com", &monitored.provider.url());
    let request = hyper::Request::post("http://localhost/api/v1/process")
        .header("authorization", "Bearer sk-own")
        .body(streamed(call(props, "Hi")).to_string())
        .unwrap();

    let first = http2_first_piece_then_reset(&server, request);

    assert!(first.starts_with("event: progress\n"), "{first}");
    assert!(monitored.wait_for_end());
    server.wait_for_log("the disconnect", |line| line["status"] == 499);
}

#[test]
fn disconnect_ends_the_calls_of_intermediate_servers() {
    let monitored = MonitoredProvider::with_one_event();
    let [here, there] = [(); 2].map(|()| Server::with_loopback_egress(&[]));
    let props = hop(
        &there.url(),
        &service_at("chat:openai.com", &monitored.provider.url()),
    );
    let request = Request::process(&streamed(call(props, "Hi"))).bearer("sk-own");
    let mut connection = here.connect();
    connection.write(&request.to_bytes());
    assert_eq!(connection.head().status, 200);
    assert_eq!(connection.event().unwrap().name, "progress");

    drop(connection);

    assert!(monitored.wait_for_end());
    for server in [here, there] {
        server.wait_for_log("the disconnect", |line| line["status"] == 499);
    }
}

#[test]
fn server_survives_many_abrupt_disconnects() {
    let server = Server::start(&[]);

    for _ in 0..50 {
        let mut upload = server.connect();
        upload.write(
            b"POST /api/v1/process HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{\"service\"",
        );
        drop(upload);
        let mut stream = server.connect();
        stream.write(&Request::process(&streamed(dummy_call())).to_bytes());
        drop(stream);
    }

    assert_eq!(server.process("", &dummy_call()).status, 200);
    assert!(!server.log().contains("panicked"));
}

#[test]
fn disconnect_ends_a_forwarded_call_at_any_stage() {
    let monitored =
        MonitoredProvider::start(|request, wire| match request.json()["stage"].as_str() {
            Some("head") => wire.stream(),
            Some("event") => {
                wire.stream();
                wire.chunk("data: a\n\n");
            }
            _ => {}
        });
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &monitored.provider);
    for path in [CHAT, MESSAGES] {
        for stage in ["call", "head", "event"] {
            let body = json!({"model": "m", "stage": stage}).to_string();
            let mut connection = server.connect();
            connection.write(&post_with_key(path, &key, body).to_bytes());
            monitored.wait_for_call();
            if stage != "call" {
                assert_eq!(connection.head().status, 200);
            }
            drop(connection);
            assert!(monitored.wait_for_end(), "{path} at {stage}");
        }
    }
}
