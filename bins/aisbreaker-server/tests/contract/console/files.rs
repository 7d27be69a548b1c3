//! Their fields, their encodings, and what other requests for their paths get.

use std::io::Read as _;

use flate2::read::GzDecoder;

use super::{FILES, assert_is_secured, request_with};
use crate::support::{Request, Response, Server, dummy_call};

fn decoded(response: &Response) -> Vec<u8> {
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    let mut bytes = Vec::new();
    let mut decoder = GzDecoder::new(&*response.body);
    decoder.read_to_end(&mut bytes).expect("gzip");
    bytes
}

#[test]
fn files_have_their_type_and_all_fields() {
    let server = Server::start(&[]);
    for (path, content_type) in FILES {
        for method in ["GET", "HEAD"] {
            let response = server.send(&Request::new(method, path));

            assert_eq!(response.status, 200, "{method} {path}: {response:?}");
            assert_is_secured(path, &response);
            for (name, value) in [
                ("content-type", Some(content_type)),
                ("cache-control", Some("no-cache")),
                ("vary", Some("Accept-Encoding")),
                ("content-encoding", None),
            ] {
                assert_eq!(response.header(name), value, "{method} {path}: {name}");
            }
            let tag = response.header("etag").unwrap();
            assert!(tag.starts_with('"') && tag.len() > 40, "{path}: {tag}");
            assert!(response.header("x-request-id").is_some());
        }
        let length = server.get(path).body.len();
        assert!(length > 0, "{path} is empty");
        let head = server.send(&Request::new("HEAD", path));
        assert_eq!(head.body, b"");
        assert_eq!(head.header("content-length"), Some(&*length.to_string()));
    }
}

#[test]
fn the_page_names_its_files_relative_to_itself() {
    let server = Server::start(&[]);
    let page = server.get("/console/");
    for file in ["console.js", "console.css"] {
        let attribute = format!("\"{file}\"");
        assert!(page.text().contains(&attribute), "{file}: {}", page.text());
    }
    for absolute in ["\"/console", "=\"/", "http://", "https://"] {
        assert!(!page.text().contains(absolute), "{absolute}");
    }
}

#[test]
fn gzip_is_the_same_file_with_a_tag_of_its_own() {
    let server = Server::start(&[]);
    for (path, content_type) in FILES {
        let plain = server.get(path);
        let get = |accept| server.send(&request_with(path, &[("Accept-Encoding", accept)]));

        for accept in ["gzip", "gzip, deflate, br, zstd", "br;q=1, *;q=0.1"] {
            let compressed = get(accept);
            assert_eq!(compressed.status, 200, "{path} {accept}");
            assert_is_secured(path, &compressed);
            assert_eq!(decoded(&compressed), plain.body, "{path} {accept}");
            assert_eq!(compressed.header("content-type"), Some(content_type));
            assert_eq!(compressed.header("vary"), Some("Accept-Encoding"));
            assert_ne!(compressed.header("etag"), plain.header("etag"), "{path}");
            let length = compressed.body.len().to_string();
            assert_eq!(compressed.header("content-length"), Some(&*length));
            let head = Request::new("HEAD", path).header("Accept-Encoding", accept);
            let head = server.send(&head);
            assert_eq!(head.header("content-length"), Some(&*length));
            assert_eq!(head.header("content-encoding"), Some("gzip"));
            assert_eq!(head.header("etag"), compressed.header("etag"));
        }
        for accept in ["br", "gzip;q=0", "identity", ""] {
            let response = get(accept);
            assert_eq!(response.header("content-encoding"), None, "{path} {accept}");
            assert_eq!(response.body, plain.body, "{path} {accept}");
        }
    }
}

#[test]
fn files_are_sent_again_only_if_they_changed() {
    let server = Server::start(&[]);
    for (path, _) in FILES {
        for accept in ["gzip", "identity"] {
            let fields = [("Accept-Encoding", accept)];
            let first = server.send(&request_with(path, &fields));
            let tag = first.header("etag").unwrap();
            let other = match accept {
                "gzip" => server.get(path).header("etag").unwrap().to_owned(),
                _ => "\"other\"".to_owned(),
            };
            for (known, status) in [
                (tag, 304),
                (&*format!("\"x\", W/{tag}"), 304),
                ("*", 304),
                (&*other, 200),
            ] {
                for method in ["GET", "HEAD"] {
                    let request = Request::new(method, path)
                        .header("Accept-Encoding", accept)
                        .header("If-None-Match", known);
                    let response = server.send(&request);

                    let what = format!("{method} {path} {accept} {known}");
                    assert_eq!(response.status, status, "{what}");
                    assert_is_secured(&what, &response);
                    assert_eq!(response.header("etag"), Some(tag), "{what}");
                    assert_eq!(response.header("vary"), Some("Accept-Encoding"));
                    assert_eq!(response.header("cache-control"), Some("no-cache"));
                    if status == 304 {
                        assert_eq!(response.body, b"", "{what}");
                        assert_eq!(response.header("content-encoding"), None, "{what}");
                    }
                }
            }
            let again = Server::start(&[]).send(&request_with(path, &fields));
            assert_eq!(again.header("etag"), Some(tag), "one version has one tag");
        }
    }
}

