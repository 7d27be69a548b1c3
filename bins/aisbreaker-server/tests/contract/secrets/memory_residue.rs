//! What remains of a sealed secret in the server's memory: nothing in buffers of this project. The
//! HTTP library keeps the bytes of a caller until it overwrites them, so bytes that go over the wire
//! are distinguished here.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::{
    Canaries, KEY, Provider, Request, Server, ample_quotas, call, dummy_call, grant, offline_key,
    provider_api::{CHAT, post_with_key},
    quotas, service, service_at, sse, streamed,
};

/// No 12 bytes of it occur anywhere else.
const SEALED: &str = "sk-Vd7mQz2xKp9tRw4nYb6cHj8fLs3g";

/// Returns the fragments of the secret in the memory of the server, or `None` where the system does
/// not let one process read the memory of another.
#[track_caller]
fn found_in(server: &Server) -> Option<Vec<String>> {
    let canaries = Canaries::verbatim(&[("server key", KEY), ("sealed secret", SEALED)]);
    let Some(all) = server.search_memory(&canaries) else {
        eprintln!("SKIPPED: this system does not let one process read the memory of another");
        return None;
    };
    // The server key, which the environment of the process contains, shows that the search works.
    let (control, found): (Vec<_>, _) = all
        .into_iter()
        .partition(|fragment| fragment.contains("server key:"));
    assert!(
        !control.is_empty(),
        "the environment of the process was not found"
    );
    Some(found)
}

/// Asserts that the memory of the server contains no fragment of the secret.
#[track_caller]
fn assert_forgotten(row: &str, server: &Server) {
    if let Some(found) = found_in(server) {
        assert!(found.is_empty(), "{row}: {found:#?}");
    }
}

/// The secret as a list of service secrets, bound to a URL or to the service's own address.
fn sealed(url: Option<&str>) -> Value {
    let mut entry = json!({"serviceId": "chat:openai.com", "authSecret": SEALED});
    if let Some(url) = url {
        entry["url"] = json!(url);
    }
    json!([entry])
}

/// Frames a body in chunks so short that no fragment of the secret is contiguous on the wire. The
/// rest of a long body is one last chunk.
fn in_small_chunks(body: &[u8]) -> Vec<u8> {
    let (small, large) = body.split_at(body.len().min(20_000));
    let mut framed = Vec::new();
    for chunk in small.chunks(8).chain((!large.is_empty()).then_some(large)) {
        framed.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        framed.extend([chunk, b"\r\n"].concat());
    }
    framed.extend(b"0\r\n\r\n");
    framed
}

#[test]
fn opened_key_leaves_no_secret_in_memory() {
    let minting_server = Server::start(&[]);
    let key = minting_server.mint_with_secrets(&sealed(None));
    let rare = minting_server.mint(&grant(&quotas([1; 3], [1; 3]), &sealed(None)));
    let mut short_lived = grant(&ample_quotas(), &sealed(None));
    short_lived["expirationTimeSpan"] = json!("1s");
    let expired = minting_server.mint(&short_lived);
    while minting_server.process(&expired, &dummy_call()).status == 200 {}
    let altered = format!("{}AAAA{}", &key[..200], &key[204..]);
    let server = Server::with_loopback_egress(&[("DEFAULT_AISBREAKER_API_KEY", &key)]);
    let dummy = dummy_call();
    let mirror =
        json!({"serviceId": "aisbreaker:mirror", "forward2ServiceProps": service("chat:echo")});
    let foreign = service_at("chat:openai.com", "https://elsewhere.example");
    let rows: [(&str, &str, Value, u16); 11] = [
        ("called", &key, dummy.clone(), 200),
        ("streamed", &key, streamed(dummy.clone()), 200),
        (
            "behind another service",
            &key,
            streamed(call(mirror, "Hi")),
            200,
        ),
        ("as the default key", "", dummy.clone(), 200),
        ("altered", &altered, dummy.clone(), 401),
        ("expired", &expired, dummy.clone(), 401),
        ("within its quota", &rare, dummy.clone(), 200),
        ("beyond its quota", &rare, dummy.clone(), 429),
        (
            "for no service",
            &key,
            call(service("chat:nobody"), "Hi"),
            404,
        ),
        ("for another address", &key, call(foreign, "Hi"), 403),
        (
            "for a bad request",
            &key,
            call(service_at("chat:openai.com", "no address"), "Hi"),
            400,
        ),
    ];

    for (row, key, body, status) in rows {
        let request = Request::process(&body)
            .bearer(key)
            .header("X-Request-Id", "row");
        assert_eq!(server.send(&request).status, status, "{row}");
        server.wait_for_request("row");
        assert_forgotten(row, &server);
    }
    let request = Request::process(&dummy)
        .bearer(&key)
        .set("Host", "elsewhere.example");
    assert_eq!(
        server.send(&request.header("X-Request-Id", "host")).status,
        401
    );
    server.wait_for_request("host");
    assert_forgotten("at another host", &server);
}

#[test]
fn opened_offline_key_leaves_no_secret_in_memory() {
    let server = Server::start(&[("AISBREAKER_MINT_SECRET", "open sesame")]);
    let seal = |members: Value| {
        let mut claims = offline_key::claims(&json!({"serviceSecrets": sealed(None)}));
        claims
            .as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        offline_key::seal(&server, &claims)
    };
    let good = seal(json!({"clientSecret": "open sesame"}));
    let nested = offline_key::claims(&json!({"parent": good}));
    let nested = offline_key::seal(&server, &nested);
    for (row, key, status) in [
        ("called", &good, 200),
        ("nested", &nested, 200),
        ("without the mint secret", &seal(json!({})), 401),
        (
            "with a bad name",
            &seal(json!({"name": "", "clientSecret": "open sesame"})),
            401,
        ),
        (
            "for another host",
            &seal(json!({"aud": "elsewhere.example"})),
            401,
        ),
    ] {
        let request = Request::process(&dummy_call()).bearer(key);
        let request = request.header("X-Request-Id", "row");
        assert_eq!(server.send(&request).status, status, "{row}");
        server.wait_for_request("row");
        assert_forgotten(row, &server);
    }
}

