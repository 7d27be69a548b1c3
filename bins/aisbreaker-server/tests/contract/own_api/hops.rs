//! Contract section 4, `aisbreaker:network`: calls that pass through several servers. Their errors
//! are in [`hop_errors`](super::hop_errors).

use serde_json::{Value, json};

use super::{mirror, reversed};
use crate::support::{
    Provider, Request, Server, ample_quotas, assert_error, call, gate, grant, hop, output_text,
    service, state_of, streamed,
};

pub(crate) const QUESTION: &str = "What is JavaScript?";

/// Mints the documented key. It opens on every server that is called by its address, since all
/// share one server key.
pub(crate) fn documented_key(server: &Server) -> String {
    let secrets = json!([
        {"serviceId": "aisbreaker:network", "authSecret": "{{secret}}"},
        {"serviceId": "chat:openai.com", "authSecret": "sk_..."},
        {"serviceId": "chat:dummy", "authSecret": ""},
        {"serviceId": "", "authSecret": "INVALID"},
    ]);
    server.mint_at("127.0.0.1", &grant(&ample_quotas(), &secrets))
}

/// The event of a server's stream that carries this text.
pub(crate) fn progress(text: &str) -> String {
    let text = json!({
        "index": 0, "role": "assistant", "content": text, "isDelta": true, "isProcessing": true,
    });
    format!(
        "event: progress\ndata: {}\n\n",
        json!({"outputs": [{"text": text}]})
    )
}

/// A call by the address to which the key is bound.
pub(crate) fn request_by_address(key: &str, body: &Value) -> Request {
    Request::process(body).set("Host", "127.0.0.1").bearer(key)
}

#[test]
fn call_passes_through_two_and_three_servers() {
    let servers = [(); 3].map(|()| Server::with_loopback_egress(&[]));
    let key = documented_key(&servers[0]);
    let [_, second, third] = servers.each_ref().map(Server::url);
    let dummy = service("chat:dummy");
    let plain = servers[0]
        .send(&request_by_address(&key, &call(dummy.clone(), QUESTION)))
        .content();
    let rows = [
        ("two servers", hop(&second, &dummy), plain.clone()),
        (
            "two servers, mirrored there",
            hop(&second, &mirror(&dummy)),
            reversed(&plain),
        ),
        (
            "two servers, mirrored here",
            mirror(&hop(&second, &dummy)),
            reversed(&plain),
        ),
        (
            "three servers",
            hop(&second, &hop(&third, &dummy)),
            plain.clone(),
        ),
        (
            "three servers, mirrored by the last",
            hop(&second, &hop(&third, &mirror(&dummy))),
            reversed(&plain),
        ),
        (
            "three servers, mirrored by each",
            mirror(&hop(&second, &mirror(&hop(&third, &mirror(&dummy))))),
            reversed(&plain),
        ),
        (
            "there and back",
            hop(&second, &hop(&servers[0].url(), &dummy)),
            plain.clone(),
        ),
        (
            "with a trailing slash",
            hop(&format!("{second}/"), &dummy),
            plain.clone(),
        ),
        (
            "by the full URL",
            hop(&format!("{second}/api/v1/process#no-default-path"), &dummy),
            plain.clone(),
        ),
        (
            "by the alias of the service",
            json!({"serviceId": "aisbreaker:proxy", "url": second, "forward2ServiceProps": dummy}),
            plain,
        ),
    ];

    for (row, props, expected) in rows {
        let response = servers[0].send(&request_by_address(&key, &call(props.clone(), QUESTION)));
        assert_eq!(response.content(), expected, "{row}");
        let (progress, last) = servers[0]
            .send(&request_by_address(&key, &streamed(call(props, QUESTION))))
            .stream();
        assert_eq!(output_text(&last), expected, "{row}, streamed");
        assert_eq!(progress.len(), 22, "{row}, streamed");
    }
}

#[test]
fn answer_through_a_hop_equals_the_direct_answer() {
    let [here, there] = [(); 2].map(|()| Server::with_loopback_egress(&[]));
    let without_time = |mut response: Value| {
        response["usage"]
            .as_object_mut()
            .unwrap()
            .remove("totalMilliseconds");
        response
    };
    let direct = there
        .process("sk-own", &call(service("chat:echo"), QUESTION))
        .json();

    let response = here
        .process(
            "sk-own",
            &call(hop(&there.url(), &service("chat:echo")), QUESTION),
        )
        .json();

    assert_eq!(without_time(response), without_time(direct));
}