/// Below a prefix that a proxy takes off, an absolute location would lead elsewhere.
#[test]
fn the_path_without_its_slash_redirects_relatively() {
    let server = Server::start(&[]);
    for (path, method) in [
        ("/console", "GET"),
        ("/console", "HEAD"),
        ("//console", "GET"),
        ("/console?next=//evil.example", "GET"),
    ] {
        let response = server.send(&Request::new(method, path));

        assert_eq!(response.status, 308, "{path}");
        assert_eq!(response.header("location"), Some("console/"), "{path}");
        assert_eq!(response.header("cache-control"), Some("no-cache"));
        assert_eq!(response.body, b"");
        assert_is_secured(path, &response);
    }
}

#[test]
fn other_methods_are_refused_and_there_is_no_preflight() {
    let server = Server::start(&[]);
    let paths = FILES.map(|(path, _)| path);
    for path in paths.into_iter().chain(["/console"]) {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            let request = Request::new(method, path)
                .header("Origin", "https://evil.example")
                .header("Access-Control-Request-Method", "GET");
            let response = server.send(&request);

            assert_eq!(response.status, 405, "{method} {path}");
            assert_eq!(response.header("allow"), Some("GET, HEAD"), "{path}");
            assert_is_secured(path, &response);
        }
    }
}

#[test]
fn other_paths_below_it_are_404() {
    let server = Server::start(&[]);
    for path in [
        "/console/index.html",
        "/console/live.js",
        "/console/live.html",
        "/console/console.js/",
        "/console//",
        "/console/../console/",
        "/console/%63onsole.js",
        "/Console/",
        "/consoles",
        "/v1/console/",
        "/api/v1/console",
    ] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
}

#[test]
fn credentials_are_not_looked_at() {
    let server = Server::start(&[("AISBREAKER_REQUIRE_KEY", "true")]);
    let without = server.get("/console/");
    assert_eq!(without.status, 200);
    for authorization in ["Bearer aisbreaker_no_key", "Basic !", "nonsense", ""] {
        let fields = [("Authorization", authorization), ("Cookie", "session=1")];
        let response = server.send(&request_with("/console/", &fields));

        assert_eq!(response.status, 200, "{authorization}");
        assert_eq!(response.body, without.body, "{authorization}");
        for field in ["ratelimit", "www-authenticate"] {
            assert_eq!(response.header(field), None, "{authorization}");
        }
    }
}

/// A flood of page loads costs nobody a request.
#[test]
fn files_are_not_charged() {
    let limits = serde_json::json!({
        "requestsPerMinute": 1, "requestsPerHour": 1, "requestsPerDay": 1,
    });
    let one = serde_json::json!({
        "perClientRequestLimits": limits, "globalRequestLimits": limits,
    });
    let server = Server::start(&[("AISBREAKER_SERVER_QUOTAS", &one.to_string())]);
    for (path, _) in FILES.into_iter().cycle().take(12) {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    let call = dummy_call();
    assert_eq!(server.process("", &call).status, 200);
    assert_eq!(server.process("", &call).status, 429);
    assert_eq!(server.get("/console/").status, 200);
}

#[test]
fn only_the_servers_own_hosts_have_it() {
    let server = Server::start(&[("AISBREAKER_PUBLIC_HOSTS", "api.example.com")]);
    for (path, _) in FILES {
        let request = |host| Request::get(path).set("Host", host);
        assert_eq!(server.send(&request("api.example.com")).status, 200);
        for host in ["evil.example", "localhost", "127.0.0.1"] {
            let response = server.send(&request(host));
            assert_eq!(response.status, 421, "{host} {path}");
            assert_is_secured(path, &response);
        }
    }
}

#[test]
fn it_has_no_websocket() {
    let server = Server::start(&[]);
    let fields = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let response = server.send(&request_with("/console/", &fields));
    assert_eq!(response.status, 426, "{response:?}");
    assert_is_secured("handshake", &response);
}
