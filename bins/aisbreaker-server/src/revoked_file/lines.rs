//! The lines of the file: `<id> <seconds since 1970>`.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aisbreaker_gateway::Revocation;
use aisbreaker_token::KeyId;

/// The last second that the list of revoked keys knows; it stands for never.
const NEVER: u64 = 0xffff_ffff;
/// The digits of a second from 2001 to 2286. A torn line with fewer may have been a later one.
const SECOND_DIGITS: usize = 10;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) revocations: Vec<Revocation>,
    /// The number of lines that are none.
    pub(super) unreadable: usize,
    /// Whether the last line does not end.
    pub(super) is_torn: bool,
}

/// Returns the bytes up to the end of the last whole line.
pub(super) fn whole(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    let end = end.map_or(0, |at| at.saturating_add(1));
    bytes.get(..end).unwrap_or_default()
}

/// Parses lines. Of a torn last line whose id is whole, the key is revoked for good.
pub(super) fn parse(bytes: &[u8]) -> Lines {
    let mut lines = Lines::default();
    let whole = whole(bytes);
    for line in whole.split(|byte| *byte == b'\n') {
        match line.trim_ascii() {
            [] => {}
            line => match parse_line(line) {
                Some(revocation) => lines.revocations.push(revocation),
                None => lines.unreadable = lines.unreadable.saturating_add(1),
            },
        }
    }
    let torn = bytes.get(whole.len()..).unwrap_or_default();
    lines.is_torn = !torn.is_empty();
    lines.revocations.extend(parse_torn(torn));
    lines
}

fn parse_line(line: &[u8]) -> Option<Revocation> {
    let (id, seconds) = str::from_utf8(line).ok()?.split_once(' ')?;
    let is_number = seconds.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = seconds.parse().ok().filter(|_| is_number)?;
    Some(Revocation::new(id.parse().ok()?, from_seconds(seconds)))
}

fn parse_torn(line: &[u8]) -> Option<Revocation> {
    let text = str::from_utf8(line).ok()?;
    let id = text.split(' ').next()?.parse::<KeyId>().ok()?;
    match parse_line(line) {
        Some(revocation) if text.len() >= id.to_string().len() + 1 + SECOND_DIGITS => {
            Some(revocation)
        }
        Some(_) | None => Some(Revocation::new(id, from_seconds(NEVER))),
    }
}

/// Returns what has not expired, each key once with the latest end, in the order of the file.
pub(super) fn alive(revocations: Vec<Revocation>, now: SystemTime) -> Vec<Revocation> {
    let mut places = HashMap::new();
    let mut alive: Vec<Revocation> = Vec::with_capacity(revocations.len());
    for revocation in revocations {
        if revocation.expires_at <= now {
            continue;
        }
        match places.entry(revocation.id) {
            Entry::Vacant(place) => {
                place.insert(alive.len());
                alive.push(revocation);
            }
            Entry::Occupied(place) => {
                if let Some(known) = alive.get_mut(*place.get()) {
                    known.expires_at = known.expires_at.max(revocation.expires_at);
                }
            }
        }
    }
    alive
}

/// Returns the lines of these revocations. Ends are rounded up to whole seconds.
pub(super) fn format(revocations: &[Revocation]) -> String {
    let mut text = String::new();
    for revocation in revocations {
        let since = revocation
            .expires_at
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let seconds = since.as_secs() + u64::from(since.subsec_nanos() > 0);
        // Writing to a string does not fail.
        let _written = writeln!(text, "{} {seconds}", revocation.id);
    }
    text
}

/// Returns the time. Beyond what clocks know, it is never.
fn from_seconds(seconds: u64) -> SystemTime {
    UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .unwrap_or(UNIX_EPOCH + Duration::from_secs(NEVER))
}
