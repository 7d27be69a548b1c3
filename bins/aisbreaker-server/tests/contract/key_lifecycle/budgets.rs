//! Budgets of tokens and dollars in keys: minted exactly or refused, shown, and kept up the chain.

use serde_json::{Value, json};

use crate::support::{
    KEY, Request, Response, Server, assert_error, dummy_call, grant, offline_key, quotas, run,
};

const TOKEN: &str = "/api/v1/oauth/token";
/// All that budgets can have, with dollars in every spelling. As a double, the total would be
/// another one.
const BUDGETS: &str = r#"{
    "perClient": {"tokensPerMinute": 30000, "tokensPerHour": 300000, "tokensPerDay": 1000000,
                  "usdPerDay": 2.50},
    "global": {"tokensPerMinute": 100000, "tokensPerDay": 5000000, "usdPerDay": "20.10",
               "usdPerMonth": 200, "usdTotal": 8999999.123456789},
    "reserve": "strict"
}"#;

/// [`BUDGETS`] as it is shown.
fn shown_budgets() -> Value {
    json!({
        "perClient": {"tokensPerMinute": 30_000, "tokensPerHour": 300_000,
                      "tokensPerDay": 1_000_000, "usdPerDay": "2.5"},
        "global": {"tokensPerMinute": 100_000, "tokensPerDay": 5_000_000, "usdPerDay": "20.1",
                   "usdPerMonth": "200", "usdTotal": "8999999.123456789"},
        "reserve": "strict",
    })
}

/// A minting request with this text as budgets.
fn minting(budgets: &str) -> Request {
    let body = format!(r#"{{"requestAuthAndQuotas": {{"budgets": {budgets}}}}}"#);
    Request::post(TOKEN, body)
}

fn exchange_body(parent: &str, budgets: &str) -> String {
    format!(
        r#"{{"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
             "subject_token": "{parent}", "budgets": {budgets},
             "subject_token_type": "urn:ietf:params:oauth:token-type:access_token"}}"#
    )
}

fn form(path: &str, body: String) -> Request {
    Request::post(path, body).set("Content-Type", "application/x-www-form-urlencoded")
}

#[track_caller]
fn key_in(response: &Response) -> String {
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["access_token"].as_str().unwrap().to_owned()
}

