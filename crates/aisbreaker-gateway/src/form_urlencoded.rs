//! The `application/x-www-form-urlencoded` format (WHATWG URL section 5.1).

use aisbreaker_api::InvalidRequest;
use secrecy::zeroize::Zeroizing;

/// Returns the names and values of a form, decoded, one after the other. A parameter without a value
/// counts as left out (RFC 6749 section 3.2).
///
/// # Errors
/// [`InvalidRequest`] if the form is not UTF-8, or has more than `max` parameters, with or without a
/// value.
pub(crate) fn parameters(
    form: &[u8],
    max: usize,
) -> Result<impl Iterator<Item = (String, Zeroizing<String>)>, InvalidRequest> {
    let Ok(form) = std::str::from_utf8(form) else {
        return Err(InvalidRequest::new("the form", "must be UTF-8"));
    };
    if form.split('&').count() > max {
        let problem = format!("must have {max} parameters at most");
        return Err(InvalidRequest::new("the form", problem));
    }
    Ok(form.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        if value.is_empty() {
            return None;
        }
        Some((decode(name), Zeroizing::new(decode(value))))
    }))
}

/// Decodes one name or value. Malformed escapes are kept, and invalid UTF-8 is replaced.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                bytes.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            (other, _) => bytes.push(*other),
        }
    }
    // The bytes become the text where they can: a copy of a secret would not be zeroized.
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(invalid) => {
            let bytes = Zeroizing::new(invalid.into_bytes());
            String::from_utf8_lossy(&bytes).into_owned()
        }
    }
}

/// Encodes a name or value as one segment of a path (RFC 3986 section 2.3).
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(digit(byte >> 4));
            encoded.push(digit(byte & 0xf));
        }
    }
    encoded
}

fn digit(nibble: u8) -> char {
    char::from(match nibble {
        0..=9 => b'0' + nibble,
        _ => b'A' + nibble - 10,
    })
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn decodes_what_it_encoded(text: String) {
            proptest::prop_assert_eq!(decode(&encode(&text)), text);
        }
    }

    #[test]
    fn a_form_has_its_parameters_in_order_and_no_more_than_allowed() {
        let form = b"a=1&%62=+&c&d=&=e&a=%3D&";
        let read: Vec<_> = parameters(form, 7).unwrap().collect();
        let read: Vec<(&str, &str)> = read
            .iter()
            .map(|(name, value)| (&**name, value.as_str()))
            .collect();
        assert_eq!(read, [("a", "1"), ("b", " "), ("", "e"), ("a", "=")]);

        for (form, max, problem) in [
            (&form[..], 6, "the form must have 6 parameters at most"),
            (b"a=\xff", 1, "the form must be UTF-8"),
        ] {
            match parameters(form, max) {
                Ok(_) => panic!("{problem}"),
                Err(error) => assert_eq!(error.to_string(), problem),
            }
        }
    }

    #[test]
    fn decodes_escapes_and_keeps_malformed_ones() {
        let rows = [
            ("Ada+L%C3%B6we", "Ada L\u{f6}we"),
            ("%2B%2b%3A", "++:"),
            ("%", "%"),
            ("%2", "%2"),
            ("%zz", "%zz"),
            ("%ff", "\u{fffd}"),
            ("", ""),
        ];
        for (text, expected) in rows {
            assert_eq!(decode(text), expected, "{text}");
        }
    }
}
