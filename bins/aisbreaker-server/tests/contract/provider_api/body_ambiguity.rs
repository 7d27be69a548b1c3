//! Bodies that two parsers could read differently: a key for one model must serve no other, whatever
//! parser its provider uses.

use serde_json::json;

use crate::support::{
    Provider, Request, Server,
    provider_api::{CHAT, post_with_key},
};

const FILES: &str = "/v1/audio/transcriptions";
const JSON_TYPE: &str = "application/json";
const FORM_TYPE: &str = "multipart/form-data; boundary=b";

/// Mints a key for one model.
fn key_for_one_model(server: &Server, provider: &Provider) -> String {
    let secret = json!({"serviceId": "chat:openai.com/cheap", "authSecret": "sk-0123456789", "url": provider.url()});
    server.mint_with_secrets(&json!([secret]))
}

/// One field of a multipart form.
fn field(name: &str, value: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

/// A name, the path, the content types, and a body that some parser reads as another model.
type AmbiguousBody = (&'static str, &'static str, &'static [&'static str], String);

fn ambiguous_bodies() -> Vec<AmbiguousBody> {
    let cheap_field = field("model", "cheap");
    vec![
        (
            "another model",
            CHAT,
            &[JSON_TYPE],
            r#"{"model":"dear"}"#.to_owned(),
        ),
        (
            "names in any letter case, as Go reads them",
            CHAT,
            &[JSON_TYPE],
            r#"{"model":"cheap","Model":"dear"}"#.to_owned(),
        ),
        (
            "a form after JSON, at whose end Go's decoder stops",
            CHAT,
            &[FORM_TYPE],
            format!("{{\"model\":\"dear\"}}\r\n{cheap_field}--b--\r\n"),
        ),
        (
            "a form for a JSON operation",
            CHAT,
            &[FORM_TYPE],
            format!("{cheap_field}--b--\r\n"),
        ),
        (
            "two content types",
            FILES,
            &[JSON_TYPE, FORM_TYPE],
            r#"{"model":"cheap"}"#.to_owned(),
        ),
        (
            "UTF-7",
            CHAT,
            &["application/json; charset=utf-7"],
            r#"{"model":"cheap","x":"+ACIALAAi-model+ACIAOgAi-dear"}"#.to_owned(),
        ),
        (
            "a URL-encoded form",
            CHAT,
            &["application/x-www-form-urlencoded"],
            r#"{"model":"cheap","x":"&model=dear&"}"#.to_owned(),
        ),
        (
            "JSON before a form",
            FILES,
            &[FORM_TYPE],
            format!("{{\"model\":\"dear\"}}\r\n{cheap_field}--b--\r\n"),
        ),
        (
            "bare line feeds",
            FILES,
            &[FORM_TYPE],
            format!(
                "{cheap_field}{}--b--\r\n",
                field(
                    "x",
                    &format!("y\n{}", field("model", "dear").replace('\r', ""))
                )
            ),
        ),
        (
            "a part after the end",
            FILES,
            &[FORM_TYPE],
            format!("{cheap_field}--b--\r\n{}--b--\r\n", field("model", "dear")),
        ),
    ]
}

#[test]
fn ambiguous_model_is_not_forwarded() {
    let provider = Provider::with_response(200, json!({}));
    let server = Server::with_loopback_egress(&[]);
    let key = key_for_one_model(&server, &provider);
    for (row, path, types, body) in ambiguous_bodies() {
        let mut request = Request::new("POST", path).bearer(&key).body(body);
        for content_type in types {
            request = request.header("Content-Type", content_type);
        }

        let response = server.send(&request);

        assert!(
            matches!(response.status, 400 | 404),
            "{row}: {} {}",
            response.status,
            response.text()
        );
    }
    assert!(provider.requests().is_empty(), "{:?}", provider.requests());

    assert_eq!(
        server
            .send(&post_with_key(CHAT, &key, r#"{"model":"cheap"}"#))
            .status,
        200
    );
    let form = post_with_key(FILES, &key, format!("{}--b--\r\n", field("model", "cheap")))
        .set("Content-Type", FORM_TYPE);
    assert_eq!(server.send(&form).status, 200);
}

#[test]
fn blocked_default_model_is_not_called_by_omission() {
    let provider = Provider::with_response(200, json!({}));
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com/gpt-4.1-mini", "authSecret": "INVALID"},
        {"serviceId": "chat:openai.com", "authSecret": "sk-0123456789", "url": provider.url()},
    ]));

    // The provider's row has a default model.
    let response = server.send(&post_with_key(CHAT, &key, r#"{"model":"chat:openai.com"}"#));

    assert_eq!(
        (response.status, provider.requests().len()),
        (403, 0),
        "{}",
        response.text()
    );
}
