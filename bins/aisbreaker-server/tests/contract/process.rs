//! Contract section 4: what a call may look like.

use std::io::Write as _;

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use serde_json::{Value, json};

use super::services::{ANSWER, QUESTION, dummy, user};
use crate::support::{Request, Server, assert_error, service, streamed};

pub(super) fn post(body: impl Into<Vec<u8>>) -> Request {
    Request::new("POST", "/api/v1/process")
        .set("Content-Type", "application/json")
        .body(body)
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_call_that_cannot_be_read_is_told_which_member() {
    let server = Server::start(&[]);
    let inputs = json!([user("Hi")]);
    let request =
        |inputs: Value| json!({"service": service("chat:dummy"), "request": {"inputs": inputs}});
    let rows = [
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
        ("null inputs", request(json!(null)), "request.inputs"),
        ("object for inputs", request(user("Hi")), "request.inputs"),
        ("no input", request(json!([])), "request.inputs"),
        ("null input", request(json!([null])), "request.inputs[0]"),
        (
            "text for an input",
            request(json!(["Hi"])),
            "request.inputs[0]",
        ),
        (
            "input of neither kind",
            request(json!([{}])),
            "request.inputs[0]",
        ),
        (
            "input of an unknown kind",
            request(json!([{"audio": {"role": "user"}}])),
            "request.inputs[0]",
        ),
        (
            "null text",
            request(json!([{"text": null}])),
            "request.inputs[0]",
        ),
        (
            "image without source",
            request(json!([{"image": {"role": "user"}}])),
            "request.inputs[0]",
        ),
    ];

    for (row, body, member) in rows {
        assert_error(row, &server.process("", &body), 400, member);
        if body["request"].is_object() {
            assert_error(row, &server.process("", &streamed(body)), 400, member);
        }
    }
}

#[test]
fn a_body_that_is_no_json_object_is_refused_and_not_repeated() {
    let server = Server::start(&[]);
    let whole = dummy().to_string();
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
        let answer = server.send(&post(body));
        assert_error(row, &answer, 400, "");
        assert!(
            !answer.text().contains("canary"),
            "{row} is repeated: {}",
            answer.message()
        );
    }
}

#[test]
fn members_that_nobody_knows_do_no_harm() {
    let server = Server::start(&[]);
    let body = json!({
        "//": "comment",
        "service": {
            "serviceId": "chat:dummy", "//serviceId": "chat:openai.com", "project": "x", "location": {},
        },
        "request": {
            "inputs": [{"text": {"role": "user", "content": QUESTION, "weight": 1.5}}],
            "abortSignal": {}, "requested": {"any": true}, "clientUser": {"id": 7}, "internOptions": {"a": 1},
            "conversationState": "", "stream": false,
        },
    });

    assert_eq!(server.process("", &body).content(), ANSWER);
}

#[test]
fn the_content_type_is_json_or_text_or_none() {
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
        let request = Request::new("POST", "/api/v1/process").body(dummy().to_string());
        let request = content_type.iter().fold(request, |request, value| {
            request.header("Content-Type", value)
        });
        let answer = server.send(&request);
        assert_eq!(answer.status, status, "{content_type:?}: {answer:?}");
        if status == 400 {
            assert_error(&format!("{content_type:?}"), &answer, 400, "Content-Type");
        }
    }
}

#[test]
fn no_accept_header_is_refused() {
    let server = Server::start(&[]);

    for accept in [
        "*/*",
        "text/*",
        "application/json",
        "text/event-stream",
        "image/png",
    ] {
        for body in [dummy(), streamed(dummy())] {
            let answer = server.send(&Request::process(&body).header("Accept", accept));
            assert_eq!(answer.status, 200, "{accept}: {answer:?}");
            assert_eq!(answer.header("content-encoding"), None);
        }
    }
}

#[test]
fn a_coded_body_is_inflated() {
    let server = Server::start(&[]);
    let body = dummy().to_string();
    let rows = [
        ("gzip", gzip(body.as_bytes())),
        ("GZIP", gzip(body.as_bytes())),
        ("deflate", deflate(body.as_bytes())),
        ("identity", body.clone().into_bytes()),
    ];

    for (coding, coded) in rows {
        let answer = server.send(&post(coded).header("Content-Encoding", coding));
        assert_eq!(answer.content(), ANSWER, "{coding}");
    }
}

#[test]
fn an_unknown_coding_is_not_supported_and_a_false_one_a_bad_request() {
    let server = Server::start(&[]);
    let body = dummy().to_string();
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

    for (coding, coded, status) in rows {
        let answer = server.send(&post(coded).header("Content-Encoding", coding));
        assert_error(coding, &answer, status, "");
    }
}

