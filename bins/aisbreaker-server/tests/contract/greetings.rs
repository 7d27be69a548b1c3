//! Contract section 2: greetings, paths and methods, CORS, and the ways in which HTTP reaches the
//! server.

use serde_json::json;

use crate::support::{
    Answer, Event, Request, Server, assert_error, call, http2, service, streamed,
};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Every route below a base path, with its method.
const ROUTES: [(&str, &str); 5] = [
    ("GET", "/ping"),
    ("GET", "/version"),
    ("GET", "/quota"),
    ("POST", "/oauth/token"),
    ("POST", "/process"),
];
const BASES: [&str; 2] = ["/api/v1", "/api/v1alpha1"];
/// What the original's Java client sends with every call.
const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade, HTTP2-Settings"),
    (
        "HTTP2-Settings",
        "AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA",
    ),
    ("Upgrade", "h2c"),
    ("User-Agent", "Java-http-client/17.0.15"),
];

/// All routes under all their names: base paths, and with and without a trailing slash.
pub(super) fn all_paths() -> Vec<(&'static str, String)> {
    let below = ROUTES.iter().flat_map(|(method, route)| {
        BASES
            .iter()
            .flat_map(move |base| ["", "/"].map(|slash| (*method, format!("{base}{route}{slash}"))))
    });
    let above = ["/", "/healthz", "/healthz/", "/readyz", "/readyz/"];
    below
        .chain(above.map(|path| ("GET", path.to_owned())))
        .collect()
}

fn with_upgrade(request: Request) -> Request {
    UPGRADE
        .iter()
        .fold(request, |request, (name, value)| request.set(name, value))
}

#[test]
fn every_route_answers_under_all_its_names() {
    let server = Server::start(&[]);

    for (method, path) in all_paths() {
        let request = match path.trim_end_matches('/').rsplit('/').next() {
            Some("process") => Request::new(method, &path).json(&call(service("chat:dummy"), "Hi")),
            Some("token") => Request::new(method, &path).json(&json!({"requestAuthAndQuotas": {}})),
            _ => Request::new(method, &path),
        };
        let answer = server.send(&request);
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
    }
}

/// Clients that were given a base URL with a slash at its end send two of them.
#[test]
fn two_slashes_at_the_beginning_of_a_path_are_one() {
    let server = Server::start(&[]);
    let process = Request::new("POST", "//api/v1/process").json(&call(service("chat:dummy"), "Hi"));
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
        let answer = server.send(&request);
        assert_eq!(answer.status, status, "{request:?}: {answer:?}");
    }
}

#[test]
fn ping_says_api_pong() {
    let answer = Server::start(&[]).get("/api/v1/ping");

    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json(), json!({"message": "api-pong"}));
}

#[test]
fn version_greets_by_name() {
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
        let answer = server.get(&format!("/api/v1/version{query}"));
        let message = format!("Hello {name}, ... I'm AIsBreaker.org server version {VERSION} !");
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{query}"
        );
        assert_eq!(
            answer.json(),
            json!({"version": VERSION, "message": message}),
            "{query}"
        );
    }
}

#[test]
fn the_root_is_a_page_with_links() {
    let answer = Server::start(&[]).get("/");

    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("text/html"),
        "{answer:?}"
    );
    for link in [
        r#"href="/api/v1/version""#,
        r#"href="https://aisbreaker.org/"#,
        "<title>AIsBreaker Server",
    ] {
        assert!(
            answer.text().contains(link),
            "{link} is not in {}",
            answer.text()
        );
    }
}

#[test]
fn a_server_that_serves_is_healthy_and_ready() {
    let server = Server::start(&[]);

    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/readyz").status, 200);
}

