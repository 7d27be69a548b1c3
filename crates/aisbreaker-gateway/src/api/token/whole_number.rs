//! Whole numbers in JSON.

use serde_json::Value;

/// Returns a value as a whole number, if it is one. JSON has one kind of number, so `60.0` is as whole as `60`.
pub(super) fn whole_number(value: &Value) -> Option<u64> {
    let number = value.as_number()?;
    match number.as_u64() {
        Some(whole) => Some(whole),
        None => {
            let text = number.to_string();
            text.strip_suffix(".0")?.parse().ok()
        }
    }
}
