//! Restrictions that the head and the size of a request are judged by.

use serde_json::{Value, json};

use super::{assert_restricted, mint, plain_key};
use crate::support::{
    Connection, Provider, Request, Response, Server, ample_quotas, call, chunked, dummy_call, gzip,
    openai::{completion, completion_stream},
    quotas, service, streamed,
};

const APP: &str = "https://app.example";

/// Whose scripts may read a response, and whether caches know that it depends on them.
fn cors(response: &Response) -> (Option<&str>, bool) {
    let mut varies = response
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("vary"));
    let is_varied = varies.any(|(_, value)| value == "Origin");
    (response.header("access-control-allow-origin"), is_varied)
}

#[test]
fn clients_are_judged_by_their_address_behind_trusted_proxies() {
    let server = Server::start(&[("AISBREAKER_TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8")]);
    let networks =
        json!({"clients": ["203.0.113.0/24", "::ffff:198.51.100.0/120", "2001:db8::/48"]});
    let key = plain_key(&server, &networks);
    let rows = [
        ("203.0.113.7", true),
        ("203.0.113.7:4711", true),
        ("::ffff:203.0.113.7", true),
        ("198.51.100.9", true),
        ("2001:db8:0:1::1", true),
        ("203.0.113.7, 10.0.0.9", true),
        ("203.0.113.7, 192.0.2.1", false),
        ("203.0.114.7", false),
        ("2001:db8:1::1", false),
        ("nonsense", false),
    ];
    for (forwarded, is_allowed) in rows {
        let from = |request: Request| {
            let request = request.bearer(&key).header("X-Forwarded-For", forwarded);
            // Nobody else says where a request comes from.
            server.send(&request.header("X-Real-IP", "203.0.113.7"))
        };
        for request in [
            Request::process(&dummy_call()),
            Request::get("/api/v1/quota"),
        ] {
            let response = from(request);
            if is_allowed {
                assert_eq!(response.status, 200, "{forwarded}: {response:?}");
            } else {
                assert_restricted(forwarded, &response, 403, "clients");
                assert!(!response.text().contains("203.0.113"), "{response:?}");
            }
        }
    }
    let direct = Connection::open_from([127, 0, 0, 9].into(), server.address())
        .send(&Request::process(&dummy_call()).bearer(&key));
    assert_restricted("the proxy itself", &direct, 403, "clients");
}

#[test]
fn a_direct_client_cannot_claim_an_address() {
    let server = Server::start(&[]);
    let key = plain_key(
        &server,
        &json!([{"clients": ["127.0.0.0/8"]}, {"clients": ["127.0.0.2"]}]),
    );
    let send = |client: [u8; 4]| {
        let call = Request::process(&dummy_call()).bearer(&key);
        let call = call
            .header("X-Forwarded-For", "127.0.0.2")
            .header("Forwarded", "for=127.0.0.2");
        Connection::open_from(client.into(), server.address()).send(&call)
    };

    assert_eq!(send([127, 0, 0, 2]).status, 200);
    assert_restricted("another client", &send([127, 0, 0, 1]), 403, "clients");
}

#[test]
fn origins_are_compared_exactly_and_never_guessed() {
    let server = Server::start(&[]);
    let origins = json!({"origins": ["https://app.example", "http://localhost:5173"]});
    let key = plain_key(&server, &origins);
    let rows: [(&[&str], Option<&str>); 13] = [
        (&[APP], Some(APP)),
        (
            &["https://app.example:443"],
            Some("https://app.example:443"),
        ),
        (&["http://localhost:5173"], Some("http://localhost:5173")),
        (&["http://localhost"], None),
        (&["http://app.example"], None),
        (&["https://app.example:8443"], None),
        (&["https://app.example.evil.example"], None),
        (&["https://evil.example/https://app.example"], None),
        (&["null"], None),
        (&[""], None),
        (&["*"], None),
        (&[APP, APP], None),
        (&[], None),
    ];
    for (fields, allowed) in rows {
        let mut request = Request::process(&dummy_call())
            .bearer(&key)
            .header("Referer", "https://app.example/page");
        for origin in fields {
            request = request.header("Origin", origin);
        }
        let response = server.send(&request);
        if allowed.is_some() {
            assert_eq!(response.status, 200, "{fields:?}: {response:?}");
        } else {
            assert_restricted(&format!("{fields:?}"), &response, 403, "origins");
            assert!(!response.text().contains("localhost"), "{response:?}");
        }
        assert_eq!(cors(&response), (allowed, true), "{fields:?}");
    }
}

