//! Bodies as clients write them: content codings, multipart forms, and JSON that is not UTF-8.

use std::io::Write as _;

use flate2::{Compression, write::DeflateEncoder};
use serde_json::json;

use crate::support::{
    Provider, Request, Server, deflate, gzip,
    provider_api::{CHAT, MESSAGES, post_with_key, two_dialect_key},
};

const FILES: &str = "/v1/audio/transcriptions";

fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory to write to");
    encoder.finish().expect("memory to write to")
}

#[test]
fn content_codings_are_decoded_as_clients_send_them() {
    let provider = Provider::with_response(200, json!({}));
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let body = br#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
    let (start, end) = body.split_at(20);
    let zeros = vec![0; 512];
    let rows = [
        ("identity", body.to_vec()),
        ("gzip", gzip(body)),
        ("x-gzip", gzip(body)),
        ("gzip", [gzip(body), zeros.clone()].concat()),
        ("gzip", [gzip(start), gzip(end)].concat()),
        ("gzip", [gzip(start), zeros, gzip(end)].concat()),
        ("deflate", deflate(body)),
        ("deflate", raw_deflate(body)),
    ];
    for (coding, packed) in rows {
        let shown = packed.escape_ascii().to_string();
        let request = post_with_key(CHAT, &key, packed).header("Content-Encoding", coding);
        let response = server.send(&request);
        assert_eq!(
            response.status,
            200,
            "{coding} {shown}: {}",
            response.text()
        );
        let received = provider.requests().pop().unwrap();
        assert_eq!(received.body, body, "{coding} {shown}");
    }
}

#[test]
fn bombs_are_refused_in_every_coding() {
    let provider = Provider::trap();
    let server = Server::with_loopback_egress(&[("AISBREAKER_MAX_BODY_BYTES", "100000")]);
    let key = two_dialect_key(&server, &provider);
    let spaces = vec![b' '; 100_001];
    let half = gzip(&spaces[..60_000]);
    let rows = [
        ("gzip", gzip(&spaces)),
        ("gzip", [half.clone(), half].concat()),
        ("deflate", deflate(&spaces)),
        ("deflate", raw_deflate(&spaces)),
    ];
    for (coding, packed) in rows {
        let request = post_with_key(CHAT, &key, packed).header("Content-Encoding", coding);
        assert_eq!(server.send(&request).status, 413, "{coding}");
    }
    assert_eq!(provider.connections(), 0);
}

#[test]
fn forms_of_all_clients_are_forwarded_byte_by_byte() {
    let provider = Provider::with_response(200, json!({}));
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let boundaries = [
        "b",
        "----=_Part_0_1.2",
        "a=b",
        "a:b",
        "a/b",
        "\"a=b c\"",
        "(a),'b'?",
    ];
    let names: [&[u8]; 8] = [
        b"my song (1).mp3",
        b"a=b.mp3",
        b"gr\xf6\xdfe.mp3",
        b"\"gr\xf6\xdfe.mp3\"",
        "\"gr\u{f6}\u{df}e.mp3\"".as_bytes(),
        b"\"a\\\"b\\\".mp3\"",
        b"\"C:\\a b\\c.mp3\"",
        b"a.mp3; filename*=UTF-8''gr%C3%B6%C3%9Fe.mp3",
    ];
    for boundary in boundaries {
        for name in names {
            let dashed = format!("--{}", boundary.trim_matches('"'));
            let body = [
                dashed.as_bytes(),
                b"\r\nContent-Disposition: form-data; name=\"file\"; filename=",
                name,
                b"\r\nContent-Type: audio/mpeg\r\n\r\n\xff\xfb\x90\0\r\n",
                dashed.as_bytes(),
                b"\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n",
                dashed.as_bytes(),
                b"--\r\n",
            ]
            .concat();
            let content_type = format!("multipart/form-data; boundary={boundary}");
            let request = Request::new("POST", FILES)
                .bearer(&key)
                .header("Content-Type", &content_type)
                .body(body.clone());

            let response = server.send(&request);

            let row = format!("{content_type} {}", name.escape_ascii());
            assert_eq!(response.status, 200, "{row}: {}", response.text());
            let received = provider.requests().pop().unwrap();
            assert_eq!(received.body, body, "{row}");
            assert_eq!(received.header("content-type"), Some(&*content_type));
        }
    }
}

#[test]
fn json_must_be_utf8() {
    let provider = Provider::trap();
    let server = Server::with_loopback_egress(&[]);
    let key = two_dialect_key(&server, &provider);
    let bodies: [&[u8]; 4] = [
        b"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"gr\xf6\xdfe\"}]}",
        b"{\"model\":\"m\",\"a\":\"\xed\xa0\xbd\"}",
        b"{\"model\":\"m\",\"a\":\"\xc0\x80\"}",
        b"{\"model\":\"m\",\"\xff\":1}",
    ];
    for body in bodies {
        for packed in [body.to_vec(), gzip(body)] {
            let coding = if packed == body { "identity" } else { "gzip" };
            let post =
                |path| post_with_key(path, &key, &*packed).header("Content-Encoding", coding);
            let openai = server.send(&post(CHAT));
            let shown = body.escape_ascii();
            assert_eq!(openai.status, 400, "{shown}: {openai:?}");
            assert_eq!(openai.json()["error"]["type"], "invalid_request_error");
            assert_eq!(openai.message(), "request body must be JSON in UTF-8");

            let anthropic = server.send(&post(MESSAGES));
            assert_eq!(anthropic.status, 400, "{shown}: {anthropic:?}");
            assert_eq!(anthropic.json()["type"], "error");
            assert_eq!(anthropic.json()["error"]["type"], "invalid_request_error");
        }
    }
    assert_eq!(provider.connections(), 0);

    let text = "{\"model\":\"m\",\"a\":\"\u{feff}gr\u{f6}\u{df}e \u{1f600} \\ud83d\"}";
    let response = server.send(&post_with_key(CHAT, &key, text));
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(provider.only_request().body, text.as_bytes());
}
