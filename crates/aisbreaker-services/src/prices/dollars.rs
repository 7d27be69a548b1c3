//! Decimals as whole numbers.

/// The decimals of a nano-dollar.
const NANO_DECIMALS: u32 = 9;
/// The most dollars of a rate. With it, no sum of a call comes near the limits of `u128`.
const MAX_DOLLARS: u64 = 9_000_000;

/// Reads dollars such as `0.125` as nano-dollars, exactly.
///
/// Returns `None` for anything else than digits with at most nine after a point, and for more than
/// 9 000 000 dollars.
pub(super) fn parse_nanos(text: &str) -> Option<u64> {
    let nanos = parse_decimal(text, NANO_DECIMALS)?;
    (nanos <= MAX_DOLLARS.checked_mul(1_000_000_000)?).then_some(nanos)
}

/// Reads a factor such as `1.75` in thousandths.
pub(super) fn parse_thousandths(text: &str) -> Option<u64> {
    let thousandths = parse_decimal(text, 3)?;
    (thousandths <= 1_000_000).then_some(thousandths)
}

/// Reads a decimal as a multiple of its last digit.
fn parse_decimal(text: &str, decimals: u32) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = u32::try_from(fraction.len()).ok()?;
    let missing = decimals.checked_sub(digits)?;
    let fraction = parse_digits(fraction)?.checked_mul(10_u64.checked_pow(missing)?)?;
    parse_digits(whole)?
        .checked_mul(10_u64.checked_pow(decimals)?)?
        .checked_add(fraction)
}

fn parse_digits(text: &str) -> Option<u64> {
    // The parser of numbers accepts a sign.
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_exactly_or_not_at_all() {
        let rows = [
            ("0", Some(0)),
            ("1.25", Some(1_250_000_000)),
            ("0.003625", Some(3_625_000)),
            ("0.000000001", Some(1)),
            ("9000000", Some(9_000_000_000_000_000)),
            ("9000000.000000001", None),
            ("0.0000000001", None),
            ("99999999999999999999", None),
            ("", None),
            (".5", None),
            ("5.", None),
            ("+1", None),
            ("-1", None),
            ("1.-5", None),
            ("1e3", None),
            ("1,5", None),
        ];
        for (text, nanos) in rows {
            assert_eq!(parse_nanos(text), nanos, "{text:?}");
        }
        assert_eq!(parse_thousandths("1.75"), Some(1750));
        assert_eq!(parse_thousandths("1.7501"), None);
        assert_eq!(parse_thousandths("1001"), None);
    }
}