#[test]
fn unknown_paths_are_not_found() {
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
fn a_wrong_method_is_told_the_right_ones() {
    let server = Server::start(&[]);

    for (right, path) in all_paths() {
        let wrong = if right == "GET" {
            ["POST", "PUT", "DELETE"]
        } else {
            ["GET", "PUT", "PATCH"]
        };
        for method in wrong {
            let row = format!("{method} {path}");
            let answer = server.send(&Request::new(method, &path));
            assert_error(&row, &answer, 405, "");
            let allow = answer
                .header("allow")
                .unwrap_or_else(|| panic!("{row}: no Allow: {answer:?}"));
            let allowed: Vec<&str> = allow.split(',').map(str::trim).collect();
            assert!(
                allowed.contains(&right) && !allowed.contains(&method),
                "{row}: {allow}"
            );
        }
    }
}

#[test]
fn head_of_process_is_empty() {
    let server = Server::start(&[]);

    for path in [
        "/api/v1/process",
        "/api/v1alpha1/process",
        "/api/v1/process/",
    ] {
        let answer = server.send(&Request::new("HEAD", path));
        assert_eq!(answer.status, 204, "{path}: {answer:?}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("*"),
            "{path}: {answer:?}"
        );
    }
}

#[test]
fn head_of_what_can_be_got_has_no_body() {
    let server = Server::start(&[]);

    for path in ["/api/v1/ping", "/api/v1/version", "/", "/healthz"] {
        let mut connection = server.connect();
        let head = connection.send(&Request::new("HEAD", path));
        let after = connection.send(&Request::get("/api/v1/ping"));
        assert_eq!((head.status, after.status), (200, 200), "{path}");
    }
}

#[test]
fn preflight_allows_the_method_and_the_requested_headers_on_every_route() {
    let server = Server::start(&[]);

    for (method, path) in all_paths() {
        let request = Request::new("OPTIONS", &path)
            .header("Origin", "https://app.example")
            .header("Access-Control-Request-Method", method)
            .header(
                "Access-Control-Request-Headers",
                "authorization, content-type, x-custom-one,x-two",
            );
        let answer = server.send(&request);
        assert_eq!(answer.status, 204, "{path}: {answer:?}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("*"),
            "{path}"
        );
        let methods = answer
            .header("access-control-allow-methods")
            .unwrap_or_default();
        assert!(
            methods.split(',').any(|allowed| allowed.trim() == method),
            "{path}: {methods}"
        );
        let headers = answer
            .header("access-control-allow-headers")
            .unwrap_or_default()
            .to_lowercase();
        let headers: Vec<&str> = headers.split(',').map(str::trim).collect();
        for header in ["authorization", "content-type", "x-custom-one", "x-two"] {
            assert!(
                headers.contains(&header),
                "{path}: {header} is not in {headers:?}"
            );
        }
    }
}

#[test]
fn preflight_allows_authorization_and_content_type_unasked() {
    let answer = Server::start(&[]).send(&Request::new("OPTIONS", "/api/v1/process"));

    assert_eq!(answer.status, 204);
    let headers = answer
        .header("access-control-allow-headers")
        .unwrap_or_default()
        .to_lowercase();
    assert!(
        headers.contains("authorization") && headers.contains("content-type"),
        "{headers}"
    );
}

#[test]
fn every_answer_may_be_read_by_any_page() {
    let quotas = crate::support::quotas([100; 3], [100; 3]).to_string();
    let server = Server::start(&[
        ("AISBREAKER_MAX_BODY_BYTES", "1000"),
        ("AISBREAKER_SERVER_QUOTAS", &quotas),
    ]);
    let tight = crate::support::quotas([1; 3], [1; 3]);
    let spent = server.mint(&crate::support::grant(&tight, &json!([])));
    let dummy = call(service("chat:dummy"), "Hi");
    assert_eq!(server.process(&spent, &dummy).status, 200);
    let process = |body: &serde_json::Value| Request::process(body);
    let rows = [
        (200, Request::get("/")),
        (200, Request::get("/healthz")),
        (200, Request::get("/readyz")),
        (200, Request::get("/api/v1/ping")),
        (200, Request::get("/api/v1/version")),
        (200, Request::mint(&json!({"requestAuthAndQuotas": {}}))),
        (200, process(&dummy)),
        (200, process(&streamed(dummy.clone()))),
        (204, Request::new("HEAD", "/api/v1/process")),
        (204, Request::new("OPTIONS", "/api/v1/process")),
        (400, process(&json!({}))),
        (400, Request::mint(&json!({}))),
        (401, process(&dummy).bearer("aisbreaker_nonsense")),
        (401, process(&call(service("chat:openai.com"), "Hi"))),
        (404, Request::get("/nothing")),
        (404, process(&call(service("chat:nothing"), "Hi"))),
        (405, Request::get("/api/v1/process")),
        (
            413,
            process(&call(service("chat:dummy"), &"x".repeat(1000))),
        ),
        (415, process(&dummy).header("Content-Encoding", "br")),
        (429, process(&dummy).bearer(&spent)),
        (
            431,
            Request::get("/api/v1/ping").header("X-Flood", "x".repeat(60_000)),
        ),
    ];

    for (status, request) in rows {
        let answer = server.send(&request.header("Origin", "https://app.example"));
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("*"),
            "{answer:?}"
        );
    }
}

