//! Broken and hostile providers: every fault is an error, never a hang or a short answer.

use std::time::Duration;

use aisbreaker_api::Response;
use aisbreaker_egress::Timeouts;
use aisbreaker_services::{
    Event, Reply, ServiceError,
    services::{Options, standard},
};
use futures_util::StreamExt as _;
use serde_json::json;

use crate::support::{
    SECRET, call_with, client, provider,
    provider::{Act, Provider},
    user_text,
};

pub(super) const PIECE: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
pub(super) const FINISHED: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

/// Returns how a call ended: its text, or the kind of its error and the text without the prefix.
fn summary(result: &Result<Response, ServiceError>) -> String {
    let (kind, text) = match result {
        Ok(response) => return format!("ok {}", response.first_text().unwrap_or_default()),
        Err(ServiceError::Provider {
            error, retry_after, ..
        }) => {
            let wait = retry_after
                .map(|wait| format!(" after {wait:?}"))
                .unwrap_or_default();
            (
                format!("{} {}{wait}", error.status_code, error.status_text),
                error.message.clone(),
            )
        }
        Err(ServiceError::BadAnswer(detail)) => ("bad answer".to_owned(), detail.to_string()),
        Err(ServiceError::NoAnswer(detail)) => ("no answer".to_owned(), detail.to_string()),
        Err(ServiceError::Unreachable(detail)) => ("unreachable".to_owned(), detail.to_string()),
        Err(ServiceError::Timeout(detail)) => ("timeout".to_owned(), detail.to_string()),
        Err(other) => panic!("not expected of a provider: {other:?}"),
    };
    let text = text.strip_prefix("chat:openai.com: ").expect("the prefix");
    format!("{kind}: {text}")
}

async fn outcome(url: &str, stream: bool, timeouts: Timeouts) -> String {
    let registry = standard(client(timeouts), Options::default()).build();
    let service = json!({"serviceId": "chat:openai.com", "url": url});
    let mut request = user_text("a");
    request["stream"] = json!(stream);
    let result = match registry.call(call_with(&registry, service, request)).await {
        Err(error) => Err(error),
        Ok(Reply::Final(response)) => Ok(response),
        Ok(Reply::Stream(events)) => {
            let mut events: Vec<_> = events.collect().await;
            match events.pop().expect("an event") {
                Err(error) => Err(error),
                Ok(Event::Final(response)) => Ok(response),
                Ok(Event::Progress(_)) => panic!("the stream ended without a final event"),
            }
        }
        Ok(other) => panic!("{other:?}"),
    };
    summary(&result)
}

pub(super) async fn check(name: &str, stream: bool, script: Vec<Act>, expected: &str) {
    let provider = Provider::start([script]).await;
    let outcome = outcome(&provider.url(), stream, Timeouts::default()).await;
    assert_eq!(outcome, expected, "{name}, stream: {stream}");
    assert_eq!(
        provider.received().len(),
        1,
        "{name}: a request is sent once"
    );
}

pub(super) fn send(bytes: impl Into<Vec<u8>>) -> Act {
    Act::Send(bytes.into())
}

pub(super) const CUT: &str = "bad answer: the service's answer was cut short or is not valid HTTP";

const BROKEN: &str = "no answer: the connection to the service broke before its answer came, or \
                      what came is not valid HTTP; try again";

