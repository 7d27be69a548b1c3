//! Bodies that two readers could read differently: a key that is good for one model must be good
//! for no other, whichever reader its provider has.

use serde_json::json;

use super::surface::post;
use crate::support::{Provider, Request, Server};

const CHAT: &str = "/v1/chat/completions";
const FILES: &str = "/v1/audio/transcriptions";
const JSON: &str = "application/json";
const FORM: &str = "multipart/form-data; boundary=b";

fn key_for_one_model(server: &Server, provider: &Provider) -> String {
    let secret = json!({"serviceId": "chat:openai.com/cheap", "authSecret": "sk-0123456789", "url": provider.url()});
    server.mint_secrets(&json!([secret]))
}

fn field(name: &str, value: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

#[test]
fn a_body_that_names_another_model_to_another_reader_is_not_passed_on() {
    let provider = Provider::with_answer(200, json!({}));
    let server = Server::with_egress(&[]);
    let key = key_for_one_model(&server, &provider);
    let cheap = field("model", "cheap");
    let rows: [(&str, &str, &[&str], String); 10] = [
        (
            "another model",
            CHAT,
            &[JSON],
            r#"{"model":"dear"}"#.to_owned(),
        ),
        (
            "names in any case, as Go reads them",
            CHAT,
            &[JSON],
            r#"{"model":"cheap","Model":"dear"}"#.to_owned(),
        ),
        (
            "a form behind JSON, which Go's decoder stops at",
            CHAT,
            &[FORM],
            format!("{{\"model\":\"dear\"}}\r\n{cheap}--b--\r\n"),
        ),
        (
            "a form where there are none",
            CHAT,
            &[FORM],
            format!("{cheap}--b--\r\n"),
        ),
        (
            "two types",
            FILES,
            &[JSON, FORM],
            r#"{"model":"cheap"}"#.to_owned(),
        ),
        (
            "UTF-7",
            CHAT,
            &["application/json; charset=utf-7"],
            r#"{"model":"cheap","x":"+ACIALAAi-model+ACIAOgAi-dear"}"#.to_owned(),
        ),
        (
            "a form of one line",
            CHAT,
            &["application/x-www-form-urlencoded"],
            r#"{"model":"cheap","x":"&model=dear&"}"#.to_owned(),
        ),
        (
            "JSON before a form",
            FILES,
            &[FORM],
            format!("{{\"model\":\"dear\"}}\r\n{cheap}--b--\r\n"),
        ),
        (
            "line feeds",
            FILES,
            &[FORM],
            format!(
                "{cheap}{}--b--\r\n",
                field(
                    "x",
                    &format!("y\n{}", field("model", "dear").replace('\r', ""))
                )
            ),
        ),
        (
            "a part behind the end",
            FILES,
            &[FORM],
            format!("{cheap}--b--\r\n{}--b--\r\n", field("model", "dear")),
        ),
    ];
    for (row, path, types, body) in rows {
        let request = Request::new("POST", path).bearer(&key).body(body);
        let request = types.iter().fold(request, |request, value| {
            request.header("Content-Type", value)
        });

        let answered = server.send(&request);

        assert!(
            matches!(answered.status, 400 | 404),
            "{row}: {} {}",
            answered.status,
            answered.text()
        );
    }
    assert!(provider.requests().is_empty(), "{:?}", provider.requests());

    assert_eq!(
        server
            .send(&post(CHAT, &key, r#"{"model":"cheap"}"#))
            .status,
        200
    );
    let form = post(FILES, &key, format!("{cheap}--b--\r\n")).set("Content-Type", FORM);
    assert_eq!(server.send(&form).status, 200);
}

#[test]
fn a_request_that_has_no_body_needs_none() {
    let provider = Provider::with_answer(200, json!({}));
    let server = Server::with_egress(&[]);
    let key = super::surface::key_for(&server, &provider);

    let answered = server.send(&Request::new("POST", "/v1/responses/resp_1/cancel").bearer(&key));

    assert_eq!(answered.status, 200, "{}", answered.text());
    let received = provider.requests().pop().unwrap();
    assert_eq!(
        (&*received.target, &*received.body),
        ("/v1/responses/resp_1/cancel", &b""[..])
    );
    assert_eq!(server.send(&post(CHAT, &key, "")).status, 400);
}

#[test]
fn a_model_that_the_key_blocks_is_not_called_by_naming_none() {
    let provider = Provider::with_answer(200, json!({}));
    let server = Server::with_egress(&[]);
    let key = server.mint_secrets(&json!([
        {"serviceId": "chat:openai.com/gpt-4.1-mini", "authSecret": "INVALID"},
        {"serviceId": "chat:openai.com", "authSecret": "sk-0123456789", "url": provider.url()},
    ]));

    // The provider's row names a model for those who name none.
    let answered = server.send(&post(CHAT, &key, r#"{"model":"chat:openai.com"}"#));

    assert_eq!(
        (answered.status, provider.requests().len()),
        (403, 0),
        "{}",
        answered.text()
    );
}
