//! Providers that answer before they have read the request, and close the connection.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    thread,
};

use crate::support::{
    Request, Server, call,
    provider_api::{CHAT, post_with_key},
    service_at,
};

const ROUNDS: usize = 5;
const PADDING_BYTES: usize = 3 << 20;

/// Starts a provider that reads the head of each request, answers, and closes with the rest unread.
fn early_provider(status: u16) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 1024];
            let _length = stream.read(&mut head).unwrap();
            let body = r#"{"error":{"message":"too early to tell"}}"#;
            let answer = format!(
                "HTTP/1.1 {status} Refused\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            // In one write: closing discards what the system has not sent yet.
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

#[test]
fn early_answer_of_a_provider_is_passed_on() {
    for status in [413, 401, 429] {
        let provider = format!("http://{}", early_provider(status));
        let server = Server::with_loopback_egress(&[]);
        let key = server.mint_with_secrets(&serde_json::json!([
            {"serviceId": "chat:openai.com", "authSecret": "one", "url": provider},
        ]));
        let text = "x".repeat(PADDING_BYTES);
        let body =
            serde_json::json!({"model": "m", "messages": [{"role": "user", "content": text}]});
        let process = call(service_at("chat:openai.com", &provider), &text);
        for round in 0..ROUNDS {
            let forwarded = server.send(&post_with_key(CHAT, &key, body.to_string()));
            assert_eq!(forwarded.status, status, "round {round}: {forwarded:?}");
            assert!(forwarded.text().contains("too early"), "{forwarded:?}");
            let processed = server.send(&Request::process(&process).bearer(&key));
            assert_eq!(processed.status, status, "round {round}: {processed:?}");
        }
    }
}