#[tokio::test]
async fn faults_before_the_body_are_errors_whole_and_streamed() {
    let error = json!({"error": {"message": "No."}}).to_string();
    type Row = (&'static str, fn(&str) -> Vec<Act>, &'static str);
    let rows: [Row; 17] = [
        ("reset", |_| vec![Act::Reset], BROKEN),
        ("closed", |_| vec![Act::Close], BROKEN),
        (
            "closed in the head",
            |_| vec![send("HTTP/1.1 200 OK\r\ncontent-ty"), Act::Close],
            BROKEN,
        ),
        (
            "not HTTP",
            |_| vec![send("SSH-2.0-OpenSSH_9\r\n"), Act::Close],
            BROKEN,
        ),
        (
            "401",
            |body| provider::plain("401 Unauthorized", "", body),
            "401 Unauthorized: No.",
        ),
        (
            "429 with a wait",
            |body| provider::plain("429 Too Many Requests", "retry-after: 7\r\n", body),
            "429 Too Many Requests after 7s: No.",
        ),
        (
            "429 with a date",
            |body| {
                provider::plain(
                    "429 Nope",
                    "retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n",
                    body,
                )
            },
            "429 Too Many Requests: No.",
        ),
        (
            "429 with a date by the provider's clock",
            |body| {
                let dates = "date: Wed, 21 Oct 2015 07:27:00 GMT\r\n\
                             retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n";
                provider::plain("429 Nope", dates, body)
            },
            "429 Too Many Requests after 60s: No.",
        ),
        (
            "500 in HTML",
            |_| provider::plain("500 Oops", "content-type: text/html\r\n", "<h1>Oops</h1>"),
            "500 Internal Server Error: Internal Server Error",
        ),
        (
            "503 without a body",
            |_| provider::plain("503 Busy", "", ""),
            "503 Service Unavailable: Service Unavailable",
        ),
        (
            "error cut short",
            |_| {
                vec![
                    send("HTTP/1.1 500 Oops\r\ncontent-length: 99\r\n\r\n{\"er"),
                    Act::Close,
                ]
            },
            "500 Internal Server Error: Internal Server Error",
        ),
        (
            "endless error",
            |_| {
                vec![
                    send("HTTP/1.1 500 Oops\r\n\r\n"),
                    Act::Flood(vec![b'x'; 65_536]),
                ]
            },
            "500 Internal Server Error: Internal Server Error",
        ),
        (
            "redirect",
            |_| provider::plain("302 Found", "location: http://127.0.0.1:1/\r\n", ""),
            "bad answer: the service answered with status 302 instead of an answer; redirects are \
             not followed",
        ),
        (
            "status without meaning",
            |_| provider::plain("600 What", "", ""),
            "bad answer: the service answered with status 600 instead of an answer",
        ),
        (
            "nothing",
            |_| vec![send("HTTP/1.1 204 No Content\r\n\r\n")],
            "bad answer: the provider's answer is not valid JSON (line 1 column 0)",
        ),
        (
            "10 GB",
            |_| {
                vec![
                    send("HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n"),
                    Act::Hold,
                ]
            },
            TOO_LONG,
        ),
        (
            "endless",
            |_| {
                vec![
                    send("HTTP/1.1 200 OK\r\n\r\n"),
                    Act::Flood(vec![b' '; 1 << 20]),
                ]
            },
            TOO_LONG,
        ),
    ];
    for (name, script, expected) in rows {
        for stream in [false, true] {
            check(name, stream, script(&error), expected).await;
        }
    }
}

const TOO_LONG: &str = "bad answer: the service's answer is longer than 16777216 bytes";

#[tokio::test]
async fn unusable_bodies_are_errors_whole_and_streamed() {
    let no_choices = "bad answer: the provider's answer has no choices";
    let rows: [(&str, &[u8], &str); 11] = [
        (
            "not JSON",
            b"Hello",
            "bad answer: the provider's answer is not valid JSON (line 1 column 1)",
        ),
        (
            "half JSON",
            b"{\"choices\":[",
            "bad answer: the provider's answer is not valid JSON (line 1 column 12)",
        ),
        (
            "not UTF-8",
            b"{\"a\":\"\xff\"}",
            "bad answer: the provider's answer is not valid JSON (line 1 column 7)",
        ),
        (
            "not an object",
            b"[]",
            "bad answer: the provider's answer is not a JSON object",
        ),
        ("no choices", b"{}", no_choices),
        ("empty choices", b"{\"choices\":[]}", no_choices),
        ("odd choices", b"{\"choices\":7}", no_choices),
        (
            "error",
            br#"{"error":{"message":"No."}}"#,
            "502 Bad Gateway: No.",
        ),
        (
            "error as text",
            br#"{"error":"No."}"#,
            "502 Bad Gateway: No.",
        ),
        (
            "error with a status",
            br#"{"error":{"message":"No.","code":429}}"#,
            "429 Too Many Requests: No.",
        ),
        (
            "choices without end",
            br#"{"choices":[{"index":4294967296,"message":{"content":"a"}}]}"#,
            TOO_MANY,
        ),
    ];
    for (name, body, expected) in rows {
        for stream in [false, true] {
            check(
                name,
                stream,
                provider::plain("200 OK", "content-type: application/json\r\n", body),
                expected,
            )
            .await;
        }
    }
}