#[test]
fn conversation_continues_over_a_hop() {
    let [here, there] = [(); 2].map(|()| Server::with_loopback_egress(&[]));
    let props = hop(&there.url(), &service("chat:echo"));
    let first = here.process("sk-own", &call(props.clone(), "one")).json();
    let mut second_call = call(props, "two");
    second_call["request"]["conversationState"] = first["conversationState"].clone();

    let second = here.process("sk-own", &second_call).json();

    assert_eq!(
        state_of(&second)["messages"].as_array().unwrap().len(),
        4,
        "{second}"
    );
}

#[test]
fn next_server_receives_the_inner_service_and_whole_request() {
    let response = json!({
        "outputs": [{"text": {"index": 0, "role": "assistant", "content": "ok"}}],
        "conversationState": "c3RhdGU=",
        "usage": {
            "service": {"serviceId": "x:y", "engine": "e"}, "totalMilliseconds": 7,
            "warnings": ["w"], "extra": 1,
        },
        "internResponse": {"any": ["thing"]},
    });
    let next = Provider::with_response(200, response.clone());
    let server = Server::with_loopback_egress(&[]);
    let inner = json!({
        "serviceId": "no:such/service", "url": "https://far.example",
        "greeting": "Moin", "nested": {"a": [1]},
    });
    let mut body = call(hop(&next.url(), &inner), QUESTION);
    body["request"]["internOptions"] = json!({"temperature": 0.5});
    body["request"]["clientUser"] = json!({"id": "u1"});
    body["request"]["requested"] = json!({"text": true});
    body["request"]["conversationState"] = json!("c3RhdGU=");
    let request_by_address = Request::process(&body)
        .bearer("sk-own")
        .header("Cookie", "a=b")
        .header("X-Forwarded-For", "192.0.2.1");

    let returned = server.send(&request_by_address).json();

    assert_eq!(returned, response, "the answer was altered");
    let sent = next.only_request();
    assert_eq!((&*sent.method, &*sent.target), ("POST", "/api/v1/process"));
    assert_eq!(sent.header("authorization"), Some("Bearer sk-own"));
    assert_eq!(sent.header("content-type"), Some("application/json"));
    assert_eq!(
        (sent.header("cookie"), sent.header("x-forwarded-for")),
        (None, None)
    );
    let sent_body = sent.json();
    assert_eq!(sent_body["service"], inner);
    for member in [
        "inputs",
        "internOptions",
        "clientUser",
        "requested",
        "conversationState",
    ] {
        assert_eq!(
            sent_body["request"][member], body["request"][member],
            "{member}"
        );
    }
    assert_ne!(sent_body["request"]["stream"], json!(true));
}

#[test]
fn hop_without_a_secret_sends_none() {
    let next = Provider::with_response(
        401,
        json!({"error": {"message": "no", "statusCode": 401, "statusText": "Unauthorized"}}),
    );
    let server = Server::with_loopback_egress(&[]);

    server.process("", &call(hop(&next.url(), &service("chat:dummy")), "Hi"));

    assert_eq!(next.only_request().header("authorization"), None);
}

#[test]
fn more_than_eight_hops_are_refused() {
    let server = Server::with_loopback_egress(&[]);
    let nested =
        |hops: usize| (0..hops).fold(service("chat:dummy"), |inner, _| hop(&server.url(), &inner));

    for hops in [1, 2, 8] {
        assert_eq!(
            server.process("sk-own", &call(nested(hops), "Hi")).status,
            200,
            "{hops} hops"
        );
    }
    for hops in [9, 10, 12] {
        let response = server.process("sk-own", &call(nested(hops), "Hi"));
        assert!(
            (400..500).contains(&response.status) || response.status == 508,
            "{hops} hops: {response:?}"
        );
        assert_error(&format!("{hops} hops"), &response, response.status, "8");
    }
}

