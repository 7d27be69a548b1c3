//! Budgets in a request for a key. Nothing in them is ignored: an unknown member is an error, since a
//! misspelled limit would be none.

mod spelling;

use aisbreaker_api::{
    InvalidRequest,
    read::{object, take},
};
use aisbreaker_token::{BudgetLimits, Budgets, ReservePolicy, Usd, UsdError};
use serde_json::{Map, Value};

pub(super) use self::spelling::{keep_dollars, keep_dollars_of};
use super::whole_number::whole_number;

/// What they are called in a request, and at the beginning of the paths in errors.
pub(super) const BUDGETS: &str = "budgets";
/// The limits of tokens, and then those of dollars, each from the shortest time on.
const LIMITS: [[&str; 3]; 2] = [
    ["tokensPerMinute", "tokensPerHour", "tokensPerDay"],
    ["usdPerDay", "usdPerMonth", "usdTotal"],
];
/// The limits that hold for all clients together only.
const GLOBAL_ONLY: [&str; 2] = ["usdPerMonth", "usdTotal"];

/// Parses budgets whose dollars are [as they were spelled](keep_dollars).
///
/// # Errors
/// [`InvalidRequest`] naming the first member at fault.
pub(super) fn parse(value: Value) -> Result<Budgets, InvalidRequest> {
    let path = BUDGETS;
    let mut map = object(value, path)?;
    let mut budgets = Budgets::default();
    if let Some(limits) = take(&mut map, "perClient") {
        budgets.per_client = per_client(limits)?;
    }
    if let Some(limits) = take(&mut map, "global") {
        budgets.global = limits_of(limits, "budgets.global")?;
    }
    if let Some(policy) = take(&mut map, "reserve") {
        budgets.reserve = match policy.as_str() {
            Some("estimate") => ReservePolicy::Estimate,
            Some("strict") => ReservePolicy::Strict,
            Some(_) | None => {
                let problem = "must be \"estimate\" or \"strict\"";
                return Err(InvalidRequest::new("budgets.reserve", problem));
            }
        };
    }
    if let Some(tokens) = take(&mut map, "outputReserve") {
        let most = u64::from(u32::MAX);
        let tokens = whole_number_up_to(&tokens, most, "budgets.outputReserve")?;
        budgets.output_reserve = u32::try_from(tokens).ok();
    }
    if !map.is_empty() {
        let problem = "has a member that is not known; known are perClient, global, reserve and \
                       outputReserve";
        return Err(InvalidRequest::new(path, problem));
    }
    Ok(budgets)
}

/// Refuses budgets for longer than a day, since this server forgets what it counts when it ends.
pub(super) fn refuse_long(budgets: Option<&Budgets>) -> Result<(), InvalidRequest> {
    let Some(BudgetLimits {
        usd_per_month,
        usd_total,
        ..
    }) = budgets.map(|budgets| budgets.global)
    else {
        return Ok(());
    };
    let member = match (usd_total, usd_per_month) {
        (Some(_), _) => "budgets.global.usdTotal",
        (None, Some(_)) => "budgets.global.usdPerMonth",
        (None, None) => return Ok(()),
    };
    Err(InvalidRequest::new(
        member,
        "is for longer than this server keeps what it counts; its operator can set state_file or \
         redis.url, or allow that with budgets.volatile",
    ))
}

fn per_client(value: Value) -> Result<BudgetLimits, InvalidRequest> {
    let path = "budgets.perClient";
    for member in GLOBAL_ONLY {
        if value.get(member).is_some_and(|limit| !limit.is_null()) {
            let problem = "is for all clients together: it belongs in budgets.global";
            return Err(InvalidRequest::new(format!("{path}.{member}"), problem));
        }
    }
    limits_of(value, path)
}

fn limits_of(value: Value, path: &str) -> Result<BudgetLimits, InvalidRequest> {
    let mut map = object(value, path)?;
    let mut limits = BudgetLimits::default();
    limits.tokens_per_minute = tokens(&mut map, "tokensPerMinute", path)?;
    limits.tokens_per_hour = tokens(&mut map, "tokensPerHour", path)?;
    limits.tokens_per_day = tokens(&mut map, "tokensPerDay", path)?;
    limits.usd_per_day = usd(&mut map, "usdPerDay", path)?;
    limits.usd_per_month = usd(&mut map, "usdPerMonth", path)?;
    limits.usd_total = usd(&mut map, "usdTotal", path)?;
    if !map.is_empty() {
        let known: Vec<_> = LIMITS.into_iter().flatten().collect();
        let known = known.join(", ");
        let problem = format!("has a member that is not known; known are {known}");
        return Err(InvalidRequest::new(path, problem));
    }
    Ok(limits)
}