#[test]
fn the_body_limit_counts_inflated_bytes() {
    let server = Server::start(&[("AISBREAKER_MAX_BODY_BYTES", "1000")]);
    let padded = |length: usize| {
        let body = dummy().to_string();
        format!("{body}{}", " ".repeat(length - body.len())).into_bytes()
    };
    let chunked = |body: Vec<u8>| {
        let chunks = body.chunks(300).flat_map(|chunk| {
            [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()
        });
        let body: Vec<u8> = chunks.chain(*b"0\r\n\r\n").collect();
        post(body).header("Transfer-Encoding", "chunked")
    };
    let rows = [
        ("at the limit", post(padded(1000)), 200),
        ("over it", post(padded(1001)), 413),
        ("far over it", post(padded(10_000_000)), 413),
        ("chunked at the limit", chunked(padded(1000)), 200),
        ("chunked over it", chunked(padded(1001)), 413),
        (
            "gzip at the limit",
            post(gzip(&padded(1000))).header("Content-Encoding", "gzip"),
            200,
        ),
        (
            "gzip over it",
            post(gzip(&padded(1001))).header("Content-Encoding", "gzip"),
            413,
        ),
        (
            "a bomb",
            post(gzip(&vec![b' '; 700_000])).header("Content-Encoding", "gzip"),
            413,
        ),
        (
            "a deflated bomb",
            post(deflate(&vec![b' '; 700_000])).header("Content-Encoding", "deflate"),
            413,
        ),
        (
            "a lie about the length",
            post(Vec::new()).header("Content-Length", "1000000000000"),
            413,
        ),
    ];

    for (row, request, status) in rows {
        let answer = server.send(&request);
        if status == 200 {
            assert_eq!(answer.content(), ANSWER, "{row}");
        } else {
            assert_error(row, &answer, status, "1000");
        }
    }
}

#[test]
fn a_chunked_body_is_read_with_all_that_chunks_may_have() {
    let server = Server::start(&[]);
    let body = dummy().to_string();
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
        let answer = connection.send(&post(body).header("Transfer-Encoding", "chunked"));
        assert_eq!(answer.content(), ANSWER, "{row}");
        assert_eq!(
            connection.send(&Request::get("/api/v1/ping")).status,
            200,
            "{row}: the connection is in order"
        );
    }
}

#[test]
fn a_body_may_come_in_any_pieces_and_with_a_byte_order_mark() {
    let server = Server::start(&[]);
    assert_eq!(
        server.send(&post(format!("\u{feff}{}", dummy()))).content(),
        ANSWER
    );

    let bytes = post(dummy().to_string()).to_bytes();
    let mut connection = server.connect();
    for byte in bytes.chunks(1) {
        connection.write(byte);
    }
    assert_eq!(connection.answer_to("POST").content(), ANSWER);
}

#[test]
fn a_client_that_expects_100_continue_is_told_to() {
    let server = Server::start(&[]);
    let body = dummy().to_string();
    let bytes = post(body.clone())
        .header("Expect", "100-continue")
        .to_bytes();
    let (head, _) = bytes.split_at(bytes.len() - body.len());
    let mut connection = server.connect();

    connection.write(head);
    let interim = connection.head();
    assert_eq!(interim.status, 100, "{interim:?}");
    connection.write(body.as_bytes());

    assert_eq!(connection.answer_to("POST").content(), ANSWER);
}

#[test]
fn a_client_that_waits_to_send_too_much_is_refused_before_it_does() {
    let server = Server::start(&[("AISBREAKER_MAX_BODY_BYTES", "1000")]);
    let mut connection = server.connect();

    let request = post(Vec::new())
        .header("Content-Length", "1000000")
        .header("Expect", "100-continue");
    connection.write(&request.to_bytes());

    assert_error("expecting", &connection.answer_to("POST"), 413, "");
}

#[test]
fn a_body_that_breaks_off_is_answered_to_nobody_and_harms_nobody() {
    let server = Server::start(&[]);
    for ending in ["0", "ffff\r\n{}", ""] {
        let mut connection = server.connect();
        connection.write(
            &post(ending)
                .header("Transfer-Encoding", "chunked")
                .to_bytes(),
        );
        connection.finish_writing();
        let answer = connection.rest();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    assert_eq!(server.process("", &dummy()).content(), ANSWER);
}

#[test]
fn stream_is_what_javascript_takes_for_true() {
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
        let mut body = dummy();
        body["request"]["stream"] = value.clone();
        let answer = server.process("", &body);
        let content_type = answer.header("content-type").unwrap();
        assert_eq!(
            content_type == "text/event-stream",
            streams,
            "{value}: {answer:?}"
        );
    }
}
