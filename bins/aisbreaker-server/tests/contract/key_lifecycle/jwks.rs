//! The public key of the server, as a JSON Web Key set.

use serde_json::{Value, json};

use crate::support::{KEY, Request, Server, assert_error, run};

const PATH: &str = "/.well-known/jwks.json";
const OTHER_KEY: &str = "b3RoZXIta2V5LWZvci10aGUtdGVzdHMtLTMyLWJ5dGU";

#[test]
fn the_set_has_the_one_public_key_that_seals() {
    let server = Server::start(&[("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", OTHER_KEY)]);

    let response = server.get(PATH);

    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(
        response.header("cache-control"),
        Some("public, max-age=900")
    );
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    let set = response.json();
    let [key] = set["keys"].as_array().unwrap().as_slice() else {
        panic!("{set}");
    };
    let members: Vec<_> = key
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"]);
    for (member, value) in [
        ("kty", "OKP"),
        ("crv", "X25519"),
        ("use", "enc"),
        ("alg", "ECDH-ES"),
    ] {
        assert_eq!(key[member], value);
    }
    assert_eq!(key["x"].as_str().unwrap().len(), 43);
    assert_eq!(key["kid"].as_str().unwrap().len(), 6);
    assert_eq!(set.as_object().unwrap().len(), 1);

    let output = run(&["public-key"], &[("AUTH_ENCRYPTION_KEYPHRASE", KEY)]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let printed: Value = serde_json::from_str(printed.lines().next().unwrap()).unwrap();
    assert_eq!(*key, printed);
}

#[test]
fn the_set_is_sent_again_only_if_it_changed() {
    let server = Server::start(&[]);
    let tag = server.get(PATH).header("etag").unwrap().to_owned();
    for (lists, status) in [
        (vec![tag.clone()], 304),
        (vec![format!("W/{tag}")], 304),
        (vec![format!("\"x\", {tag}")], 304),
        (vec!["*".to_owned()], 304),
        (vec!["\"x\"".to_owned(), tag.clone()], 304),
        (vec!["\"x\"".to_owned()], 200),
        (vec![tag.replace('"', "")], 200),
    ] {
        let mut request = Request::get(PATH);
        for list in &lists {
            request = request.header("If-None-Match", list);
        }

        let response = server.send(&request);

        assert_eq!(response.status, status, "{lists:?}");
        assert_eq!(response.header("etag"), Some(&*tag), "{lists:?}");
        assert_eq!(
            response.header("cache-control"),
            Some("public, max-age=900")
        );
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert_eq!(response.text().is_empty(), status == 304, "{lists:?}");
    }
    let other = Server::start(&[("AUTH_ENCRYPTION_KEYPHRASE", OTHER_KEY)]);
    assert_ne!(other.get(PATH).header("etag"), Some(&*tag));
    let same = Server::start(&[]);
    assert_eq!(same.get(PATH).header("etag"), Some(&*tag));
}

#[test]
fn the_set_answers_other_methods_as_other_paths_do() {
    let server = Server::start(&[]);

    let head = server.send(&Request::new("HEAD", PATH));
    assert_eq!((head.status, head.text()), (200, ""));
    assert_eq!(
        head.header("content-length"),
        server.get(PATH).header("content-length")
    );
    let preflight = Request::new("OPTIONS", PATH).header("Origin", "https://a.example");
    assert_eq!(server.send(&preflight).status, 204);
    let post = server.send(&Request::post(PATH, json!({}).to_string()));
    assert_error("POST", &post, 405, "GET");
}

#[test]
fn other_well_known_paths_are_404_in_json() {
    let server = Server::start(&[]);
    for path in [
        "/.well-known",
        "/.well-known/",
        "/.well-known/jwks",
        "/.well-known/JWKS.json",
        "/.well-known/jwks.json/x",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/v1/chat/completions",
        "/.well-known/security.txt",
        "/api/v1/.well-known/jwks.json",
    ] {
        let response = server.get(path);
        assert_error(path, &response, 404, "no such path");
        assert_eq!(
            response.header("content-type"),
            Some("application/json"),
            "{path}"
        );
    }
}