fn tokens(
    map: &mut Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<Option<u64>, InvalidRequest> {
    let Some(value) = take(map, name) else {
        return Ok(None);
    };
    let path = format!("{path}.{name}");
    whole_number_up_to(&value, BudgetLimits::MAX_TOKENS, &path).map(Some)
}

fn whole_number_up_to(value: &Value, most: u64, path: &str) -> Result<u64, InvalidRequest> {
    match whole_number(value) {
        Some(number) if (1..=most).contains(&number) => Ok(number),
        Some(_) | None => {
            let problem = format!("must be a whole number from 1 to {most}");
            Err(InvalidRequest::new(path, problem))
        }
    }
}

fn usd(
    map: &mut Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<Option<Usd>, InvalidRequest> {
    let Some(value) = take(map, name) else {
        return Ok(None);
    };
    let parsed = match &value {
        Value::String(text) => text.parse::<Usd>(),
        // A fraction was rounded when the number was parsed.
        Value::Number(number) if !number.is_f64() => number.to_string().parse::<Usd>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(UsdError::NotDecimal)
        }
    };
    let problem = match parsed {
        Ok(limit) if limit.nanos() > 0 => return Ok(Some(limit)),
        Ok(_zero) => "must be above 0: leave it out for no limit".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(InvalidRequest::new(format!("{path}.{name}"), problem))
}

/// Returns whether a member elsewhere in a request may be meant as a budget. Ignoring it would leave
/// the key without a limit.
pub(super) fn looks_like_budget(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_limit = ["tokensper", "usdper", "usdtotal"];
    name.contains("budget") || is_limit.iter().any(|prefix| name.starts_with(prefix))
}

/// Returns what of these budgets has no effect.
pub(super) fn advice(budgets: &Budgets) -> Vec<String> {
    if budgets.is_unlimited() {
        return vec!["budgets limits nothing: it has no limit in perClient or global".to_owned()];
    }
    let mut advice = Vec::new();
    let global = amounts(&budgets.global);
    let per_client = amounts(&budgets.per_client);
    for (side, amounts) in [("perClient", &per_client), ("global", &global)] {
        for (names, amounts) in LIMITS.iter().zip(amounts) {
            advice.extend(beyond_a_longer_one(side, names, amounts));
        }
    }
    for (names, (own, all)) in LIMITS.iter().zip(per_client.iter().zip(&global)) {
        for (name, limits) in names.iter().zip(own.iter().zip(all)) {
            if let (Some(own), Some(all)) = limits
                && own > all
            {
                advice.push(format!(
                    "budgets.perClient.{name} is above budgets.global.{name}, so it is never reached"
                ));
            }
        }
    }
    if budgets.reserve == ReservePolicy::Strict && budgets.output_reserve.is_some() {
        let ignored = "budgets.outputReserve has no effect, since budgets.reserve is strict";
        advice.push(ignored.to_owned());
    }
    advice
}

/// Returns the limits in the order of [`LIMITS`], those of dollars in nano-dollars.
fn amounts(limits: &BudgetLimits) -> [[Option<u64>; 3]; 2] {
    let dollars = [limits.usd_per_day, limits.usd_per_month, limits.usd_total];
    [
        [
            limits.tokens_per_minute,
            limits.tokens_per_hour,
            limits.tokens_per_day,
        ],
        dollars.map(|limit| limit.map(Usd::nanos)),
    ]
}

/// Names the limits of a time that are above the limit of a longer time.
fn beyond_a_longer_one(side: &str, names: &[&str; 3], amounts: &[Option<u64>; 3]) -> Vec<String> {
    let mut longer = names.iter().zip(amounts);
    let mut advice = Vec::new();
    while let Some((name, amount)) = longer.next() {
        let less = longer.clone().find(|(_, limit)| {
            let limits = (amount, limit);
            matches!(limits, (Some(own), Some(longer)) if own > longer)
        });
        if let Some((less, _)) = less {
            advice.push(format!(
                "budgets.{side}.{name} is above budgets.{side}.{less}, so it is never reached"
            ));
        }
    }
    advice
}

#[cfg(test)]
mod tests;
