//! Spans of time: `expirationTimeSpan` reads as it is written.

use aisbreaker_gateway::fuzzing::span;

/// Reads the text as a span of time.
pub fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let found = span(text);

    assert_eq!(span(&format!(" {text}\t")), found, "{text:?} with space around");
    if let Some((number, seconds)) = plain(text) {
        assert_eq!(found.map(|span| span.as_secs()), number.checked_mul(seconds), "{text:?}");
    }
    let Some(found) = found else { return };
    assert!(text.bytes().any(|byte| byte.is_ascii_digit()) && !text.trim().starts_with('-'), "{text:?}");
    let written = humantime::format_duration(found).to_string();
    assert_eq!(span(&written), Some(found), "{text:?} is {written}");
    let spaced = written.replace(' ', "");
    assert_eq!(span(&spaced), Some(found), "{text:?} is {spaced}");
}

/// A whole number and a unit in lower case, as most people write it.
fn plain(text: &str) -> Option<(u64, u64)> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    Some((number.parse().ok()?, seconds))
}
