//! Forwarded event streams: every byte is forwarded, and no incomplete event before the end.

use aisbreaker_gateway::fuzzing::forwarded;
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
            gone.is_empty() || ends_an_event(&gone),
            "half an event has gone: {:?}",
            String::from_utf8_lossy(&gone)
        );
    }
    gone.extend_from_slice(&last);
    assert_eq!(gone, stream);
}

/// Returns whether the last line is blank and follows another line.
fn ends_an_event(bytes: &[u8]) -> bool {
    let ends = [
        b"\n\n".as_slice(),
        b"\r\r",
        b"\n\r",
        b"\r\n\r\n",
        b"\n\r\n",
        b"\r\r\n",
    ];
    ends.iter().any(|end| bytes.ends_with(end))
}
