//! Server-sent events.

use bytes::Bytes;
use serde::Serialize;

/// The event that ends a stream of completions.
pub(super) const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// Returns an event without a name.
pub(super) fn unnamed(data: &impl Serialize) -> Bytes {
    write(String::new(), data)
}

/// Returns an event with a name.
pub(super) fn named(name: &str, data: &impl Serialize) -> Bytes {
    write(format!("event: {name}\n"), data)
}

fn write(head: String, data: &impl Serialize) -> Bytes {
    let mut event = head.into_bytes();
    event.extend_from_slice(b"data: ");
    let start = event.len();
    // Neither writing to a vector nor serializing JSON fails.
    let _written = serde_json::to_writer(&mut event, data);
    // A caller's own JSON may have line breaks, of which its strings have none.
    for byte in event.iter_mut().skip(start) {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    event.extend_from_slice(b"\n\n");
    event.into()
}
