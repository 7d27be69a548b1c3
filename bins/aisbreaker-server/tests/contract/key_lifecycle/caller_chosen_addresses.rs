//! Addresses that `egress.allow` opens are for the operator's own rows and for the URLs that a
//! restricted minter sealed. No caller names one, with or without a key, unless
//! `egress.allow_callers` is set.

mod open_minting;

use serde_json::{Value, json};

use crate::support::{
    ConfigFile, Provider, Request, Response, Server, UnreachableAddresses, ample_quotas,
    assert_error, call, grant, hop,
    provider_api::{CHAT, MESSAGES, post_with_key},
    service, service_at, sse, streamed,
};

const ALLOWED: (&str, &str) = ("AISBREAKER_EGRESS_ALLOW", "127.0.0.0/8,::1");
const MINT_SECRET: &str = "only-for-minters";
const RESTRICTED: (&str, &str) = ("AISBREAKER_MINT_SECRET", MINT_SECRET);
const REFUSAL: &str = "egress.allow";

/// A provider in the operator's network, which answers every path.
fn internal() -> Provider {
    Provider::start(|request, wire| {
        match &*request.method {
        "POST" if request.json()["stream"] == true => wire.whole_stream(sse(
            &json!({"choices": [{"index": 0, "delta": {"content": "ok"}, "finish_reason": "stop"}]}),
        )),
        "GET" => wire.json(200, &json!({"data": [{"id": "m", "object": "model"}]})),
        _ => wire.json(
            200,
            &json!({"choices": [{"message": {"role": "assistant", "content": "ok"}}]}),
        ),
    }
    })
}

/// Mints a key with these secrets at a server with the minting secret.
fn mint(server: &Server, secrets: &Value) -> String {
    let mut body = grant(&ample_quotas(), secrets);
    body["clientSecret"] = json!(MINT_SECRET);
    server.mint(&body)
}

fn entry(id: &str, secret: &str, url: &str) -> Value {
    json!({"serviceId": id, "authSecret": secret, "url": url})
}

/// Asserts that a call was refused by the egress policy, also if that is the end of its stream.
fn assert_refused(row: &str, response: &Response) {
    let error = if response.status == 200 {
        response.stream_error().1
    } else {
        response.json()["error"].clone()
    };
    assert_eq!(error["statusCode"], 403, "{row}: {response:?}");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains(REFUSAL), "{row}: {message}");
}

#[test]
fn no_service_leads_a_caller_to_an_allowed_address() {
    let trap = Provider::trap();
    let server = Server::start(&[ALLOWED, RESTRICTED]);
    let key = mint(
        &server,
        &json!([
            {"serviceId": "aisbreaker:network", "authSecret": ""},
            {"serviceId": "", "authSecret": "{{secret}}"},
        ]),
    );
    let port = trap.port();
    let urls = [
        format!("http://127.0.0.1:{port}"),
        format!("https://127.0.0.1:{port}"),
        format!("http://127.1:{port}/any/path#no-default-path"),
        format!("http://localhost:{port}"),
        format!("http://[::ffff:127.0.0.1]:{port}"),
    ];
    let ids = [
        "chat:openai.com/m",
        "chat:anthropic.com/m",
        "chat:gemini.google.com/m",
        "chat:gemini.vertexai.google.com/m",
        "chat:replicate.com/meta/m",
        "chat:ollama/m",
        "chat:vllm/m",
        "text-to-image:openai.com/m",
        "text-to-image:stability.ai/core",
        "aisbreaker:network",
    ];
    for url in &urls {
        for id in ids {
            let mut named = service_at(id, url);
            if id == "aisbreaker:network" {
                named = hop(url, &service("chat:dummy"));
            }
            let filtered = json!({"serviceId": "aisbreaker:mirror", "forward2ServiceProps": {
                "serviceId": "aisbreaker:logging", "forward2ServiceProps": named,
            }});
            for properties in [named, filtered] {
                for bearer in ["sk-own", &key] {
                    let body = call(properties.clone(), "Hi");
                    for body in [streamed(body.clone()), body] {
                        let row = format!("{id} at {url} by {:.12}: {body}", bearer);
                        assert_refused(&row, &server.process(bearer, &body));
                    }
                }
            }
        }
    }
    assert_eq!(trap.connections(), 0, "{:?}", trap.requests());
}

