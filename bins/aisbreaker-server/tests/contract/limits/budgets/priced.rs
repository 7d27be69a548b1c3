//! What a request costs in dollars where more than its tokens decides: the name of the model, its
//! service tier, and whether the end of the answer came.

use serde_json::{Value, json};

use super::{USD, chat, key, mint, send, shared::remaining_nanos};
use crate::support::{
    Provider, Server, ample_quotas,
    openai::{completion, content_event},
    provider_api::{CHAT, OPENAI_SECRET, post_with_key},
};

/// In nano-dollars.
const LIMIT: u64 = 1_000_000_000;

/// What is used of a budget of a dollar a day.
fn used(server: &Server, key: &str) -> u64 {
    LIMIT - remaining_nanos(server, key, USD)
}

/// A provider that answers in the tier that is asked for, or does not tell.
fn tiered(tells: bool) -> Provider {
    Provider::start(move |received, wire| {
        let request = received.json();
        let mut answer = completion("Hello");
        if tells {
            answer["service_tier"] = request["service_tier"].clone();
        }
        wire.json(200, &answer);
    })
}

#[test]
fn the_tier_that_was_served_is_paid_for() {
    let standard = 9 * 2_500 + 12 * 10_000;
    // Priority costs 1.7 times as much.
    let rows = [
        (json!("priority"), true, standard * 17 / 10),
        // A provider that does not tell may have served what was asked for.
        (json!("priority"), false, standard * 17 / 10),
        (json!("default"), true, standard),
        (json!("auto"), false, standard),
        (Value::Null, false, standard),
    ];
    for (tier, tells, expected) in rows {
        let provider = tiered(tells);
        let server = Server::with_loopback_egress(&[]);
        let key = key(&server, &provider, &json!({"global": {"usdPerDay": "1"}}));
        let body = chat("gpt-4o", &json!({"service_tier": tier, "max_tokens": 12}));
        let response = send(&server, &key, &body);
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(used(&server, &key), expected, "{tier}, told: {tells}");
    }
}

#[test]
fn a_stream_that_is_cut_costs_what_its_tier_may_cost() {
    let provider = Provider::start(|_, wire| {
        wire.stream();
        wire.chunk(content_event("a"));
        wire.close();
    });
    let server = Server::with_loopback_egress(&[]);
    let mut expected = 0;
    let key = key(&server, &provider, &json!({"global": {"usdPerDay": "1"}}));
    for (tier, factor) in [("priority", 17), ("flex", 10), ("default", 10)] {
        let members = json!({"service_tier": tier, "max_tokens": 500, "stream": true});
        let body = chat("gpt-4o", &members).to_string();
        let request = post_with_key(CHAT, &key, &*body).header("x-request-id", tier);
        let response = server.send(&request);
        assert_eq!(response.status, 200, "{response:?}");
        server.wait_for_request(tier);
        let input = u64::try_from(body.len()).unwrap().div_ceil(2);
        expected += (input * 2_500 + 500 * 10_000) * factor / 10;
        assert_eq!(used(&server, &key), expected, "{tier}");
    }
}

#[test]
fn priority_is_reserved_at_its_price() {
    let provider = tiered(true);
    let server = Server::with_loopback_egress(&[]);
    // Enough for the cap at the standard price, and not at 1.7 times that.
    let budgets = json!({"global": {"usdPerDay": "0.0075"}});
    let key = key(&server, &provider, &budgets);
    let body = |tier: &str| chat("gpt-4o", &json!({"service_tier": tier, "max_tokens": 500}));
    let refused = send(&server, &key, &body("priority"));
    assert_eq!(refused.status, 429, "{refused:?}");
    assert_eq!(provider.requests().len(), 0);
    assert_eq!(send(&server, &key, &body("default")).status, 200);
}

#[test]
fn a_model_costs_the_same_under_all_its_names() {
    let provider = Provider::with_response(200, completion("Hello"));
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint(&json!({"requestAuthAndQuotas": {
        "requestQuotas": ample_quotas(),
        "budgets": {"global": {"usdPerDay": "1"}},
        "modelAliases": {
            "cheap": "chat:openai.com/gpt-4o-mini",
            "gpt-4o-mini": "chat:openai.com/gpt-4o",
            "dated": "chat:openai.com/gpt-4o-2024-08-06",
            "unpriced": "chat:openai.com/no-such-model",
        },
        "serviceSecrets": [
            {"serviceId": "chat:openai.com", "authSecret": OPENAI_SECRET, "url": provider.url()},
        ],
    }}));
    let gpt_4o = 9 * 2_500 + 12 * 10_000;
    let mini = 9 * 150 + 12 * 600;
    let mut expected = 0;
    for (model, cost) in [
        ("cheap", mini),
        // The model that is called, not the one that is named.
        ("gpt-4o-mini", gpt_4o),
        ("dated", gpt_4o),
        ("gpt-4o-2024-11-20", gpt_4o),
        ("gpt-4o-2024-05-13", 9 * 5_000 + 12 * 15_000),
        ("openai.com/gpt-4o", gpt_4o),
        ("chat:openai.com/gpt-4o-2024-08-06", gpt_4o),
    ] {
        let response = send(&server, &key, &chat(model, &json!({"max_tokens": 12})));
        assert_eq!(response.status, 200, "{model}: {response:?}");
        expected += cost;
        assert_eq!(used(&server, &key), expected, "{model}");
    }
    let refused = send(&server, &key, &chat("unpriced", &json!({})));
    assert_eq!(refused.status, 403, "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "model_price_unknown");
}

/// Perplexity charges for each request beside its tokens.
#[test]
fn a_price_per_request_comes_beside_that_of_the_tokens() {
    let provider = Provider::with_response(200, completion("Hello"));
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint(&json!({"requestAuthAndQuotas": {
        "requestQuotas": ample_quotas(),
        "budgets": {"global": {"usdPerDay": "1"}},
        "serviceSecrets": [
            {"serviceId": "chat:perplexity.ai", "authSecret": OPENAI_SECRET, "url": provider.url()},
        ],
    }}));
    let body = chat("perplexity.ai/sonar-pro", &json!({"max_tokens": 12}));
    let response = send(&server, &key, &body);
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(used(&server, &key), 14_000_000 + 9 * 3_000 + 12 * 15_000);
    // What it may write is reserved as well: 60 000 tokens are 0.90 dollars.
    let large = chat("perplexity.ai/sonar-pro", &json!({"max_tokens": 70_000}));
    assert_eq!(send(&server, &key, &large).status, 429);
    assert_eq!(provider.requests().len(), 1);
    assert_eq!(
        mint(&server, &provider, &json!({"global": {"usdPerDay": "1"}})).status,
        200
    );
}
