//! `aisbreaker:network`: requests to another AIsBreaker server, and how its answers are read.

use std::{sync::Arc, time::Duration};

use aisbreaker_api::{ErrorObject, ServicePattern};
use aisbreaker_egress::UrlSource;
use aisbreaker_services::{
    Credentials, Reply, SealedSecret, ServiceError, ServiceRestrictions,
    services::{HOPS_HEADER, SEALED_HEADER},
};
use serde_json::{Value, json};

use crate::support::{
    SECRET, answer, call_with, events, in_answer, json_of, pieces, provider,
    provider::{Act, Provider},
    registry, user_text,
};

fn service(url: &str) -> Value {
    json!({
        "serviceId": "aisbreaker:network", "url": url,
        "forward2ServiceProps": {"serviceId": "chat:dummy", "greeting": "Moin"},
    })
}

fn prefix(url: &str) -> String {
    format!("AIsNetworkClientService(aisbreaker:network->{url}->chat:dummy): ")
}

fn final_answer() -> Value {
    json!({
        "outputs": [{"text": {"index": 0, "role": "assistant", "content": "Moin"}}],
        "conversationState": "eyJtZXNzYWdlcyI6W119",
        "usage": {
            "service": {"serviceId": "chat:dummy", "engine": "e", "url": "https://a.example/"},
            "totalTokens": 5, "totalMilliseconds": 7869, "warnings": ["w"], "price": {"cents": 1}, "cost": 0.5,
        },
        "internResponse": {"a": [1.5]},
    })
}

fn provider_error(url: &str, status: u16, text: &str, message: &str) -> ServiceError {
    let object = ErrorObject::new(status, text, format!("{}{message}", prefix(url)));
    ServiceError::Provider {
        error: Box::new(object),
        retry_after: None,
        is_in_answer: false,
    }
}

#[tokio::test]
async fn forwards_the_call_and_returns_the_answer_unchanged() {
    let provider = Provider::start([provider::json("200 OK", &final_answer())]).await;
    let response = answer(service(&provider.url()), user_text("a"))
        .await
        .unwrap();

    assert_eq!(json_of(&response), final_answer());
    let received = provider.request();
    assert!(
        received
            .head
            .starts_with("POST /api/v1/process HTTP/1.1\r\n"),
        "{}",
        received.head
    );
    assert_eq!(
        received.header("authorization"),
        Some(&*format!("Bearer {SECRET}"))
    );
    assert_eq!(received.header(HOPS_HEADER), Some("1"));
    assert_eq!(
        received.body,
        json!({
            "service": {"serviceId": "chat:dummy", "greeting": "Moin"},
            "request": {"inputs": [{"text": {"role": "user", "content": "a"}}], "stream": false},
        })
    );
}

#[tokio::test]
async fn forwards_a_stream() {
    let progress = json!({"outputs": [{"text":
        {"index": 0, "role": "assistant", "content": "Moin", "isDelta": true,
            "isProcessing": false}}],
        "internResponse": {"b": 1}});
    let body = format!(
        ": hello\n\nevent: ping\ndata: {{}}\n\nevent: progress\ndata: {progress}\n\n\
         event: final\ndata: {}\n\n",
        final_answer()
    );
    let provider = Provider::start([provider::stream(body.as_bytes().chunks(7))]).await;
    let (pieces, response) = pieces(service(&provider.url()), user_text("a")).await;

    assert_eq!(json_of(&pieces), json!([progress]));
    assert_eq!(json_of(&response), final_answer());
    assert_eq!(provider.request().body["request"]["stream"], true);
}

#[tokio::test]
async fn errors_are_passed_on_with_the_hop_as_prefix() {
    let not_found =
        json!({"error": {"message": "No factory", "statusCode": 404, "statusText": "Not Found"}});
    let rows = [
        (
            "404 Not Found",
            not_found.to_string(),
            404,
            "Not Found",
            "No factory",
        ),
        (
            "401 Unauthorized",
            json!({"error": {"message": "No."}}).to_string(),
            401,
            "Unauthorized",
            "No.",
        ),
        (
            "404 Not Found",
            "<html>".to_owned(),
            404,
            "Not Found",
            "the server answered with status 404 Not Found and no error message",
        ),
        (
            "200 OK",
            not_found.to_string(),
            404,
            "Not Found",
            "No factory",
        ),
        (
            "200 OK",
            json!({"error": {"message": SECRET}}).to_string(),
            502,
            "Bad Gateway",
            "***",
        ),
    ];
    for (status, body, code, text, message) in rows {
        for stream in [false, true] {
            let provider = Provider::start([provider::plain(status, "", &body)]).await;
            let error = if stream {
                events(service(&provider.url()), user_text("a"))
                    .await
                    .remove(0)
                    .unwrap_err()
            } else {
                answer(service(&provider.url()), user_text("a"))
                    .await
                    .unwrap_err()
            };
            let expected = provider_error(&provider.url(), code, text, message);
            let expected = if status == "200 OK" {
                in_answer(expected)
            } else {
                expected
            };
            assert_eq!(error, expected, "{status} {body}");
        }
    }
}

