use serde_json::json;

use super::*;

/// Parses the JSON text of budgets.
fn parse_text(text: &str) -> Result<Budgets, InvalidRequest> {
    let mut value = serde_json::from_str(text).unwrap();
    keep_dollars_of(&mut value, text);
    parse(value)
}

fn error(text: &str) -> String {
    parse_text(text).unwrap_err().to_string()
}

#[test]
fn every_member_is_read() {
    let text = r#"{
        "perClient": {"tokensPerMinute": 30000, "tokensPerHour": 300000.0, "tokensPerDay": 1000000,
                      "usdPerDay": 2.50},
        "global": {"tokensPerMinute": 9007199254740992, "usdPerDay": "20", "usdPerMonth": 200,
                   "usdTotal": 8999999.123456789},
        "reserve": "strict", "outputReserve": 4096
    }"#;

    let budgets = serde_json::to_value(parse_text(text).unwrap()).unwrap();

    let expected = json!({
        "perClient": {"tokensPerMinute": 30_000, "tokensPerHour": 300_000, "tokensPerDay": 1_000_000,
                      "usdPerDay": "2.5"},
        "global": {"tokensPerMinute": 9_007_199_254_740_992_u64, "usdPerDay": "20",
                   "usdPerMonth": "200", "usdTotal": "8999999.123456789"},
        "reserve": "strict", "outputReserve": 4_096,
    });
    assert_eq!(budgets, expected);
}

#[test]
fn nothing_limits_what_is_absent_or_null() {
    for text in [
        "{}",
        r#"{"perClient": null, "global": {}, "reserve": null, "outputReserve": null}"#,
        r#"{"perClient": {"usdPerDay": null, "usdTotal": null}, "reserve": "estimate"}"#,
    ] {
        assert_eq!(parse_text(text).unwrap(), Budgets::default(), "{text}");
    }
}