pub(super) const TOO_MANY: &str = "bad answer: the provider's answer has too many choices";

#[tokio::test]
async fn a_body_of_the_wrong_length_is_an_error() {
    let body = json!({"choices": [{"message": {"content": "a"}}]}).to_string();
    let head = |length: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
    for stream in [false, true] {
        check(
            "longer",
            stream,
            vec![send(head(body.len() + 1)), Act::Close],
            CUT,
        )
        .await;
        let shorter = "bad answer: the provider's answer is not valid JSON (line 1 column 40)";
        check(
            "shorter",
            stream,
            vec![send(head(body.len() - 1)), Act::Close],
            shorter,
        )
        .await;
        check("right", stream, vec![send(head(body.len()))], "ok a").await;
        let until_close = format!("HTTP/1.0 200 OK\r\n\r\n{body}");
        check(
            "HTTP/1.0",
            stream,
            vec![send(until_close), Act::Close],
            "ok a",
        )
        .await;
    }
}

#[tokio::test]
async fn an_unreachable_provider_is_reported_as_unreachable() {
    for stream in [false, true] {
        let outcome = outcome(&provider::closed_port().await, stream, Timeouts::default()).await;
        assert_eq!(
            outcome,
            "unreachable: the service refuses connections; check its url, or try again later (Error: connect ECONNREFUSED)"
        );
    }
}

#[tokio::test]
async fn a_stalled_provider_times_out() {
    let short = Duration::from_millis(100);
    let timeouts = Timeouts::default().with_response(short).with_idle(short);
    let mut stalled_stream = provider::open_stream([PIECE.as_bytes()]);
    stalled_stream.push(Act::Hold);
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{";
    let slow_head = "timeout: the service took too long to answer";
    let slow_body = "timeout: the service stopped in the middle of its answer for too long";
    let rows = [
        ("before the head", false, vec![Act::Hold], slow_head),
        ("before the head", true, vec![Act::Hold], slow_head),
        (
            "in the head",
            true,
            vec![send("HTTP/1.1 200"), Act::Hold],
            slow_head,
        ),
        ("in the body", false, vec![send(half), Act::Hold], slow_body),
        ("in the stream", true, stalled_stream, slow_body),
    ];
    for (name, stream, script, expected) in rows {
        let provider = Provider::start([script]).await;
        assert_eq!(
            outcome(&provider.url(), stream, timeouts).await,
            expected,
            "{name}, stream: {stream}"
        );
        provider.was_closed().await;
    }
}

#[tokio::test]
async fn the_secret_is_masked_in_errors_after_a_success_status() {
    let body = format!("data: {{\"error\":{{\"message\":\"key {SECRET} is bad\"}}}}\n\n");
    check(
        "in a stream",
        true,
        provider::stream([body.as_bytes()]),
        "502 Bad Gateway: key *** is bad",
    )
    .await;
    let body = json!({"error": {"message": format!("key {SECRET} is bad")}}).to_string();
    check(
        "in a 200",
        false,
        provider::plain("200 OK", "", body),
        "502 Bad Gateway: key *** is bad",
    )
    .await;
}
