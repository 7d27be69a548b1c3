//! The grammar of `expirationTimeSpan`: humantime's, and that of the original server.
//!
//! The original's grammar is that of the `ms` family of Node packages: a decimal number and a unit,
//! with or without a space, in any case (`2 hours`, `1.5h`, `365D`).

use std::time::Duration;

/// Parses a span of time. Returns `None` if it matches neither grammar, is negative, or exceeds what
/// a [`Duration`] holds.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text.len() > 100 {
        return None;
    }
    // humantime distinguishes `M` (month) from `m` (minute), so the original case goes first.
    if let Ok(span) = humantime::parse_duration(text) {
        return Some(span);
    }
    let lower = text.to_ascii_lowercase();
    match humantime::parse_duration(&lower) {
        Ok(span) => Some(span),
        Err(_other_grammar) => parse_decimal(&lower),
    }
}

/// Parses one decimal number and one unit.
fn parse_decimal(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let number = number.trim_end();
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let unit_seconds = match unit {
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => 0.001,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        "w" | "wk" | "wks" | "week" | "weeks" => 604_800.0,
        "mo" | "month" | "months" => 2_629_800.0,
        "y" | "yr" | "yrs" | "year" | "years" => 31_557_600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit_seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_both_grammars() {
        let rows = [
            ("2h", Some(7_200_000)),
            ("365d", Some(31_536_000_000)),
            ("1h 30m", Some(5_400_000)),
            ("2 hours", Some(7_200_000)),
            ("1.5h", Some(5_400_000)),
            ("1.5 Hours", Some(5_400_000)),
            ("2H", Some(7_200_000)),
            ("365D", Some(31_536_000_000)),
            ("1s", Some(1_000)),
            ("500ms", Some(500)),
            ("0.5ms", Some(0)),
            ("1 week", Some(604_800_000)),
            (" 10 min ", Some(600_000)),
            ("1y", Some(31_557_600_000)),
            ("0s", Some(0)),
            ("-1h", None),
            ("", None),
            ("h", None),
            ("5", None),
            ("1.2.3h", None),
            ("1e3h", None),
            ("tomorrow", None),
            ("99999999999999999999y", None),
        ];
        for (text, millis) in rows {
            assert_eq!(parse(text).map(|span| span.as_millis()), millis, "{text:?}");
        }
    }
}
