//! The page with live metrics, at the listener of the metrics.

use std::io::Read as _;

use flate2::read::GzDecoder;

use super::{assert_is_secured, request_with};
use crate::support::{Connection, KEY, ReloadableServer, Request, Response, Server};

/// The files, with the content type of each.
const FILES: [(&str, &str); 3] = [
    ("/console/", "text/html; charset=utf-8"),
    ("/console/live.js", "text/javascript; charset=utf-8"),
    ("/console/console.css", "text/css; charset=utf-8"),
];
const METRICS: (&str, &str) = ("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0");

fn send(server: &Server, request: &Request) -> Response {
    Connection::open(server.metrics_address()).send(request)
}

#[test]
fn its_files_have_their_type_and_all_fields() {
    let server = Server::start(&[METRICS]);
    for (path, content_type) in FILES {
        let plain = send(&server, &Request::get(path));
        assert_eq!(plain.status, 200, "{path}: {plain:?}");
        assert_is_secured(path, &plain);
        assert_eq!(plain.header("content-type"), Some(content_type), "{path}");
        assert_eq!(plain.header("cache-control"), Some("no-cache"), "{path}");
        assert_eq!(plain.header("vary"), Some("Accept-Encoding"), "{path}");
        let tag = plain.header("etag").unwrap();
        let known = send(&server, &request_with(path, &[("If-None-Match", tag)]));
        assert_eq!((known.status, &*known.body), (304, &b""[..]), "{path}");
        assert_is_secured(path, &known);

        let gzip = send(&server, &request_with(path, &[("Accept-Encoding", "gzip")]));
        assert_eq!(gzip.header("content-encoding"), Some("gzip"), "{path}");
        assert_ne!(gzip.header("etag"), Some(tag), "{path}");
        let mut bytes = Vec::new();
        GzDecoder::new(&*gzip.body).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, plain.body, "{path}");

        let head = send(&server, &Request::new("HEAD", path));
        assert_eq!((head.status, &*head.body), (200, &b""[..]), "{path}");
        let length = plain.body.len().to_string();
        assert_eq!(head.header("content-length"), Some(&*length), "{path}");
    }
    let style = server.get("/console/console.css");
    let same = send(&server, &Request::get("/console/console.css"));
    assert_eq!(style.body, same.body);
}

#[test]
fn it_redirects_and_refuses_as_the_console_does() {
    let server = Server::start(&[METRICS]);
    let redirect = send(&server, &Request::get("/console"));
    assert_eq!(redirect.status, 308);
    assert_eq!(redirect.header("location"), Some("console/"));
    assert_is_secured("redirect", &redirect);
    for method in ["POST", "OPTIONS", "DELETE"] {
        let refusal = send(&server, &Request::new(method, "/console/"));
        assert_eq!(refusal.status, 405, "{method}");
        assert_eq!(refusal.header("allow"), Some("GET, HEAD"), "{method}");
        assert_is_secured(method, &refusal);
    }
    for path in ["/console/console.js", "/console/index.html", "/console//"] {
        let response = send(&server, &Request::get(path));
        assert_eq!(response.status, 404, "{path}");
        assert!(response.text().contains("/console/"), "{response:?}");
    }
    for host in ["evil.example", "metrics.example"] {
        let request = Request::get("/console/").set("Host", host);
        assert_eq!(send(&server, &request).status, 421, "{host}");
    }
}

/// The page shows what it finds there, and names it relative to itself.
#[test]
fn the_metrics_stay_where_they_were() {
    let server = Server::start(&[METRICS]);
    let metrics = send(&server, &Request::get("/metrics"));
    assert_eq!(metrics.status, 200);
    assert_eq!(metrics.header("content-security-policy"), None);
    let post = send(&server, &Request::new("POST", "/metrics"));
    assert_eq!(
        (post.status, post.header("allow")),
        (405, Some("GET, HEAD"))
    );
}

#[test]
fn the_clients_listener_has_no_live_page_and_this_one_no_console() {
    let server = Server::start(&[METRICS]);
    assert_eq!(server.get("/console/live.js").status, 404);
    let console = server.get("/console/").body;
    let live = send(&server, &Request::get("/console/")).body;
    assert_ne!(console, live);
}

#[test]
fn the_setting_of_the_console_holds_for_it_too() {
    let off = Server::start(&[METRICS, ("AISBREAKER_CONSOLE", "off")]);
    for (path, _) in FILES {
        assert_eq!(send(&off, &Request::get(path)).status, 404, "{path}");
    }
    assert_eq!(send(&off, &Request::get("/")).text(), "see /metrics\n");
    assert_eq!(send(&off, &Request::get("/metrics")).status, 200);

    let server = ReloadableServer::start("console = \"off\"");
    let status = || send(&server, &Request::get("/console/")).status;
    assert_eq!(status(), 404);
    server.reload("");
    assert_eq!(status(), 200);
    server.reload("console = \"off\"");
    assert_eq!(status(), 404);
}

#[test]
fn without_a_listener_for_metrics_there_is_none() {
    let environment = [("AUTH_ENCRYPTION_KEYPHRASE", KEY)];
    let arguments = ["--listen", "127.0.0.1:0", "--console", "on"];
    let server = Server::start_with(&arguments, &environment);
    assert_eq!(server.get("/console/").status, 200);
    assert_eq!(server.get("/console/live.js").status, 404);
    assert_eq!(server.get("/metrics").status, 404);
}
