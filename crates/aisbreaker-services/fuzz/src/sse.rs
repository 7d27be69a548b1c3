//! Server-sent events: the result does not depend on how the bytes are cut, and equals that of a
//! slow implementation of the standard.

use aisbreaker_services::sse::{DecodeError, Decoder, MAX_BYTES, Message};
use bytes::Bytes;

type Decoded = (Vec<Message>, Result<(), DecodeError>);

/// When messages are taken out of the decoder.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Take {
    AfterEachPiece,
    AtTheEnd,
}

/// The input: a byte for the limit, a byte for the cuts, then the stream.
pub fn check(data: &[u8]) {
    let Some(([small_limit, cut], stream)) = data.split_first_chunk::<2>() else {
        return;
    };
    let cut = usize::from(*cut).max(1);
    for limit in [usize::from(*small_limit), MAX_BYTES] {
        let whole = decode(limit, &[stream], Take::AfterEachPiece);
        let pieces: Vec<&[u8]> = stream.chunks(cut).collect();
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        let growing: Vec<&[u8]> = growing(stream);
        assert_eq!(
            decode(limit, &pieces, Take::AfterEachPiece),
            whole,
            "pieces of {cut}, limit {limit}"
        );
        assert_eq!(
            decode(limit, &bytes, Take::AfterEachPiece),
            whole,
            "single bytes, limit {limit}"
        );
        assert_eq!(
            decode(limit, &growing, Take::AfterEachPiece),
            whole,
            "growing pieces, limit {limit}"
        );
        assert_eq!(
            decode(limit, &pieces, Take::AtTheEnd),
            whole,
            "taken at the end, limit {limit}"
        );
        for message in &whole.0 {
            assert!(
                message.data.len() <= limit && message.event.len() <= limit,
                "over {limit}: {message:?}"
            );
        }
        if limit == MAX_BYTES {
            assert_eq!(whole, by_the_standard(stream));
        }
    }
}

/// Returns all messages of a stream in these pieces, and how it ends.
fn decode(limit: usize, pieces: &[&[u8]], take: Take) -> Decoded {
    let mut decoder = Decoder::with_limit(limit);
    let mut messages = Vec::new();
    let mut end = Ok(());
    for piece in pieces {
        decoder.feed(Bytes::copy_from_slice(piece));
        if take == Take::AfterEachPiece {
            end = take_all(&mut decoder, &mut messages);
        }
        if end.is_err() {
            break;
        }
    }
    if end.is_ok() {
        end = take_all(&mut decoder, &mut messages);
    }
    if end.is_ok() {
        end = decoder.finish().map(|last| messages.extend(last));
    }
    if let Err(error) = end {
        assert_eq!(
            (decoder.take(), decoder.finish()),
            (Err(error), Err(error)),
            "an error stays"
        );
    }
    (messages, end)
}

fn take_all(decoder: &mut Decoder, messages: &mut Vec<Message>) -> Result<(), DecodeError> {
    while let Some(message) = decoder.take()? {
        messages.push(message);
    }
    Ok(())
}

/// Returns pieces of one byte, two, three and so on.
fn growing(stream: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut pieces) = (stream, Vec::new());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(pieces.len() + 1));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Implements section 9.2.6 of the HTML standard line by line, with the two differences that the
/// module documents.
fn by_the_standard(stream: &[u8]) -> Decoded {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let (mut messages, mut event, mut data) = (Vec::new(), Vec::new(), None::<Vec<u8>>);
    let mut lines = lines(stream);
    // The last blank line may be missing.
    lines.push(Vec::new());
    for line in lines {
        if line.is_empty() {
            let event = std::mem::take(&mut event);
            let Some(data) = data.take() else { continue };
            match (String::from_utf8(event), String::from_utf8(data)) {
                (Ok(event), Ok(data)) => messages.push(Message { event, data }),
                _ => return (messages, Err(DecodeError::NotUtf8)),
            }
            continue;
        }
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match (field, &mut data) {
            (b"event", _) => event = value.to_vec(),
            (b"data", Some(data)) => data.extend([b"\n", value].concat()),
            (b"data", None) => data = Some(value.to_vec()),
            _ => {}
        }
    }
    (messages, Ok(()))
}

/// Returns the lines of a stream, which end at a line feed, a carriage return or both.
fn lines(stream: &[u8]) -> Vec<Vec<u8>> {
    let (mut lines, mut line, mut before) = (Vec::new(), Vec::new(), 0);
    for byte in stream {
        match byte {
            b'\n' if before == b'\r' => {}
            b'\n' | b'\r' => lines.push(std::mem::take(&mut line)),
            other => line.push(*other),
        }
        before = *byte;
    }
    lines.push(line);
    lines
}
