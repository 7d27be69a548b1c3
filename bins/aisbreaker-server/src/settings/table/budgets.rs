//! The rows about budgets in tokens and dollars.

use crate::settings::setting::{PLAIN, Setting};

pub(super) const VOLATILE: Setting = Setting {
    key: Some("budgets.volatile"),
    variable: "AISBREAKER_VOLATILE_BUDGETS",
    help: "Whether keys may have budgets per month and in all without a state file or Redis to keep the \
           counts",
    default: Some("false"),
    apply: |draft, value| {
        draft.has_volatile_budgets = value.flag()?;
        Ok(())
    },
    ..PLAIN
};

pub(super) const CEILINGS: Setting = Setting {
    key: Some("budgets.ceilings"),
    variable: "AISBREAKER_BUDGETS_CEILINGS",
    help: "Whether budgets in all (usdTotal) survive a kill of the server: what they may spend is \
           recorded beside the state file before it is spent",
    default: Some("true"),
    requires: Some("AISBREAKER_STATE_FILE"),
    apply: |draft, value| {
        draft.has_ceilings = value.flag()?;
        Ok(())
    },
    ..PLAIN
};

pub(super) const ON_STORE_FAILURE: Setting = Setting {
    key: Some("budgets.on_store_failure"),
    variable: "AISBREAKER_BUDGETS_ON_STORE_FAILURE",
    help: "Requests with budgets while Redis is unreachable: closed (refused) or open (admitted \
           uncounted)",
    default: Some("closed"),
    requires: Some("AISBREAKER_REDIS_URL"),
    apply: |draft, value| {
        draft.settings.gateway.uncounted_budgets = value.parsed(is_open)?;
        Ok(())
    },
    ..PLAIN
};

fn is_open(text: &str) -> Result<bool, &'static str> {
    match text {
        "closed" => Ok(false),
        "open" => Ok(true),
        _ => Err("must be closed or open"),
    }
}
