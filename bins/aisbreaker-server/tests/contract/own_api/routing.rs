//! Contract section 2: paths, methods and hosts.

use serde_json::json;

use super::all_paths;
use crate::support::{Request, Server, assert_error, dummy_call, streamed};

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn every_route_responds_under_all_its_paths() {
    let server = Server::start(&[]);

    for (method, path) in all_paths() {
        let request = match path.trim_end_matches('/').rsplit('/').next() {
            Some("process") => Request::new(method, &path).json(&dummy_call()),
            Some("token") => Request::new(method, &path).json(&json!({"requestAuthAndQuotas": {}})),
            _ => Request::new(method, &path),
        };
        let response = server.send(&request);
        assert_eq!(response.status, 200, "{method} {path}: {response:?}");
    }
}

/// Clients whose base URL ends with a slash send two of them.
#[test]
fn leading_double_slash_is_treated_as_one() {
    let server = Server::start(&[]);
    let process = Request::new("POST", "//api/v1/process").json(&dummy_call());
    let rows = [
        (200, Request::get("//api/v1/ping")),
        (200, Request::get("//api/v1alpha1/version/")),
        (200, Request::get("//healthz")),
        (200, process),
        (
            200,
            Request::new("POST", "//api/v1/oauth/token").json(&json!({"requestAuthAndQuotas": {}})),
        ),
        (405, Request::get("//api/v1/process")),
        (404, Request::get("///api/v1/ping")),
        (404, Request::get("/api//v1/ping")),
        (404, Request::get("/api/v1//ping")),
    ];

    for (status, request) in rows {
        let response = server.send(&request);
        assert_eq!(response.status, status, "{request:?}: {response:?}");
    }
}

#[test]
fn ping_returns_api_pong() {
    let response = Server::start(&[]).get("/api/v1/ping");

    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.json(), json!({"message": "api-pong"}));
}

#[test]
fn version_greets_the_given_name() {
    let server = Server::start(&[]);
    let rows = [
        ("", "stranger"),
        ("?name=", "stranger"),
        ("?other=x", "stranger"),
        ("?name=Ada", "Ada"),
        ("?other=x&name=Ada", "Ada"),
        ("?name=Ada+L%C3%B6we", "Ada Löwe"),
        ("?name=%3Cscript%3E", "<script>"),
    ];

    for (query, name) in rows {
        let response = server.get(&format!("/api/v1/version{query}"));
        let message = format!("Hello {name}, ... I'm AIsBreaker.org server version {VERSION} !");
        assert_eq!(response.status, 200, "{query}");
        assert_eq!(
            response.header("content-type"),
            Some("application/json"),
            "{query}"
        );
        assert_eq!(
            response.json(),
            json!({"version": VERSION, "message": message}),
            "{query}"
        );
    }
}

#[test]
fn root_is_an_html_page_with_links() {
    let response = Server::start(&[]).get("/");

    assert_eq!(response.status, 200);
    assert!(
        response
            .header("content-type")
            .unwrap()
            .starts_with("text/html"),
        "{response:?}"
    );
    for link in [
        r#"href="/api/v1/version""#,
        r#"href="https://aisbreaker.org/"#,
        "<title>AIsBreaker Server",
    ] {
        assert!(
            response.text().contains(link),
            "{link} is not in {}",
            response.text()
        );
    }
}

#[test]
fn unknown_paths_return_404() {
    let server = Server::start(&[]);
    let paths = [
        "/nothing",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v1/pingpong",
        "/api/v1/ping/pong",
        "/api/v1/oauth",
        "/api/v1alpha1",
        "/api/v1alpha2/ping",
        "/api/v2/ping",
        "/ping",
        "/healthz/x",
        "/api/v1/../../etc/passwd",
        "/%2e%2e/etc/passwd",
    ];

    for path in paths {
        for method in ["GET", "POST", "DELETE"] {
            assert_error(
                &format!("{method} {path}"),
                &server.send(&Request::new(method, path)),
                404,
                "",
            );
        }
    }
}

#[test]
fn wrong_method_returns_405_with_allow() {
    let server = Server::start(&[]);

    for (right, path) in all_paths() {
        let wrong = if right == "GET" {
            ["POST", "PUT", "DELETE"]
        } else {
            ["GET", "PUT", "PATCH"]
        };
        for method in wrong {
            let row = format!("{method} {path}");
            let response = server.send(&Request::new(method, &path));
            assert_error(&row, &response, 405, "");
            let allow = response
                .header("allow")
                .unwrap_or_else(|| panic!("{row}: no Allow: {response:?}"));
            let allowed: Vec<&str> = allow.split(',').map(str::trim).collect();
            assert!(
                allowed.contains(&right) && !allowed.contains(&method),
                "{row}: {allow}"
            );
        }
    }
}

#[test]
fn head_of_process_returns_204() {
    let server = Server::start(&[]);

    for path in [
        "/api/v1/process",
        "/api/v1alpha1/process",
        "/api/v1/process/",
    ] {
        let response = server.send(&Request::new("HEAD", path));
        assert_eq!(response.status, 204, "{path}: {response:?}");
        assert_eq!(
            response.header("access-control-allow-origin"),
            Some("*"),
            "{path}: {response:?}"
        );
    }
}

#[test]
fn request_target_may_have_a_query_or_be_absolute() {
    let server = Server::start(&[]);
    let ping = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");

    for target in [
        "/api/v1/ping?x=1",
        "/api/v1/ping/?",
        "http://localhost/api/v1/ping",
        "HTTP://localhost:80/api/v1/ping/",
    ] {
        let mut connection = server.connect();
        connection.write(ping(target).as_bytes());
        assert_eq!(
            connection.response_to("GET").text(),
            "{\"message\":\"api-pong\"}",
            "{target}"
        );
    }
}

#[test]
fn foreign_hosts_return_421() {
    let server = Server::start(&[(
        "AISBREAKER_PUBLIC_HOSTS",
        "api.example.com, API2.example.com.,[::1]",
    )]);
    let rows = [
        ("api.example.com", true),
        ("API.EXAMPLE.COM:8443", true),
        ("api.example.com.", true),
        ("api2.example.com", true),
        ("[::1]:3000", true),
        ("example.com", false),
        ("api.example.com.evil.example", false),
        ("localhost", false),
        ("127.0.0.1", false),
    ];

    for (host, is_ours) in rows {
        let requests = [
            Request::process(&dummy_call()),
            Request::process(&streamed(dummy_call())),
            Request::mint(&json!({"requestAuthAndQuotas": {}})),
            Request::get("/api/v1/ping"),
            Request::get("/api/v1/version"),
        ];
        for request in requests {
            let response = server.send(&request.set("Host", host));
            if is_ours {
                assert_eq!(response.status, 200, "{host}: {response:?}");
            } else {
                assert_error(host, &response, 421, "");
            }
        }
    }
}
