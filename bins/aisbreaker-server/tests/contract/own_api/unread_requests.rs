//! Refusals that are sent while the client still sends its request (RFC 9112 section 9.6).

use std::{io::Write as _, net::SocketAddr, thread};

use serde_json::json;

use crate::support::{
    Connection, Provider, Request, Server, call, gate, grant, quotas, service_at,
};

const SIZES: [usize; 4] = [300, 300_000, 3_000_000, 8_000_000];
/// The longest content of the server under test.
const MAX_BODY: &str = "299";

/// Refusals that do not need the content, with the status of each.
fn refusals(body: &[u8]) -> Vec<(&'static str, Request, u16)> {
    let post = |path: &str| Request::post(path, body).header("Content-Type", "application/json");
    let process = || Request::post_process(body);
    let chat = || Request::post("/v1/chat/completions", body);
    let many_fields = (0..150).fold(chat(), |request, i| request.header(&format!("X-{i}"), "1"));
    vec![
        ("unknown path", post("/v1/v1/chat/completions"), 404),
        ("wrong method", post("/api/v1/ping"), 405),
        (
            "content type",
            process().set("Content-Type", "application/xml"),
            400,
        ),
        (
            "charset",
            chat().set("Content-Type", "application/json; charset=utf-16"),
            400,
        ),
        ("hops", process().header("X-AIsBreaker-Hops", "many"), 400),
        ("coding", process().header("Content-Encoding", "br"), 415),
        ("host", process().set("Host", "elsewhere.example"), 421),
        (
            "long head",
            chat().header("X-Long", vec![b'x'; 40_000]),
            431,
        ),
        // The HTTP library itself refuses these.
        (
            "endless head",
            chat().header("X-Long", vec![b'x'; 200_000]),
            431,
        ),
        ("many fields", many_fields, 431),
        ("bad head", chat().header("X Bad", "x"), 400),
        ("length", process(), 413),
        ("length, /v1", chat(), 413),
        // Java's client offers this upgrade with every request.
        (
            "offered upgrade",
            post("/api/v1/nothing")
                .header("Connection", "Upgrade, HTTP2-Settings")
                .header("Upgrade", "h2c"),
            404,
        ),
        (
            "handshake",
            Request::get("/v1/responses")
                .header("Content-Length", body.len().to_string())
                .header("Connection", "Upgrade")
                .header("Upgrade", "websocket")
                .body(body),
            426,
        ),
    ]
}

/// How a client sends its request.
#[derive(Clone, Copy, Debug)]
enum Client {
    /// Sends everything before it reads, as most libraries do, and takes a reset for a failure.
    WritesFirst,
    /// Sends the head by itself, as Python's libraries do.
    HeadThenBody,
    /// Reads while it sends, as Node does, and stops sending once it has the response.
    ReadsMeanwhile,
}

/// Returns the status, or `None` if the response is lost.
fn status_of(mut connection: Connection, request: &Request, client: Client) -> Option<u16> {
    let bytes = request.to_bytes();
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    match client {
        Client::WritesFirst => {
            if !connection.try_write(&bytes) {
                return None;
            }
        }
        Client::HeadThenBody => {
            if !(connection.try_write(&bytes[..head]) && connection.try_write(&bytes[head..])) {
                return None;
            }
        }
        Client::ReadsMeanwhile => {
            let mut writer = connection.writer();
            return thread::scope(|scope| {
                let written = scope.spawn(move || writer.write_all(&bytes).is_ok());
                let status = connection.status_or_end();
                written.join().unwrap().then_some(status).flatten()
            });
        }
    }
    connection.status_or_end()
}

fn assert_all_arrive(server: &Server, row: &str, request: &Request, status: u16) {
    assert_all_arrive_at(server.address(), row, request, status);
}

fn assert_all_arrive_at(address: SocketAddr, row: &str, request: &Request, status: u16) {
    for client in [
        Client::WritesFirst,
        Client::HeadThenBody,
        Client::ReadsMeanwhile,
    ] {
        let actual = status_of(Connection::open(address), request, client);
        assert_eq!(
            actual,
            Some(status),
            "{row}, {client:?}, {} B",
            request.to_bytes().len()
        );
    }
}

#[test]
fn no_refusal_is_lost_however_the_client_sends() {
    let server = Server::start(&[
        ("AISBREAKER_PUBLIC_HOSTS", "localhost,127.0.0.1"),
        ("AISBREAKER_MAX_BODY_BYTES", MAX_BODY),
    ]);
    for size in SIZES {
        for (row, request, status) in refusals(&vec![b' '; size]) {
            assert_all_arrive(&server, row, &request, status);
        }
    }
}

#[test]
fn no_refusal_of_the_metrics_listener_is_lost() {
    let server = Server::start(&[("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0")]);
    let address = server.metrics_address();
    for size in SIZES {
        for (path, status) in [("/metrics", 405), ("/", 404)] {
            let request = Request::post(path, vec![b' '; size]);
            assert_all_arrive_at(address, path, &request, status);
        }
    }
}

