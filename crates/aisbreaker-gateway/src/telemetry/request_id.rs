//! The id of a request in `x-request-id`, the log and error bodies.

use std::cell::RefCell;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest `x-request-id` that is accepted from a caller.
const MAX_LEN: usize = 128;
const ID_BYTES: usize = 16;
const ID_CHARS: usize = 2 * ID_BYTES;
/// How many random ids are parts of one text, which is freed when the last request of them is over.
const SHARED: usize = 16;
/// How many random ids a thread draws with one system call.
const BATCH: usize = 64;
const HEX_DIGITS: [u8; 16] = *b"0123456789abcdef";

/// Returns the caller's request id if it is safe to log, else a random one of 128 bits.
pub(crate) fn of_request(headers: &HeaderMap) -> HeaderValue {
    match headers.get(X_REQUEST_ID) {
        Some(id) if is_loggable(id) => id.clone(),
        Some(_) | None => random(),
    }
}

/// A copy of an id that somebody else chose and that may appear in the log: a header value would keep
/// the buffer of the whole head. An id of usual length needs no allocation.
#[derive(Debug)]
pub(super) struct LoggableId(SmallVec<[u8; 40]>);

impl LoggableId {
    /// Returns `None` for an id that is unsafe to log.
    pub(super) fn of(id: &HeaderValue) -> Option<Self> {
        is_loggable(id).then(|| Self(SmallVec::from_slice(id.as_bytes())))
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        str::from_utf8(&self.0).ok()
    }
}

/// Returns whether an id that somebody else chose may appear in the log.
fn is_loggable(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    let is_token = |byte: &u8| IS_TOKEN[usize::from(*byte)];
    !bytes.is_empty() && bytes.len() <= MAX_LEN && bytes.iter().all(is_token)
}

/// Whether a byte may be in an id that is logged: a table, since every answer of a provider has an id.
const IS_TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte.is_ascii() {
        let is_mark = matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=');
        table[byte as usize] = byte.is_ascii_alphanumeric() || is_mark;
        byte += 1;
    }
    table
};

/// Returns a random id: the next one of a text that a thread shares among several.
fn random() -> HeaderValue {
    thread_local! {
        static TEXT: RefCell<Bytes> = const { RefCell::new(Bytes::new()) };
    }
    let id = TEXT.with_borrow_mut(|text| {
        if text.is_empty() {
            *text = random_text();
        }
        let id_chars = text.len().min(ID_CHARS);
        text.split_to(id_chars)
    });
    if id.is_empty() {
        return HeaderValue::from_static("none");
    }
    HeaderValue::from_maybe_shared(id).unwrap_or(HeaderValue::from_static("none"))
}

/// Returns the text of several random ids; none if the system has no random bytes.
fn random_text() -> Bytes {
    let ids = std::iter::from_fn(random_bytes).take(SHARED);
    let mut text = Vec::with_capacity(SHARED * ID_CHARS);
    for id in ids {
        text.extend_from_slice(id.map(hex).as_flattened());
    }
    text.into()
}

/// Returns the random bytes of an id; `None` if the system has none.
pub(crate) fn random_bytes() -> Option<[u8; ID_BYTES]> {
    thread_local! {
        static BATCHED: RefCell<Vec<[u8; ID_BYTES]>> = const { RefCell::new(Vec::new()) };
    }
    BATCHED.with_borrow_mut(|batched| {
        if batched.is_empty() {
            let mut bytes = [[0; ID_BYTES]; BATCH];
            if getrandom::fill(bytes.as_flattened_mut()).is_err() {
                return None;
            }
            batched.extend_from_slice(&bytes);
        }
        batched.pop()
    })
}

fn hex(byte: u8) -> [u8; 2] {
    [
        HEX_DIGITS[usize::from(byte >> 4)],
        HEX_DIGITS[usize::from(byte & 15)],
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn random_request_ids_are_unique() {
        let ids: HashSet<_> = (0..10 * BATCH).map(|_| random()).collect();

        assert_eq!(ids.len(), 10 * BATCH);
    }

    #[test]
    fn keeps_a_loggable_request_id_and_replaces_any_other() {
        let id_for = |value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            let headers = HeaderMap::from_iter([(X_REQUEST_ID, value)]);
            of_request(&headers).to_str().unwrap().to_owned()
        };

        for good in ["req-1.a:b/c", "A_Z+09=="] {
            assert_eq!(id_for(good), good);
        }
        for bad in [
            "",
            "two words",
            "a\"b",
            "a,b",
            "a@b",
            "a[b",
            "a`b",
            "a{b",
            &"x".repeat(MAX_LEN + 1),
        ] {
            let id = id_for(bad);
            assert_eq!(id.len(), 32, "{bad:?} became {id}");
        }
    }
}
