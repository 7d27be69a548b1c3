//! HTTP/1.1 responses, parsed as their bytes arrive.

use memchr::memmem;

use aisbreaker_benches::provider::{LAST_CHUNK, STAMP};

/// One response, as far as it has arrived.
#[derive(Debug, Default)]
pub(crate) struct Response {
    bytes: Vec<u8>,
    head: Option<Head>,
    /// Where the search for further time stamps begins.
    next_stamp: usize,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    length: usize,
    /// Length of the body; `None` if it is chunked.
    body: Option<usize>,
}

impl Response {
    /// Returns the buffer to which the next bytes are to be appended.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        (self.head, self.next_stamp) = (None, 0);
    }

    /// Returns whether it is complete.
    ///
    /// # Errors
    /// The text of a response that is not 200.
    pub(crate) fn is_complete(&mut self) -> Result<bool, String> {
        let Some(head) = self.head()? else {
            return Ok(false);
        };
        Ok(match head.body {
            Some(body) => self.bytes.len() >= head.length + body,
            None => self.bytes.ends_with(LAST_CHUNK),
        })
    }

    /// Returns whether the first byte of the body has arrived.
    pub(crate) fn has_body(&self) -> bool {
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

    /// Calls `each` with the send time of every chunk that has arrived since the last call.
    pub(crate) fn take_stamps(&mut self, mut each: impl FnMut(u64)) {
        while let Some(at) = memmem::find(&self.bytes[self.next_stamp..], STAMP) {
            let begin = self.next_stamp + at + STAMP.len();
            let Some(digits) = self.bytes.get(begin..begin + 19) else {
                return;
            };
            let text = str::from_utf8(digits).unwrap_or_default();
            each(text.parse().unwrap_or(0));
            self.next_stamp = begin;
        }
    }
}