#[test]
fn a_sealed_url_reaches_an_allowed_address_and_nothing_else_of_it() {
    let provider = internal();
    let server = Server::start(&[ALLOWED, RESTRICTED]);
    let url = format!("{}/base", provider.url());
    let key = mint(
        &server,
        &json!([
            entry("chat:openai.com", "sk-sealed", &url),
            entry("chat:anthropic.com", "", &url),
            entry("chat:groq.com", "{{secret}}", &url),
        ]),
    );

    // First without a URL, so that open connections are left for the calls that follow.
    for id in ["chat:openai.com/m", "chat:groq.com/m"] {
        let body = call(service(id), "Hi");
        assert_eq!(server.process(&key, &body).content(), "ok", "{id}");
        let repeated = call(service_at(id, &format!("{url}/")), "Hi");
        assert_eq!(server.process(&key, &repeated).content(), "ok", "{id}");
    }
    let models = server.send(&Request::get("/v1/models").bearer(&key));
    assert_eq!(models.status, 200, "{models:?}");
    let chat = json!({"model": "chat:openai.com/m", "messages": []}).to_string();
    let response = server.send(&post_with_key(CHAT, &key, chat));
    assert_eq!(response.status, 200, "{response:?}");

    let before = (provider.connections(), provider.requests().len());
    let rows = [
        ("chat:openai.com/m", provider.url()),
        ("chat:openai.com/m", format!("{url}/../admin")),
        ("chat:openai.com/m", format!("{url}#no-default-path")),
        ("chat:groq.com/m", format!("{}/admin", provider.url())),
        ("chat:groq.com/m", format!("{url}?x#no-default-path")),
    ];
    for (id, named) in rows {
        for body in [
            call(service_at(id, &named), "Hi"),
            streamed(call(service_at(id, &named), "Hi")),
        ] {
            assert_refused(&named, &server.process(&key, &body));
        }
    }
    for bearer in ["", "sk-own"] {
        for id in ["chat:ollama/m", "chat:openai.com/m"] {
            let response = server.process(bearer, &call(service_at(id, &url), "Hi"));
            let status = if bearer.is_empty() && id == "chat:openai.com/m" {
                401
            } else {
                403
            };
            assert_error(id, &response, status, "");
        }
    }
    let after = (provider.connections(), provider.requests().len());
    assert_eq!(after, before, "{:?}", provider.requests());
}

#[test]
fn a_fallback_goes_to_its_sealed_url_and_not_to_one_of_the_request() {
    let (first, second) = (
        Provider::with_response(503, json!({"error": {"message": "down"}})),
        internal(),
    );
    let server = Server::start(&[ALLOWED, RESTRICTED]);
    let key = mint(
        &server,
        &json!([
            {"serviceId": "chat:openai.com", "authSecret": "one", "url": first.url(),
             "fallback": ["chat:groq.com/m"]},
            entry("chat:groq.com", "two", &second.url()),
        ]),
    );
    let chat = json!({"model": "chat:openai.com/m", "messages": []}).to_string();
    let response = server.send(&post_with_key(CHAT, &key, chat));
    assert_eq!(response.status, 200, "{response:?}");

    let body = call(service("chat:openai.com/m"), "Hi");
    assert_eq!(server.process(&key, &body).content(), "ok");

    let unbound = mint(
        &server,
        &json!([
            {"serviceId": "chat:openai.com", "authSecret": "{{secret}}", "fallback": ["chat:groq.com/m"]},
            {"serviceId": "chat:groq.com", "authSecret": "{{secret}}"},
        ]),
    );
    let before = second.requests().len();
    let body = call(service_at("chat:openai.com/m", &second.url()), "Hi");
    assert_refused("a url for the first", &server.process(&unbound, &body));
    assert_eq!(second.requests().len(), before);
}