#[test]
fn every_response_to_a_key_with_origins_is_for_that_origin_only() {
    let provider = Provider::start(|request, wire| {
        if request.json()["stream"] == true {
            wire.whole_stream(completion_stream(&["a"]));
        } else {
            wire.json(200, &completion("yes"));
        }
    });
    let server = Server::with_loopback_egress(&[]);
    let grant = json!({"serviceSecrets": [
        {"serviceId": "chat:openai.com", "authSecret": "sk", "url": provider.url()},
    ]});
    let restrict = json!([{"origins": [APP, "https://b.example"]}, {"origins": [APP], "services": ["chat:openai.com"]}]);
    let key = mint(&server, &quotas([100; 3], [7; 3]), grant, &restrict);
    let here = |request: Request| server.send(&request.bearer(&key).header("Origin", APP));
    let chat = |body: Value| Request::post("/v1/chat/completions", body.to_string());
    let rows = [
        (200, here(chat(json!({"model": "m"})))),
        (200, here(chat(json!({"model": "m", "stream": true})))),
        (
            200,
            here(Request::process(&streamed(call(
                service("chat:openai.com/m"),
                "x",
            )))),
        ),
        (200, here(Request::get("/api/v1/quota"))),
        (403, here(Request::process(&dummy_call()))),
        (403, here(chat(json!({"model": "groq.com/m"})))),
        (400, here(Request::post_process("{"))),
        (400, here(Request::post("/v1/chat/completions", "{"))),
        (404, here(chat(json!({"model": "mistral.ai/m"})))),
    ];
    for (status, response) in rows {
        let is_expected = response.status == status || (status == 403 && response.status == 404);
        assert!(is_expected, "{status}: {response:?}");
        assert_eq!(cors(&response), (Some(APP), true), "{response:?}");
    }
    let mut refused = here(chat(json!({"model": "m"})));
    while refused.status == 200 {
        refused = here(chat(json!({"model": "m"})));
    }
    assert_eq!(refused.status, 429);
    assert_eq!(cors(&refused), (Some(APP), true));

    let preflight =
        server.send(&Request::new("OPTIONS", "/v1/chat/completions").header("Origin", APP));
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    let unknown = server.send(
        &chat(json!({"model": "m"}))
            .bearer("aisbreaker_x")
            .header("Origin", APP),
    );
    assert_eq!((unknown.status, cors(&unknown)), (401, (Some("*"), false)));
}

