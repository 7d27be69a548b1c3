//! Contract section 4: the body of a call.

use serde_json::{Value, json};

use super::{DUMMY_ANSWER, DUMMY_QUESTION, dummy_question};
use crate::support::{Request, Server, assert_error, deflate, gzip, service, streamed, user_text};

/// A name, the body of a call, and the member that the error must name.
fn unreadable_calls() -> Vec<(&'static str, Value, &'static str)> {
    let inputs = json!([user_text("Hi")]);
    let with_inputs =
        |inputs: Value| json!({"service": service("chat:dummy"), "request": {"inputs": inputs}});
    vec![
        ("nothing", json!({}), "service"),
        (
            "no service",
            json!({"request": {"inputs": inputs}}),
            "service",
        ),
        (
            "null service",
            json!({"service": null, "request": {"inputs": inputs}}),
            "service",
        ),
        (
            "text for a service",
            json!({"service": "chat:dummy", "request": {"inputs": inputs}}),
            "service",
        ),
        (
            "no service id",
            json!({"service": {}, "request": {"inputs": inputs}}),
            "service.serviceId",
        ),
        (
            "null service id",
            json!({"service": {"serviceId": null}, "request": {"inputs": inputs}}),
            "service.serviceId",
        ),
        (
            "number for a service id",
            json!({"service": {"serviceId": 7}, "request": {"inputs": inputs}}),
            "service.serviceId",
        ),
        (
            "number for a url",
            json!({"service": {"serviceId": "chat:dummy", "url": 7}, "request": {"inputs": inputs}}),
            "service.url",
        ),
        (
            "no request",
            json!({"service": service("chat:dummy")}),
            "request",
        ),
        (
            "null request",
            json!({"service": service("chat:dummy"), "request": null}),
            "request",
        ),
        (
            "text for a request",
            json!({"service": service("chat:dummy"), "request": "Hi"}),
            "request",
        ),
        (
            "no inputs",
            json!({"service": service("chat:dummy"), "request": {}}),
            "request.inputs",
        ),
        ("null inputs", with_inputs(json!(null)), "request.inputs"),
        (
            "object for inputs",
            with_inputs(user_text("Hi")),
            "request.inputs",
        ),
        ("no input", with_inputs(json!([])), "request.inputs"),
        (
            "null input",
            with_inputs(json!([null])),
            "request.inputs[0]",
        ),
        (
            "text for an input",
            with_inputs(json!(["Hi"])),
            "request.inputs[0]",
        ),
        (
            "input without text and image",
            with_inputs(json!([{}])),
            "request.inputs[0]",
        ),
        (
            "input of an unknown kind",
            with_inputs(json!([{"audio": {"role": "user"}}])),
            "request.inputs[0]",
        ),
        (
            "null text",
            with_inputs(json!([{"text": null}])),
            "request.inputs[0]",
        ),
        (
            "image without source",
            with_inputs(json!([{"image": {"role": "user"}}])),
            "request.inputs[0]",
        ),
    ]
}

#[test]
fn unreadable_member_is_named() {
    let server = Server::start(&[]);
    for (row, body, member) in unreadable_calls() {
        assert_error(row, &server.process("", &body), 400, member);
        if body["request"].is_object() {
            assert_error(row, &server.process("", &streamed(body)), 400, member);
        }
    }
}

#[test]
fn body_that_is_no_json_object_is_refused_unrepeated() {
    let server = Server::start(&[]);
    let whole = dummy_question().to_string();
    let rows: [(&str, Vec<u8>); 10] = [
        ("empty", Vec::new()),
        ("blank", b"  \n".to_vec()),
        ("truncated", whole.as_bytes()[..whole.len() - 5].to_vec()),
        ("text", b"\"canary\"".to_vec()),
        ("list", b"[\"canary\"]".to_vec()),
        ("null", b"null".to_vec()),
        ("plain text", b"canary".to_vec()),
        ("two values", format!("{whole} canary").into_bytes()),
        (
            "not UTF-8",
            [b"{\"canary\": \"\xff\xfe\",", &whole.as_bytes()[1..]].concat(),
        ),
        (
            "deep",
            [b"{\"service\":".as_slice(), "[".repeat(100_000).as_bytes()].concat(),
        ),
    ];

    for (row, body) in rows {
        let response = server.send(&Request::post_process(body));
        assert_error(row, &response, 400, "");
        assert!(
            !response.text().contains("canary"),
            "{row} is repeated: {}",
            response.message()
        );
    }
}

