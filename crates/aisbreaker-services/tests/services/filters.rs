//! `aisbreaker:mirror`, `aisbreaker:nop` and `aisbreaker:logging`.

use std::{
    fmt::{self, Write as _},
    sync::{Arc, Mutex},
};

use aisbreaker_api::{Output, OutputText, Response, ServiceId, ServicePattern, Usage};
use aisbreaker_egress::{Timeouts, UrlSource};
use aisbreaker_services::{
    Call, Credential, Credentials, Reply, ReplyFuture, SealedSecret, Service, ServiceError,
    ServiceRestrictions,
    services::{Options, standard},
};
use serde_json::{Value, json};

use crate::support::{
    answer, call_with, client, json_of, pieces, state_of, streamed, texts, user_text,
};

fn before(filter: &str, inner: &Value) -> Value {
    json!({"serviceId": filter, "forward2ServiceProps": inner})
}

#[tokio::test]
async fn mirror_reverses_the_text_and_keeps_the_state() {
    let service = before("aisbreaker:mirror", &json!({"serviceId": "chat:echo"}));
    let response = answer(service, user_text("Grüße 🦀!")).await.unwrap();

    assert_eq!(texts(&response.outputs), ["!🦀 eßürG ]OHCE["]);
    assert_eq!(
        json_of(&response.usage.service),
        json!({"serviceId": "aisbreaker:mirror/service/chat:echo"})
    );
    assert_eq!(
        state_of(&response)["messages"][1]["output"]["text"]["content"],
        "[ECHO] Grüße 🦀!"
    );
}

#[tokio::test]
async fn mirror_reverses_each_piece_and_the_whole_final_text() {
    let service = before("aisbreaker:mirror", &json!({"serviceId": "chat:dummy"}));
    let (pieces, response) = pieces(service, user_text("JavaScript")).await;

    assert_eq!(texts(&pieces[0].outputs), [" ,olleH"]);
    assert_eq!(texts(&pieces[1].outputs), [" siht"]);
    let text = response.first_text().unwrap();
    assert!(
        text.contains("'tpircSavaJ'") && text.ends_with(" ,olleH"),
        "{text}"
    );
}

#[tokio::test]
async fn filters_can_be_chained() {
    let mirrored = before("aisbreaker:mirror", &json!({"serviceId": "chat:echo"}));
    let service = before(
        "aisbreaker:logging",
        &before("aisbreaker:nop", &before("aisbreaker:mirror", &mirrored)),
    );
    let response = answer(service.clone(), user_text("abc")).await.unwrap();
    assert_eq!(texts(&response.outputs), ["[ECHO] abc"]);
    let twice = "aisbreaker:mirror/service/aisbreaker:mirror/service/chat:echo";
    assert_eq!(response.usage.service.service_id, twice);

    let (pieces, streamed) = pieces(service, user_text("abc")).await;
    assert_eq!(texts(&pieces[0].outputs), ["[ECHO] abc"]);
    assert_eq!(streamed.outputs, response.outputs);
}

#[tokio::test]
async fn a_filter_refuses_targets_that_it_cannot_call() {
    let deep = (0..17).fold(json!({"serviceId": "chat:echo"}), |inner, _| {
        before("aisbreaker:nop", &inner)
    });
    let allowed = (0..16).fold(json!({"serviceId": "chat:echo"}), |inner, _| {
        before("aisbreaker:nop", &inner)
    });
    let bad = |text: &str| Err(ServiceError::BadRequest(text.into()));
    let rows = [
        (
            json!({"serviceId": "aisbreaker:mirror"}),
            bad("service.forward2ServiceProps is missing"),
        ),
        (
            before("aisbreaker:nop", &json!({"serviceId": ""})),
            bad("service.forward2ServiceProps.serviceId must not be empty"),
        ),
        (
            before("aisbreaker:logging", &json!({"serviceId": "chat:invalid"})),
            Err(ServiceError::UnknownService {
                service_id: "chat:invalid".to_owned(),
                nearest: None,
            }),
        ),
        (
            deep,
            bad("service.forward2ServiceProps is nested more than 16 deep"),
        ),
        (allowed, Ok("[ECHO] a".to_owned())),
    ];
    for (service, expected) in rows {
        let result = answer(service.clone(), user_text("a")).await;
        assert_eq!(
            result.map(|response| response.first_text().unwrap().to_owned()),
            expected,
            "{service}"
        );
    }
}

