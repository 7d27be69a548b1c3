//! Contract section 4: all bad keys get the same response, and none reaches a provider.

use serde_json::json;

use super::SECOND_KEY;
use crate::support::{
    KEY, Provider, Request, Response, Server, Ticker, ample_quotas, assert_error, call, dummy_call,
    grant, hop, original_keys, service, service_at, streamed,
};

/// Calls the dummy service with this key at this host.
pub(crate) fn call_at(server: &Server, host: &str, key: &str) -> Response {
    server.send(
        &Request::process(&dummy_call())
            .set("Host", host)
            .bearer(key),
    )
}

/// Asserts the response that every bad key gets.
pub(crate) fn assert_bad_key(row: &str, response: &Response) {
    assert_error(row, response, 401, "Invalid aisbreaker access token");
    assert_eq!(
        response.header("www-authenticate"),
        Some("Bearer error=\"invalid_token\""),
        "{row}"
    );
}

/// Derives every kind of bad key from a good one.
fn bad_keys(server: &Server) -> Vec<(String, String)> {
    let body = json!({"requestAuthAndQuotas": {}});
    let good = server.mint(&body);
    let sealed = good.strip_prefix("aisbreaker_").unwrap();
    let parts: Vec<&str> = sealed.split('.').collect();
    let other = server.mint(&grant(&ample_quotas(), &json!([])));
    let other_parts: Vec<&str> = other.split('.').collect();
    let foreign = Server::start(&[("AUTH_ENCRYPTION_KEYPHRASE", SECOND_KEY)]).mint(&body);
    let vectors = original_keys::vectors();
    let original = vectors["tokens"][0]["token"].as_str().unwrap();
    let mut rows: Vec<(String, String)> = [
        ("prefix alone", "aisbreaker_".to_owned()),
        (
            "the test of the original server",
            "aisbreaker_test_with_invalid_api_key".to_owned(),
        ),
        ("not a key", "aisbreaker_hello".to_owned()),
        ("four dots", "aisbreaker_....".to_owned()),
        ("not ASCII", "aisbreaker_schlüssel".to_owned()),
        ("another server", foreign),
        ("another host", server.mint_at("elsewhere.example", &body)),
        ("an original key of another server", original.to_owned()),
        (
            "without tag",
            format!("aisbreaker_{}", parts[..4].join(".")),
        ),
        ("empty tag", format!("aisbreaker_{}.", parts[..4].join("."))),
        ("truncated", good[..good.len() - 1].to_owned()),
        ("extended", format!("{good}A")),
        ("padded", format!("{good}==")),
        ("a sixth part", format!("{good}.AAAA")),
        (
            "with an encrypted key",
            format!("aisbreaker_{}.AAAA.{}", parts[0], parts[2..].join(".")),
        ),
        (
            "tag of another key",
            format!("aisbreaker_{}.{}", parts[..4].join("."), other_parts[4]),
        ),
        (
            "nonce of another key",
            format!(
                "aisbreaker_{}..{}.{}.{}",
                parts[0], other_parts[2], parts[3], parts[4]
            ),
        ),
        ("prefix twice", format!("aisbreaker_{good}")),
        (
            "longer than any key",
            format!("{good}{}", "A".repeat(20_000)),
        ),
        ("two keys", format!("{good} {good}")),
    ]
    .map(|(name, key)| (name.to_owned(), key))
    .to_vec();
    for position in "aisbreaker_".len()..good.len() {
        let mut altered = good.clone().into_bytes();
        // Lenient base64url decoders accept a neighbouring last character as the same.
        altered[position] = match altered[position] {
            b'A' => b'B',
            b'.' => b'A',
            b'a'..=b'z' | b'B'..=b'Z' | b'1'..=b'9' => altered[position] - 1,
            _ => b'A',
        };
        if altered != good.as_bytes() {
            rows.push((
                format!("altered at {position}"),
                String::from_utf8(altered).unwrap(),
            ));
        }
    }
    rows
}

#[test]
fn every_bad_key_gets_the_same_response() {
    let server = Server::start(&[]);
    let rows = bad_keys(&server);
    let field_names = |response: &Response| -> Vec<String> {
        let fields = response.headers.iter();
        fields.map(|(name, _)| name.clone()).collect()
    };
    let first = call_at(&server, "localhost", &rows[0].1);

    for (row, key) in &rows {
        let response = call_at(&server, "localhost", key);
        assert_bad_key(row, &response);
        assert_eq!(response.text_without_id(), first.text_without_id(), "{row}");
        assert_eq!(field_names(&response), field_names(&first), "{row}");
    }
    for (row, key) in rows.iter().take(20) {
        let response = server.process(key, &streamed(dummy_call()));
        assert_bad_key(&format!("{row}, streamed"), &response);
        assert_eq!(
            response.text_without_id(),
            first.text_without_id(),
            "{row}, streamed"
        );
    }
}

#[test]
fn expired_key_is_refused_like_any_bad_key() {
    let server = Server::start(&[]);
    let body = json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": "1s"});
    let bad = call_at(&server, "localhost", "aisbreaker_nonsense");
    let mut ticker = Ticker::start(1_000);

    let key = server.mint(&body);
    for _ in 0..3 {
        ticker.tick();
    }

    let response = call_at(&server, "localhost", &key);
    assert_bad_key("expired", &response);
    assert_eq!(response.text_without_id(), bad.text_without_id());
}

#[test]
fn log_names_the_refusal_cause_but_not_the_key() {
    let server = Server::start(&[("AUTH_ENCRYPTION_KEYPHRASE", KEY)]);
    let key = server.mint_at("elsewhere.example", &json!({"requestAuthAndQuotas": {}}));

    server.send(
        &Request::process(&dummy_call())
            .bearer(&key)
            .header("X-Request-Id", "refused"),
    );

    let line = server.wait_for_request("refused");
    assert_eq!(line["status"], 401);
    assert!(
        line["cause"]
            .as_str()
            .is_some_and(|cause| !cause.is_empty()),
        "{line}"
    );
    assert!(!server.log().contains(&key[..40]), "the log shows the key");
}

#[test]
fn mangled_keys_reach_no_provider() {
    let trap = Provider::trap();
    let server = Server::with_loopback_egress(&[]);
    let key = server.mint_with_secrets(&json!([]));
    let values = [
        format!("\"{key}\""),
        format!("'{key}'"),
        format!("`{key}`"),
        format!("<{key}>"),
        format!("\"{key}"),
        format!("'\"{key}\"'"),
        format!("\" {key}\""),
        format!("Bearer {key}"),
        format!("bearer {key}"),
        format!("BEARER   {key}"),
        format!("Bearer: {key}"),
        format!("Bearer:{key}"),
        format!("Bearer \"{key}\""),
        format!("Bearer '{key}'"),
        format!("\"Bearer {key}\""),
        format!("'bearer: {key}'"),
        format!("Bearer Bearer {key}"),
        format!("({key})"),
        format!("[{key}]"),
        format!("\"={key}\""),
        format!("${key}"),
        format!("token {key}"),
        // After a byte order mark.
        format!("\u{feff}{key}"),
    ];
    let services = [
        service_at("chat:openai.com", &trap.url()),
        hop(&trap.url(), &service("chat:dummy")),
    ];

    for value in values {
        for props in &services {
            for body in [
                call(props.clone(), "Hi"),
                streamed(call(props.clone(), "Hi")),
            ] {
                let row = value.replace(&key, "KEY");
                assert_bad_key(&row, &server.process(&value, &body));
            }
        }
    }
    assert_eq!(trap.connections(), 0, "{:?}", trap.requests());
}
