//! Credentials of forwarded requests.

use serde_json::json;

use crate::support::{
    ConfigFile, Provider, Request, Server,
    provider_api::{ANTHROPIC_SECRET, MESSAGES, OPENAI_SECRET, post_with_key, two_dialect_key},
};

#[test]
fn key_is_accepted_in_any_credential_field_and_never_forwarded() {
    let provider = Provider::with_response(200, json!({}));
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let rows: [&[(&str, &str)]; 6] = [
        &[("Authorization", "Bearer {key}")],
        &[("x-api-key", "{key}")],
        &[("api-key", "{key}")],
        &[("Authorization", "Bearer {key}"), ("x-api-key", "{key}")],
        &[("Authorization", "Bearer sk-other"), ("x-api-key", "{key}")],
        &[
            ("Authorization", "Bearer {key}"),
            ("x-api-key", "sk-other"),
            ("x-goog-api-key", "sk-other"),
            ("Cookie", "a={key}"),
        ],
    ];
    for fields in rows {
        for (path, header, secret) in [
            (
                "/v1/messages?beta=true",
                "x-api-key",
                ANTHROPIC_SECRET.to_owned(),
            ),
            (
                "/v1/embeddings",
                "authorization",
                format!("Bearer {OPENAI_SECRET}"),
            ),
        ] {
            let mut request = Request::new("POST", path).json(&json!({"model": "m"}));
            for (name, value) in fields {
                request = request.header(name, value.replace("{key}", &key));
            }
            let response = server.send(&request.header("anthropic-beta", "one,two"));

            assert_eq!(
                response.status,
                200,
                "{fields:?} {path}: {}",
                response.text()
            );
            let received = provider.requests().pop().unwrap();
            assert_eq!(received.header(header), Some(&*secret), "{fields:?} {path}");
            let credentials = [
                "authorization",
                "x-api-key",
                "api-key",
                "x-goog-api-key",
                "cookie",
            ];
            let present = credentials
                .iter()
                .filter(|name| received.header(name).is_some())
                .count();
            assert_eq!(present, 1, "{fields:?} {path}: {received:?}");
            assert_eq!(received.header("anthropic-beta"), Some("one,two"));
            assert!(received.target.ends_with(path), "{received:?}");
            let whole_request = format!("{received:?}");
            assert!(
                !whole_request.contains("sk-other") && !whole_request.contains("aisbreaker_"),
                "{whole_request}"
            );
        }
    }
}

#[test]
fn credential_field_of_two_words_is_refused() {
    let provider = Provider::with_response(200, json!({}));
    let keys = Server::with_loopback_egress(&[]);
    let default_key = two_dialect_key(&keys, &provider);
    let server = Server::with_loopback_egress(&[("DEFAULT_AISBREAKER_API_KEY", &default_key)]);
    let key = two_dialect_key(&server, &provider);
    let post = |path| Request::post(path, r#"{"model":"m"}"#);

    for path in [MESSAGES, "/v1/embeddings"] {
        for value in ["sk one", "sk\u{a0}", "\u{feff}sk", "Bearer sk"] {
            for field in ["x-api-key", "api-key"] {
                let response = server.send(&post(path).header(field, value));
                assert_eq!(response.status, 401, "{path} {field}: {value:?}");
            }
        }
        for value in [
            format!("{key}\u{a0}"),
            format!("\u{3000}{key}"),
            format!("{key} x"),
        ] {
            let response = server.send(&post(path).header("x-api-key", &value));
            assert_eq!(response.status, 401, "{path}: {value:?}");
        }
        assert!(provider.requests().is_empty());
    }
    let both = post(MESSAGES).header("x-api-key", "a b").bearer(&key);
    assert_eq!(server.send(&both).status, 200);
}

#[test]
fn callers_own_secret_goes_to_the_named_provider() {
    let provider = Provider::with_response(200, json!({}));
    let provider_table = format!(
        "[[provider]]\nid = \"mine.example\"\nurl = \"{0}\"\nopenai = \"/x\"\nanthropic = \"/y\"\nauth = \"api-key\"\n",
        provider.url()
    );
    let config = ConfigFile::new(&provider_table);
    let server = Server::with_loopback_egress(&[("AISBREAKER_CONFIG", config.path())]);

    let response = server.send(&post_with_key(
        "/v1/embeddings",
        "sk-own",
        r#"{"model": "mine.example/e", "input": "a"}"#,
    ));
    assert_eq!(response.status, 200, "{}", response.text());
    let received = provider.only_request();
    assert_eq!(received.target, "/x/embeddings");
    assert_eq!(received.header("api-key"), Some("sk-own"));
    assert_eq!(received.header("authorization"), None);
    assert_eq!(received.body, br#"{"model": "e", "input": "a"}"#);

    let message = post_with_key(MESSAGES, "sk-own", r#"{"model":"mine.example/e"}"#);
    assert_eq!(server.send(&message).status, 200);
    assert_eq!(provider.requests()[1].target, "/y/messages");
}

#[test]
fn sealed_secret_stays_bound_for_every_path() {
    let provider = Provider::trap();
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let paths = [
        "/v1/responses/../files",
        "/v1/responses/%2e%2e%2ffiles",
        "/v1/models/../files",
        "/v1/models/%2e%2e/files",
        "/v1/models/a%2F..%2F..%2Ffiles",
        "/v1/models/openai.com/../../files",
        "/v1/models/chat%3Aopenai.com%2F..%2Ffiles",
        "/v1/files/..",
        "/v1/files/%2e%2e/responses",
        "/v1/files/a/content/../../../x",
        "/v1/threads",
        "/v1/responses/a/b",
    ];
    for path in paths {
        let response = server.send(&Request::get(path).bearer(&key));
        assert!(
            matches!(response.status, 400 | 404),
            "{path}: {} {}",
            response.status,
            response.text()
        );
    }
    for model in ["chat:openai.com/..", "../files"] {
        let response = server.send(&post_with_key(
            "/v1/embeddings",
            &key,
            json!({"model": model}).to_string(),
        ));
        assert_eq!(response.status, 200, "a model is only in the body");
    }
    assert!(
        provider
            .requests()
            .iter()
            .all(|received| received.target == "/v1/embeddings"),
        "{:?}",
        provider.requests()
    );
    let before = provider.requests().len();
    let response = server.send(&post_with_key(
        "/v1/embeddings",
        &key,
        json!({"model": key}).to_string(),
    ));
    assert_eq!(response.status, 400);
    for query in [
        format!("key={key}"),
        format!("a=b&key=x{}", key.replace('_', "%5f")),
    ] {
        let response = server.send(&post_with_key(
            &format!("/v1/embeddings?{query}"),
            &key,
            r#"{"model":"m"}"#,
        ));
        assert_eq!(response.status, 400, "{query}");
    }
    assert_eq!(provider.requests().len(), before);
}
