//! Keys that their holders narrowed without a server, by sealing them into new ones.

use serde_json::{Value, json};

use crate::{
    own_api::bad_keys::assert_bad_key,
    support::{Request, Server, ample_quotas, dummy_call, grant, offline_key, quotas},
};

/// Seals a key around this one.
fn nest(server: &Server, parent: &str, members: &Value) -> String {
    let mut claims = offline_key::claims(members);
    claims["parent"] = json!(parent);
    offline_key::seal(server, &claims)
}

fn quota_of(server: &Server, key: &str) -> Value {
    let response = server.send(&Request::get("/api/v1/quota").bearer(key));
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

#[test]
fn nested_keys_are_charged_to_the_key_inside_them() {
    let server = Server::start(&[]);
    let limits = quotas([3, 3, 3], [3, 3, 3]);
    let parent = server.mint(&grant(&limits, &json!([])));
    let children = ["a", "b"].map(|name| nest(&server, &parent, &json!({"name": name})));
    let grandchild = nest(
        &server,
        &children[0],
        &json!({"requestQuotas": ample_quotas()}),
    );

    assert_eq!(server.process(&children[0], &dummy_call()).status, 200);
    assert_eq!(server.process(&children[1], &dummy_call()).status, 200);
    assert_eq!(server.process(&grandchild, &dummy_call()).status, 200);
    for key in [&children[0], &children[1], &grandchild, &parent] {
        assert_eq!(server.process(key, &dummy_call()).status, 429);
    }
}

#[test]
fn nested_keys_keep_to_the_restrictions_of_their_whole_chain() {
    let server = Server::start(&[]);
    let parent = server.mint(&json!({
        "requestAuthAndQuotas": {},
        "restrict": {"operations": ["process", "chat/completions"]},
    }));
    let of_chat = nest(
        &server,
        &parent,
        &json!({"restrict": [{"operations": ["chat/completions"]}]}),
    );
    let of_process = nest(
        &server,
        &parent,
        &json!({"restrict": [{"operations": ["process"]}]}),
    );
    let of_none = nest(
        &server,
        &of_chat,
        &json!({"restrict": [{"operations": ["process"]}]}),
    );
    let of_more = nest(
        &server,
        &of_chat,
        &json!({"restrict": [{"operations": ["process", "responses"]}]}),
    );

    assert_eq!(server.process(&parent, &dummy_call()).status, 200);
    assert_eq!(server.process(&of_process, &dummy_call()).status, 200);
    for key in [&of_chat, &of_none, &of_more] {
        assert_eq!(server.process(key, &dummy_call()).status, 403);
    }
}

#[test]
fn nested_keys_end_with_the_key_inside_them() {
    let server = Server::start(&[]);
    let parent = server.mint(&json!({"requestAuthAndQuotas": {}, "expirationTimeSpan": "10m"}));
    let child = nest(&server, &parent, &json!({}));

    let state = quota_of(&server, &child);

    assert_eq!(state["expiresAt"], quota_of(&server, &parent)["expiresAt"]);
    let now = offline_key::seconds_now();
    let expired = json!({"iat": now - 60, "exp": now - 1});
    let expired = offline_key::seal(&server, &{
        let mut claims = offline_key::claims(&json!({}));
        claims["iat"] = expired["iat"].clone();
        claims["exp"] = expired["exp"].clone();
        claims
    });
    assert_bad_key(
        "around an expired key",
        &server.process(&nest(&server, &expired, &json!({})), &dummy_call()),
    );
}

#[test]
fn what_delegation_forbids_cannot_be_nested() {
    let server = Server::start(&[]);
    let mint = |delegation: Value| {
        server.mint(&json!({"requestAuthAndQuotas": {}, "delegation": delegation}))
    };
    let nest_times =
        |key: String, times| (0..times).fold(key, |parent, _| nest(&server, &parent, &json!({})));
    for (delegation, times, opens) in [
        (json!(null), 3, true),
        (json!(null), 4, false),
        (json!(0), 1, false),
        (json!(1), 1, true),
        (json!(1), 2, false),
    ] {
        let key = nest_times(mint(delegation.clone()), times);
        let response = server.process(&key, &dummy_call());
        if opens {
            assert_eq!(response.status, 200, "{delegation} {times}: {response:?}");
        } else {
            assert_bad_key(&format!("{delegation} {times}"), &response);
        }
    }
    let parent = mint(json!(null));
    for (row, members) in [
        (
            "secrets",
            json!({"serviceSecrets": [{"serviceId": "chat:", "authSecret": "sk"}]}),
        ),
        ("aliases", json!({"modelAliases": {"a": "chat:dummy/b"}})),
        ("ancestors", json!({"up": []})),
        ("a long name", json!({"name": "x".repeat(65)})),
        ("an unknown member", json!({"unknown": 1})),
    ] {
        let key = nest(&server, &parent, &members);
        assert_bad_key(row, &server.process(&key, &dummy_call()));
    }
}

/// Whoever has a key may narrow it, also where only few may mint; but no key without the secret of
/// those few comes in that way.
#[test]
fn nesting_needs_no_mint_secret_and_gets_around_none() {
    let server = Server::start(&[("AISBREAKER_MINT_SECRET", "open sesame")]);
    let minted = server.mint(&json!({"requestAuthAndQuotas": {}, "clientSecret": "open sesame"}));
    let sealed = |members: Value| offline_key::seal(&server, &offline_key::claims(&members));
    let with_secret = sealed(json!({"clientSecret": "open sesame"}));
    let without_secret = sealed(json!({}));

    for parent in [&minted, &with_secret] {
        let child = nest(&server, parent, &json!({}));
        assert_eq!(server.process(&child, &dummy_call()).status, 200);
    }
    for members in [json!({}), json!({"clientSecret": "open sesame"})] {
        let child = nest(&server, &without_secret, &members);
        assert_bad_key("without the secret", &server.process(&child, &dummy_call()));
    }
}

/// As long as a key may be, in a header field.
#[test]
fn a_long_nested_key_works() {
    let server = Server::start(&[]);
    let mut services = vec![format!("chat:vendor.example/{}", "x".repeat(40)); 16];
    services.push("chat:dummy".to_owned());
    let restriction = json!({"restrict": [{"services": services}]});
    let mut key =
        server.mint(&json!({"requestAuthAndQuotas": {}, "restrict": restriction["restrict"]}));
    for _ in 0..3 {
        key = nest(&server, &key, &restriction);
    }

    assert!((10_000..16_384).contains(&key.len()), "{}", key.len());
    assert_eq!(server.process(&key, &dummy_call()).status, 200);
    let response =
        server.send(&Request::get("/api/v1/quota").bearer(&format!("{key}{}", "A".repeat(16_384))));
    assert_bad_key("too long", &response);
}
