//! Dollars as they are spelled in JSON.
//!
//! A parsed number with a fraction or an exponent is a double: the nearest one, and nothing is left
//! that says so. Such a number is replaced by its text before anybody reads it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{super::mint_request::GRANT, BUDGETS};

/// Where budgets may stand in the body of a request.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    budgets: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "requestAuthAndQuotas")]
    grant: Option<&'a RawValue>,
}

/// Replaces the dollars in the budgets of a parsed body by their texts in the body.
pub(in super::super) fn keep_dollars(members: &mut Map<String, Value>, body: &[u8]) {
    let has_budgets = |members: &Map<String, Value>| members.contains_key(BUDGETS);
    let in_grant = members.get(GRANT).and_then(Value::as_object);
    if !has_budgets(members) && !in_grant.is_some_and(has_budgets) {
        return;
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // A body with one of them twice is refused, whatever its numbers are.
    let Ok(texts) = serde_json::from_slice::<Body<'_>>(body) else {
        return;
    };
    keep(members, &texts);
    if let Some(Value::Object(grant)) = members.get_mut(GRANT)
        && let Some(text) = texts.grant
        && let Ok(texts) = serde_json::from_str::<Body<'_>>(text.get())
    {
        keep(grant, &texts);
    }
}

fn keep(members: &mut Map<String, Value>, texts: &Body<'_>) {
    if let (Some(budgets), Some(text)) = (members.get_mut(BUDGETS), texts.budgets) {
        keep_dollars_of(budgets, text.get());
    }
}

/// Replaces the dollars in parsed budgets by their texts in the JSON text of the budgets.
pub(in super::super) fn keep_dollars_of(budgets: &mut Value, text: &str) {
    for_each_member(budgets, text, |limits, text| {
        for_each_member(limits, text, |limit, text| {
            if limit.is_f64() {
                *limit = Value::String(text.to_owned());
            }
        });
    });
}

/// Calls `action` with every member of an object that is an object or dollars, and with its text.
fn for_each_member(object: &mut Value, text: &str, action: impl Fn(&mut Value, &str)) {
    let (Value::Object(members), Ok(texts)) = (
        object,
        serde_json::from_str::<BTreeMap<String, &RawValue>>(text),
    ) else {
        return;
    };
    for (name, value) in members {
        if let Some(text) = texts.get(name)
            && (value.is_object() || name.starts_with("usd"))
        {
            action(value, text.get());
        }
    }
}
