//! Revocation by id, which needs the operator's secret, and guesses at that.

use serde_json::json;

use super::{ADMIN, assert_oauth_error, id_of, is_accepted, operator_revocation, revocation};
use crate::support::{Request, Server, base64};

fn with_admin() -> Server {
    Server::start(&[("AISBREAKER_ADMIN_SECRET", ADMIN)])
}

fn key(server: &Server) -> String {
    server.mint_with_secrets(&json!([]))
}

#[test]
fn the_operator_revokes_by_id() {
    let server = with_admin();
    let keys = [(); 3].map(|()| key(&server));
    let [a, b, c] = [0, 1, 2].map(|index: usize| id_of(&server, &keys[index]));

    let answer = server.send(&operator_revocation(&format!("id={a}&id={b}")));

    assert_eq!((answer.status, answer.text()), (200, ""), "{answer:?}");
    assert!(!is_accepted(&server, &keys[0]));
    assert!(!is_accepted(&server, &keys[1]));
    assert!(is_accepted(&server, &keys[2]));
    let both = operator_revocation(&format!("id={c}&token={}", keys[2]));
    assert_oauth_error(
        "both",
        &server.send(&both),
        400,
        "invalid_request",
        "with id",
    );
    // A key that nobody has seen yet, and one of the operator's as a holder.
    let unseen = operator_revocation("id=AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(server.send(&unseen).status, 200);
    let token = operator_revocation(&format!("token={}", keys[2]));
    assert_eq!(server.send(&token).status, 200);
    assert!(!is_accepted(&server, &keys[2]));
    server.wait_for_log("the operator", |line| {
        line["by"] == "operator" && line["key"] == a
    });
}

#[test]
fn nobody_else_revokes_by_id() {
    let server = with_admin();
    let without = Server::start(&[]);
    let key = key(&server);
    let form = format!("id={}", id_of(&server, &key));
    let basic = |credentials: &str| format!("Basic {}", base64::encode(credentials.as_bytes()));
    let rows = [
        ("no credentials", &server, revocation(&form)),
        ("the key itself", &server, revocation(&form).bearer(&key)),
        ("as bearer", &server, revocation(&form).bearer(ADMIN)),
        (
            "another",
            &server,
            revocation(&form).header("Authorization", basic("admin:wrong")),
        ),
        (
            "a part",
            &server,
            revocation(&form).header("Authorization", basic(&format!("a:{}", &ADMIN[..11]))),
        ),
        (
            "none",
            &server,
            revocation(&form).header("Authorization", basic("admin:")),
        ),
        (
            "no colon",
            &server,
            revocation(&form).header("Authorization", basic(ADMIN)),
        ),
        ("unset", &without, operator_revocation(&form)),
        (
            "unset, none",
            &without,
            revocation(&form).header("Authorization", basic("admin:")),
        ),
    ];
    for (row, server, request) in rows {
        let answer = server.send(&request);
        assert_oauth_error(row, &answer, 401, "invalid_client", "operator");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic "), "{row}: {challenge}");
    }
    assert!(is_accepted(&server, &key));
    // OAuth's clients send their own credentials, which mean nothing here.
    let client = revocation(&format!("token={key}")).header("Authorization", basic("id:secret"));
    assert_eq!(server.send(&client).status, 200);
    assert!(!is_accepted(&server, &key));
}

#[test]
fn a_client_revokes_and_guesses_sixty_times_a_minute() {
    let server = Server::start(&[
        ("AISBREAKER_ADMIN_SECRET", ADMIN),
        ("AISBREAKER_TRUSTED_PROXIES", "127.0.0.0/8"),
    ]);
    let from = |client: &str, request: Request| request.header("X-Forwarded-For", client);
    let wrong = || {
        let credentials = base64::encode(b"admin:wrong guess");
        let request = revocation("id=AAAAAAAAAAAAAAAAAAAAAA");
        request.header("Authorization", format!("Basic {credentials}"))
    };
    let by_id = || operator_revocation("id=AAAAAAAAAAAAAAAAAAAAAA");
    for attempt in 0..30 {
        let holder = server.send(&from("192.0.2.1", revocation("token=x")));
        let guess = server.send(&from("192.0.2.1", wrong()));
        assert_eq!((holder.status, guess.status), (200, 401), "{attempt}");
    }
    for request in [revocation("token=x"), wrong(), by_id()] {
        let answer = server.send(&from("192.0.2.1", request));
        assert_oauth_error(
            "more",
            &answer,
            429,
            "temporarily_unavailable",
            "60 per minute",
        );
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    // Others are not concerned, and the operator not at all.
    let other = server.send(&from("192.0.2.2", revocation("token=x")));
    assert_eq!(other.status, 200);
    for _ in 0..100 {
        assert_eq!(server.send(&from("192.0.2.3", by_id())).status, 200);
    }
}
