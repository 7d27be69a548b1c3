//! Answers of HTTP/1.1 as their bytes come.

use memchr::memmem;

use aisbreaker_benches::provider::{LAST_CHUNK, STAMP};

/// One answer, as far as it has come.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    bytes: Vec<u8>,
    head: Option<Head>,
    /// How far stamps were looked for.
    looked: usize,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    length: usize,
    /// Bytes of the body; `None` if it comes in chunks.
    body: Option<usize>,
}

impl Answer {
    /// Where the next bytes are to be put.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        (self.head, self.looked) = (None, 0);
    }

    /// Whether all of it has come; an error if it is not the answer that a measurement is about.
    pub(crate) fn is_whole(&mut self) -> Result<bool, String> {
        let Some(head) = self.head()? else {
            return Ok(false);
        };
        Ok(match head.body {
            Some(body) => self.bytes.len() >= head.length + body,
            None => self.bytes.ends_with(LAST_CHUNK),
        })
    }

    /// Whether the first byte of the body has come.
    pub(crate) fn has_begun(&self) -> bool {
        self.head.is_some_and(|head| self.bytes.len() > head.length)
    }

    fn head(&mut self) -> Result<Option<Head>, String> {
        if self.head.is_some() {
            return Ok(self.head);
        }
        let Some(end) = memmem::find(&self.bytes, b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&self.bytes[..end]);
        if !text.starts_with("HTTP/1.1 200") {
            return Err(String::from_utf8_lossy(&self.bytes).into_owned());
        }
        let is_length =
            |line: &&str| line.len() > 15 && line[..15].eq_ignore_ascii_case("content-length:");
        let body = text
            .lines()
            .find(is_length)
            .and_then(|line| line[15..].trim().parse().ok());
        self.head = Some(Head {
            length: end + 4,
            body,
        });
        Ok(self.head)
    }

    /// When the chunks were sent that came since this was last asked.
    pub(crate) fn stamps(&mut self, mut each: impl FnMut(u64)) {
        while let Some(at) = memmem::find(&self.bytes[self.looked..], STAMP) {
            let begin = self.looked + at + STAMP.len();
            let Some(digits) = self.bytes.get(begin..begin + 19) else {
                return;
            };
            each(
                std::str::from_utf8(digits)
                    .ok()
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(0),
            );
            self.looked = begin;
        }
    }
}