#[test]
fn a_browser_may_read_what_the_contract_puts_into_headers() {
    let server = Server::start(&[]);

    let request = Request::process(&call(service("chat:dummy"), "Hi"))
        .header("Origin", "https://app.example");
    let answer = server.send(&request);

    let exposed = answer
        .header("access-control-expose-headers")
        .unwrap_or_default()
        .to_lowercase();
    for header in [
        "ratelimit",
        "ratelimit-policy",
        "retry-after",
        "x-should-retry",
        "x-request-id",
    ] {
        assert!(
            exposed.split(',').any(|name| name.trim() == header),
            "{header} is not in {exposed:?}"
        );
    }
}

#[test]
fn an_offer_to_upgrade_is_served_as_http_1_1_again_and_again() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    let rows = [
        with_upgrade(Request::get("/api/v1/ping")).header("Content-Length", "0"),
        with_upgrade(Request::process(&call(service("chat:dummy"), "Hi"))),
        with_upgrade(Request::process(&streamed(call(
            service("chat:dummy"),
            "Hi",
        )))),
        with_upgrade(Request::get("/api/v1/version")),
    ];

    for request in rows {
        let answer = connection.send(&request);
        assert_eq!(
            (answer.status, &*answer.version),
            (200, "HTTP/1.1"),
            "{answer:?}"
        );
        assert_eq!(answer.header("upgrade"), None, "{answer:?}");
        assert!(!answer.is_cut, "{answer:?}");
    }
}

#[test]
fn http_1_0_is_answered_and_the_connection_closed() {
    let server = Server::start(&[]);
    let body = call(service("chat:dummy"), "Hi").to_string();
    let post = format!(
        "POST /api/v1/process HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let streaming = streamed(call(service("chat:dummy"), "Hi")).to_string();
    let stream = format!(
        "POST /api/v1/process HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{streaming}",
        streaming.len()
    );
    let rows = [
        (
            "ping",
            "GET /api/v1/ping HTTP/1.0\r\n\r\n".to_owned(),
            "api-pong",
        ),
        ("process", post, "DummyAssistantService"),
        ("stream", stream, "event: final"),
    ];

    for (name, request, expected) in rows {
        let mut connection = server.connect();
        connection.write(request.as_bytes());
        let answer = String::from_utf8(connection.rest()).unwrap();
        assert!(
            answer.starts_with("HTTP/1.0 200 ") || answer.starts_with("HTTP/1.1 200 "),
            "{name}: {answer}"
        );
        assert!(answer.contains(expected), "{name}: {answer}");
        assert!(
            !answer.to_lowercase().contains("transfer-encoding"),
            "{name}: HTTP/1.0 has no chunks: {answer}"
        );
    }
}

#[test]
fn http_2_with_prior_knowledge_is_served_on_the_same_port() {
    let server = Server::start(&[]);
    let dummy = call(service("chat:dummy"), "Hi");
    let rows = [
        ("GET", "/api/v1/ping", String::new(), 200, "api-pong"),
        (
            "POST",
            "/api/v1/process",
            dummy.to_string(),
            200,
            "DummyAssistantService",
        ),
        (
            "POST",
            "/api/v1/process",
            streamed(dummy).to_string(),
            200,
            "event: final",
        ),
        ("GET", "/nothing", String::new(), 404, "\"statusCode\":404"),
        (
            "DELETE",
            "/api/v1/ping",
            String::new(),
            405,
            "\"statusCode\":405",
        ),
    ];

    let requests = rows.each_ref().map(|(method, path, body, ..)| {
        let request = hyper::Request::builder()
            .method(*method)
            .uri(format!("http://localhost{path}"));
        request
            .header("content-type", "application/json")
            .body(body.clone())
            .unwrap()
    });
    let answers = http2(&server, requests.into());

    for ((method, path, _, status, expected), (head, body)) in rows.iter().zip(answers) {
        assert_eq!(head.version, hyper::Version::HTTP_2, "{method} {path}");
        assert_eq!(head.status.as_u16(), *status, "{method} {path}: {body}");
        assert_eq!(
            head.headers["access-control-allow-origin"], "*",
            "{method} {path}"
        );
        assert!(body.contains(expected), "{method} {path}: {body}");
    }
}

#[test]
fn requests_that_come_in_one_piece_are_answered_in_order() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    let requests = [
        Request::get("/api/v1/version?name=one"),
        Request::process(&call(service("chat:dummy"), "two")),
        Request::get("/api/v1/version?name=three"),
    ];

    connection.write(&requests.each_ref().map(Request::to_bytes).concat());
    let answers: Vec<Answer> = requests
        .iter()
        .map(|request| connection.answer_to(request.method()))
        .collect();

    for (answer, expected) in answers.iter().zip(["one", "two", "three"]) {
        assert!(answer.text().contains(expected), "{expected}: {answer:?}");
    }
}