#[test]
fn unknown_members_are_ignored() {
    let server = Server::start(&[]);
    let body = json!({
        "//": "comment",
        "service": {
            "serviceId": "chat:dummy", "//serviceId": "chat:openai.com", "project": "x", "location": {},
        },
        "request": {
            "inputs": [{"text": {"role": "user", "content": DUMMY_QUESTION, "weight": 1.5}}],
            "abortSignal": {}, "requested": {"any": true}, "clientUser": {"id": 7}, "internOptions": {"a": 1},
            "conversationState": "", "stream": false,
        },
    });

    assert_eq!(server.process("", &body).content(), DUMMY_ANSWER);
}

#[test]
fn content_type_must_be_json_text_or_absent() {
    let server = Server::start(&[]);
    let rows = [
        (Some("application/json"), 200),
        (Some("application/json; charset=utf-8"), 200),
        (Some("Application/Json;charset=UTF-8"), 200),
        (Some("text/plain"), 200),
        (Some("text/plain;charset=UTF-8"), 200),
        (None, 200),
        (Some("application/x-www-form-urlencoded"), 400),
        (Some("multipart/form-data; boundary=x"), 400),
        (Some("application/xml"), 400),
        (Some("text/html"), 400),
        (Some("text/json"), 400),
        (Some("application/jsonl"), 400),
        (Some("application/octet-stream"), 400),
    ];

    for (content_type, status) in rows {
        let mut request =
            Request::new("POST", "/api/v1/process").body(dummy_question().to_string());
        if let Some(content_type) = content_type {
            request = request.header("Content-Type", content_type);
        }
        let response = server.send(&request);
        assert_eq!(response.status, status, "{content_type:?}: {response:?}");
        if status == 400 {
            assert_error(&format!("{content_type:?}"), &response, 400, "Content-Type");
        }
    }
}

#[test]
fn every_accept_header_is_tolerated() {
    let server = Server::start(&[]);

    for accept in [
        "*/*",
        "text/*",
        "application/json",
        "text/event-stream",
        "image/png",
    ] {
        for body in [dummy_question(), streamed(dummy_question())] {
            let response = server.send(&Request::process(&body).header("Accept", accept));
            assert_eq!(response.status, 200, "{accept}: {response:?}");
            assert_eq!(response.header("content-encoding"), None);
        }
    }
}

#[test]
fn compressed_body_is_decompressed() {
    let server = Server::start(&[]);
    let body = dummy_question().to_string();
    let rows = [
        ("gzip", gzip(body.as_bytes())),
        ("GZIP", gzip(body.as_bytes())),
        ("deflate", deflate(body.as_bytes())),
        ("identity", body.clone().into_bytes()),
    ];

    for (encoding, compressed) in rows {
        let response =
            server.send(&Request::post_process(compressed).header("Content-Encoding", encoding));
        assert_eq!(response.content(), DUMMY_ANSWER, "{encoding}");
    }
}

#[test]
fn unknown_encoding_returns_415_and_corrupt_data_400() {
    let server = Server::start(&[]);
    let body = dummy_question().to_string();
    let rows = [
        ("br", body.clone().into_bytes(), 415),
        ("zstd", body.clone().into_bytes(), 415),
        ("compress", body.clone().into_bytes(), 415),
        ("gzip, gzip", gzip(&gzip(body.as_bytes())), 415),
        ("gzip", body.clone().into_bytes(), 400),
        ("deflate", body.clone().into_bytes(), 400),
        ("gzip", gzip(body.as_bytes())[..40].to_vec(), 400),
        ("gzip", Vec::new(), 400),
        ("gzip", gzip(b"hello"), 400),
    ];

    for (encoding, compressed, status) in rows {
        let response =
            server.send(&Request::post_process(compressed).header("Content-Encoding", encoding));
        assert_error(encoding, &response, status, "");
    }
}

