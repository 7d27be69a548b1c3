//! A key that is restricted to a model, and requests that name that model and another one: in a form,
//! under another name, for a response that is known by its id, and as a version.

use serde_json::{Value, json};

use super::{assert_restricted, mint};
use crate::support::{
    Provider, Request, Response, Server, ample_quotas, call, openai::completion, service,
};

const ALLOWED: &str = "allowed-model";

struct Setting {
    server: Server,
    provider: Provider,
    key: String,
}

/// A key for this service, at one provider, restricted to `restricted`.
fn restricted_to(restricted: &str, service_id: &str) -> Setting {
    let server = Server::with_loopback_egress(&[]);
    let provider = Provider::start(|_, wire| wire.json(200, &completion("yes")));
    let grant = json!({"serviceSecrets": [
        {"serviceId": service_id, "authSecret": "sk", "url": provider.url()},
    ]});
    let restrict = json!({"services": [restricted]});
    let key = mint(&server, &ample_quotas(), grant, &restrict);
    Setting {
        server,
        provider,
        key,
    }
}

impl Setting {
    fn send(&self, request: Request) -> Response {
        self.server.send(&request.bearer(&self.key))
    }

    fn form(&self, fields: &[(&str, &str)]) -> Response {
        let mut body = String::new();
        for (name, value) in fields {
            body.push_str(&format!(
                "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            ));
        }
        body.push_str("--b--\r\n");
        self.send(
            Request::post("/v1/audio/transcriptions", body)
                .set("Content-Type", "multipart/form-data; boundary=b"),
        )
    }
}

#[test]
fn a_form_names_no_other_model() {
    let setting = restricted_to(&format!("chat:openai.com/{ALLOWED}"), "chat:openai.com");
    let model = ("model", ALLOWED);
    assert_eq!(setting.form(&[model, ("language", "en")]).status, 200);
    for other in [
        "models",
        "models[]",
        "Models[0]",
        "fallbacks",
        "models%5B%5D",
    ] {
        let refused = setting.form(&[(other, "other-model"), model]);
        assert_restricted(other, &refused, 403, "services");
    }
    assert_eq!(setting.provider.requests().len(), 1);
}

#[test]
fn a_response_that_is_known_by_its_id_has_no_model_of_the_body() {
    let setting = restricted_to(&format!("chat:openai.com/{ALLOWED}"), "chat:openai.com");
    let body = json!({"model": ALLOWED}).to_string();
    let cancel = Request::post("/v1/responses/resp_1/cancel", body);
    assert_restricted("cancel", &setting.send(cancel), 403, "services");
    assert!(setting.provider.requests().is_empty());
}

#[test]
fn model_is_judged_in_small_letters_and_taken_in_no_others() {
    let setting = restricted_to(&format!("chat:openai.com/{ALLOWED}"), "chat:openai.com");
    for name in ["Model", "MODEL", "models", "Fallbacks"] {
        let mut request = call(service("chat:openai.com"), "Hi");
        request["request"]["internOptions"] = json!({"model": ALLOWED, name: "other-model"});
        let refused = setting.send(Request::process(&request));
        assert_restricted(name, &refused, 403, "services");
    }
    assert!(setting.provider.requests().is_empty());
}

#[test]
fn a_version_is_allowed_by_the_service_or_by_its_whole_name() {
    let id = "chat:replicate.com/owner/name:version";
    let rows = [
        ("chat:replicate.com", true),
        (id, true),
        ("chat:replicate.com/owner", false),
        ("chat:replicate.com/owner/name", false),
    ];
    for (restricted, is_allowed) in rows {
        let setting = restricted_to(restricted, "chat:replicate.com");
        let request: Value = call(service(id), "Hi");
        let response = setting.send(Request::process(&request));
        if !is_allowed {
            assert_restricted(restricted, &response, 403, "services");
        }
        let arrived = !setting.provider.requests().is_empty();
        assert_eq!(arrived, is_allowed, "{restricted}: {response:?}");
    }
}