#[test]
fn hop_count_header_is_incremented_and_validated() {
    let next = Provider::with_response(
        200,
        json!({"outputs": [], "usage": {"service": {"serviceId": "chat:dummy"}, "totalMilliseconds": 1}}),
    );
    let server = Server::with_loopback_egress(&[]);
    let body = call(hop(&next.url(), &service("chat:dummy")), "Hi");

    assert_eq!(server.process("sk-own", &body).status, 200);
    let sent = next.only_request();
    let is_hop_count = |(name, value): &&(String, String)| name.contains("hop") && value == "1";
    let (name, _) = sent
        .headers
        .iter()
        .find(is_hop_count)
        .expect("a hop header")
        .clone();
    let rows = [
        ("3", Some("4")),
        ("7", Some("8")),
        ("8", None),
        ("255", None),
        ("256", None),
        ("-1", None),
        ("x", None),
    ];

    for (count, forwarded) in rows {
        let before = next.requests().len();
        let response = server.send(
            &Request::process(&body)
                .bearer("sk-own")
                .header(&name, count),
        );
        match forwarded {
            Some(expected) => {
                assert_eq!(response.status, 200, "{count}: {response:?}");
                assert_eq!(
                    next.requests().pop().unwrap().header(&name),
                    Some(expected),
                    "{count}"
                );
            }
            None => {
                assert!(
                    (400..500).contains(&response.status) || response.status == 508,
                    "{count}: {response:?}"
                );
                assert_eq!(next.requests().len(), before, "{count}: forwarded");
            }
        }
    }
}

#[test]
fn stream_events_are_forwarded_as_they_arrive() {
    let (gate, waiter) = gate();
    let next = Provider::start(move |_, wire| {
        wire.stream();
        for text in ["one", "two"] {
            wire.chunk(progress(text));
            waiter.wait();
        }
        let data = json!({
            "outputs": [{"text": {"index": 0, "role": "assistant", "content": "onetwo"}}],
            "usage": {"service": {"serviceId": "x:y"}, "totalMilliseconds": 1},
        });
        wire.chunk(format!("event: final\ndata: {data}\n\n"));
        wire.end();
    });
    let servers = [(); 2].map(|()| Server::with_loopback_egress(&[]));
    let props = hop(&servers[1].url(), &hop(&next.url(), &service("chat:dummy")));
    let mut connection = servers[0].connect();

    connection.write(
        &Request::process(&streamed(call(props, "Hi")))
            .bearer("sk-own")
            .to_bytes(),
    );

    assert_eq!(connection.head().status, 200);
    for text in ["one", "two"] {
        assert_eq!(output_text(&connection.event().unwrap().data), text);
        gate.release_one();
    }
    let last = connection.event().unwrap();
    assert_eq!((&*last.name, output_text(&last.data)), ("final", "onetwo"));
    assert_eq!(connection.event(), None);
}

#[test]
fn every_valid_event_stream_syntax_is_accepted() {
    let final_body = json!({
        "outputs": [{"text": {"index": 0, "role": "assistant", "content": "ok"}}],
        "usage": {"service": {"serviceId": "x:y"}, "totalMilliseconds": 1},
    });
    let rows = [
        (
            "CRLF",
            format!("event: final\r\ndata: {final_body}\r\n\r\n"),
        ),
        ("CR", format!("event: final\rdata: {final_body}\r\r")),
        ("no spaces", format!("event:final\ndata:{final_body}\n\n")),
        (
            "comments and pings",
            format!(": hello\n\nevent: ping\ndata: {{}}\n\nevent: final\ndata: {final_body}\n\n"),
        ),
        (
            "several data lines",
            format!(
                "event: final\ndata: {}\n\n",
                final_body
                    .to_string()
                    .replace(",\"usage\"", ",\ndata: \"usage\"")
            ),
        ),
        (
            "more after the end",
            format!("event: final\ndata: {final_body}\n\nevent: final\ndata: {final_body}\n\n"),
        ),
    ];

    for (row, text) in rows {
        let next = Provider::start(move |_, wire| wire.whole_stream(&text));
        let server = Server::with_loopback_egress(&[]);
        let response = server.process(
            "sk-own",
            &streamed(call(hop(&next.url(), &service("chat:dummy")), "Hi")),
        );
        let (progress, final_event) = response.stream();
        assert!(progress.is_empty(), "{row}: {progress:?}");
        assert_eq!(output_text(&final_event), "ok", "{row}");
    }
}
