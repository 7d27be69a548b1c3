//! Where anybody may mint, a sealed URL is no better than one in a request.

use serde_json::json;

use super::{ALLOWED, MINT_SECRET, RESTRICTED, assert_refused, entry, internal, mint};
use crate::support::{
    Request, Server, ample_quotas, assert_error, call, grant,
    provider_api::{CHAT, post_with_key},
    service,
};

const ALLOW_CALLERS: (&str, &str) = ("AISBREAKER_EGRESS_ALLOW_CALLERS", "true");

#[test]
fn minting_refuses_urls_that_only_an_exception_allows() {
    let origin = ("AISBREAKER_EGRESS_ALLOW", "127.0.0.0/8,http://llm.example");
    let rows = [
        ("http://127.0.0.1:81", true),
        ("https://127.0.0.1", true),
        ("https://127.1/x/${engine}#no-default-path", true),
        ("https://[::ffff:127.0.0.1]", true),
        ("http://localhost:81", true),
        ("https://LOCALHOST", true),
        ("https://x.localhost.", true),
        ("http://llm.example", true),
        ("http://named.example", true),
        ("https://llm.example", false),
        ("https://8.8.8.8", false),
    ];
    let open = Server::start(&[origin]);
    let restricted = Server::start(&[origin, RESTRICTED]);
    let for_callers = Server::start(&[origin, ALLOW_CALLERS]);

    for (url, is_refused) in rows {
        for urls in [json!(url), json!(["https://public.example", url])] {
            let secrets = json!([
                {"serviceId": "chat:groq.com", "authSecret": "sk-canary"},
                {"serviceId": "chat:openai.com", "authSecret": "sk-canary", "url": urls},
            ]);
            let mut body = grant(&ample_quotas(), &secrets);
            body["clientSecret"] = json!(MINT_SECRET);
            let refused = open.send(&Request::mint(&body));
            if is_refused {
                let message = "requestAuthAndQuotas.serviceSecrets[1].url";
                assert_error(url, &refused, 403, message);
                assert!(refused.message().contains("egress.allow_callers"), "{url}");
            } else {
                assert_eq!(refused.status, 200, "{url}: {refused:?}");
            }
            for server in [&restricted, &for_callers] {
                let minted = server.send(&Request::mint(&body));
                assert_eq!(minted.status, 200, "{url}: {minted:?}");
            }
        }
    }
}

#[test]
fn a_key_that_was_sealed_elsewhere_leads_no_further() {
    let provider = internal();
    let secrets = json!([
        entry("chat:openai.com", "sk-sealed", &provider.url()),
        entry("chat:groq.com", "", &provider.url()),
    ]);
    // One server key, two policies: as after a change of settings, or with a name that resolves to
    // another address than it did.
    let restricted = Server::start(&[ALLOWED, RESTRICTED]);
    let key = mint(&restricted, &secrets);
    let open = Server::start(&[ALLOWED]);
    let chat = json!({"model": "chat:openai.com/m", "messages": []}).to_string();

    let body = call(service("chat:openai.com/m"), "Hi");
    assert_refused("process", &open.process(&key, &body));
    let request = post_with_key(CHAT, &key, chat);
    let refused = open.send(&request);
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.message().contains("egress.allow"), "{refused:?}");
    assert_eq!(provider.connections(), 0);

    assert_eq!(restricted.process(&key, &body).content(), "ok");
    assert_eq!(restricted.send(&request).status, 200);
}

#[test]
fn the_default_key_is_the_operators_whoever_may_mint() {
    let provider = internal();
    let restricted = Server::start(&[ALLOWED, RESTRICTED]);
    let key = mint(
        &restricted,
        &json!([entry("chat:openai.com", "sk-sealed", &provider.url())]),
    );
    let open = Server::start(&[ALLOWED, ("DEFAULT_AISBREAKER_API_KEY", &key)]);
    let body = call(service("chat:openai.com/m"), "Hi");

    assert_eq!(open.process("", &body).content(), "ok");
    // Sent by a caller, it is any key.
    assert_refused("the same key", &open.process(&key, &body));
}

#[test]
fn the_start_warns_of_a_network_that_is_open_to_anyone() {
    let rows = [
        ("both", vec![ALLOWED, ALLOW_CALLERS], true),
        (
            "restricted",
            vec![ALLOWED, ALLOW_CALLERS, RESTRICTED],
            false,
        ),
        ("not for callers", vec![ALLOWED], false),
        ("nothing", vec![], false),
    ];
    for (row, environment, is_warned) in rows {
        let server = Server::start(&environment);
        let _answered = server.get("/api/v1/ping");
        let log = server.log();
        assert_eq!(
            log.contains("AISBREAKER_EGRESS_ALLOW_CALLERS"),
            is_warned,
            "{row}: {log}"
        );
    }
}

#[test]
fn a_url_of_an_operators_row_may_be_sealed_by_anyone() {
    let server = Server::start(&[(
        "AISBREAKER_EGRESS_ALLOW",
        "127.0.0.0/8,http://localhost:11434",
    )]);
    let secrets = |id: &str| json!([entry(id, "", "http://localhost:11434")]);

    let own = server.send(&Request::mint(&grant(
        &ample_quotas(),
        &secrets("chat:ollama"),
    )));
    let foreign = server.send(&Request::mint(&grant(
        &ample_quotas(),
        &secrets("chat:vllm"),
    )));

    assert_eq!(own.status, 200, "{own:?}");
    assert_error("another row", &foreign, 403, "serviceSecrets[0].url");
}