#[test]
fn every_chunked_framing_is_accepted() {
    let server = Server::start(&[]);
    let body = dummy_question().to_string();
    let (one, two) = body.split_at(20);
    let rows = [
        (
            "one chunk",
            format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
        ),
        (
            "upper case",
            format!("{:X}\r\n{body}\r\n0\r\n\r\n", body.len()),
        ),
        (
            "two chunks",
            format!(
                "{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
                one.len(),
                two.len()
            ),
        ),
        (
            "extensions",
            format!("{:x};a=b\r\n{body}\r\n0;c\r\n\r\n", body.len()),
        ),
        (
            "trailers",
            format!("{:x}\r\n{body}\r\n0\r\nX-Checksum: 7\r\n\r\n", body.len()),
        ),
    ];

    for (row, body) in rows {
        let mut connection = server.connect();
        let response =
            connection.send(&Request::post_process(body).header("Transfer-Encoding", "chunked"));
        assert_eq!(response.content(), DUMMY_ANSWER, "{row}");
        assert_eq!(
            connection.send(&Request::get("/api/v1/ping")).status,
            200,
            "{row}: the connection is unusable"
        );
    }
}

#[test]
fn body_may_arrive_bytewise_or_with_a_byte_order_mark() {
    let server = Server::start(&[]);
    assert_eq!(
        server
            .send(&Request::post_process(format!(
                "\u{feff}{}",
                dummy_question()
            )))
            .content(),
        DUMMY_ANSWER
    );

    let bytes = Request::post_process(dummy_question().to_string()).to_bytes();
    let mut connection = server.connect();
    for byte in bytes {
        connection.write(&[byte]);
    }
    assert_eq!(connection.response_to("POST").content(), DUMMY_ANSWER);
}

#[test]
fn expect_continue_gets_100_continue() {
    let server = Server::start(&[]);
    let body = dummy_question().to_string();
    let bytes = Request::post_process(body.clone())
        .header("Expect", "100-continue")
        .to_bytes();
    let (head, _) = bytes.split_at(bytes.len() - body.len());
    let mut connection = server.connect();

    connection.write(head);
    let interim = connection.head();
    assert_eq!(interim.status, 100, "{interim:?}");
    connection.write(body.as_bytes());

    assert_eq!(connection.response_to("POST").content(), DUMMY_ANSWER);
}

#[test]
fn truncated_body_affects_no_other_request() {
    let server = Server::start(&[]);
    for ending in ["0", "ffff\r\n{}", ""] {
        let mut connection = server.connect();
        connection.write(
            &Request::post_process(ending)
                .header("Transfer-Encoding", "chunked")
                .to_bytes(),
        );
        connection.finish_writing();
        let response = connection.read_to_end();
        assert!(
            response.is_empty() || response.starts_with(b"HTTP/1.1 400 "),
            "{}",
            String::from_utf8_lossy(&response)
        );
    }
    assert_eq!(
        server.process("", &dummy_question()).content(),
        DUMMY_ANSWER
    );
}

#[test]
fn stream_member_follows_javascript_truthiness() {
    let server = Server::start(&[]);
    let rows = [
        (json!(true), true),
        (json!("true"), true),
        (json!("false"), true),
        (json!("0"), true),
        (json!(1), true),
        (json!(-1), true),
        (json!(0.5), true),
        (json!([]), true),
        (json!({}), true),
        (json!(false), false),
        (json!(null), false),
        (json!(0), false),
        (json!(0.0), false),
        (json!(-0.0), false),
        (json!(""), false),
    ];

    for (value, streams) in rows {
        let mut body = dummy_question();
        body["request"]["stream"] = value.clone();
        let response = server.process("", &body);
        let content_type = response.header("content-type").unwrap();
        assert_eq!(
            content_type == "text/event-stream",
            streams,
            "{value}: {response:?}"
        );
    }
}
