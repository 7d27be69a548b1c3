//! `/openapi.json`, the description of the API.

use crate::support::{Request, Server, assert_error};

const PATH: &str = "/openapi.json";

#[test]
fn the_api_is_described_to_everyone() {
    let server = Server::start(&[("AISBREAKER_REQUIRE_KEY", "true")]);

    let response = server.get(PATH);

    assert_eq!(response.status, 200, "{response:?}");
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "public, max-age=900"),
        ("access-control-allow-origin", "*"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(response.header(name), Some(value), "{name}");
    }
    let document = response.json();
    assert_eq!(document["openapi"], "3.1.0");
    let version = &server.get("/api/v1/version").json()["version"];
    assert_eq!(document["info"]["version"], *version);
    assert_eq!(document["servers"][0]["url"], "/");
    let head = server.send(&Request::new("HEAD", PATH));
    assert_eq!((head.status, head.text()), (200, ""));
    let length = response.text().len().to_string();
    assert_eq!(head.header("content-length"), Some(&*length));
    let post = server.send(&Request::post(PATH, "{}"));
    assert_eq!(
        (post.status, post.header("allow")),
        (405, Some("GET, HEAD, OPTIONS"))
    );
    let preflight = server.send(&Request::new("OPTIONS", PATH));
    assert_eq!(preflight.status, 204);
}

#[test]
fn the_document_is_sent_again_only_if_it_changed() {
    let server = Server::start(&[]);
    let tag = server.get(PATH).header("etag").unwrap().to_owned();
    for (known, status) in [
        (&*tag, 304),
        (&*format!("\"other\", W/{tag}"), 304),
        ("\"other\"", 200),
    ] {
        for method in ["GET", "HEAD"] {
            let request = Request::new(method, PATH).header("If-None-Match", known);
            let response = server.send(&request);
            assert_eq!(response.status, status, "{method} {known}");
            assert_eq!(response.header("etag"), Some(&*tag), "{method} {known}");
            if status == 304 {
                assert_eq!(response.text(), "", "{method} {known}");
            }
        }
    }
    let again = Server::start(&[]).get(PATH);
    assert_eq!(
        again.header("etag"),
        Some(&*tag),
        "servers of one version share a tag"
    );
}

#[test]
fn the_operator_can_turn_it_off() {
    let server = Server::start(&[("AISBREAKER_OPENAPI", "false")]);
    for method in ["GET", "POST", "OPTIONS"] {
        let response = server.send(&Request::new(method, PATH));
        assert_error(method, &response, 404, "no such path");
    }
    let head = server.send(&Request::new("HEAD", PATH));
    assert_eq!(head.status, 404);
}