#[test]
fn no_refusal_of_a_quota_is_lost() {
    let server = Server::start(&[]);
    let key = server.mint(&grant(
        &quotas([1, 1000, 1000], [1, 1000, 1000]),
        &json!([]),
    ));
    for size in SIZES {
        let request = Request::post_process(vec![b'['; size]).bearer(&key);
        // The first request may be admitted, and fail for its content.
        server.send(&request);
        let last = if size > 64 << 10 { 429 } else { 400 };
        assert_all_arrive(&server, "quota", &request, last);
    }
}

#[test]
fn no_refusal_of_credentials_is_lost() {
    let server = Server::start(&[]);
    for size in SIZES {
        let chat = Request::post("/v1/chat/completions", vec![b' '; size]);
        for value in ["Basic eA==", "Bearer aisbreaker_eyJ2ZXIi.a.b"] {
            let request = chat.clone().set("Authorization", value);
            assert_all_arrive(&server, value, &request, 401);
        }
    }
}

#[test]
fn no_refusal_of_a_full_server_is_lost() {
    let (gate, waiter) = gate();
    let provider = Provider::start(move |_, wire| {
        waiter.wait();
        wire.json(500, &json!({}));
    });
    for setting in ["AISBREAKER_MAX_REQUESTS", "AISBREAKER_MAX_CONNECTIONS"] {
        let server = Server::with_loopback_egress(&[(setting, "1")]);
        let body = call(service_at("chat:openai.com", &provider.url()), "Hi");
        let mut held = server.connect();
        held.write(&Request::process(&body).bearer("sk-own").to_bytes());
        while provider.requests().is_empty() {
            thread::yield_now();
        }
        for size in SIZES {
            let request = Request::post_process(vec![b' '; size]);
            assert_all_arrive(&server, setting, &request, 503);
        }
    }
    drop(gate);
}

#[test]
fn no_refusal_of_malformed_content_is_lost() {
    let server = Server::start(&[]);
    let body = [b"zz\r\n", &vec![b' '; 3_000_000][..]].concat();
    let request = Request::post_process(body).header("Transfer-Encoding", "chunked");
    for _ in 0..5 {
        assert_all_arrive(&server, "chunks", &request, 400);
    }
}

#[test]
fn refusal_does_not_wait_for_content_that_never_comes() {
    let server = Server::start(&[("AISBREAKER_MAX_BODY_BYTES", "1000")]);
    let head = "POST /api/v1/process HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n";
    let mut connection = server.connect();
    connection.write(head.as_bytes());

    let response = connection.head();

    assert_eq!(response.status, 413);
    assert_eq!(response.header("connection"), Some("close"));
}

#[test]
fn connection_ends_after_a_long_unread_body() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    let request = Request::post("/api/v1/nothing", vec![b' '; 100_000]);
    assert!(connection.try_write(&request.to_bytes()));

    let response = connection.response_to("POST");

    assert_eq!(response.status, 404);
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(connection.read_to_end(), b"");
}

/// A client with a pool sends its next request where the response did not say `close`.
#[test]
fn connection_is_kept_after_a_short_body_that_comes_late() {
    let server = Server::start(&[]);
    for size in [1, 300, 30_000] {
        let bytes = Request::post("/api/v1/nothing", vec![b' '; size]).to_bytes();
        let (head, body) = bytes.split_at(bytes.len() - size);
        let mut connection = server.connect();
        connection.write(head);
        let response = connection.response_to("POST");
        assert_eq!(response.status, 404, "{size}");
        assert_eq!(response.header("connection"), None, "{size}");

        connection.write(body);

        let next = connection.send(&Request::get("/api/v1/ping"));
        assert_eq!(next.status, 200, "{size}");
    }
}

#[test]
fn client_that_expects_100_learns_that_the_connection_closes() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    let request = Request::post("/api/v1/nothing", "")
        .header("Content-Length", "300")
        .header("Expect", "100-continue");
    connection.write(&request.to_bytes());

    let response = connection.response_to("POST");

    assert_eq!(response.status, 404);
    assert_eq!(response.header("connection"), Some("close"));
    connection.finish_writing();
    assert_eq!(connection.read_to_end(), b"");
}

#[test]
fn refused_clients_do_not_delay_the_shutdown() {
    let mut server = Server::start(&[("AISBREAKER_DRAIN_TIMEOUT", "10m")]);
    let request = Request::post("/api/v1/nothing", "").header("Content-Length", "1000000");
    let mut refused: Vec<Connection> = (0..10).map(|_| server.connect()).collect();
    for connection in &mut refused {
        connection.write(&request.to_bytes());
        assert_eq!(connection.head().status, 404);
    }

    server.start_draining();
    // Meanwhile, the clients go on to send a little.
    thread::scope(|scope| {
        for connection in &mut refused {
            scope.spawn(move || {
                while connection.try_write(b" ") {
                    thread::yield_now();
                }
            });
        }
        let (status, log) = server.wait_for_exit();
        assert_eq!(status.code(), Some(0), "{log}");
    });
}
