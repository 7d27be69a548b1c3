//! Contract section 2: requests that violate HTTP or exceed its limits.

use serde_json::json;

use crate::support::{Request, Server, assert_error};

#[test]
fn unusual_methods_and_targets_are_refused() {
    let server = Server::start(&[]);
    let rows = [
        "OPTIONS *",
        "CONNECT localhost:80",
        "CONNECT /api/v1/ping",
        "TRACE /api/v1/ping",
        "BREW /api/v1/process",
    ];

    for row in rows {
        let mut connection = server.connect();
        connection.write(format!("{row} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        let response = connection.response_to("GET");
        assert!((400..500).contains(&response.status), "{row}: {response:?}");
        assert_eq!(server.get("/api/v1/ping").status, 200, "after {row}");
    }
}

#[test]
fn malformed_http_is_refused_with_400() {
    let server = Server::start(&[]);
    let rows: [(&str, &[u8]); 9] = [
        ("no HTTP", b"hello there\r\n\r\n"),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on\r\n\r\n"),
        ("unknown version", b"GET / HTTP/7.0\r\nHost: localhost\r\n\r\n"),
        ("space in a field name", b"GET /api/v1/ping HTTP/1.1\r\nHost: localhost\r\nBad Name: x\r\n\r\n"),
        (
            "space before the colon",
            b"POST /api/v1/process HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n",
        ),
        (
            "commented field of a shell client",
            b"GET /api/v1/ping HTTP/1.1\r\nHost: x\r\n//Authorization: Bearer [YOUR_API_KEY]\r\n\r\n",
        ),
        (
            "two lengths",
            b"POST /api/v1/process HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12",
        ),
        ("invalid length", b"POST /api/v1/process HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n"),
        ("unknown transfer coding", b"POST /api/v1/process HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ];

    for (name, bytes) in rows {
        let mut connection = server.connect();
        connection.write(bytes);
        let response = connection.read_to_end();
        assert!(
            response.starts_with(b"HTTP/1.1 400 "),
            "{name}: {}",
            String::from_utf8_lossy(&response)
        );
        assert_eq!(server.get("/api/v1/ping").status, 200, "after {name}");
    }
}

#[test]
fn oversized_head_returns_431() {
    let server = Server::start(&[]);
    let many_fields = (0..90).fold(Request::get("/api/v1/ping"), |request, i| {
        request.header(&format!("X-{i}"), "x".repeat(700))
    });
    let rows = [
        (
            "one field",
            Request::get("/api/v1/ping").header("X-Flood", "x".repeat(60_000)),
        ),
        ("many large fields", many_fields),
        (
            "a key",
            Request::process(&json!({})).bearer(&format!("aisbreaker_{}", "A".repeat(60_000))),
        ),
    ];

    for (name, request) in rows {
        assert_error(name, &server.send(&request), 431, "");
    }
}

/// Above 128 KiB or a hundred fields, the HTTP library responds with a status alone, before there
/// is a request.
#[test]
fn head_over_the_library_limit_is_refused_by_status_alone() {
    let server = Server::start(&[]);
    let one_too_many = (0..101).fold(Request::get("/api/v1/ping"), |request, i| {
        request.header(&format!("X-{i}"), "x")
    });
    let rows = [
        (
            "one huge field",
            Request::get("/api/v1/ping").header("X-Flood", "x".repeat(1_000_000)),
        ),
        ("one field too many", one_too_many),
        (
            "a huge path",
            Request::get(&format!("/{}", "x".repeat(1_000_000))),
        ),
    ];

    for (name, request) in rows {
        let response = server.send(&request);
        assert!(matches!(response.status, 414 | 431), "{name}: {response:?}");
        assert_eq!(server.get("/api/v1/ping").status, 200, "after {name}");
    }
}
