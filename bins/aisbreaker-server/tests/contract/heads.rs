//! What stands in the heads of requests and of answers.

use hyper::header::CONTENT_LENGTH;

use super::greetings::all_paths;
use crate::support::{Connection, Request, Server, assert_error, http2};

/// What can be asked with `HEAD`, and how it is answered.
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

#[test]
fn head_tells_the_length_of_get_and_has_no_body() {
    let server = Server::start(&[]);

    for (path, status) in HEADS {
        let got = server.get(path);
        let mut connection = server.connect();
        let head = connection.send(&Request::new("HEAD", path));
        assert_eq!((head.status, got.status), (status, status), "{path}");
        for name in ["content-length", "content-type", "allow"] {
            assert_eq!(head.header(name), got.header(name), "{path} {name}");
        }
        assert_eq!(
            head.header("content-length"),
            Some(&*got.body.len().to_string()),
            "{path}"
        );
        // If there were a body, this would not be an answer.
        assert_eq!(
            connection.send(&Request::get("/api/v1/ping")).status,
            200,
            "after {path}"
        );
    }
}

#[test]
fn head_over_http_2_tells_the_length_of_get_and_has_no_body() {
    let server = Server::start(&[]);
    let requests = HEADS.iter().flat_map(|(path, _)| {
        ["HEAD", "GET"].map(|method| {
            let request = hyper::Request::builder()
                .method(method)
                .uri(format!("http://localhost{path}"));
            request.body(String::new()).unwrap()
        })
    });

    // The client of the tests fails if the protocol is violated.
    let answers = http2(&server, requests.collect());

    for ((path, status), pair) in HEADS.iter().zip(answers.chunks(2)) {
        let [(head, nothing), (got, body)] = pair else {
            panic!("{path}: not two answers")
        };
        assert_eq!(
            (head.status.as_u16(), got.status.as_u16()),
            (*status, *status),
            "{path}"
        );
        assert_eq!(nothing, "", "{path}");
        assert_eq!(
            head.headers.get(CONTENT_LENGTH),
            got.headers.get(CONTENT_LENGTH),
            "{path}"
        );
        assert_eq!(
            head.headers[CONTENT_LENGTH],
            body.len().to_string(),
            "{path}"
        );
    }
}

/// Sends a head as it is, and reads the answer.
fn send_head(connection: &mut Connection, head: &str) -> crate::support::Answer {
    connection.write(head.as_bytes());
    connection.answer_to(head.split(' ').next().unwrap_or_default())
}

#[test]
fn a_request_of_http_1_1_names_one_host_whatever_it_asks_for() {
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
            let answer = send_head(&mut server.connect(), &head);
            assert_eq!(answer.status, status, "{row}: {answer:?}");
            if status == 400 {
                assert_error(&row, &answer, 400, "Host");
            }
        }
        // Probes ask under whatever name they like.
        for path in ["/healthz", "/readyz"] {
            let answer = send_head(
                &mut server.connect(),
                &format!("GET {path} HTTP/1.1\r\n{hosts}\r\n"),
            );
            assert_eq!(answer.status, 200, "{name} {path}: {answer:?}");
        }
    }
}

#[test]
fn a_request_of_http_1_0_need_not_name_a_host_where_nothing_depends_on_it() {
    let server = Server::start(&[]);

    for path in ["/", "/api/v1/ping", "/api/v1/version", "/healthz"] {
        let answer = send_head(
            &mut server.connect(),
            &format!("GET {path} HTTP/1.0\r\n\r\n"),
        );
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    let head = "POST /api/v1/oauth/token HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    assert_error("minting", &send_head(&mut server.connect(), head), 400, "");
}

#[test]
fn options_tell_the_methods_of_every_route() {
    let server = Server::start(&[]);

    for (method, path) in all_paths() {
        let answer = server.send(&Request::new("OPTIONS", &path));
        assert_eq!(answer.status, 204, "{path}: {answer:?}");
        let allow = answer
            .header("allow")
            .unwrap_or_else(|| panic!("{path}: no Allow: {answer:?}"));
        let allowed: Vec<&str> = allow.split(',').map(str::trim).collect();
        assert!(
            allowed.contains(&method) && allowed.contains(&"OPTIONS"),
            "{path}: {allow}"
        );
        assert_eq!(
            answer.header("access-control-allow-methods"),
            Some(allow),
            "{path}"
        );
    }
}

#[test]
fn a_coding_that_is_not_supported_is_told_those_that_are() {
    let server = Server::start(&[]);

    for path in ["/api/v1/process", "/api/v1/oauth/token"] {
        let request = Request::new("POST", path).header("Content-Type", "application/json");
        let answer = server.send(&request.header("Content-Encoding", "br").body("{}"));
        assert_error(path, &answer, 415, "gzip");
        assert_eq!(
            answer.header("accept-encoding"),
            Some("gzip, deflate"),
            "{path}"
        );
    }
}
