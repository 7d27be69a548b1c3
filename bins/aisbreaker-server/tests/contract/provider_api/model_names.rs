//! `GET /v1/models/<name>`: every listed name leads back to its model, however it is written.

use serde_json::{Value, json};

use super::model_lists::ids;
use crate::support::{Provider, Request, Server, ample_quotas, grant};

/// Ids of models as providers have them, and worse.
const ODD_IDS: [&str; 22] = [
    "gpt-4o",
    "/models/a",
    "/",
    "//",
    "a//b",
    "a/b/c",
    "dir/",
    "C:\\models\\a.gguf",
    "a b",
    "a+b",
    "a%2Fb",
    "a%b",
    "a?b=c#d",
    "${engine}",
    "Modell \u{e4}\u{1f600}",
    "chat:openai.com/a",
    "openai.com/a",
    "groq.com/a",
    "groq.com",
    "alias",
    "models/gemini",
    "a:b@c;d,e",
];

fn percent_encoded(text: &str, kept: &[u8]) -> String {
    let encode = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
        byte if kept.contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn percent_decoded(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (code, rest) = piece.split_at(2);
        bytes.push(u8::from_str_radix(code, 16).expect("an escape"));
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).expect("text")
}

#[test]
fn every_listed_model_is_retrievable() {
    let unlistable = ["..", ".", "a/../b", "a/./b", "a\nb", "", &"x".repeat(600)];
    let models: Vec<Value> = ODD_IDS
        .iter()
        .chain(&unlistable)
        .map(|id| json!({"id": id, "object": "model"}))
        .collect();
    let provider = Provider::start(move |request, wire| match &*request.target {
        "/v1/models" | "/openai/v1/models" => wire.json(200, &json!({"data": models.clone()})),
        _ => wire.json(200, &json!({"object": "model"})),
    });
    let server = Server::with_loopback_egress(&[]);
    let secret = |id: &str| json!({"serviceId": id, "authSecret": "s", "url": provider.url()});
    let mut body = grant(
        &ample_quotas(),
        &json!([secret("chat:openai.com"), secret("chat:groq.com")]),
    );
    body["requestAuthAndQuotas"]["modelAliases"] = json!({"alias": "chat:groq.com/gpt-4o"});
    let key = server.mint(&body);
    let list = server.send(&Request::get("/v1/models").bearer(&key)).json();
    let listed = ids(&list);
    // An id that ends with a slash is none with the vendor before it.
    let unnamed_at_groq = ["/", "//", "dir/"].len();
    assert_eq!(
        listed.len(),
        2 * ODD_IDS.len() + 1 - unnamed_at_groq,
        "{listed:?}"
    );

    for name in listed {
        let mut paths = vec![
            percent_encoded(name, b"-._~"),
            percent_encoded(name, b"-._~/:@!$'"),
        ];
        // A slash at the end of a path is ignored.
        paths.truncate(if name.ends_with('/') { 1 } else { 2 });
        for path in paths {
            let response = server.send(&Request::get(&format!("/v1/models/{path}")).bearer(&key));
            assert_eq!(
                response.status,
                200,
                "{name} as {path}: {}",
                response.text()
            );
            let target = provider.requests().pop().expect("a request").target;
            let (_, model) = target.split_once("/v1/models/").expect("a model");
            assert!(!format!("/{model}/").contains("//"), "{name}: {target}");
            let model = percent_decoded(model);
            let is_it = [
                name == model,
                name == format!("openai.com/{model}"),
                name == format!("chat:openai.com/{model}"),
                name == format!("groq.com/{model}"),
                name == format!("chat:groq.com/{model}"),
                (name, &*model) == ("alias", "gpt-4o"),
            ];
            assert!(is_it.contains(&true), "{name} as {path}: {target}");
        }
    }
}
