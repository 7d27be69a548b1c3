//! The bounds of forms: what a parser makes of many short parameters takes many times their length.

use super::{REVOKE, assert_oauth_error};
use crate::support::{Request, Server, gzip};

const TOKEN: &str = "/api/v1/oauth/token";
const INTROSPECT: &str = "/api/v1/oauth/introspect";
const MAX_BYTES: usize = 262_144;

fn form(path: &str, body: Vec<u8>) -> Request {
    Request::post(path, body).set("Content-Type", "application/x-www-form-urlencoded")
}

#[test]
fn a_form_of_many_bytes_is_refused_by_its_size() {
    let server = Server::start(&[]);
    let padded = |bytes: usize| {
        let mut body = b"x=".to_vec();
        body.resize(bytes, b'y');
        body
    };
    for path in [TOKEN, REVOKE, INTROSPECT] {
        let largest = server.send(&form(path, padded(MAX_BYTES)));
        assert_eq!(largest.status, 400, "{path}: {largest:?}");
        let coded = form(path, gzip(&padded(MAX_BYTES + 1))).header("Content-Encoding", "gzip");
        for request in [form(path, padded(MAX_BYTES + 1)), coded] {
            let refused = server.send(&request);
            assert_eq!(refused.status, 413, "{path}: {refused:?}");
            let text = refused.text();
            assert!(text.contains("larger than 262144 bytes"), "{path}: {text}");
        }
    }
    // JSON has the limit of all bodies.
    let json = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BYTES));
    let minted = server.send(&Request::post(TOKEN, json));
    assert_ne!(minted.status, 413, "{minted:?}");
}

#[test]
fn a_form_of_many_parameters_is_refused_by_their_number() {
    let server = Server::start(&[]);
    for (path, most) in [(TOKEN, 64), (REVOKE, 1_100), (INTROSPECT, 64)] {
        for parameter in ["a&", "a=1&"] {
            // What follows the last separator counts as well.
            let refused = server.send(&form(path, parameter.repeat(most).into_bytes()));
            let message = format!("the form must have {most} parameters at most");
            if path == TOKEN {
                assert_eq!(refused.status, 400, "{path}: {refused:?}");
                assert!(refused.text().contains(&message), "{refused:?}");
            } else {
                assert_oauth_error(path, &refused, 400, "invalid_request", &message);
            }
            let taken = server.send(&form(path, parameter.repeat(most - 1).into_bytes()));
            assert!(!taken.text().contains("parameters"), "{path}: {taken:?}");
        }
    }
}