#[tokio::test]
async fn retry_after_is_passed_on() {
    let body =
        json!({"error": {"message": "Request quota exceeded", "statusCode": 429, "type": "quota"}});
    let script = provider::plain(
        "429 Too Many Requests",
        "retry-after: 60\r\n",
        body.to_string(),
    );
    let provider = Provider::start([script]).await;
    let error = answer(service(&provider.url()), user_text("a"))
        .await
        .unwrap_err();

    let message = format!("{}Request quota exceeded", prefix(&provider.url()));
    let mut object = ErrorObject::new(429, "Too Many Requests", message);
    object.kind = Some("quota".to_owned());
    let retry_after = Some(Duration::from_secs(60));
    assert_eq!(
        error,
        ServiceError::Provider {
            error: Box::new(object),
            retry_after,
            is_in_answer: false,
        }
    );
}

#[tokio::test]
async fn an_error_in_a_stream_is_passed_on() {
    let object = json!({"message": "too slow", "statusCode": 504, "statusText": "Gateway Timeout"});
    for data in [json!({"error": object}), object] {
        let body = format!("event: error\ndata: {data}\n\n");
        let provider = Provider::start([provider::stream([body.as_bytes()])]).await;
        let events = events(service(&provider.url()), user_text("a")).await;
        assert_eq!(
            events,
            [Err(in_answer(provider_error(
                &provider.url(),
                504,
                "Gateway Timeout",
                "too slow"
            )))]
        );
    }
}

#[tokio::test]
async fn a_prefix_is_not_added_twice() {
    let provider = Provider::start([]).await;
    let url = provider.url();
    let other = prefix("http://other.example");
    let rows = [
        (format!("{}No.", prefix(&url)), "No.".to_owned()),
        (format!("{other}{}No.", prefix(&url)), String::new()),
        (format!("{other}No."), format!("{other}No.")),
    ];
    for (message, after_prefix) in rows {
        let body = json!({"error": {"message": message, "statusCode": 404}});
        provider.then(provider::json("404 Not Found", &body));
        let error = answer(service(&url), user_text("a"))
            .await
            .unwrap_err()
            .to_string();
        let expected = if after_prefix.is_empty() {
            message
        } else {
            format!("{}{after_prefix}", prefix(&url))
        };
        assert_eq!(error, expected);
    }
}

