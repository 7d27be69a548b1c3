//! A scanner of JSON (RFC 8259) that copies and decodes nothing.
//!
//! It accepts what `serde_json` accepts, up to a nesting depth, and finds the end of a string with
//! vector instructions: nearly all of a request is the text of its messages. It names no fault; the
//! parser does.

/// The deepest nesting: one bit each in a word.
const MAX_DEPTH: u32 = 128;

/// Scans the members of one object.
pub(super) struct JsonScanner<'a> {
    text: &'a str,
    at: usize,
    /// Whether control characters are anywhere. If they are not, as in most requests, no string needs to
    /// be searched for them.
    has_controls: bool,
    /// Whether a member has been read.
    is_behind_member: bool,
}

/// A container that is open: the bit of its depth is set for an object.
#[derive(Clone, Copy, Default)]
struct Nesting {
    depth: u32,
    objects: u128,
}

impl<'a> JsonScanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            has_controls: has_controls(text.as_bytes()),
            is_behind_member: false,
        }
    }

    /// Goes to the first member of an object. Every function returns `None` for what is not JSON, or
    /// for what it leaves to the parser.
    pub(super) fn begin_object(&mut self) -> Option<()> {
        self.skip_blanks();
        self.expect(b'{')
    }

    /// Returns the name of the next member; `Some(None)` at the end of the object. One with escapes is
    /// left to the parser.
    pub(super) fn next_name(&mut self) -> Option<Option<&'a str>> {
        self.skip_blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Some(None);
        }
        if self.is_behind_member {
            self.expect(b',')?;
            self.skip_blanks();
        }
        self.is_behind_member = true;
        self.expect(b'"')?;
        let start = self.at;
        let has_escapes = self.skip_string()?;
        let name = self.text.get(start..self.at.checked_sub(1)?)?;
        self.skip_blanks();
        self.expect(b':')?;
        if has_escapes { None } else { Some(Some(name)) }
    }

    /// Returns the value of a member as it is written.
    pub(super) fn value(&mut self) -> Option<&'a str> {
        self.skip_blanks();
        let start = self.at;
        self.skip_value()?;
        self.text.get(start..self.at)
    }

    /// Checks that nothing follows the object.
    pub(super) fn end(&mut self) -> Option<()> {
        self.skip_blanks();
        (self.at == self.text.len()).then_some(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            return None;
        }
        self.at += 1;
        Some(())
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn skip_value(&mut self) -> Option<()> {
        let mut nesting = Nesting::default();
        loop {
            self.skip_blanks();
            match self.peek()? {
                open @ (b'{' | b'[') => {
                    self.at += 1;
                    nesting.enter(open == b'{')?;
                    self.skip_blanks();
                    let close = nesting.close()?;
                    if self.peek()? != close {
                        self.skip_inner_name(nesting)?;
                        continue;
                    }
                    self.at += 1;
                    nesting.leave();
                }
                _ => self.skip_scalar()?,
            }
            // A value is complete, and perhaps the containers that it is the last value of.
            loop {
                let Some(close) = nesting.close() else {
                    return Some(());
                };
                self.skip_blanks();
                match self.peek()? {
                    b',' => {
                        self.at += 1;
                        self.skip_blanks();
                        self.skip_inner_name(nesting)?;
                        break;
                    }
                    byte if byte == close => {
                        self.at += 1;
                        nesting.leave();
                    }
                    _ => return None,
                }
            }
        }
    }

    /// Skips the name of a member and its colon, inside an object.
    fn skip_inner_name(&mut self, nesting: Nesting) -> Option<()> {
        if !nesting.is_object() {
            return Some(());
        }
        self.expect(b'"')?;
        self.skip_string()?;
        self.skip_blanks();
        self.expect(b':')
    }

    fn skip_scalar(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                self.skip_string()?;
                Some(())
            }
            b't' => self.skip_word("true"),
            b'f' => self.skip_word("false"),
            b'n' => self.skip_word("null"),
            _ => self.skip_number(),
        }
    }

    fn skip_word(&mut self, word: &str) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        if !rest.starts_with(word.as_bytes()) {
            return None;
        }
        self.at += word.len();
        Some(())
    }

    fn skip_number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek()? == b'0' {
            self.at += 1;
        } else {
            self.skip_digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.skip_digits()?;
        }
        Some(())
    }

    /// Skips at least one digit.
    fn skip_digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// Skips the rest of a string and its closing quote. Returns whether it has escapes.
    fn skip_string(&mut self) -> Option<bool> {
        let mut has_escapes = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            let length = memchr::memchr2(b'"', b'\\', rest)?;
            let (plain, marked) = rest.split_at_checked(length)?;
            if self.has_controls && has_controls(plain) {
                return None;
            }
            match marked {
                [b'"', ..] => {
                    self.at += length.checked_add(1)?;
                    return Some(has_escapes);
                }
                [
                    b'\\',
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                    ..,
                ] => {
                    self.at += length.checked_add(2)?;
                }
                [b'\\', b'u', a, b, c, d, ..]
                    if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
                {
                    self.at += length.checked_add(6)?;
                }
                _ => return None,
            }
            has_escapes = true;
        }
    }
}

fn has_controls(text: &[u8]) -> bool {
    // Not the short-circuiting `any`, which would look at one byte at a time.
    text.iter().fold(b' ', |least, byte| least.min(*byte)) < b' '
}

impl Nesting {
    fn enter(&mut self, is_object: bool) -> Option<()> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.objects = (self.objects << 1) | u128::from(is_object);
        self.depth += 1;
        Some(())
    }

    fn leave(&mut self) {
        self.objects >>= 1;
        self.depth = self.depth.saturating_sub(1);
    }

    fn is_object(self) -> bool {
        self.objects & 1 == 1
    }

    /// Returns what closes the innermost container; `None` outside of all.
    fn close(self) -> Option<u8> {
        match (self.depth, self.is_object()) {
            (0, _) => None,
            (_, true) => Some(b'}'),
            (_, false) => Some(b']'),
        }
    }
}
