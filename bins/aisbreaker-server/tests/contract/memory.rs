//! What stays of a sealed secret in the memory of the server: nothing of it in buffers of this
//! project. Buffers of the HTTP library keep what went over the wire until it is overwritten, so
//! what goes over the wire here is told apart.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::surface::post;
use crate::support::{
    Canaries, KEY, Provider, Request, Server, call, grant, quotas, roomy, service, service_at, sse,
    streamed,
};

/// No 12 bytes of it are anything else.
const SEALED: &str = "sk-Vd7mQz2xKp9tRw4nYb6cHj8fLs3g";

/// What is found of the secret in the memory of the server; `None` where the system lets nobody
/// look.
#[track_caller]
fn found_in(server: &Server) -> Option<Vec<String>> {
    let canaries = Canaries::raw(&[("server key", KEY), ("sealed secret", SEALED)]);
    let Some(found) = server.search_memory(&canaries) else {
        eprintln!("SKIPPED: this system lets nobody look into the memory of a process");
        return None;
    };
    // The environment of the process, which has the server key, shows that memory was searched.
    let (control, found): (Vec<_>, _) = found
        .into_iter()
        .partition(|piece| piece.contains("server key:"));
    assert!(
        !control.is_empty(),
        "not even what is in the environment of the process is found"
    );
    Some(found)
}

#[track_caller]
fn assert_forgotten(row: &str, server: &Server) {
    if let Some(found) = found_in(server) {
        assert!(found.is_empty(), "{row}: {found:#?}");
    }
}

fn sealed(url: Option<&str>) -> Value {
    let entry = json!({"serviceId": "chat:openai.com", "authSecret": SEALED});
    let Some(url) = url else {
        return json!([entry]);
    };
    json!([{"serviceId": "chat:openai.com", "authSecret": SEALED, "url": url}])
}

#[test]
fn an_opened_key_leaves_nothing_of_its_secrets_in_memory() {
    let elsewhere = Server::start(&[]);
    let key = elsewhere.mint_secrets(&sealed(None));
    let rare = elsewhere.mint(&grant(&quotas([1; 3], [1; 3]), &sealed(None)));
    let mut short = grant(&roomy(), &sealed(None));
    short["expirationTimeSpan"] = json!("1s");
    let short = elsewhere.mint(&short);
    while elsewhere
        .process(&short, &call(service("chat:dummy"), "Hi"))
        .status
        == 200
    {}
    let altered = format!("{}AAAA{}", &key[..200], &key[204..]);
    let server = Server::with_egress(&[("DEFAULT_AISBREAKER_API_KEY", &key)]);
    let dummy = call(service("chat:dummy"), "Hi");
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
        ("expired", &short, dummy.clone(), 401),
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
        let request = Request::process(&body).header("X-Request-Id", "row");
        let request = if key.is_empty() {
            request
        } else {
            request.bearer(key)
        };
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

/// The body in chunks so short that no piece of the secret is whole on the wire; what is long comes
/// last, in one chunk.
fn in_small_chunks(body: &[u8]) -> Vec<u8> {
    let (small, large) = body.split_at(body.len().min(20_000));
    let mut wire = Vec::new();
    for chunk in small.chunks(8).chain((!large.is_empty()).then_some(large)) {
        wire.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        wire.extend([chunk, b"\r\n"].concat());
    }
    wire.extend(b"0\r\n\r\n");
    wire
}

#[test]
fn a_request_for_a_key_leaves_nothing_of_its_secrets_in_memory() {
    let secrets =
        |secret: &Value| json!({"requestAuthAndQuotas": {"serviceSecrets": secret}}).to_string();
    let minting = grant(&roomy(), &sealed(None)).to_string();
    let long = format!(
        "{}, \"zeros\": \"{}\"}}",
        minting.trim_end_matches('}'),
        "0".repeat(2 << 20)
    );
    let long = long.replacen("]", "]}", 1);
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
    // Several, since some are overwritten by chance; and room before the fault, since where it is
    // is found with vectors of bytes before it, which code that is not optimised keeps on the
    // stack.
    let broken = format!(
        "[{}{}\n!",
        format!("{{\"x\": \"{SEALED}\"}}, ").repeat(20),
        " ".repeat(2_000)
    );
    let rows = [
        ("minted", minting, 200),
        ("no JSON to its end", broken, 400),
        ("long", long, 200),
        ("not known", unknown, 200),
        (
            "a control character",
            secrets(&json!([{"serviceId": "chat:", "authSecret": control}])),
            400,
        ),
        ("behind a fault", secrets(&two), 400),
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
            "too long a key",
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
        let answer = server.send(&request);
        assert_eq!(answer.status, status, "{row}: {answer:?}");
        server.wait_for_request("row");
        assert_forgotten(row, &server);
    }
}

#[test]
fn a_body_that_is_cut_or_too_long_leaves_nothing_of_its_secrets_in_memory() {
    let server = Server::start(&[("AISBREAKER_MAX_BODY_BYTES", "1000")]);
    let minting = grant(&roomy(), &sealed(None));
    let mut long = minting.clone();
    long["zeros"] = json!("0".repeat(5_000));
    let whole = in_small_chunks(minting.to_string().as_bytes());
    let begun = &whole[..whole.len() - 5];
    let rows = [
        ("long", in_small_chunks(long.to_string().as_bytes())),
        ("cut", begun.to_vec()),
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
fn of_a_secret_that_was_sent_only_the_bytes_on_the_wire_are_left() {
    let provider = Provider::start(|received, wire| {
        if received.json()["stream"] == true {
            let piece = json!({"choices": [{"index": 0, "delta": {"content": "Hi"}}]});
            // Its end comes with it, so that the connection is kept for certain.
            let events = sse(&piece) + "data: [DONE]\n\n";
            wire.answer(200, &[("Content-Type", "text/event-stream")], events);
        } else {
            wire.json(
                200,
                &json!({"model": "m", "choices": [{"message": {"content": "Hi"}}]}),
            );
        }
    });
    let key = Server::start(&[]).mint_secrets(&sealed(Some(&provider.url())));
    let server = Server::with_egress(&[]);
    let openai = service("chat:openai.com");
    let mirror = json!({"serviceId": "aisbreaker:mirror", "forward2ServiceProps": openai});

    let processed = [
        call(openai.clone(), "Hi"),
        streamed(call(openai, "Hi")),
        streamed(call(mirror, "Hi")),
    ];
    let processed = processed.iter().map(Request::process);
    let passed_on = [r#"{"model":"m"}"#, r#"{"model":"m","stream":true}"#];
    let passed_on = passed_on
        .iter()
        .map(|body| post("/v1/chat/completions", &key, *body));
    for (row, request) in processed.chain(passed_on).enumerate() {
        let request = request.bearer(&key).header("X-Request-Id", "sent");
        assert_eq!(server.send(&request).status, 200);
        server.wait_for_request("sent");
        // Connections are kept, and with each the library's one buffer for heads.
        let Some(found) = found_in(&server) else {
            return;
        };
        let is_head =
            |piece: &String| piece.contains(&format!(r"\r\nauthorization: Bearer {SEALED}\r\n"));
        assert!(found.iter().all(is_head), "{row}: {found:#?}");
        assert!(
            (1..=provider.connections()).contains(&found.len()),
            "{row}: {found:#?}"
        );
    }
}