#[test]
fn a_body_is_judged_by_its_decoded_size() {
    let provider = Provider::with_response(200, completion("yes"));
    let server = Server::with_loopback_egress(&[]);
    let grant = json!({"serviceSecrets": [
        {"serviceId": "chat:openai.com", "authSecret": "sk", "url": provider.url()},
    ]});
    let limit = 400;
    let restrict = json!([{"maxBodyBytes": 100_000}, {"maxBodyBytes": limit}, {}]);
    let key = mint(&server, &ample_quotas(), grant, &restrict);
    let chat = json!({"model": "m", "pad": ""}).to_string();
    let process = json!({"service": {"serviceId": "chat:openai.com/m"}, "request": {"inputs": [
        {"text": {"role": "user", "content": "x"}},
    ]}, "pad": ""})
    .to_string();
    let padded = |body: &str, length: usize| {
        let pad = "y".repeat(length.saturating_sub(body.len()));
        body.replace("\"pad\":\"\"", &format!("\"pad\":\"{pad}\""))
    };
    for (path, body) in [("/v1/chat/completions", chat), ("/api/v1/process", process)] {
        for (length, is_allowed) in [(limit, true), (limit + 1, false), (60_000, false)] {
            let body = padded(&body, length);
            assert_eq!(body.len(), length);
            let plain = Request::post(path, body.clone()).bearer(&key);
            let requests = [
                plain.clone(),
                plain
                    .clone()
                    .set("Transfer-Encoding", "chunked")
                    .body(chunked(body.as_bytes(), 50)),
                plain
                    .clone()
                    .set("Content-Encoding", "gzip")
                    .body(gzip(body.as_bytes())),
            ];
            for request in requests {
                let before = provider.requests().len();
                let response = server.send(&request);
                if is_allowed {
                    assert_eq!(response.status, 200, "{path}: {response:?}");
                } else {
                    assert_restricted(path, &response, 413, "maxBodyBytes");
                    // Without the id of the request, which is random.
                    assert!(!response.message().contains("400"), "{response:?}");
                    assert_eq!(provider.requests().len(), before);
                }
            }
        }
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_complete() {
    let server = Server::start(&[]);
    let key = plain_key(&server, &json!({"maxBodyBytes": 1000}));
    let head = Request::post_process("").bearer(&key);

    let mut announced = server.connect();
    announced.write(&head.clone().set("Content-Length", "1001").to_bytes());
    assert_restricted(
        "announced",
        &announced.response_to("POST"),
        413,
        "maxBodyBytes",
    );

    let mut endless = server.connect();
    endless.write(&head.set("Transfer-Encoding", "chunked").to_bytes());
    endless.write(format!("3e9\r\n{}\r\n", "x".repeat(1001)).as_bytes());
    assert_restricted("endless", &endless.response_to("POST"), 413, "maxBodyBytes");
}

#[test]
fn a_refusal_speaks_the_dialect_of_the_caller_and_its_cause_is_logged() {
    let server = Server::start(&[]);
    let key = plain_key(&server, &json!({"operations": [], "maxBodyBytes": 50}));
    let send = |path: &str, id: &str, body: &str| {
        server.send(
            &Request::post(path, body)
                .bearer(&key)
                .header("x-request-id", id),
        )
    };
    let large = "x".repeat(51);

    let openai = send("/v1/embeddings", "r-openai", "{}").json();
    assert_eq!(openai["error"]["type"], "permission_error", "{openai}");
    assert_eq!(openai["error"]["code"], "permission_denied", "{openai}");
    let anthropic = send("/v1/messages", "r-anthropic", "{}").json();
    assert_eq!(anthropic["type"], "error", "{anthropic}");
    assert_eq!(
        anthropic["error"]["type"], "permission_error",
        "{anthropic}"
    );
    let own = send("/api/v1/process", "r-own", "{}").json();
    assert_eq!(own["error"]["statusCode"], 403, "{own}");
    for id in ["r-openai", "r-anthropic", "r-own"] {
        let cause = server.wait_for_request(id)["cause"].clone();
        assert_eq!(cause, "refused by the restriction operations of the key");
    }

    let others = plain_key(&server, &json!({"services": ["chat:echo"]}));
    let refused = Request::process(&dummy_call()).bearer(&others);
    let response = server.send(&refused.header("x-request-id", "r-services"));
    assert_restricted("services", &response, 403, "services");
    assert!(response.message().ends_with(" chat:dummy"), "{response:?}");
    let cause = server.wait_for_request("r-services")["cause"].clone();
    assert_eq!(cause, "refused by the restriction services of the key");

    let sized = plain_key(&server, &json!({"maxBodyBytes": 50}));
    let send = |path: &str| {
        server
            .send(&Request::post(path, large.as_str()).bearer(&sized))
            .json()
    };
    assert_eq!(send("/v1/embeddings")["error"]["code"], "request_too_large");
    assert_eq!(send("/v1/messages")["error"]["type"], "request_too_large");
    assert_eq!(send("/api/v1/process")["error"]["statusCode"], 413);
}
