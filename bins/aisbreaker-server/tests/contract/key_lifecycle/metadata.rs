//! `/.well-known/oauth-authorization-server` (RFC 8414), and what else is below `/.well-known/`.

use serde_json::json;

use crate::support::{Request, Server, assert_error};

const PATH: &str = "/.well-known/oauth-authorization-server";

#[test]
fn metadata_names_the_endpoints_at_the_public_host_of_the_request() {
    let server = Server::start(&[
        ("AISBREAKER_PUBLIC_HOSTS", "ai.example.com,localhost"),
        ("AISBREAKER_TRUSTED_PROXIES", "127.0.0.0/8"),
    ]);
    let requests = [
        (
            "ai.example.com",
            Request::get(PATH).set("Host", "AI.example.com:8443"),
        ),
        ("localhost", Request::get(PATH)),
        (
            "ai.example.com",
            Request::get(PATH).header("X-Forwarded-Host", "ai.example.com"),
        ),
        ("localhost", Request::get(&format!("{PATH}/?x=y"))),
    ];
    for (host, request) in requests {
        let answer = server.send(&request);
        assert_eq!(answer.status, 200, "{answer:?}");
        let expected = json!({
            "issuer": format!("https://{host}"),
            "token_endpoint": format!("https://{host}/api/v1/oauth/token"),
            "jwks_uri": format!("https://{host}/.well-known/jwks.json"),
            "revocation_endpoint": format!("https://{host}/api/v1/oauth/revoke"),
            "introspection_endpoint": format!("https://{host}/api/v1/oauth/introspect"),
            "grant_types_supported": ["urn:ietf:params:oauth:grant-type:token-exchange"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
        });
        assert_eq!(answer.json(), expected);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=900"));
    }
    let foreign = server.send(&Request::get(PATH).set("Host", "evil.example"));
    assert_error("another host", &foreign, 421, "");
    let head = server.send(&Request::new("HEAD", PATH));
    assert_eq!((head.status, head.text()), (200, ""));
    let post = server.send(&Request::post(PATH, "{}"));
    assert_eq!(
        (post.status, post.header("allow")),
        (405, Some("GET, HEAD, OPTIONS"))
    );
}

#[test]
fn whatever_else_is_asked_for_is_not_there() {
    let unnamed = Server::start(&[]);
    assert_error("no public hosts", &unnamed.get(PATH), 404, "no such path");
    let named = Server::start(&[("AISBREAKER_PUBLIC_HOSTS", "localhost")]);
    let paths = [
        "",
        "/",
        "openid-configuration",
        "oauth-protected-resource",
        "oauth-authorization-server/tenant",
        "oauth-authorization-serverx",
        "jwks.json/x",
        "jwks",
        "security.txt",
        "acme-challenge/x",
        "change-password",
        "Jwks.json",
    ];
    for server in [&unnamed, &named] {
        for path in paths {
            let answer = server.get(&format!("/.well-known/{path}"));
            assert_error(path, &answer, 404, "no such path");
        }
    }
}