/// What the holder of a key is told about it.
#[track_caller]
fn introspected(server: &Server, key: &str) -> Value {
    let request = form("/api/v1/oauth/introspect", format!("token={key}"));
    let response = server.send(&request.bearer(key));
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

#[test]
fn budgets_are_minted_and_shown_to_the_nano_dollar() {
    let server = Server::start(&[("AISBREAKER_VOLATILE_BUDGETS", "true")]);
    let inside = format!(r#"{{"requestAuthAndQuotas": {{"budgets": {BUDGETS}}}}}"#);
    let beside = format!(r#"{{"budgets": {BUDGETS}, "requestAuthAndQuotas": {{}}}}"#);
    for body in [inside, beside] {
        let response = server.send(&Request::post(TOKEN, body));

        let key = key_in(&response);
        assert!(response.json().get("warnings").is_none(), "{response:?}");
        assert_eq!(introspected(&server, &key)["budgets"], shown_budgets());
    }
    let without = server.mint(&json!({"requestAuthAndQuotas": {"budgets": null}}));
    assert!(introspected(&server, &without).get("budgets").is_none());
}

#[test]
fn a_typo_is_refused_and_never_means_unlimited() {
    let server = Server::start(&[("AISBREAKER_VOLATILE_BUDGETS", "true")]);
    let rows = [
        (
            r#"{"perClients": {"usdPerDay": "1"}}"#,
            "budgets has a member",
        ),
        (r#"{"usdPerDay": "1"}"#, "budgets has a member"),
        (
            r#"{"global": {"usdPerDays": "1"}}"#,
            "budgets.global has a member",
        ),
        (
            r#"{"global": {"requestsPerDay": 1}}"#,
            "budgets.global has a member",
        ),
        (
            r#"{"perClient": {"usdTotal": "1"}}"#,
            "budgets.perClient.usdTotal",
        ),
        (
            r#"{"perClient": {"usdPerMonth": "1"}}"#,
            "budgets.perClient.usdPerMonth",
        ),
        (r#"{"reserve": "most"}"#, "budgets.reserve"),
        (r#"{"outputReserve": -1}"#, "budgets.outputReserve"),
        (
            r#"{"global": {"tokensPerDay": 0}}"#,
            "budgets.global.tokensPerDay",
        ),
        (
            r#"{"global": {"tokensPerDay": 0.5}}"#,
            "budgets.global.tokensPerDay",
        ),
        (
            r#"{"global": {"usdPerDay": 0}}"#,
            "budgets.global.usdPerDay must be above 0",
        ),
        (
            r#"{"global": {"usdPerDay": -1}}"#,
            "budgets.global.usdPerDay must not be negative",
        ),
        (
            r#"{"global": {"usdPerDay": 1e1}}"#,
            "budgets.global.usdPerDay must be a plain decimal",
        ),
        (
            r#"{"global": {"usdPerDay": 0.0000000001}}"#,
            "at most 9 digits after the point",
        ),
        (
            r#"{"global": {"usdPerDay": 2.49999999999999999999}}"#,
            "at most 9 digits",
        ),
        (
            r#"{"global": {"usdPerDay": "9000000.01"}}"#,
            "at most 9000000 dollars",
        ),
        (
            r#"{"global": {"usdPerDay": "$1"}}"#,
            "budgets.global.usdPerDay must be dollars",
        ),
        (
            r#"{"global": {"usdPerDay": "1", "usdPerDay": null}}"#,
            "twice",
        ),
        (
            r#"{"global": {"usdPerDay": "1"}}, "budgets": null"#,
            "twice",
        ),
        (r#"{"global": {"usdPerDay": "1"}, "global": {}}"#, "twice"),
        (r#"null, "budget": {}"#, "requestAuthAndQuotas has a member"),
        (
            r#"null, "maxBudget": 1"#,
            "requestAuthAndQuotas has a member",
        ),
        (
            r#"null, "tokensPerMinute": 1"#,
            "requestAuthAndQuotas has a member",
        ),
    ];
    for (budgets, message) in rows {
        assert_error(budgets, &server.send(&minting(budgets)), 400, message);
    }
    let both = r#"{"budgets": {}, "requestAuthAndQuotas": {"budgets": {}}}"#;
    let response = server.send(&Request::post(TOKEN, both));
    assert_error(both, &response, 400, "budgets must not be both");
    let mut misplaced = grant(&quotas([1, 1, 1], [1, 1, 1]), &json!([]));
    misplaced["requestAuthAndQuotas"]["requestQuotas"]["globalRequestLimits"]["usdPerDay"] =
        json!("1");
    let response = server.send(&Request::mint(&misplaced));
    assert_error(
        "misplaced",
        &response,
        400,
        "globalRequestLimits has a member",
    );

    let parent = server.mint(&json!({"requestAuthAndQuotas": {}}));
    for budgets in [
        r#"{"perDay": {}}"#,
        r#"{"global": {"usdPerDay": 1e1}}"#,
        r#"{"global": {"usdPerDay": 1}}, "budgets": {}"#,
        r#"null, "Budget": {}"#,
    ] {
        let response = server.send(&Request::post(TOKEN, exchange_body(&parent, budgets)));
        assert_eq!(response.status, 400, "{budgets}: {response:?}");
        assert_eq!(response.json()["error"], "invalid_request", "{budgets}");
    }
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let server = Server::start(&[("AISBREAKER_VOLATILE_BUDGETS", "true")]);
    for (budgets, warning) in [
        (r#"{}"#, "budgets limits nothing"),
        (
            r#"{"global": {"tokensPerHour": 2, "tokensPerDay": 1}}"#,
            "budgets.global.tokensPerHour is above budgets.global.tokensPerDay",
        ),
        (
            r#"{"perClient": {"usdPerDay": 1.000000001}, "global": {"usdPerDay": 1}}"#,
            "budgets.perClient.usdPerDay is above budgets.global.usdPerDay",
        ),
    ] {
        let response = server.send(&minting(budgets));

        let _key = key_in(&response);
        let warnings = response.json()["warnings"].clone();
        assert_eq!(warnings.as_array().unwrap().len(), 1, "{warnings}");
        assert!(
            warnings[0].as_str().unwrap().starts_with(warning),
            "{warnings}"
        );
    }
}

#[test]
fn a_child_has_budgets_of_its_own_and_names_the_keys_with_the_others() {
    let server = Server::start(&[("AISBREAKER_VOLATILE_BUDGETS", "true")]);
    let parent = key_in(&server.send(&minting(BUDGETS)));
    let own = r#"{"global": {"usdTotal": 0.000000001}}"#;
    let as_json = Request::post(TOKEN, exchange_body(&parent, own));
    let as_form = form(
        TOKEN,
        format!(
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={parent}\
             &subject_token_type=urn:ietf:params:oauth:token-type:access_token\
             &budgets=%7B%22global%22%3A%7B%22usdTotal%22%3A0.000000001%7D%7D"
        ),
    );
    let parent_id = introspected(&server, &parent)["jti"].clone();
    for request in [as_json, as_form] {
        let child = key_in(&server.send(&request));

        let shown = introspected(&server, &child);
        assert_eq!(
            shown["budgets"],
            json!({"global": {"usdTotal": "0.000000001"}})
        );
        assert_eq!(shown["ancestors"], json!([parent_id]));
    }
    let plain = key_in(&server.send(&Request::post(TOKEN, exchange_body(&parent, "null"))));
    assert!(introspected(&server, &plain).get("budgets").is_none());
    assert!(
        plain.len() > parent.len(),
        "the child holds the budgets of its parent"
    );
}

#[test]
fn keys_sealed_offline_keep_to_the_same_rules() {
    let server = Server::start(&[("AISBREAKER_VOLATILE_BUDGETS", "true")]);
    let seal = |budgets: Value| {
        let claims = offline_key::claims(&json!({"budgets": budgets}));
        offline_key::seal(&server, &claims)
    };
    let parent = seal(serde_json::from_str(BUDGETS).unwrap());
    let mut claims = offline_key::claims(&json!({"budgets": {"global": {"usdPerDay": 0.1}}}));
    claims["parent"] = json!(parent);
    let child = offline_key::seal(&server, &claims);

    assert_eq!(
        introspected(&server, &parent)["budgets"]["perClient"],
        shown_budgets()["perClient"]
    );
    let shown = introspected(&server, &child);
    assert_eq!(shown["budgets"], json!({"global": {"usdPerDay": "0.1"}}));
    assert_eq!(shown["ancestors"].as_array().unwrap().len(), 1);
    for refused in [
        json!({"global": {"usdPerday": "1"}}),
        json!({"perClient": {"usdTotal": "1"}}),
        json!({"global": {"usdPerDay": "0"}}),
        json!({"global": {"usdPerDay": 1e-7}}),
        json!({"global": {"tokensPerDay": 0}}),
        json!({"reserve": "none"}),
    ] {
        let response = server.process(&seal(refused.clone()), &dummy_call());
        assert_eq!(response.status, 401, "{refused}: {response:?}");
    }
}

/// Runs a subcommand that must succeed, and returns what it printed.
fn printed(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(arguments, environment);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim_end().to_owned()
}

#[test]
fn the_commands_take_and_show_budgets() {
    let key_setting = [
        ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
        ("AISBREAKER_VOLATILE_BUDGETS", "true"),
    ];
    let at = ["--host", "localhost"];
    let inspect = |key: &str| -> Value {
        let shown = printed(&[&["inspect", key][..], &at].concat(), &key_setting);
        serde_json::from_str(&shown).unwrap()
    };
    let minted = printed(
        &[&["mint", "--budgets", BUDGETS][..], &at].concat(),
        &key_setting,
    );
    let own = r#"{"perClient": {"usdPerDay": 0.000000001}}"#;
    let narrowed = printed(
        &[&["narrow", &minted, "--budgets", own][..], &at].concat(),
        &key_setting,
    );
    let public_key = printed(&["public-key"], &key_setting);
    let jwk = public_key.lines().next().unwrap();
    let seal = ["seal", "--public-key", jwk, "--budgets", BUDGETS];
    let sealed = printed(&[&seal[..], &at].concat(), &[]);

    assert_eq!(inspect(&minted)["budgets"], shown_budgets());
    assert_eq!(inspect(&sealed)["budgets"], shown_budgets());
    let own = json!({"perClient": {"usdPerDay": "0.000000001"}});
    assert_eq!(inspect(&narrowed)["budgets"], own);
    let rows = [
        ("{", "--budgets is not JSON"),
        (
            r#"{"global": {"usdPerDays": 1}}"#,
            "budgets.global has a member",
        ),
        (
            r#"{"global": {"usdTotal": 0}}"#,
            "budgets.global.usdTotal must be above 0",
        ),
    ];
    for (budgets, problem) in rows {
        let arguments = [&["mint", "--budgets", budgets][..], &at].concat();
        let output = run(&arguments, &key_setting);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{budgets}");
        assert!(errors.contains(problem), "{budgets}: {errors}");
    }
}
