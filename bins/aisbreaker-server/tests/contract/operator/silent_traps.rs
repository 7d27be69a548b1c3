//! Mistakes of a set-up that clients notice and that only the log explains.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::support::{
    Connection, Request, Response, Server, ample_quotas, call, dummy_call, grant, service_at,
    streamed,
};

const UNTRUSTED: &str = "X-Forwarded-For is ignored";

fn cause(server: &Server, response: &Response) -> String {
    let id = response.header("x-request-id").expect("an id");
    let line = server.wait_for_request(id);
    line["cause"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_proxy_that_is_not_trusted_is_named_once() {
    let server = Server::start(&[("AISBREAKER_TRUSTED_PROXIES", "127.0.1.0/24")]);
    let request = Request::get("/api/v1/ping").header("X-Forwarded-For", "198.51.100.7");
    let ask = |client: [u8; 4], request: &Request| {
        let mut connection = Connection::open_from(Ipv4Addr::from(client), server.address());
        assert_eq!(connection.send(request).status, 200);
    };
    let warnings = || server.log().matches(UNTRUSTED).count();

    ask([127, 0, 0, 1], &Request::get("/api/v1/ping"));
    ask([127, 0, 1, 1], &request);
    assert_eq!(warnings(), 0, "no field, or a trusted proxy");
    for _ in 0..3 {
        ask([127, 0, 0, 1], &request);
    }
    ask([127, 0, 0, 2], &request);
    let line = server.wait_for_log("the warning", |line| {
        line["message"]
            .as_str()
            .unwrap_or_default()
            .starts_with(UNTRUSTED)
    });
    assert_eq!(
        (&line["level"], &line["peer"]),
        (&json!("WARN"), &json!("127.0.0.1"))
    );
    let text = line["message"].as_str().unwrap();
    assert!(text.contains("AISBREAKER_TRUSTED_PROXIES"), "{text}");
    // Whoever sends the field from everywhere does not fill the log.
    for network in 2..40 {
        ask([127, 0, network, 1], &request);
    }
    let last = server.send(&dummy_request());
    let _flushed = server.wait_for_request(last.header("x-request-id").unwrap());
    assert_eq!(warnings(), 8);
}

fn dummy_request() -> Request {
    Request::process(&dummy_call())
}

#[test]
fn the_host_of_a_misdirected_request_is_logged_and_not_answered() {
    let server = Server::start(&[("AISBREAKER_PUBLIC_HOSTS", "api.example.com")]);
    let rows = [
        (
            "Backend:3000",
            "the host backend, which is not in public_hosts",
        ),
        ("[::1]:3000", "the host [::1], "),
    ];
    for (host, expected) in rows {
        let response = server.send(&Request::get("/api/v1/ping").set("Host", host));
        assert_eq!(response.status, 421);
        assert!(!response.text().contains("backend"), "{response:?}");
        let cause = cause(&server, &response);
        assert!(cause.contains(expected), "{cause}");
    }
    let secret = format!("{}.example", "k".repeat(70));
    let response = server.send(&Request::get("/api/v1/ping").set("Host", &secret));
    assert_eq!(response.status, 421);
    let cause = cause(&server, &response);
    assert!(cause.contains("(not a host name)"), "{cause}");
}

/// A call of `chat:openai.com` at an address that the caller names.
fn call_at(url: &str) -> Value {
    call(service_at("chat:openai.com", url), "Hi")
}

#[test]
fn the_log_of_a_refused_address_has_the_value_that_opens_it() {
    let server = Server::start(&[]);
    let rows = [
        (
            "https://10.1.2.3:8443/canary-2?key=canary-3#no-default-path",
            "https://10.1.2.3:8443: the address is not public; to allow it, add https://10.1.2.3:8443 to egress.allow \
             and set egress.allow_callers, since a caller named it",
        ),
        (
            "http://127.0.0.1:11434/canary-2",
            "http://127.0.0.1:11434: http is not allowed for this address, only https; to allow it, add \
             http://127.0.0.1:11434 to egress.allow and set egress.allow_callers, since a caller named it",
        ),
    ];
    for (url, expected) in rows {
        let request = Request::process(&call_at(url)).bearer("canary-4-sk");
        let response = server.send(&request);
        assert_eq!(response.status, 403, "{response:?}");
        assert!(
            !response.text().contains("to allow it, add"),
            "{response:?}"
        );
        assert_eq!(cause(&server, &response), expected);
    }
    let streamed =
        Request::process(&streamed(call_at("http://127.0.0.1:11434"))).bearer("canary-4-sk");
    let response = server.send(&streamed);
    assert!(cause(&server, &response).starts_with("http://127.0.0.1:11434: "));
    assert!(!server.log().contains("canary"), "{}", server.log());
}

#[test]
fn an_address_in_a_key_of_a_restricted_mint_needs_one_setting() {
    let server = Server::start(&[("AISBREAKER_MINT_SECRET", "the-minting-secret")]);
    let secrets = json!([
        {"serviceId": "chat:openai.com", "authSecret": "sk-sealed", "url": "http://10.1.2.3:8000"}
    ]);
    let mut body = grant(&ample_quotas(), &secrets);
    body["clientSecret"] = json!("the-minting-secret");
    let minted = server.send(&Request::mint(&body));
    assert_eq!(minted.status, 200, "{minted:?}");
    let key = minted.json()["access_token"].as_str().unwrap().to_owned();
    let chat = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]});
    let requests = [
        Request::process(&call(json!({"serviceId": "chat:openai.com"}), "Hi")),
        Request::post("/v1/chat/completions", chat.to_string()),
    ];
    for request in requests {
        let response = server.send(&request.bearer(&key));
        assert_eq!(response.status, 403, "{response:?}");
        let text = response.text();
        assert!(!text.contains("10.1.2.3"), "{text}");
        let cause = cause(&server, &response);
        assert!(
            cause.ends_with("to allow it, add http://10.1.2.3:8000 to egress.allow"),
            "{cause}"
        );
    }
}

#[test]
fn the_log_of_a_name_that_does_not_resolve_has_it() {
    let server = Server::start(&[]);
    let request = Request::process(&call_at(
        "https://no-such-host.invalid/v1?key=canary#no-default-path",
    ));
    let response = server.send(&request.bearer("sk-own"));
    assert_eq!(response.status, 503, "{response:?}");
    assert_eq!(
        cause(&server, &response),
        "https://no-such-host.invalid: no address found"
    );
    assert!(!server.log().contains("canary"), "{}", server.log());
}
