//! A key that is restricted to services: what a call reaches is what counts, and nothing else
//! leaves.

use std::sync::Arc;

use aisbreaker_api::{ServiceId, ServicePattern};
use aisbreaker_egress::{Timeouts, UrlSource};
use aisbreaker_services::{
    Call, Credentials, Registry, SealedSecret, ServiceError, ServiceRestrictions,
    services::{Options, standard},
};
use serde_json::{Value, json};

use crate::support::{
    SECRET, call_with, client, json_bytes,
    provider::{Provider, plain},
    user_text,
};

fn pattern(text: &str) -> ServicePattern {
    ServicePattern::parse(text).unwrap()
}

/// Returns a key with a secret for every service, bound to this URL, and these restrictions.
fn key(url: &str, lists: &[&[&str]]) -> Credentials {
    let lists = lists.iter().map(|list| {
        let patterns = list.iter().map(|text| pattern(text));
        patterns.collect()
    });
    Credentials::Sealed {
        secrets: vec![SealedSecret::new(
            pattern(""),
            SECRET.into(),
            vec![url.to_owned()],
        )],
        bearer: None,
        url_source: UrlSource::Trusted,
        restrictions: ServiceRestrictions::new(lists.collect()),
    }
}

fn registry() -> Registry {
    let mut options = Options::default();
    let engine = ("chat:groq.com".to_owned(), "default-model".to_owned());
    options.engines.extend([engine]);
    standard(client(Timeouts::default()), options).build()
}

fn call(service: Value, options: Value, credentials: Credentials) -> Call {
    let mut request = user_text("hello");
    request["internOptions"] = options;
    let mut call = call_with(&registry(), service, request);
    call.credentials = Arc::new(credentials);
    call
}

fn filtered(filters: &[&str], inner: Value) -> Value {
    filters.iter().rev().fold(
        inner,
        |inner, filter| json!({"serviceId": filter, "forward2ServiceProps": inner}),
    )
}

/// Where a call must not arrive, and what the refusal names.
const REFUSED: &[(&[&str], &str, &str, &str)] = &[
    // Restriction, service id, option `model`, what is refused.
    (&[], "chat:dummy", "", "chat:dummy"),
    (&["chat:openai.com"], "chat:dummy", "", "chat:dummy"),
    (
        &["chat:openai.com"],
        "chat:groq.com",
        "m",
        "chat:groq.com/m",
    ),
    (&["chat:groq"], "chat:groq.com", "m", "chat:groq.com/m"),
    (
        &["chat:groq.com/m"],
        "chat:groq.com",
        "",
        "chat:groq.com/default-model",
    ),
    (
        &["chat:groq.com/m"],
        "chat:groq.com",
        "n",
        "chat:groq.com/n",
    ),
    (
        &["chat:groq.com/m"],
        "chat:groq.com/",
        "n",
        "chat:groq.com/n",
    ),
    (
        &["chat:groq.com/m"],
        "chat:groq.com/n",
        "m",
        "chat:groq.com/n",
    ),
    (
        &["chat:groq.com/m"],
        "chat:groq.com//m",
        "",
        "chat:groq.com//m",
    ),
    (
        &["chat:groq.com/m"],
        "chat:groq.com/m/../n",
        "",
        "chat:groq.com/m/../n",
    ),
    (
        &["chat:groq.com/m"],
        "chat:groq.com/M",
        "",
        "chat:groq.com/M",
    ),
    (
        &["chat:openai.com/m"],
        "chat:openai.com",
        "",
        "chat:openai.com/gpt-4.1-mini",
    ),
    (
        &["chat:anthropic.com/m"],
        "chat:anthropic.com",
        "n",
        "chat:anthropic.com/n",
    ),
    (
        &["chat:gemini.google.com/m"],
        "chat:gemini.google.com",
        "n",
        "chat:gemini.google.com/n",
    ),
    (
        &["chat:replicate.com/a/b"],
        "chat:replicate.com",
        "a/c",
        "chat:replicate.com/a/c",
    ),
    (
        &["chat:openai.com"],
        "text-to-image:openai.com",
        "",
        "text-to-image:openai.com/gpt-image-1",
    ),
    (
        &["text-to-image:openai.com/gpt-image-1"],
        "text-to-image:openai.com",
        "dall-e-3",
        "text-to-image:openai.com/dall-e-3",
    ),
    (
        &["text-to-image:stability.ai/core"],
        "text-to-image:stability.ai/ultra",
        "",
        "text-to-image:stability.ai/ultra",
    ),
    (
        &["text-to-image:stability.ai/sd3"],
        "text-to-image:stability.ai/sd3",
        "sd3.5-large",
        "text-to-image:stability.ai/sd3.5-large",
    ),
];

#[tokio::test]
async fn nothing_but_the_services_of_the_restriction_is_reached_behind_any_filter() {
    let provider = Provider::start([]).await;
    let chains: [&[&str]; 5] = [
        &[],
        &["aisbreaker:mirror"],
        &["aisbreaker:nop"],
        &["aisbreaker:logging"],
        &["aisbreaker:logging", "aisbreaker:nop", "aisbreaker:mirror"],
    ];
    for (restriction, id, model, refused) in REFUSED {
        for chain in chains {
            for lists in [&[*restriction][..], &[&[""], *restriction][..]] {
                let options = if model.is_empty() {
                    json!({})
                } else {
                    json!({"model": model})
                };
                let service = filtered(chain, json!({"serviceId": id}));
                let call = call(service, options, key(&provider.url(), lists));
                let error = call.registry.clone().call(call).await.unwrap_err();
                let what = (*refused).to_owned();
                assert_eq!(
                    error,
                    ServiceError::Restricted { what },
                    "{lists:?} {chain:?} {id}"
                );
            }
        }
    }
    assert_eq!(provider.received().len(), 0);
}

