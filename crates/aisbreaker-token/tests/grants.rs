//! Grants fail closed: what a server does not know, it does not open.

#[expect(dead_code, reason = "each test file uses some of the helpers")]
mod shared;

use aisbreaker_token::OpenError;
use serde_json::{Value, json};

use shared::{HOUR, host, now, ring};

#[test]
fn an_unknown_member_anywhere_in_the_grant_is_refused() {
    let limits = json!({"requestsPerMinute": 1, "requestsPerHour": 1, "requestsPerDay": 1});
    let with = |mut object: Value, member: &str| {
        object[member] = json!(null);
        object
    };
    let quotas = json!({"perClientRequestLimits": limits, "globalRequestLimits": limits});
    let secret = json!({"serviceId": "chat:dummy", "authSecret": "s"});
    let ancestor = json!({"id": "AAAAAAAAAAAAAAAAAAAAAA", "iat": 1});
    let good = json!({
        "requestQuotas": quotas, "serviceSecrets": [secret], "restrict": [{"services": []}],
        "modelAliases": {"a": "chat:dummy/b"}, "name": "n", "delegation": 1, "up": [ancestor],
    });
    let replaced = |member: &str, value: Value| {
        let mut grant = good.clone();
        grant[member] = value;
        grant
    };
    let mut limits_with_unknown = quotas.clone();
    limits_with_unknown["globalRequestLimits"]["requestsPerWeek"] = json!(1);
    let rows = [
        ("grant", replaced("restrictions", json!([]))),
        ("other case", replaced("Restrict", json!([]))),
        ("quotas", replaced("requestQuotas", with(quotas, "x"))),
        ("limits", replaced("requestQuotas", limits_with_unknown)),
        (
            "secret",
            replaced("serviceSecrets", json!([with(secret, "x")])),
        ),
        ("restriction", replaced("restrict", json!([{"models": []}]))),
        ("ancestor", replaced("up", json!([with(ancestor, "x")]))),
    ];
    let ring = ring(1);
    let open = |grant: &Value| {
        let key = ring.seal(grant, &host(), now(), HOUR).unwrap();
        ring.open_grant(key.expose(), &host(), now())
    };

    let opened = open(&good).unwrap().into_payload();
    assert_eq!(opened.name.as_deref(), Some("n"));
    assert_eq!(opened.restrict[0].services, Some(vec![]));
    assert_eq!(opened.ancestors[0].issued_at, Some(1));
    for (row, grant) in rows {
        let refused = open(&grant).unwrap_err();
        assert!(
            matches!(refused, OpenError::UnknownMember { .. }),
            "{row}: {refused:?}"
        );
    }
}

#[test]
fn a_malformed_member_of_the_grant_is_refused() {
    let ring = ring(1);
    for (row, grant) in [
        (
            "restriction is no list",
            json!({"restrict": {"services": []}}),
        ),
        ("restriction is null", json!({"restrict": null})),
        (
            "services is a text",
            json!({"restrict": [{"services": "chat:dummy"}]}),
        ),
        ("negative size", json!({"restrict": [{"maxBodyBytes": -1}]})),
        ("ancestor has no id", json!({"up": [{"iat": 1}]})),
        ("ancestor has a short id", json!({"up": [{"id": "AAAA"}]})),
        ("delegation is a text", json!({"delegation": "1"})),
    ] {
        let key = ring.seal(&grant, &host(), now(), HOUR).unwrap();
        assert!(
            ring.open_grant(key.expose(), &host(), now()).is_err(),
            "{row}"
        );
    }
}