#[test]
fn minting_leaves_no_secret_in_memory() {
    let secrets =
        |secret: &Value| json!({"requestAuthAndQuotas": {"serviceSecrets": secret}}).to_string();
    let minting = grant(&ample_quotas(), &sealed(None)).to_string();
    let long = format!(
        "{}, \"zeros\": \"{}\"}}",
        minting.strip_suffix('}').unwrap(),
        "0".repeat(2 << 20)
    );
    let mut unknown = format!(r#"{{"z": "{SEALED}", "clientSecret": "{SEALED}", "#);
    write!(
        unknown,
        r#""requestAuthAndQuotas": {{"x": ["{SEALED}", {{"y": "{SEALED}"}}]}}}}"#
    )
    .unwrap();
    // A control character that JSON need not escape.
    let control = format!("{SEALED}\u{7f}");
    let two =
        json!([{"serviceId": "chat:", "authSecret": 1}, {"serviceId": "", "authSecret": SEALED}]);
    // Several copies, since some are overwritten by chance. The padding keeps them away from the
    // fault: unoptimised code keeps vectors of the bytes before it on the stack when it computes
    // its position.
    let broken = format!(
        "[{}{}\n!",
        format!("{{\"x\": \"{SEALED}\"}}, ").repeat(20),
        " ".repeat(2_000)
    );
    let rows = [
        ("minted", minting, 200),
        ("invalid JSON", broken, 400),
        ("long", long, 200),
        ("unknown members", unknown, 200),
        (
            "a control character",
            secrets(&json!([{"serviceId": "chat:", "authSecret": control}])),
            400,
        ),
        ("after a fault", secrets(&two), 400),
        ("no list", secrets(&json!(SEALED)), 400),
        (
            "no object",
            secrets(&json!([SEALED, {"authSecret": SEALED}])),
            400,
        ),
        (
            "a list",
            secrets(&json!([{"serviceId": "chat:", "authSecret": [SEALED]}])),
            400,
        ),
        (
            "as an id",
            secrets(&json!([{"serviceId": [SEALED], "authSecret": SEALED}])),
            400,
        ),
        (
            "an overlong key",
            secrets(&json!([{"serviceId": "chat:", "authSecret": SEALED.repeat(300)}])),
            400,
        ),
    ];

    for (row, body, status) in rows {
        let server = Server::start(&[]);
        let request = Request::mint(&json!(null))
            .header("Transfer-Encoding", "chunked")
            .header("X-Request-Id", "row")
            .body(in_small_chunks(body.as_bytes()));
        let response = server.send(&request);
        assert_eq!(response.status, status, "{row}: {response:?}");
        server.wait_for_request("row");
        assert_forgotten(row, &server);
    }
}

#[test]
fn truncated_or_oversized_body_leaves_no_secret_in_memory() {
    let server = Server::start(&[("AISBREAKER_MAX_BODY_BYTES", "1000")]);
    let minting = grant(&ample_quotas(), &sealed(None));
    let mut oversized = minting.clone();
    oversized["zeros"] = json!("0".repeat(5_000));
    let whole = in_small_chunks(minting.to_string().as_bytes());
    let truncated = &whole[..whole.len() - 5];
    let rows = [
        (
            "oversized",
            in_small_chunks(oversized.to_string().as_bytes()),
        ),
        ("truncated", truncated.to_vec()),
    ];

    for (row, body) in rows {
        let request = Request::mint(&json!(null)).header("Transfer-Encoding", "chunked");
        let mut connection = server.connect();
        connection.write(&request.header("X-Request-Id", row).body(body).to_bytes());
        connection.finish_writing();
        server.wait_for_request(row);
        assert_forgotten(row, &server);
    }
}

#[test]
fn sent_secret_leaves_nothing_in_memory() {
    let provider = Provider::start(|request, wire| {
        if request.json()["stream"] == true {
            let delta = json!({"choices": [{"index": 0, "delta": {"content": "Hi"}}]});
            // The end arrives together with the event, so that the connection is certainly reused.
            let events = sse(&delta) + "data: [DONE]\n\n";
            wire.respond(200, &[("Content-Type", "text/event-stream")], events);
        } else {
            wire.json(
                200,
                &json!({"model": "m", "choices": [{"message": {"content": "Hi"}}]}),
            );
        }
    });
    let key = Server::start(&[]).mint_with_secrets(&sealed(Some(&provider.url())));
    let server = Server::with_loopback_egress(&[]);
    let openai = service("chat:openai.com");
    let mirror = json!({"serviceId": "aisbreaker:mirror", "forward2ServiceProps": openai});

    let processed = [
        call(openai.clone(), "Hi"),
        streamed(call(openai, "Hi")),
        streamed(call(mirror, "Hi")),
    ];
    let process_requests = processed.iter().map(Request::process);
    let forwarded = [r#"{"model":"m"}"#, r#"{"model":"m","stream":true}"#];
    let forwarded_requests = forwarded
        .iter()
        .map(|body| post_with_key(CHAT, &key, *body));
    for (row, request) in process_requests.chain(forwarded_requests).enumerate() {
        let request = request.bearer(&key).header("X-Request-Id", "sent");
        assert_eq!(server.send(&request).status, 200);
        server.wait_for_request("sent");
        assert_forgotten(&row.to_string(), &server);
    }
}
