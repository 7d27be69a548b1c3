//! Contract section 4: `service.url` and the engine.

use serde_json::json;

use crate::support::{
    ConfigFile, Provider, Server, assert_error, call,
    openai::{SECRET, completion},
    service_at, streamed,
};

#[test]
fn service_url_maps_to_the_documented_address() {
    let provider = Provider::with_response(200, completion("ok"));
    let server = Server::with_loopback_egress(&[]);
    let rows = [
        ("chat:openai.com", "", "/v1/chat/completions"),
        ("chat:openai.com", "/", "/v1/chat/completions"),
        ("chat:openai.com", "/api", "/api/v1/chat/completions"),
        ("chat:openai.com", "/api/", "/api/v1/chat/completions"),
        ("chat:openai.com", "/api//", "/api//v1/chat/completions"),
        ("chat:openai.com", "/exact#no-default-path", "/exact"),
        ("chat:openai.com", "/exact/#no-default-path", "/exact/"),
        (
            "chat:openai.com",
            "/exact?a=b#no-default-path",
            "/exact?a=b",
        ),
        ("chat:openai.com", "#no-default-path", "/"),
        (
            "chat:openai.com/m",
            "/x/${engine}",
            "/x/m/v1/chat/completions",
        ),
        (
            "chat:openai.com/org/m-1.5",
            "/x/${engine}#no-default-path",
            "/x/org/m-1.5",
        ),
        (
            "chat:openai.com/a b?c",
            "/x/${engine}#no-default-path",
            "/x/a%20b%3Fc",
        ),
        (
            "chat:openai.com",
            "/v1/chat/completions",
            "/v1/chat/completions",
        ),
        (
            "chat:openai.com",
            "/v1/chat/completions/",
            "/v1/chat/completions",
        ),
        (
            "chat:openai.com",
            "/api/chat/completions",
            "/api/chat/completions",
        ),
        (
            "chat:openai.com",
            "/d/m/chat/completions?v=1",
            "/d/m/chat/completions?v=1",
        ),
        (
            "chat:groq.com/m",
            "/openai/v1/chat/completions/",
            "/openai/v1/chat/completions",
        ),
        (
            "chat:groq.com/m",
            "/v1/chat/completions",
            "/v1/chat/completions",
        ),
        (
            "chat:openai.com/100%",
            "/x/${engine}#no-default-path",
            "/x/100%25",
        ),
        (
            "chat:openai.com/m#n",
            "/x/${engine}#no-default-path",
            "/x/m%23n",
        ),
    ];

    for (id, path, target) in rows {
        let url = format!("{}{path}", provider.url());
        let response = server.process("sk-own", &call(service_at(id, &url), "Hi"));
        assert_eq!(response.status, 200, "{id} at {path}: {response:?}");
        assert_eq!(
            provider.requests().pop().unwrap().target,
            target,
            "{id} at {path}"
        );
        let reported = response.json()["usage"]["service"]["url"].clone();
        // A query may contain a secret, so it is not reported.
        let reported_path = target.split('?').next().unwrap();
        assert_eq!(
            reported,
            format!("{}{reported_path}", provider.url()),
            "{id} at {path}"
        );
    }
}

#[test]
fn unusable_service_url_returns_400() {
    let trap = Provider::trap();
    let server = Server::with_loopback_egress(&[]);
    let address = trap.address();
    let rows = [
        json!(format!("http://{address}?a=b")),
        json!(format!("http://{address}/x?a=b")),
        json!(format!("http://{address}#fragment")),
        json!(format!("http://{address}/x#")),
        json!(format!("http://me@{address}")),
        json!(format!("http://me:{SECRET}@{address}")),
        json!(format!("http://me@{address}/#no-default-path")),
        json!(format!("ftp://{address}")),
        json!("file:///etc/passwd"),
        json!(format!("//{address}")),
        json!(address.to_string()),
        json!("http://"),
        json!("nonsense"),
        json!(7),
        json!([trap.url()]),
        json!({"url": trap.url()}),
    ];

    for url in rows {
        let row = url.to_string();
        let body = call(json!({"serviceId": "chat:openai.com", "url": url}), "Hi");
        for body in [body.clone(), streamed(body)] {
            let response = server.process("sk-own", &body);
            assert_error(&row, &response, 400, "service.url");
            assert!(
                !response.text().contains(SECRET),
                "{row} is repeated: {response:?}"
            );
        }
    }
    assert_eq!(trap.connections(), 0);
}

#[test]
fn engine_comes_from_the_service_id_or_the_configuration() {
    let provider = Provider::with_response(200, completion("ok"));
    let file = ConfigFile::new("[services.\"chat:openai.com\"]\nengine = \"house-model\"\n");
    let server = Server::with_loopback_egress(&[("AISBREAKER_CONFIG", file.path())]);
    let rows = [
        ("chat:openai.com", "house-model"),
        ("chat:openai.com/gpt-4o", "gpt-4o"),
        ("chat:openai.com/a/b", "a/b"),
    ];

    for (id, model) in rows {
        let response = server.process("sk-own", &call(service_at(id, &provider.url()), "Hi"));
        assert_eq!(response.status, 200, "{id}: {response:?}");
        assert_eq!(
            provider.requests().pop().unwrap().json()["model"],
            model,
            "{id}"
        );
    }
}