#[test]
fn the_operators_own_rows_need_egress_allow_alone() {
    let (row, added) = (internal(), internal());
    let text = format!(
        "[[provider]]\nid = \"local\"\nurl = \"{}/llm\"\nopenai = \"/v1\"\nanthropic = \"/v1\"\n\
         secret = \"optional\"\n[services.\"chat:openai.com\"]\norigins = [\"{}\"]\n",
        row.url(),
        added.url()
    );
    let file = ConfigFile::new(&text);
    // Anyone may mint.
    let server = Server::start(&[ALLOWED, ("AISBREAKER_CONFIG", file.path())]);
    let key = server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "sk-sealed"},
        {"serviceId": "chat:local", "authSecret": "", "url": format!("{}/llm", row.url())},
    ]));

    for bearer in ["", "sk-own", &key] {
        for properties in [
            service("chat:local/m"),
            service_at("chat:local/m", &format!("{}/llm/v1", row.url())),
        ] {
            let body = call(properties, "Hi");
            assert_eq!(server.process(bearer, &body).content(), "ok", "{body}");
        }
        let elsewhere = service_at("chat:local/m", &format!("{}/admin", row.url()));
        assert_refused(
            "another path",
            &server.process(bearer, &call(elsewhere, "Hi")),
        );
    }
    for path in [CHAT, MESSAGES] {
        let body = json!({"model": "chat:local/m", "messages": []}).to_string();
        let response = server.send(&post_with_key(path, &key, body));
        assert_eq!(response.status, 200, "{path}: {response:?}");
    }
    let at_added = call(service_at("chat:openai.com/m", &added.url()), "Hi");
    assert_eq!(server.process(&key, &at_added).content(), "ok");
    let targets = row.requests().into_iter().map(|request| request.target);
    for target in targets {
        assert!(target.starts_with("/llm/v1/"), "{target}");
    }
}

#[test]
fn a_refusal_shows_neither_ports_nor_the_operators_exceptions() {
    let (open, unreachable) = (Provider::trap(), UnreachableAddresses::new());
    let server = Server::start(&[ALLOWED]);
    let (refusing, full) = (unreachable.refusing_url(), unreachable.full_backlog_url());
    let outcome = |url: &str| {
        let response = server.process("sk-own", &call(service_at("chat:openai.com", url), "Hi"));
        (response.status, response.message())
    };

    let by_address = ["http://10.0.0.1:9", &open.url(), &refusing, &full].map(outcome);
    let to_https = |url: &str| url.replace("http:", "https:");
    let by_https = [
        "https://10.0.0.1:9",
        &to_https(&open.url()),
        &to_https(&refusing),
    ]
    .map(outcome);
    let by_name = [
        "https://localhost",
        &to_https(&open.url()).replace("127.0.0.1", "localhost"),
    ]
    .map(outcome);

    for outcomes in [&by_address[..], &by_https, &by_name] {
        for outcome in outcomes {
            assert_eq!(outcome.0, 403, "{outcome:?}");
            assert_eq!(outcome, &outcomes[0]);
        }
    }
    assert_eq!(open.connections(), 0);
}

#[test]
fn allow_callers_opens_it_to_everybody() {
    let provider = internal();
    for value in ["true", "1"] {
        let server = Server::start(&[ALLOWED, ("AISBREAKER_EGRESS_ALLOW_CALLERS", value)]);
        let key =
            server.mint_with_secrets(&json!([entry("chat:openai.com", "sk", &provider.url())]));
        let named = call(service_at("chat:openai.com", &provider.url()), "Hi");

        assert_eq!(server.process("sk-own", &named).content(), "ok");
        let sealed = call(service("chat:openai.com"), "Hi");
        assert_eq!(server.process(&key, &sealed).content(), "ok");
    }
}
