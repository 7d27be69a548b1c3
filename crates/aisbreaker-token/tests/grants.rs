//! Grants fail closed: what a server does not know, it does not open.

#[expect(dead_code, reason = "each test file uses some of the helpers")]
mod shared;

use std::collections::BTreeMap;

use aisbreaker_token::{Grant, ModelAlias, OpenError};
use serde::Deserialize;
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
        (
            "alias",
            replaced(
                "modelAliases",
                json!({"a": {"model": "chat:dummy/b", "translation": true}}),
            ),
        ),
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
        (
            "alias has no model",
            json!({"modelAliases": {"a": {"translate": true}}}),
        ),
        (
            "translate is a text",
            json!({"modelAliases": {"a": {"model": "chat:dummy/b", "translate": "true"}}}),
        ),
        ("alias is null", json!({"modelAliases": {"a": null}})),
    ] {
        let key = ring.seal(&grant, &host(), now(), HOUR).unwrap();
        assert!(
            ring.open_grant(key.expose(), &host(), now()).is_err(),
            "{row}"
        );
    }
}

#[test]
fn an_alias_without_translation_is_sealed_as_a_string() {
    let grant = Grant::default().with_model_aliases([
        ("plain", ModelAlias::from("chat:dummy/b")),
        ("smart", ModelAlias::from("chat:dummy/c").translated()),
    ]);
    let sealed = json!({
        "modelAliases": {
            "plain": "chat:dummy/b",
            "smart": {"model": "chat:dummy/c", "translate": true},
        },
    });
    assert_eq!(serde_json::to_value(&grant).unwrap(), sealed);

    let ring = ring(1);
    let key = ring.seal(&grant, &host(), now(), HOUR).unwrap();
    let opened = ring.open_grant(key.expose(), &host(), now()).unwrap();
    assert_eq!(opened.payload().model_aliases, grant.model_aliases);
    let spelled_out = json!({"modelAliases": {"a": {"model": "chat:dummy/b", "translate": false}}});
    let spelled_out: Grant = serde_json::from_value(spelled_out).unwrap();
    assert_eq!(
        serde_json::to_value(&spelled_out).unwrap(),
        json!({"modelAliases": {"a": "chat:dummy/b"}})
    );
}

#[test]
fn a_server_that_does_not_know_translation_refuses_such_a_key() {
    /// The part of the grant as releases before translation read it.
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct OlderGrant {
        model_aliases: BTreeMap<String, String>,
    }

    let ring = ring(1);
    let plain = ModelAlias::from("chat:dummy/b");
    for (alias, is_opened) in [(plain.clone(), true), (plain.translated(), false)] {
        let grant = Grant::default().with_model_aliases([("a", alias)]);
        let key = ring.seal(&grant, &host(), now(), HOUR).unwrap();
        match ring.open::<OlderGrant>(key.expose(), &host(), now()) {
            Ok(opened) => {
                assert!(is_opened, "{opened:?}");
                assert_eq!(opened.payload().model_aliases["a"], "chat:dummy/b");
            }
            Err(error) => assert!(!is_opened, "{error}"),
        }
    }
}