#[test]
fn whatever_is_not_understood_is_refused_with_its_path() {
    let not_decimal = "must be dollars as a plain decimal, such as \"2.50\"";
    let rows = [
        (r#"[]"#, "budgets must be an object"),
        (
            r#"{"usdTotal": "5"}"#,
            "budgets has a member that is not known",
        ),
        (
            r#"{"perclient": {}}"#,
            "budgets has a member that is not known",
        ),
        (r#"{"global": 5}"#, "budgets.global must be an object"),
        (
            r#"{"global": {"usdPerday": "5"}}"#,
            "budgets.global has a member that is not known",
        ),
        (
            r#"{"perClient": {"usdPerHour": "5"}}"#,
            "budgets.perClient has a member",
        ),
        (
            r#"{"perClient": {"usdTotal": "5"}}"#,
            "budgets.perClient.usdTotal is for all clients",
        ),
        (
            r#"{"perClient": {"usdPerMonth": 5}}"#,
            "budgets.perClient.usdPerMonth is for all",
        ),
        (
            r#"{"global": {"tokensPerDay": 0}}"#,
            "tokensPerDay must be a whole number from 1 to 9",
        ),
        (
            r#"{"global": {"tokensPerDay": 1.5}}"#,
            "tokensPerDay must be a whole number",
        ),
        (
            r#"{"global": {"tokensPerDay": -1}}"#,
            "tokensPerDay must be a whole number",
        ),
        (
            r#"{"global": {"tokensPerDay": "1"}}"#,
            "tokensPerDay must be a whole number",
        ),
        (
            r#"{"global": {"tokensPerDay": 9007199254740993}}"#,
            "to 9007199254740992",
        ),
        (
            r#"{"global": {"usdTotal": 0}}"#,
            "budgets.global.usdTotal must be above 0",
        ),
        (
            r#"{"global": {"usdTotal": 0.00}}"#,
            "budgets.global.usdTotal must be above 0",
        ),
        (
            r#"{"global": {"usdTotal": "-1"}}"#,
            "budgets.global.usdTotal must not be negative",
        ),
        (
            r#"{"global": {"usdTotal": -1}}"#,
            "budgets.global.usdTotal must not be negative",
        ),
        (
            r#"{"global": {"usdTotal": -0.5}}"#,
            "budgets.global.usdTotal must not be negative",
        ),
        (
            r#"{"global": {"usdTotal": 1e2}}"#,
            "usdTotal must be a plain decimal without an exponent",
        ),
        (
            r#"{"global": {"usdTotal": "1e2"}}"#,
            "usdTotal must be a plain decimal without",
        ),
        (
            r#"{"global": {"usdTotal": 0.1234567891}}"#,
            "must have at most 9 digits after the point",
        ),
        // A double would be 2.5.
        (
            r#"{"global": {"usdTotal": 2.4999999999999999999}}"#,
            "must have at most 9 digits",
        ),
        (
            r#"{"global": {"usdTotal": 9000000.000000001}}"#,
            "must be at most 9000000 dollars",
        ),
        (
            r#"{"global": {"usdTotal": 99999999999999999999}}"#,
            "must be at most 9000000 dollars",
        ),
        (r#"{"global": {"usdTotal": "five"}}"#, not_decimal),
        (r#"{"global": {"usdTotal": true}}"#, not_decimal),
        (r#"{"global": {"usdTotal": ["5"]}}"#, not_decimal),
        (
            r#"{"reserve": "Strict"}"#,
            "budgets.reserve must be \"estimate\" or \"strict\"",
        ),
        (r#"{"reserve": 1}"#, "budgets.reserve must be"),
        (
            r#"{"outputReserve": 0}"#,
            "budgets.outputReserve must be a whole number from 1 to 4294967295",
        ),
        (
            r#"{"outputReserve": 4294967296}"#,
            "budgets.outputReserve must be a whole number",
        ),
    ];
    for (text, expected) in rows {
        let message = error(text);
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn a_fraction_that_was_rounded_already_is_refused() {
    assert!(parse(json!({"global": {"usdTotal": 2.5}})).is_err());
}

#[test]
fn dollars_keep_their_spelling_wherever_budgets_may_stand() {
    let budgets = r#"{"global": {"usdTotal": 8999999.123456789, "tokensPerDay": 60.0}}"#;
    for body in [
        format!("\u{feff}{{\"budgets\": {budgets}, \"n\": 1.5}}"),
        format!(r#"{{"n": 1.5, "requestAuthAndQuotas": {{"budgets": {budgets}}}}}"#),
        format!(r#"{{"n": 1.5, "\u0062udgets": {budgets}}}"#),
    ] {
        let text = body.trim_start_matches('\u{feff}');
        let mut members = serde_json::from_str(text).unwrap();
        keep_dollars(&mut members, body.as_bytes());

        let grant = members.get(GRANT_MEMBER).and_then(Value::as_object);
        let kept = &grant.unwrap_or(&members)[BUDGETS]["global"];
        assert_eq!(kept["usdTotal"], "8999999.123456789", "{body}");
        assert_eq!(kept["tokensPerDay"], 60.0, "{body}");
        assert_eq!(members["n"], 1.5, "{body}");
    }
}

const GRANT_MEMBER: &str = super::super::mint_request::GRANT;

#[test]
fn what_has_no_effect_is_said() {
    let rows: [(&str, &[&str]); 6] = [
        (
            r#"{"global": {"usdPerDay": 1, "usdPerMonth": 1, "usdTotal": 1, "tokensPerDay": 5},
                "perClient": {"tokensPerDay": 5}, "outputReserve": 5}"#,
            &[],
        ),
        (r#"{"outputReserve": 5}"#, &["budgets limits nothing"]),
        (
            r#"{"global": {"tokensPerMinute": 9, "tokensPerHour": 10, "tokensPerDay": 8}}"#,
            &[
                "budgets.global.tokensPerMinute is above budgets.global.tokensPerDay",
                "budgets.global.tokensPerHour is above budgets.global.tokensPerDay",
            ],
        ),
        (
            r#"{"global": {"usdPerDay": 2, "usdTotal": "1.999999999"}}"#,
            &["budgets.global.usdPerDay is above budgets.global.usdTotal"],
        ),
        (
            r#"{"perClient": {"usdPerDay": 2}, "global": {"usdPerDay": 1}}"#,
            &["budgets.perClient.usdPerDay is above budgets.global.usdPerDay"],
        ),
        (
            r#"{"global": {"usdTotal": 2}, "reserve": "strict", "outputReserve": 5}"#,
            &["budgets.outputReserve has no effect"],
        ),
    ];
    for (text, expected) in rows {
        let advice = advice(&parse_text(text).unwrap());
        assert_eq!(advice.len(), expected.len(), "{text}: {advice:?}");
        for (advice, expected) in advice.iter().zip(expected) {
            assert!(advice.starts_with(expected), "{text}: {advice}");
        }
    }
}

#[test]
fn names_of_limits_are_recognized_elsewhere() {
    for name in [
        "budget",
        "Budgets",
        "maxBudget",
        "tokensPerMinute",
        "usdperday",
        "usdTotal",
    ] {
        assert!(looks_like_budget(name), "{name}");
    }
    for name in [
        "name",
        "requestsPerMinute",
        "tokens",
        "usd",
        "x-tokensPerMinute",
    ] {
        assert!(!looks_like_budget(name), "{name}");
    }
}
