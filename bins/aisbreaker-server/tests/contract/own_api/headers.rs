//! Header fields of requests and responses.

use hyper::header::CONTENT_LENGTH;

use super::all_paths;
use crate::support::{
    Connection, Request, Response, Server, assert_error, dummy_call, send_over_http2,
};

/// Paths of `HEAD` requests, and the expected status.
const HEADS: [(&str, u16); 8] = [
    ("/", 200),
    ("/healthz", 200),
    ("/readyz", 200),
    ("/api/v1/ping", 200),
    ("/api/v1/version?name=Ada", 200),
    ("/nothing", 404),
    ("/api/v1/nothing", 404),
    ("/api/v1/oauth/token", 405),
];

/// Sends a head verbatim, and reads the response.
fn send_head(connection: &mut Connection, head: &str) -> Response {
    connection.write(head.as_bytes());
    connection.response_to(head.split(' ').next().unwrap_or_default())
}

#[test]
fn head_reports_the_length_of_get_without_a_body() {
    let server = Server::start(&[]);

    for (path, status) in HEADS {
        let get = server.get(path);
        let mut connection = server.connect();
        let head = connection.send(&Request::new("HEAD", path));
        assert_eq!((head.status, get.status), (status, status), "{path}");
        for name in ["content-length", "content-type", "allow"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
        assert_eq!(
            head.header("content-length"),
            Some(&*get.body.len().to_string()),
            "{path}"
        );
        // A body would make this response unreadable.
        assert_eq!(
            connection.send(&Request::get("/api/v1/ping")).status,
            200,
            "after {path}"
        );
    }
}

#[test]
fn http2_head_reports_the_length_of_get_without_a_body() {
    let server = Server::start(&[]);
    let requests = HEADS.iter().flat_map(|(path, _)| {
        ["HEAD", "GET"].map(|method| {
            hyper::Request::builder()
                .method(method)
                .uri(format!("http://localhost{path}"))
                .body(String::new())
                .unwrap()
        })
    });

    // The client library panics if a response violates the protocol.
    let responses = send_over_http2(&server, requests.collect());

    for ((path, status), pair) in HEADS.iter().zip(responses.chunks(2)) {
        let [(head, head_body), (get, body)] = pair else {
            panic!("{path}: not two responses")
        };
        assert_eq!(
            (head.status.as_u16(), get.status.as_u16()),
            (*status, *status),
            "{path}"
        );
        assert_eq!(head_body, "", "{path}");
        assert_eq!(
            head.headers.get(CONTENT_LENGTH),
            get.headers.get(CONTENT_LENGTH),
            "{path}"
        );
        assert_eq!(
            head.headers[CONTENT_LENGTH],
            body.len().to_string(),
            "{path}"
        );
    }
}

#[test]
fn http1_1_requests_must_name_exactly_one_host() {
    let server = Server::start(&[]);
    let rows = [
        ("none", "", 400),
        ("two", "Host: a.example\r\nHost: b.example\r\n", 400),
        (
            "the same twice",
            "Host: a.example\r\nHost: a.example\r\n",
            400,
        ),
        ("no name", "Host: a b\r\n", 400),
        ("one", "Host: a.example\r\n", 200),
    ];

    for (name, hosts, status) in rows {
        for path in ["/", "/api/v1/ping", "/api/v1/version"] {
            let row = format!("{name} {path}");
            let head = format!("GET {path} HTTP/1.1\r\n{hosts}\r\n");
            let response = send_head(&mut server.connect(), &head);
            assert_eq!(response.status, status, "{row}: {response:?}");
            if status == 400 {
                assert_error(&row, &response, 400, "Host");
            }
        }
        // Probes may use any host.
        for path in ["/healthz", "/readyz"] {
            let response = send_head(
                &mut server.connect(),
                &format!("GET {path} HTTP/1.1\r\n{hosts}\r\n"),
            );
            assert_eq!(response.status, 200, "{name} {path}: {response:?}");
        }
    }
}

#[test]
fn http1_0_needs_a_host_only_where_it_matters() {
    let server = Server::start(&[]);

    for path in ["/", "/api/v1/ping", "/api/v1/version", "/healthz"] {
        let response = send_head(
            &mut server.connect(),
            &format!("GET {path} HTTP/1.0\r\n\r\n"),
        );
        assert_eq!(response.status, 200, "{path}: {response:?}");
    }
    let head = "POST /api/v1/oauth/token HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    assert_error("minting", &send_head(&mut server.connect(), head), 400, "");
}

#[test]
fn options_lists_the_methods_of_every_route() {
    let server = Server::start(&[]);

    for (method, path) in all_paths() {
        let response = server.send(&Request::new("OPTIONS", &path));
        assert_eq!(response.status, 204, "{path}: {response:?}");
        let allow = response
            .header("allow")
            .unwrap_or_else(|| panic!("{path}: no Allow: {response:?}"));
        let allowed: Vec<&str> = allow.split(',').map(str::trim).collect();
        assert!(
            allowed.contains(&method) && allowed.contains(&"OPTIONS"),
            "{path}: {allow}"
        );
        assert_eq!(
            response.header("access-control-allow-methods"),
            Some(allow),
            "{path}"
        );
    }
}

#[test]
fn unsupported_encoding_response_lists_supported_ones() {
    let server = Server::start(&[]);

    for path in ["/api/v1/process", "/api/v1/oauth/token"] {
        let request = Request::new("POST", path).header("Content-Type", "application/json");
        let response = server.send(&request.header("Content-Encoding", "br").body("{}"));
        assert_error(path, &response, 415, "gzip");
        assert_eq!(
            response.header("accept-encoding"),
            Some("gzip, deflate"),
            "{path}"
        );
    }
}

#[test]
fn process_requires_exactly_one_valid_host() {
    let server = Server::start(&[]);
    let body = dummy_call().to_string();
    let rows = [
        ("none", ""),
        ("empty", "Host: \r\n"),
        ("two", "Host: a.example\r\nHost: b.example\r\n"),
        ("no name", "Host: a b\r\n"),
        ("bad port", "Host: a.example:port\r\n"),
    ];

    for (name, hosts) in rows {
        let mut connection = server.connect();
        let head = "POST /api/v1/process HTTP/1.1\r\nContent-Type: application/json\r\n";
        connection
            .write(format!("{head}{hosts}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
        assert_eq!(connection.response_to("POST").status, 400, "{name}");
    }
}
