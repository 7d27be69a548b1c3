//! Drops the chunk with the usage from a stream whose client did not ask for it.

use aisbreaker_services::is_usage_chunk;
use bytes::Bytes;

use super::event_lines::{EventFields, end_of_loose_lines};

/// Whether the client sees the chunk of a streamed completion that only reports usage.
///
/// Some clients read `choices[0]` of every chunk, which that one does not have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum UsageChunk {
    /// It is forwarded like any other.
    Forward,
    /// It was asked for on behalf of this server only.
    Drop,
}

/// Returns complete events, from the one that begins at `from`, without chunks that only report
/// usage. What is before `from` stays.
///
/// Comments before such a chunk stay, since they are forwarded as soon as they come.
pub(super) fn without_usage_chunks(events: &Bytes, from: usize) -> Bytes {
    let mut kept = Vec::new();
    let mut kept_end = 0;
    let mut start = end_of_loose_lines(events, from);
    while let Some(rest) = events.get(start..)
        && !rest.is_empty()
    {
        let (event, after) = EventFields::read(rest);
        let end = events.len().saturating_sub(after.len());
        let is_dropped = event
            .data
            .is_some_and(|data| is_usage_chunk(event.name, &data));
        if is_dropped {
            kept.extend_from_slice(events.get(kept_end..start).unwrap_or_default());
            kept_end = end;
        }
        start = end_of_loose_lines(events, end);
    }
    if kept_end == 0 {
        return events.clone();
    }
    kept.extend_from_slice(events.get(kept_end..).unwrap_or_default());
    kept.into()
}

#[cfg(test)]
mod tests;