/// Answers with the kind of secret it got.
struct SecretKind;

impl Service for SecretKind {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(async move {
            let credential = call.credentials.for_service(&call.service_id);
            let kind = if matches!(credential, Credential::Bound { .. }) {
                "bound"
            } else {
                "other"
            };
            let outputs = vec![Output::Text(OutputText::new(0, kind))];
            Ok(Reply::Final(Response::new(
                outputs,
                Usage::new(call.service_id.as_str()),
            )))
        })
    }
}

#[tokio::test]
async fn a_filter_looks_up_the_secret_of_the_service_behind_it() {
    let id = ServiceId::parse("chat:secret-kind").unwrap();
    let registry = standard(client(Timeouts::default()), Options::default())
        .with(&id, SecretKind)
        .build();
    let service = before(
        "aisbreaker:mirror",
        &json!({"serviceId": "chat:secret-kind"}),
    );
    let mut call = call_with(&registry, service, streamed(user_text("a")));
    let pattern = ServicePattern::parse("chat:secret-kind").unwrap();
    let secrets = vec![SealedSecret::new(pattern, "s".into(), Vec::new())];
    call.credentials = Arc::new(Credentials::Sealed {
        secrets,
        bearer: None,
        restrictions: ServiceRestrictions::default(),
        url_source: UrlSource::Trusted,
    });

    // A whole answer to a request for a stream is passed on as it is.
    let Ok(Reply::Final(response)) = registry.call(call).await else {
        panic!("no answer")
    };
    assert_eq!(response.first_text(), Some("dnuob"));
}

/// Collects what is logged, as `name=value` of every field.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("aisbreaker_services")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut log = self.0.lock().unwrap();
        event.record(
            &mut |field: &tracing::field::Field, value: &dyn fmt::Debug| {
                write!(log, "{field}={value:?} ").unwrap();
            },
        );
        log.push('\n');
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn logging_logs_sizes_and_times_but_never_content() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let dummy = json!({"serviceId": "chat:dummy", "delayMillis": 1});
    let failing_id = format!("chat:openai.com/\u{202e}model{}", "x".repeat(200));
    let failing = json!({"serviceId": failing_id, "url": "x"});
    let unknown = json!({"serviceId": "chat:what-a-caller-wrote"});
    answer(before("aisbreaker:logging", &dummy), user_text("canary"))
        .await
        .unwrap();
    pieces(before("aisbreaker:logging", &dummy), user_text("canary")).await;
    answer(before("aisbreaker:logging", &failing), user_text("canary"))
        .await
        .unwrap_err();
    answer(before("aisbreaker:logging", &unknown), user_text("canary"))
        .await
        .unwrap_err();

    let lines = log.0.lock().unwrap().clone();
    let id = format!("chat:openai.com/\\u{{202e}}model{}", "x".repeat(78));
    let called = "message=service called service=\"chat:dummy\" inputs=1 input_bytes=6";
    let answered = "message=service answered service=\"chat:dummy\" outputs=1 output_bytes=134";
    let expected = [
        format!("{called} stream=false "),
        format!("{answered} pieces=0 milliseconds=0 "),
        format!("{called} stream=true "),
        format!("{answered} pieces=20 milliseconds=19 "),
        format!("message=service called service=\"{id}\" inputs=1 input_bytes=6 stream=false "),
        format!(
            "message=service failed service=\"{id}\" kind=\"bad request\" pieces=0 milliseconds=0 "
        ),
    ];
    assert_eq!(lines.lines().collect::<Vec<_>>(), expected);
}
