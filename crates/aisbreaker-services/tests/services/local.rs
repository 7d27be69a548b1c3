//! `chat:dummy`, `chat:echo`, and the table of services.

use std::time::Duration;

use aisbreaker_services::{Providers, ServiceError};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{answer, json_of, pieces, registry, state_of, texts, user_text};

const DUMMY_ANSWER: &str = "Hello, this is the reponse to 'What is JavaScript?' from \
                            DummyAssistantService ... To get a useful answer, choose a different \
                            service/serviceId ...";

#[test]
fn registers_every_service() {
    let registry = registry();
    let mut ids: Vec<&str> = registry.ids().collect();
    ids.sort_unstable();
    let providers = Providers::builtin();
    let names = providers.iter().flat_map(|provider| provider.names());
    let chats: Vec<_> = names.map(|name| format!("chat:{name}")).collect();
    let mut expected = vec![
        "aisbreaker:logging",
        "aisbreaker:mirror",
        "aisbreaker:network",
        "aisbreaker:nop",
        "aisbreaker:proxy",
        "chat:dummy",
        "chat:echo",
        "chat:gemini.vertexai.google.com",
        "chat:replicate.com",
        "text-to-image:dummy",
        "text-to-image:openai.com",
        "text-to-image:stability.ai",
    ];
    expected.extend(chats.iter().map(String::as_str));
    expected.sort_unstable();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn dummy_answers_as_the_original_does() {
    let response = answer(
        json!({"serviceId": "chat:dummy"}),
        user_text("What is JavaScript?"),
    )
    .await
    .unwrap();

    assert_eq!(
        json_of(&response.outputs),
        json!([{"text": {"index": 0, "role": "assistant", "content": DUMMY_ANSWER}}])
    );
    assert_eq!(
        json_of(&response.usage.service),
        json!({"serviceId": "chat:dummy"})
    );
    assert_eq!(
        state_of(&response),
        json!({"messages": [
            {"input": {"text": {"role": "user", "content": "What is JavaScript?"}}},
            {"output": {"text": {"index": 0, "role": "assistant", "content": DUMMY_ANSWER}}},
        ]})
    );
}

#[tokio::test]
async fn dummy_appends_to_the_conversation() {
    let service = json!({"serviceId": "chat:dummy", "greeting": "Moin"});
    let first = answer(service.clone(), user_text("one")).await.unwrap();
    let mut request = user_text("two");
    request["conversationState"] = json!(first.conversation_state);
    let second = answer(service, request).await.unwrap();

    let messages = state_of(&second)["messages"].clone();
    let earlier = state_of(&first)["messages"].clone();
    assert_eq!(
        messages.as_array().unwrap()[..2],
        earlier.as_array().unwrap()[..]
    );
    assert_eq!(messages[2]["input"]["text"]["content"], "two");
    assert!(
        messages[3]["output"]["text"]["content"]
            .as_str()
            .unwrap()
            .starts_with("Moin, this is")
    );
}

#[tokio::test]
async fn dummy_streams_word_by_word() {
    let (pieces, response) = pieces(
        json!({"serviceId": "chat:dummy"}),
        user_text("What is JavaScript?"),
    )
    .await;

    assert_eq!(pieces.len(), 22);
    assert_eq!(
        json_of(&pieces[0]),
        json!({"outputs": [{"text":
            {"index": 0, "role": "assistant", "content": "Hello, ", "isDelta": true,
                "isProcessing": true}}]})
    );
    assert_eq!(
        json_of(&pieces[21]),
        json!({"outputs": [{"text":
            {"index": 0, "role": "assistant", "content": "...", "isDelta": true,
                "isProcessing": false}}]})
    );
    let whole: String = pieces
        .iter()
        .flat_map(|piece| texts(&piece.outputs))
        .collect();
    assert_eq!(whole, DUMMY_ANSWER);
    assert_eq!(response.first_text(), Some(DUMMY_ANSWER));
    assert!(!response.conversation_state.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn dummy_pauses_between_pieces_only_on_request() {
    let started = Instant::now();
    pieces(json!({"serviceId": "chat:dummy"}), user_text("a")).await;
    assert_eq!(started.elapsed(), Duration::ZERO);

    let (pieces, response) = pieces(
        json!({"serviceId": "chat:dummy", "delayMillis": 1000}),
        user_text("a"),
    )
    .await;
    let pauses = u64::try_from(pieces.len()).unwrap() - 1;
    assert_eq!(started.elapsed().as_secs(), pauses);
    assert_eq!(response.usage.total_milliseconds, pauses * 1000);
}

#[tokio::test]
async fn dummy_refuses_invalid_properties() {
    let greeting = "service.greeting must be a string";
    let delay = "service.delayMillis must be a whole number from 0 to 1000";
    let rows = [
        (json!({"greeting": 7}), Some(greeting)),
        (json!({"greeting": {}}), Some(greeting)),
        (json!({"delayMillis": 1001}), Some(delay)),
        (json!({"delayMillis": -1}), Some(delay)),
        (json!({"delayMillis": 0.5}), Some(delay)),
        (json!({"delayMillis": "5"}), Some(delay)),
        (json!({"greeting": null, "delayMillis": null}), None),
        (json!({"greeting": "", "delayMillis": 1000}), None),
    ];
    for (mut properties, expected) in rows {
        properties["serviceId"] = json!("chat:dummy");
        let error = answer(properties.clone(), user_text("a")).await.err();
        assert_eq!(
            error,
            expected.map(|text| ServiceError::BadRequest(text.into())),
            "{properties}"
        );
    }
}

#[tokio::test]
async fn echo_repeats_every_text() {
    let request = json!({"inputs": [
        {"text": {"role": "user", "content": "a"}},
        {"image": {"role": "user", "url": "https://a.example/b.png"}},
        {"text": {"role": "system", "content": "b"}},
    ]});
    let response = answer(json!({"serviceId": "chat:echo"}), request.clone())
        .await
        .unwrap();

    assert_eq!(
        json_of(&response.outputs),
        json!([
            {"text": {"index": 0, "role": "assistant", "content": "[ECHO] a"}},
            {"text": {"index": 1, "role": "assistant", "content": "[ECHO] b"}},
        ])
    );
    assert_eq!(state_of(&response)["messages"].as_array().unwrap().len(), 5);

    let (pieces, streamed) = pieces(json!({"serviceId": "chat:echo"}), request).await;
    let streamed_texts: Vec<&str> = pieces
        .iter()
        .flat_map(|piece| texts(&piece.outputs))
        .collect();
    assert_eq!(streamed_texts, ["[ECHO] a", "[ECHO] b"]);
    assert_eq!(streamed.outputs, response.outputs);
}

#[tokio::test]
async fn an_invalid_conversation_state_is_refused() {
    let expected = "request.conversationState is not a conversation state of an earlier answer; \
                    send it back unchanged, or leave it out";
    for service_id in ["chat:dummy", "chat:echo", "chat:openai.com"] {
        let mut request = user_text("a");
        request["conversationState"] = json!("AAAA");
        let error = answer(json!({"serviceId": service_id}), request)
            .await
            .unwrap_err();
        assert_eq!(
            error,
            ServiceError::BadRequest(expected.into()),
            "{service_id}"
        );
    }
}
