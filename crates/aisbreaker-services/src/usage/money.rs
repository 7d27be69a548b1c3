//! Amounts of money as providers write them, without the error of a binary fraction.

/// How many digits after the point are kept. What is beyond them is rounded up.
const DIGITS: i32 = 18;

/// An amount in parts of 10^-18 of the provider's unit.
pub(super) type Amount = u128;

/// Reads a JSON number that is not negative. One that is too large is the largest amount.
pub(super) fn parse(number: &[u8]) -> Option<Amount> {
    let (is_negative, number) = match number.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let mut digits = Digits::default();
    let mut rest = number.iter();
    let mut is_fraction = false;
    let mut exponent = 0;
    while let Some(byte) = rest.next() {
        match byte {
            b'0'..=b'9' => digits.push(byte - b'0', is_fraction),
            b'.' if !is_fraction => is_fraction = true,
            b'e' | b'E' => {
                exponent = parse_exponent(rest.as_slice())?;
                break;
            }
            _ => return None,
        }
    }
    if !digits.are_any || (is_negative && digits.value > 0) {
        return None;
    }
    Some(digits.shifted(exponent))
}

/// Returns an amount as nano-dollars, rounded up, where so many of its units are a dollar.
pub(super) fn nano_dollars(amount: Amount, units_per_dollar: u64) -> u64 {
    let parts_per_nano_dollar = u128::from(units_per_dollar.max(1)) * 1_000_000_000;
    u64::try_from(amount.div_ceil(parts_per_nano_dollar)).unwrap_or(u64::MAX)
}

/// The digits of a number, as a whole number.
#[derive(Default)]
struct Digits {
    value: u128,
    /// How many of them are after the point, less those before it that had no room.
    fraction: i32,
    /// Whether there was no room for one that is not 0.
    is_cut: bool,
    are_any: bool,
}

impl Digits {
    fn push(&mut self, digit: u8, is_fraction: bool) {
        self.are_any = true;
        let with_digit = self.value.checked_mul(10);
        match with_digit.and_then(|value| value.checked_add(digit.into())) {
            Some(value) => {
                self.value = value;
                self.fraction = self.fraction.saturating_add(is_fraction.into());
            }
            None => {
                self.is_cut |= digit > 0;
                self.fraction = self.fraction.saturating_sub((!is_fraction).into());
            }
        }
    }

    fn shifted(self, exponent: i32) -> Amount {
        if self.value == 0 {
            return 0;
        }
        let value = self.value.saturating_add(self.is_cut.into());
        let shift = DIGITS
            .saturating_add(exponent)
            .saturating_sub(self.fraction);
        let power = 10_u128.checked_pow(shift.unsigned_abs());
        match power {
            Some(power) if shift >= 0 => value.saturating_mul(power),
            Some(power) => value.div_ceil(power),
            None if shift >= 0 => Amount::MAX,
            None => 1,
        }
    }
}

fn parse_exponent(text: &[u8]) -> Option<i32> {
    let (is_negative, digits) = match text.split_first()? {
        (b'-', digits) => (true, digits),
        (b'+', digits) => (false, digits),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut exponent = 0_i32;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        exponent = exponent
            .saturating_mul(10)
            .saturating_add(i32::from(byte - b'0'));
    }
    Some(if is_negative { -exponent } else { exponent })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dollars_are_exact_and_rounded_up_to_nano_dollars() {
        let rows = [
            ("0", Some(0)),
            ("0.0", Some(0)),
            ("-0.0", Some(0)),
            ("1", Some(1_000_000_000)),
            ("0.95", Some(950_000_000)),
            ("0.00014", Some(140_000)),
            ("0.00014000000000000001", Some(140_001)),
            ("0.0000000001", Some(1)),
            ("4.45e-6", Some(4_450)),
            ("4.45E-06", Some(4_450)),
            ("1e-300", Some(1)),
            ("0e999999999999", Some(0)),
            ("1e+3", Some(1_000_000_000_000)),
            ("9000000.000000000", Some(9_000_000_000_000_000)),
            ("1e300", Some(u64::MAX)),
            ("99999999999999999999999999999999999999999", Some(u64::MAX)),
            (
                "0.0000000010000000000000000000000000000000000000000000001",
                Some(2),
            ),
            (
                "0.0000000010000000000000000000000000000000000000000000000",
                Some(1),
            ),
            ("-0.1", None),
            ("", None),
            ("-", None),
            (".", None),
            ("1.2.3", None),
            ("1e", None),
            ("1e-", None),
            ("1ex", None),
            ("\"0.1\"", None),
            ("null", None),
        ];
        for (text, expected) in rows {
            let nano_dollars = parse(text.as_bytes()).map(|amount| nano_dollars(amount, 1));
            assert_eq!(nano_dollars, expected, "{text}");
        }
    }

    #[test]
    fn ticks_are_rounded_up_to_nano_dollars() {
        let rows = [
            ("0", 0),
            ("1", 1),
            ("10", 1),
            ("11", 2),
            ("37756000", 3_775_600),
            ("400000000", 40_000_000),
            ("10000000000", 1_000_000_000),
            ("1.5e1", 2),
        ];
        for (text, expected) in rows {
            let amount = parse(text.as_bytes()).unwrap();
            assert_eq!(nano_dollars(amount, 10_000_000_000), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_amount_does_not_depend_on_how_a_number_is_written(
            parts in 0..1_000_000_000_000_000_u64,
            moved in 0..18_usize,
        ) {
            let whole = u128::from(parts) * 1_000;
            let exponent = moved.cast_signed() - 15;
            let digits = format!("{parts:0>19}");
            let (before, after) = digits.split_at(19 - moved);
            let point = format!("{before}.{after}e{exponent}");
            prop_assert_eq!(parse(point.as_bytes()), Some(whole));
            prop_assert_eq!(parse(format!("{parts}e-15").as_bytes()), Some(whole));
            // A double has at least 15 digits.
            let double = serde_json::Value::from(point.parse::<f64>().unwrap());
            prop_assert_eq!(parse(double.to_string().as_bytes()), Some(whole));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let text: Vec<u8> = bytes.iter().map(|byte| b"0019.eE+-"[usize::from(*byte) % 9]).collect();
            let _amounts = (parse(&bytes), parse(&text));
        }
    }
}