#[tokio::test]
async fn the_prefix_masks_a_secret_but_not_a_placeholder() {
    let provider = Provider::start([]).await;
    let url = provider.url();
    let rows = [
        ("NoAuthProvided-in-AIsNetworkClientService", prefix(&url)),
        (url.as_str(), prefix("***")),
    ];
    for (secret, expected) in rows {
        provider.then(provider::plain("404 Not Found", "", ""));
        let registry = registry();
        let mut call = call_with(&registry, service(&url), user_text("a"));
        call.credentials = Arc::new(Credentials::Caller(secret.into()));
        let error = registry.call(call).await.unwrap_err().to_string();
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[tokio::test]
async fn unusable_answers_are_errors() {
    let unreadable = "the server's answer is not one of an AIsBreaker server";
    let rows = [
        (
            provider::plain("200 OK", "", "Hello"),
            "the server's answer is not valid JSON (line 1 column 1)".to_owned(),
        ),
        (provider::plain("200 OK", "", "{}"), unreadable.to_owned()),
        (
            provider::stream([&b"event: progress\ndata: {\"outputs\":[]}\n\n"[..]]),
            "the server's stream ended without a final answer".to_owned(),
        ),
        (
            provider::stream([&b"event: progress\ndata: {\"outputs\":7}\n\n"[..]]),
            unreadable.to_owned(),
        ),
        (
            provider::stream([&b"event: error\ndata: oops\n\n"[..]]),
            "the server's stream ended with an error that cannot be read".to_owned(),
        ),
        (
            vec![Act::Send(provider::EVENTS_HEAD.into()), Act::Close],
            "the service's answer was cut short or is not valid HTTP".to_owned(),
        ),
    ];
    for (script, expected) in rows {
        let provider = Provider::start([script]).await;
        let events = events(service(&provider.url()), user_text("a"))
            .await
            .pop()
            .unwrap();
        let expected = format!("{}{expected}", prefix(&provider.url()));
        assert_eq!(events, Err(ServiceError::BadAnswer(expected.into())));
    }
}

#[tokio::test]
async fn an_unreachable_server_is_named_in_the_error() {
    let url = provider::closed_port().await;
    let error = answer(service(&url), user_text("a")).await.unwrap_err();
    let text = format!(
        "{}the service refuses connections; check its url, or try again later (Error: connect ECONNREFUSED)",
        prefix(&url)
    );
    assert_eq!(error, ServiceError::Unreachable(text.into()));
}

#[tokio::test]
async fn a_loop_ends_after_eight_hops() {
    let provider = Provider::start([provider::json("200 OK", &final_answer())]).await;
    let registry = registry();
    let call = call_with(&registry, service(&provider.url()), user_text("a"));

    registry.call(call.clone().with_hops(7)).await.unwrap();
    assert_eq!(provider.request().header(HOPS_HEADER), Some("8"));

    let error = registry.call(call.with_hops(8)).await.unwrap_err();
    let text = "the call has passed 8 AIsBreaker servers already; look for a loop in service.url \
                and service.forward2ServiceProps";
    assert_eq!(error, ServiceError::BadRequest(text.into()));
    assert_eq!(provider.received().len(), 1);
}

#[tokio::test]
async fn a_sealed_secret_is_marked_for_the_next_server() {
    let registry = registry();
    for (secret, bearer, is_marked) in [
        ("sk-sealed", Some("Bearer sk-sealed"), true),
        ("{{secret}}", Some("Bearer sk-own"), false),
        ("", None, false),
        ("INVALID", None, false),
    ] {
        let provider = Provider::start([provider::json("200 OK", &final_answer())]).await;
        let pattern = ServicePattern::parse("aisbreaker:").unwrap();
        let sealed = SealedSecret::new(pattern, secret.into(), vec![provider.url()]);
        let mut call = call_with(&registry, service(&provider.url()), user_text("a"));
        call.credentials = Arc::new(Credentials::Sealed {
            secrets: vec![sealed],
            bearer: Some("sk-own".into()),
            restrictions: ServiceRestrictions::default(),
            url_source: UrlSource::Trusted,
        });

        registry.call(call).await.unwrap();

        let received = provider.request();
        assert_eq!(received.header("authorization"), bearer, "{secret:?}");
        assert_eq!(
            received.header(SEALED_HEADER),
            is_marked.then_some("1"),
            "{secret:?}"
        );
    }
}

#[tokio::test]
async fn calls_that_cannot_be_forwarded_are_refused() {
    let bad = |text: &str| ServiceError::BadRequest(text.into());
    let url = "http://127.0.0.1:9";
    let rows = [
        (
            json!({"serviceId": "aisbreaker:network", "url": url}),
            bad("service.forward2ServiceProps is missing"),
        ),
        (
            json!({"serviceId": "aisbreaker:proxy",
                "forward2ServiceProps": {"serviceId": "chat:dummy"}}),
            bad("service.url is missing, and this service has no default"),
        ),
        (
            json!({"serviceId": "aisbreaker:network", "url": url,
                "forward2ServiceProps": {"serviceId": "\n"}}),
            bad("service.forward2ServiceProps.serviceId must not contain control characters"),
        ),
    ];
    for (service, expected) in rows {
        assert_eq!(
            answer(service.clone(), user_text("a")).await.unwrap_err(),
            expected,
            "{service}"
        );
    }
}

#[tokio::test]
async fn mirror_reverses_an_answer_from_two_hops_away() {
    let provider = Provider::start([provider::json("200 OK", &final_answer())]).await;
    let far = json!({"serviceId": "aisbreaker:network", "url": "https://far.example",
        "forward2ServiceProps":
        {"serviceId": "aisbreaker:does-not-exist-here"}});
    let near = json!({"serviceId": "aisbreaker:proxy", "url": provider.url(),
        "forward2ServiceProps": far});
    let service = json!({"serviceId": "aisbreaker:mirror", "forward2ServiceProps": near});
    let registry = registry();
    let mut call = call_with(&registry, service, user_text("a"));
    call.credentials = Arc::new(Credentials::None);
    let Ok(Reply::Final(response)) = registry.call(call).await else {
        panic!("no answer")
    };

    assert_eq!(response.first_text(), Some("nioM"));
    let received = provider.request();
    assert_eq!(
        received.body["service"], far,
        "the rest of the chain is the other server's business"
    );
    assert_eq!(received.header("authorization"), None);
}
