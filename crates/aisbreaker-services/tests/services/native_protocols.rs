//! What every service with a protocol of its own has in common: settings, limits, cancellation.

use aisbreaker_api::Origin;
use aisbreaker_egress::{Bounds, MemoryBudget, Timeouts};
use aisbreaker_services::{
    Registry, Reply, ServiceError,
    services::{Options, configurable_ids, standard},
};
use futures_util::StreamExt as _;
use serde_json::json;

use crate::support::{
    call_with, client, golden, json_bytes,
    provider::{self, Provider},
    registry, sealed_call, streamed, user_text,
};

#[tokio::test]
async fn an_operator_may_set_an_engine_and_further_origins() {
    let rows = [
        ("chat:anthropic.com", "an-engine"),
        ("chat:gemini", "an-engine"),
        ("chat:gemini.google.com", "an-engine"),
        ("chat:gemini.vertexai.google.com", "an-engine"),
        ("chat:replicate.com", "an/engine"),
        ("text-to-image:openai.com", "an-engine"),
        ("text-to-image:stability.ai", "an-engine"),
    ];
    for (id, engine) in rows {
        let provider = Provider::start([provider::plain("418 I'm a teapot", "", "")]).await;
        let mut options = Options::default();
        assert!(
            configurable_ids(&options.providers).contains(&id.to_owned()),
            "{id}"
        );
        options.engines.insert(id.to_owned(), engine.to_owned());
        options
            .operator_origins
            .insert(id.to_owned(), vec![Origin::parse(&provider.url()).unwrap()]);
        let registry = standard(client(Timeouts::default()), options).build();
        let mut call = sealed_call(&registry, id, "https://bound.invalid", user_text("a"));
        call.service.url = Some(provider.url());

        let error = registry.call(call).await.unwrap_err();

        let ServiceError::Provider { error, .. } = error else {
            panic!("{id}: {error:?}")
        };
        assert_eq!(error.status_code, 418, "{id}");
        let received = provider.request();
        let sent = format!(
            "{}{}",
            received.head,
            String::from_utf8(received.bytes).unwrap()
        );
        assert!(sent.contains(engine), "{id}: {sent}");
    }
}

#[tokio::test]
async fn an_operators_row_replaces_a_service_with_its_own_protocol() {
    let row = "[[provider]]\nid = \"replicate.com\"\nopenai = \"/openai/v1\"";
    let mut options = Options::default();
    options.providers = options
        .providers
        .with_rows(toml::from_str(row).unwrap())
        .unwrap();
    let provider = Provider::start([provider::plain("418 I'm a teapot", "", "")]).await;
    let registry = standard(client(Timeouts::default()), options).build();
    let service = json!({"serviceId": "chat:replicate.com/m", "url": provider.url()});
    registry
        .call(call_with(&registry, service, user_text("a")))
        .await
        .unwrap_err();

    let head = provider.request().head;
    assert!(
        head.starts_with("POST /openai/v1/chat/completions HTTP/1.1\r\n"),
        "{head}"
    );
}

/// More than the memory budget leaves uncounted.
const LONG_BYTES: usize = 20_000;

/// Services with protocols of their own, with the golden file of an answer each; a chat that
/// streams has its stream as well.
const ANSWERS: &[(&str, &str, &str)] = &[
    ("chat:anthropic.com/m", "anthropic.com", "answer.json"),
    ("chat:anthropic.com/m", "anthropic.com", "stream.txt"),
    (
        "chat:gemini.google.com/m",
        "gemini.google.com",
        "answer.json",
    ),
    (
        "chat:gemini.google.com/m",
        "gemini.google.com",
        "stream.txt",
    ),
    ("chat:replicate.com/o/m", "replicate.com", "answer.json"),
    (
        "text-to-image:openai.com",
        "images.openai.com",
        "answer.json",
    ),
    (
        "text-to-image:stability.ai",
        "images.stability.ai",
        "answer.json",
    ),
];

/// Returns how a call ends whose answer is made longer: by spaces, or in a stream by its text.
async fn outcome_of_long_answer(
    registry: &Registry,
    answer: (&str, &str, &str),
    budget: MemoryBudget,
) -> Result<(), ServiceError> {
    let (id, directory, file) = answer;
    let (mut text, is_streamed) = (
        String::from_utf8(golden(directory, file)).unwrap(),
        file == "stream.txt",
    );
    if is_streamed {
        text = text.replace("\"Par\"", &format!("\"{}\"", "Par".repeat(LONG_BYTES / 3)));
    } else {
        text.push_str(&" ".repeat(LONG_BYTES));
    }
    let bytes = text.into_bytes();
    let script = if is_streamed {
        provider::stream([&*bytes])
    } else {
        json_bytes(&bytes)
    };
    let provider = Provider::start([script]).await;
    let request = if is_streamed {
        streamed(user_text("a"))
    } else {
        user_text("a")
    };
    let call = sealed_call(registry, id, &provider.url(), request).with_budget(budget);
    let Reply::Stream(events) = registry.call(call).await? else {
        return Ok(());
    };
    let last = events.collect::<Vec<_>>().await.pop().unwrap();
    last.map(|_final| ())
}

#[tokio::test]
async fn collected_bytes_count_against_the_calls_memory_budget() {
    let registry = registry();
    for answer in ANSWERS {
        assert_eq!(
            outcome_of_long_answer(&registry, *answer, MemoryBudget::new(1 << 20)).await,
            Ok(()),
            "{answer:?}"
        );

        let spent = outcome_of_long_answer(&registry, *answer, MemoryBudget::new(3)).await;
        assert!(
            matches!(spent, Err(ServiceError::Overloaded(_))),
            "{answer:?}: {spent:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_an_error() {
    let mut bounds = Bounds::default();
    bounds.max_collected_bytes = 5;
    let client = client(Timeouts::default()).with_bounds(bounds);
    let registry = standard(client, Options::default()).build();
    for answer in ANSWERS {
        let result = outcome_of_long_answer(&registry, *answer, MemoryBudget::default()).await;
        let Err(ServiceError::BadAnswer(detail)) = result else {
            panic!("{answer:?}: {result:?}")
        };
        assert!(
            detail
                .text()
                .ends_with("the service's answer is longer than 5 bytes"),
            "{answer:?}: {detail}"
        );
    }
}

#[tokio::test]
async fn a_silent_provider_times_out() {
    let timeouts = Timeouts::default().with_response(std::time::Duration::from_millis(50));
    let registry = standard(client(timeouts), Options::default()).build();
    for (id, ..) in ANSWERS {
        let provider = Provider::start([vec![provider::Act::Hold]]).await;
        let error = registry
            .call(sealed_call(&registry, id, &provider.url(), user_text("a")))
            .await
            .unwrap_err();

        assert!(matches!(error, ServiceError::Timeout(_)), "{id}: {error:?}");
        provider.was_closed().await;
    }
}

#[tokio::test]
async fn dropping_a_call_closes_the_connection_to_the_provider() {
    let registry = registry();
    for (id, ..) in ANSWERS {
        let provider = Provider::start([vec![provider::Act::Hold]]).await;
        let call = sealed_call(&registry, id, &provider.url(), user_text("a"));
        let calling = registry.call(call);
        let received = async {
            while provider.received().is_empty() {
                tokio::task::yield_now().await
            }
        };
        tokio::select! {
            reply = calling => panic!("{id}: {reply:?}"),
            () = received => {}
        }
        provider.was_closed().await;
    }
}
