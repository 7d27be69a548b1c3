//! Reads JSON without white space and without escapes.

/// What is left to read of a text. A method that returns `None` may have read a part of it.
pub(super) struct Reader<'de>(&'de str);

impl<'de> Reader<'de> {
    pub(super) fn new(json: &'de str) -> Self {
        Self(json)
    }

    /// Reads exactly this. If there is something else, nothing is read.
    #[inline]
    pub(super) fn literal(&mut self, literal: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(literal)?;
        Some(())
    }

    /// Reads a string without escapes. If there is no string, nothing is read.
    pub(super) fn text(&mut self) -> Option<&'de str> {
        let text = self.0.strip_prefix('"')?;
        let bytes = first_stop(text.as_bytes())?;
        let (text, rest) = text.split_at_checked(bytes)?;
        self.0 = rest.strip_prefix('"')?;
        Some(text)
    }

    /// Reads a whole number of at most 19 digits, so that it fits.
    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number: u64 = 0;
        let mut digits: usize = 0;
        for byte in self.0.bytes() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 || digits == 19 {
                break;
            }
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
            digits = digits.wrapping_add(1);
        }
        let has_leading_zero = digits > 1 && self.0.starts_with('0');
        if digits == 0 || has_leading_zero {
            return None;
        }
        self.0 = self.0.get(digits..)?;
        Some(number)
    }

    /// Reads a list.
    pub(super) fn list<T>(&mut self, element: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut list = Vec::new();
        self.literal("[")?;
        if self.literal("]").is_some() {
            return Some(list);
        }
        loop {
            list.push(element(self)?);
            if self.literal(",").is_none() {
                self.literal("]")?;
                return Some(list);
            }
        }
    }

    /// Checks that nothing is left.
    pub(super) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// The members of an object, of which some may be absent. Names are given with quotes and colon.
pub(super) struct Members {
    separator: &'static str,
}

impl Members {
    pub(super) fn new() -> Self {
        Self { separator: "{" }
    }

    /// Reads the name of the next member, if it has this one.
    #[inline]
    pub(super) fn next_is(&mut self, reader: &mut Reader<'_>, name: &str) -> bool {
        let Some(member) = reader.0.strip_prefix(self.separator) else {
            return false;
        };
        let Some(value) = member.strip_prefix(name) else {
            return false;
        };
        reader.0 = value;
        self.separator = ",";
        true
    }

    /// Reads the name of the next member, which must have this one.
    #[inline]
    pub(super) fn required(&mut self, reader: &mut Reader<'_>, name: &str) -> Option<()> {
        self.next_is(reader, name).then_some(())
    }

    /// Reads the end of the object.
    pub(super) fn end(&self, reader: &mut Reader<'_>) -> Option<()> {
        if self.separator == "{" {
            reader.literal("{")?;
        }
        reader.literal("}")
    }
}

/// Returns the index of the first byte that cannot be in a string without escapes.
fn first_stop(text: &[u8]) -> Option<usize> {
    let (words, rest) = text.as_chunks::<8>();
    let mut index: usize = 0;
    for word in words {
        let stops = stops(u64::from_le_bytes(*word));
        if stops != 0 {
            return index.checked_add((stops.trailing_zeros() / u8::BITS) as usize);
        }
        index = index.saturating_add(8);
    }
    let is_stop = |byte: &u8| matches!(byte, ..b' ' | b'"' | b'\\');
    index.checked_add(rest.iter().position(is_stop)?)
}

/// Sets the highest bit of each byte that cannot be in a string without escapes, and perhaps of
/// bytes above the lowest one of these.
#[inline]
fn stops(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const SPACES: u64 = u64::from_ne_bytes([b' '; 8]);
    const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
    const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);
    const HIGHEST_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
    let below = |number: u64, limit: u64| number.wrapping_sub(limit) & !number;
    let controls = below(word, SPACES);
    let quotes = below(word ^ QUOTES, ONES);
    let backslashes = below(word ^ BACKSLASHES, ONES);
    (controls | quotes | backslashes) & HIGHEST_BITS
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    proptest! {
        #[test]
        fn a_string_is_read_as_serde_reads_it(
            chars in vec(prop_oneof![
                20 => any::<char>(),
                1 => select(vec!['"', '\\', ' ', '!', '\x1f', '\0', '\x7f', 'é']),
            ], 0..100),
        ) {
            let json = format!("\"{}", chars.iter().collect::<String>());
            let mut reader = Reader::new(&json);
            let serde = serde_json::Deserializer::from_str(&json).into_iter::<String>().next();

            match reader.text() {
                Some(text) => {
                    prop_assert_eq!(serde.unwrap().unwrap(), text);
                    prop_assert_eq!(format!("\"{text}\"{}", reader.0), json);
                }
                None => {
                    let has_escape = json.contains('\\');
                    prop_assert!(has_escape || !matches!(serde, Some(Ok(_))), "{json}");
                }
            }
        }

        #[test]
        fn a_number_is_read_as_serde_reads_it(json in "[0-9]{1,21}[,.e]?") {
            let mut reader = Reader::new(&json);

            match reader.number() {
                Some(number) => {
                    prop_assert_eq!(format!("{number}{}", reader.0), json);
                }
                None => prop_assert!(json.starts_with('0')),
            }
        }
    }
}
