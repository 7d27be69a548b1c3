//! Trace context on its way from a caller to a provider, with traces on and off.

use serde_json::json;

use super::{
    CALLER_SPAN, CHAT_BODY, TRACE_ID, TRACEPARENT, collector::Collector, key, of_route,
    process_call, request_and_calls,
};
use crate::support::{
    Provider, ReceivedRequest, Request, Server,
    provider_api::{CHAT, post_with_key},
};

/// Sends a chat with these fields, and returns what the provider received.
fn forwarded(server: &Server, fields: &[(&str, &str)]) -> ReceivedRequest {
    let provider = Provider::with_response(200, json!({}));
    let key = key(server, &provider.url());
    let mut request = post_with_key(CHAT, &key, CHAT_BODY);
    for (name, value) in fields {
        request = request.header(name, value);
    }
    assert_eq!(server.send(&request).status, 200);
    provider.only_request()
}

/// Fields of a caller that is traced by two systems and shares too much.
const FIELDS: [(&str, &str); 3] = [
    ("traceparent", TRACEPARENT),
    ("tracestate", "a=b,c=d"),
    ("baggage", "user=alice"),
];

#[test]
fn baggage_is_not_passed_on_with_traces_on_or_off() {
    let collector = Collector::start();
    for server in [Server::with_loopback_egress(&[]), collector.serve(&[])] {
        let received = forwarded(&server, &FIELDS);
        assert_eq!(received.header("baggage"), None);
        assert_eq!(received.header("tracestate"), Some("a=b,c=d"));
    }
}

#[test]
fn with_traces_off_a_valid_context_is_passed_on_as_it_came() {
    let server = Server::with_loopback_egress(&[]);
    let received = forwarded(&server, &FIELDS);
    assert_eq!(received.header("traceparent"), Some(TRACEPARENT));

    for fields in [
        &[("tracestate", "a=b")][..],
        &[("traceparent", "00-0-0-01"), ("tracestate", "a=b")],
        &[
            ("traceparent", TRACEPARENT),
            ("traceparent", TRACEPARENT),
            ("tracestate", "a=b"),
        ],
    ] {
        let received = forwarded(&server, fields);
        for name in ["traceparent", "tracestate"] {
            assert_eq!(received.header(name), None, "{fields:?}");
        }
    }

    let traced = Request::get("/api/v1/ping")
        .header("traceparent", TRACEPARENT)
        .header("X-Request-Id", "untraced");
    server.send(&traced);
    assert!(server.wait_for_request("untraced")["trace_id"].is_null());
}

#[test]
fn an_invalid_context_begins_a_new_trace_without_its_state() {
    for fields in [
        &[("tracestate", "a=b")][..],
        &[("traceparent", "00-0-0-01"), ("tracestate", "a=b")],
        &[
            ("traceparent", &TRACEPARENT.to_uppercase()),
            ("tracestate", "a=b"),
        ],
    ] {
        let collector = Collector::start();
        let mut server = collector.serve(&[]);
        let received = forwarded(&server, fields);

        let spans = of_route(collector.spans_of(&mut server), CHAT);
        let (span, calls) = request_and_calls(spans);
        assert_eq!(span.parent_id, "", "{fields:?}");
        assert_ne!(span.trace_id, TRACE_ID, "{fields:?}");
        let traceparent = format!("00-{}-{}-01", span.trace_id, calls[0].span_id);
        assert_eq!(received.header("traceparent"), Some(&*traceparent));
        assert_eq!(received.header("tracestate"), None, "{fields:?}");
    }
}

#[test]
fn the_state_of_a_valid_context_is_exported_and_passed_on_by_services_too() {
    let provider = Provider::with_response(200, json!({"choices": []}));
    let collector = Collector::start();
    let mut server = collector.serve(&[]);
    let key = key(&server, &provider.url());
    let mut request = Request::process(&process_call()).bearer(&key);
    for (name, value) in FIELDS {
        request = request.header(name, value);
    }
    server.send(&request);

    let spans = of_route(collector.spans_of(&mut server), "/api/v1/process");
    let (span, calls) = request_and_calls(spans);
    assert_eq!(
        (&*span.trace_state, &*span.parent_id),
        ("a=b,c=d", CALLER_SPAN)
    );
    let received = provider.only_request();
    let traceparent = format!("00-{TRACE_ID}-{}-01", calls[0].span_id);
    assert_eq!(received.header("traceparent"), Some(&*traceparent));
    assert_eq!(received.header("tracestate"), Some("a=b,c=d"));
    assert_eq!(received.header("baggage"), None);
}

#[test]
fn the_sampler_decides_what_is_recorded_and_the_provider_learns_of_it() {
    let unsampled = TRACEPARENT.replace("-01", "-00");
    let rows = [
        (&[][..], Some(TRACEPARENT), true),
        (&[], Some(&*unsampled), false),
        (
            &[("OTEL_TRACES_SAMPLER", "always_on")],
            Some(&*unsampled),
            true,
        ),
        (
            &[("OTEL_TRACES_SAMPLER", "always_off")],
            Some(TRACEPARENT),
            false,
        ),
        (
            &[("OTEL_TRACES_SAMPLER", "parentbased_always_off")],
            None,
            false,
        ),
        (
            &[
                ("OTEL_TRACES_SAMPLER", "traceidratio"),
                ("OTEL_TRACES_SAMPLER_ARG", "0"),
            ],
            Some(TRACEPARENT),
            false,
        ),
    ];
    for (environment, traceparent, is_recorded) in rows {
        let name = format!("{environment:?} {traceparent:?}");
        let collector = Collector::start();
        let mut server = collector.serve(environment);
        let fields: Vec<_> = traceparent
            .map(|value| ("traceparent", value))
            .into_iter()
            .collect();
        let received = forwarded(&server, &fields);

        let spans = of_route(collector.spans_of(&mut server), CHAT);
        assert_eq!(
            spans.iter().any(|span| span.is_server),
            is_recorded,
            "{name}"
        );
        let passed_on = received
            .header("traceparent")
            .expect("a context")
            .to_owned();
        let flags = if is_recorded { "-01" } else { "-00" };
        assert!(passed_on.ends_with(flags), "{name}: {passed_on}");
        if traceparent.is_some() {
            assert!(passed_on.contains(TRACE_ID), "{name}: {passed_on}");
            assert!(!passed_on.contains(CALLER_SPAN), "{name}: {passed_on}");
        }
    }
}
