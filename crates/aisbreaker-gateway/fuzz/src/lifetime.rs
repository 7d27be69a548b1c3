//! `expirationTimeSpan`: formatting a parsed lifetime and parsing it again returns the same.

use aisbreaker_gateway::fuzzing::lifetime;

/// Longer texts are refused.
const MAX_BYTES: usize = 100;

/// Parses the text as a lifetime.
pub fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let found = lifetime(text);
    if text.trim().len() > MAX_BYTES {
        return assert_eq!(found, None, "{text:?} is long");
    }

    assert_eq!(
        lifetime(&format!(" {text}\t")),
        found,
        "{text:?} with space around"
    );
    if let Some((number, seconds)) = plain(text) {
        assert_eq!(
            found.map(|lifetime| lifetime.as_secs()),
            number.checked_mul(seconds),
            "{text:?}"
        );
    }
    if let Some((number, seconds)) = whole_and_a_half(text) {
        let millis = u128::from(seconds) * (u128::from(number) * 1_000 + 500);
        assert_eq!(
            found.map(|lifetime| lifetime.as_millis()),
            Some(millis),
            "{text:?}"
        );
    }
    let Some(found) = found else { return };
    assert!(
        text.bytes().any(|byte| byte.is_ascii_digit()) && !text.trim().starts_with('-'),
        "{text:?}"
    );
    let written = humantime::format_duration(found).to_string();
    assert_eq!(lifetime(&written), Some(found), "{text:?} is {written}");
    let spaced = written.replace(' ', "");
    assert_eq!(lifetime(&spaced), Some(found), "{text:?} is {spaced}");
}

/// Parses a whole number and a unit in lower case, the most common form.
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

/// Parses a whole number plus `.5` and a unit, as far as floating-point numbers are exact.
fn whole_and_a_half(text: &str) -> Option<(u64, u64)> {
    let (number, unit) = text.split_once(".5")?;
    let (whole, seconds) = plain(&format!("{number}s"))
        .zip(plain(&format!("1{unit}")))
        .map(|(a, b)| (a.0, b.1))?;
    let is_longer = unit.starts_with(|c: char| c.is_ascii_digit());
    Some((whole, seconds)).filter(|_| !is_longer && whole < 1_000_000)
}