#[tokio::test]
async fn another_server_is_asked_for_nothing_else_either() {
    let provider = Provider::start([]).await;
    let m: &[&str] = &["chat:groq.com/m"];
    let rows: [(&[&str], Value, Value); 8] = [
        (m, json!({"serviceId": "chat:groq.com/n"}), json!({})),
        // The other server may have another default, and another version of this one's rules.
        (
            m,
            json!({"serviceId": "chat:groq.com"}),
            json!({"model": "m"}),
        ),
        (m, json!({"serviceId": "chat:unknown.example/m"}), json!({})),
        (
            m,
            filtered(
                &["aisbreaker:mirror"],
                json!({"serviceId": "chat:groq.com/n"}),
            ),
            json!({}),
        ),
        (
            m,
            filtered(&["aisbreaker:network"], json!({"serviceId": "chat:dummy"})),
            json!({}),
        ),
        (
            m,
            json!({"serviceId": "chat:groq.com/m", "url": "https://a.example"}),
            json!({}),
        ),
        (
            m,
            json!({"serviceId": "chat:groq.com/m"}),
            json!({"models": ["n"]}),
        ),
        (
            &["text-to-image:stability.ai/sd3"],
            json!({"serviceId": "text-to-image:stability.ai/sd3"}),
            json!({"model": "sd3.5-large"}),
        ),
    ];
    for (restriction, inner, options) in rows {
        for chain in [
            &["aisbreaker:network"][..],
            &["aisbreaker:nop", "aisbreaker:proxy"][..],
        ] {
            let service = filtered(chain, inner.clone());
            let call = call(
                service,
                options.clone(),
                key(&provider.url(), &[restriction]),
            );
            let error = call.registry.clone().call(call).await.unwrap_err();
            assert!(
                matches!(error, ServiceError::Restricted { .. }),
                "{inner}: {error:?}"
            );
        }
    }
    assert_eq!(provider.received().len(), 0);

    provider.then(json_bytes("{}"));
    let allowed = filtered(
        &["aisbreaker:network"],
        json!({"serviceId": "chat:groq.com/m"}),
    );
    let call = call(allowed, json!({}), key(&provider.url(), &[m]));
    let _unread_answer = call.registry.clone().call(call).await;
    assert_eq!(provider.received().len(), 1);
}

#[tokio::test]
async fn where_only_an_engine_is_allowed_nothing_else_may_choose_one() {
    let provider = Provider::start([]).await;
    let url = provider.url();
    let models: &[&str] = &["chat:groq.com/m"];
    let everything: &[&str] = &["chat:groq.com"];
    let other_path = format!("{url}/v1/other#no-default-path");
    // The restriction, the URL and the options of a call, and what is refused of it.
    type Row<'a> = (&'a [&'a str], Option<&'a str>, Value, Option<&'a str>);
    let rows: [Row<'_>; 8] = [
        (models, None, json!({}), None),
        (models, Some(&url), json!({}), None),
        (
            models,
            Some(&other_path),
            json!({}),
            Some("service.url, which could choose another model"),
        ),
        (
            models,
            None,
            json!({"models": ["n"]}),
            Some("request.internOptions.models, which could choose another model"),
        ),
        (
            models,
            None,
            json!({"Fallbacks": []}),
            Some("request.internOptions.Fallbacks, which could choose another model"),
        ),
        (models, None, json!({"temperature": 1}), None),
        (everything, Some(&other_path), json!({}), None),
        (everything, None, json!({"models": ["n"]}), None),
    ];
    for (restriction, service_url, options, refused) in rows {
        let mut service = json!({"serviceId": "chat:groq.com/m"});
        if let Some(url) = service_url {
            service["url"] = json!(url);
        }
        let before = provider.received().len();
        provider.then(json_bytes("{}"));
        let call = call(service, options, key(&url, &[restriction]));
        let outcome = call.registry.clone().call(call).await;
        let row = (restriction, service_url);
        match refused {
            Some(what) => {
                let what = what.to_owned();
                assert_eq!(
                    outcome.unwrap_err(),
                    ServiceError::Restricted { what },
                    "{row:?}"
                );
                assert_eq!(provider.received().len(), before, "{row:?}");
            }
            None => assert_eq!(provider.received().len(), before + 1, "{row:?} {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn a_fallback_that_is_not_allowed_is_left_out() {
    let failing = Provider::start([plain("503 Down", "", "")]).await;
    let forbidden = Provider::start([]).await;
    let entry =
        |id: &str, url: &str| SealedSecret::new(pattern(id), SECRET.into(), vec![url.to_owned()]);
    let fallback = ["chat:groq.com/n", "chat:mistral.ai/m", "aisbreaker:nop"];
    let fallback = fallback.map(|id| ServiceId::parse(id).unwrap()).to_vec();
    let credentials = Credentials::Sealed {
        secrets: vec![
            entry("chat:openai.com", &failing.url()).with_fallback(fallback),
            entry("", &forbidden.url()),
        ],
        bearer: None,
        url_source: UrlSource::Trusted,
        restrictions: ServiceRestrictions::new(vec![vec![
            pattern("chat:openai.com/m"),
            pattern("chat:groq.com/m"),
        ]]),
    };
    let call = call(
        json!({"serviceId": "chat:openai.com/m"}),
        json!({}),
        credentials,
    );
    let error = call.registry.clone().call(call).await.unwrap_err();

    assert!(matches!(error, ServiceError::Provider { .. }), "{error:?}");
    assert_eq!(failing.received().len(), 1);
    assert_eq!(forbidden.received().len(), 0);
}
