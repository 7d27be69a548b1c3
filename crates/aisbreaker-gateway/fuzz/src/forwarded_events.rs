//! Forwarded event streams: every byte is forwarded, and no incomplete event before the end. Where the
//! usage is dropped, it is dropped however the stream is cut.

use aisbreaker_gateway::fuzzing::{forwarded, forwarded_without_usage};
use bytes::Bytes;

/// The most bytes of an event that are held back.
const MAX_HELD_BYTES: usize = 1 << 20;

/// The first bytes choose where the others are cut.
pub fn check(data: &[u8]) {
    let Some((cuts, stream)) = data.split_at_checked(4) else {
        return;
    };
    let mut rest = Bytes::copy_from_slice(stream);
    let mut pieces = Vec::new();
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        pieces.push(rest.split_to((usize::from(*cut) % 40 + 1).min(rest.len())));
    }

    let (forwarded_pieces, last) = forwarded(&pieces);

    let mut gone = Vec::new();
    for (bytes, held) in &forwarded_pieces {
        gone.extend_from_slice(bytes);
        assert!(*held <= MAX_HELD_BYTES);
        assert!(
            is_between_events(&gone),
            "half an event has gone: {:?}",
            String::from_utf8_lossy(&gone)
        );
    }
    gone.extend_from_slice(&last);
    assert_eq!(gone, stream);

    let without_usage = forwarded_without_usage(&pieces);
    let whole = Bytes::copy_from_slice(stream);
    assert_eq!(without_usage, forwarded_without_usage(&[whole]));
    assert!(without_usage.len() <= stream.len());
}

/// Returns whether the last line has its end, and no line since the last blank one is a part of an
/// event.
fn is_between_events(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let Some(text) = text.strip_suffix(['\n', '\r']) else {
        return text.is_empty();
    };
    let since_blank = text.split(['\n', '\r']).rev();
    since_blank
        .take_while(|line| !line.is_empty())
        .all(|line| line.starts_with(':') || line.starts_with("retry:"))
}
