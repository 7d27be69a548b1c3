//! Times as RFC 3339 has them, with any offset.

use std::time::{Duration, SystemTime};

/// Parses a time. `None` if it is none, or is before 1970.
pub fn parse(text: &str) -> Option<SystemTime> {
    let (local, offset_seconds) = split_offset(text)?;
    // RFC 3339 allows lower case, and a space in place of `T`.
    let local = local.to_ascii_uppercase();
    let utc = humantime::parse_rfc3339_weak(&format!("{local}Z")).ok()?;
    if !local.contains(['T', ' ']) || local.ends_with('Z') {
        return None;
    }
    let offset = Duration::from_secs(offset_seconds.unsigned_abs());
    let time = if offset_seconds < 0 {
        utc.checked_add(offset)?
    } else {
        utc.checked_sub(offset)?
    };
    time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(time)
}

/// Splits off `Z` or an offset such as `+02:00`, which is returned in seconds east of UTC.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return Some((local, 0));
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (sign, digits) = match offset.as_bytes().first()? {
        b'+' => (1, offset.get(1..)?),
        b'-' => (-1, offset.get(1..)?),
        _ => return None,
    };
    let (hours, minutes) = digits.split_once(':')?;
    let number = |text: &str, below: i64| {
        let is_digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<i64>().ok()?;
        (is_digits && number < below).then_some(number)
    };
    Some((
        local,
        sign * (number(hours, 24)? * 3_600 + number(minutes, 60)? * 60),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_times_with_any_offset() {
        let rows = [
            ("2026-12-01T08:00:00Z", Some(1_796_112_000)),
            ("2026-12-01t08:00:00z", Some(1_796_112_000)),
            ("2026-12-01 08:00:00Z", Some(1_796_112_000)),
            ("2026-12-01T08:00:00.000Z", Some(1_796_112_000)),
            ("2026-12-01T10:30:00+02:30", Some(1_796_112_000)),
            ("2026-12-01T00:00:00-08:00", Some(1_796_112_000)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T00:00:00+00:01", None),
            ("1969-12-31T23:59:59Z", None),
            ("2026-12-01T08:00:00", None),
            ("2026-12-01T08:00:00ZZ", None),
            ("2026-12-01T08:00:00Z+01:00", None),
            ("2026-12-01T08:00:00+24:00", None),
            ("2026-12-01T08:00:00+1:000", None),
            ("2026-12-01T08:00:00+0100", None),
            ("2026-13-01T08:00:00Z", None),
            ("2026-02-30T08:00:00Z", None),
            ("2026-12-01Z", None),
            ("2026-12-01", None),
            ("tomorrow", None),
            ("1796112000", None),
            ("\u{e9}\u{e9}\u{e9}", None),
            ("", None),
        ];
        for (text, seconds) in rows {
            let expected = seconds.map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(s));
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