#[test]
fn a_target_may_have_a_query_or_be_absolute() {
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
            connection.answer_to("GET").text(),
            "{\"message\":\"api-pong\"}",
            "{target}"
        );
    }
}

#[test]
fn odd_methods_and_targets_are_refused_and_the_server_serves_on() {
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
        let answer = connection.answer_to("GET");
        assert!((400..500).contains(&answer.status), "{row}: {answer:?}");
        assert_eq!(server.get("/api/v1/ping").status, 200, "after {row}");
    }
}

#[test]
fn broken_http_is_refused_and_the_server_serves_on() {
    let server = Server::start(&[]);
    let rows: [(&str, &[u8]); 9] = [
        ("no HTTP", b"hello there\r\n\r\n"),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on\r\n\r\n"),
        ("unknown version", b"GET / HTTP/7.0\r\nHost: localhost\r\n\r\n"),
        ("space in a name", b"GET /api/v1/ping HTTP/1.1\r\nHost: localhost\r\nBad Name: x\r\n\r\n"),
        (
            "space before the colon",
            b"POST /api/v1/process HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n",
        ),
        (
            "bash client",
            b"GET /api/v1/ping HTTP/1.1\r\nHost: x\r\n//Authorization: Bearer [YOUR_API_KEY]\r\n\r\n",
        ),
        (
            "two lengths",
            b"POST /api/v1/process HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12",
        ),
        ("no length", b"POST /api/v1/process HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n"),
        ("bad coding", b"POST /api/v1/process HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ];

    for (name, bytes) in rows {
        let mut connection = server.connect();
        connection.write(bytes);
        let answer = connection.rest();
        assert!(
            answer.starts_with(b"HTTP/1.1 400 "),
            "{name}: {}",
            String::from_utf8_lossy(&answer)
        );
        assert_eq!(server.get("/api/v1/ping").status, 200, "after {name}");
    }
}

#[test]
fn a_head_that_is_too_large_is_told_so() {
    let server = Server::start(&[]);
    let small = (0..90).fold(Request::get("/api/v1/ping"), |request, i| {
        request.header(&format!("X-{i}"), "x".repeat(700))
    });
    let rows = [
        (
            "one field",
            Request::get("/api/v1/ping").header("X-Flood", "x".repeat(60_000)),
        ),
        ("large fields", small),
        (
            "a key",
            Request::process(&json!({})).bearer(&format!("aisbreaker_{}", "A".repeat(60_000))),
        ),
    ];

    for (name, request) in rows {
        assert_error(name, &server.send(&request), 431, "");
    }
}

/// Beyond 128 KiB or a hundred fields the HTTP library answers by itself, before there is a
/// request: status only.
#[test]
fn a_head_that_is_far_too_large_is_refused_by_its_status() {
    let server = Server::start(&[]);
    let many = (0..101).fold(Request::get("/api/v1/ping"), |request, i| {
        request.header(&format!("X-{i}"), "x")
    });
    let rows = [
        (
            "one huge field",
            Request::get("/api/v1/ping").header("X-Flood", "x".repeat(1_000_000)),
        ),
        ("a field too many", many),
        (
            "a huge path",
            Request::get(&format!("/{}", "x".repeat(1_000_000))),
        ),
    ];

    for (name, request) in rows {
        let answer = server.send(&request);
        assert!(matches!(answer.status, 414 | 431), "{name}: {answer:?}");
        assert_eq!(server.get("/api/v1/ping").status, 200, "after {name}");
    }
}

#[test]
fn keyed_routes_need_one_host_that_can_be_read() {
    let server = Server::start(&[]);
    let body = call(service("chat:dummy"), "Hi").to_string();
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
        assert_eq!(connection.answer_to("POST").status, 400, "{name}");
    }
}

#[test]
fn a_stream_is_server_sent_events_that_nobody_buffers() {
    let server = Server::start(&[]);

    let answer = server.process("", &streamed(call(service("chat:dummy"), "Hi")));

    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("content-length"), None);
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let names: Vec<Event> = answer.events();
    assert_eq!(
        names.iter().filter(|event| event.name == "final").count(),
        1
    );
}
