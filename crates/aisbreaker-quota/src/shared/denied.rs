//! Names that an engine refuses to charge for until a time, in the same call that decides.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::Value;

use super::{
    error::{SharedRefusal, StoreError},
    reply,
};
use crate::slots::Moment;

/// The most names that are read at a time.
const PAGE_LEN: usize = 1_000;
/// For how long a refusal may be repeated without asking the store, after the leases have ended.
const MAX_REPEATED_REFUSAL: Duration = Duration::from_millis(50);

/// A name for which nothing is charged until a time.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Denied {
    /// The name.
    pub name: String,
    /// The first moment at which it is not denied any more, in whole seconds.
    pub until: SystemTime,
}

impl Denied {
    /// Denies a name until a time, which is rounded up to whole seconds. After 2106 is never.
    #[must_use]
    pub const fn new(name: String, until: SystemTime) -> Self {
        Self { name, until }
    }

    pub(super) fn until_seconds(&self) -> u32 {
        let since = self.until.duration_since(UNIX_EPOCH).unwrap_or_default();
        let started = u64::from(since.subsec_nanos() > 0);
        u32::try_from(since.as_secs().saturating_add(started)).unwrap_or(u32::MAX)
    }
}

/// How far the denied names of a store have been read. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DeniedCursor(pub(super) u64);

/// Some of the denied names of a store, in the order in which they were denied.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeniedPage {
    /// The names. Those whose time is over may be among them.
    pub names: Vec<Denied>,
    /// Where to go on.
    pub next: DeniedCursor,
    /// Whether nothing was denied after these so far.
    pub is_last: bool,
}

/// Why a [`SharedEngine`](super::SharedEngine) denied no names.
#[expect(
    clippy::exhaustive_enums,
    reason = "callers choose a response for every variant"
)]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DenyError {
    /// There is no room for so many; nothing was denied.
    #[error("store has no room for further denied names")]
    Full,
    /// The store did not answer. The names may be denied.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a [`SharedEngine`](super::SharedEngine) did not admit a request that carries names.
#[expect(
    clippy::exhaustive_enums,
    reason = "callers choose a response for every variant"
)]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotCharged<const N: usize> {
    /// One of the names is denied; nothing was charged.
    #[error("a name of the request is denied")]
    Denied,
    /// None of them is, as far as the store answered.
    #[error(transparent)]
    Refused(#[from] SharedRefusal<N>),
}

impl<const N: usize> From<StoreError> for NotCharged<N> {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

/// The keys of denied names in a store.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeniedKeys<'a> {
    prefix: &'a str,
}

impl<'a> DeniedKeys<'a> {
    pub(super) const fn new(prefix: &'a str) -> Self {
        Self { prefix }
    }

    /// Returns the key that exists while a name is denied.
    pub(super) fn of_name(self, name: impl std::fmt::Display) -> String {
        format!("{{{}}}:denied:{name}", self.prefix)
    }

    /// Returns the key of the list of all of them.
    pub(super) fn list(self) -> String {
        format!("{{{}}}:denied", self.prefix)
    }
}

/// Returns the number of names to read at a time.
pub(super) const fn page_len() -> usize {
    PAGE_LEN
}

/// Reads the reply to a denial: how long other engines may still admit what they were leased.
pub(super) fn read_deny(reply: &Value) -> Result<Duration, DenyError> {
    let Some((has_room, moment)) = reply::read_flag_and_time(reply) else {
        return Err(reply::unreadable().into());
    };
    if !has_room {
        return Err(DenyError::Full);
    }
    let moment: Moment = moment;
    Ok(moment.until_slot_end().saturating_add(MAX_REPEATED_REFUSAL))
}

/// Returns a name as the list has it.
pub(super) fn entry(denied: &Denied) -> String {
    format!("{} {}", denied.until_seconds(), denied.name)
}

/// Reads a part of the list that follows `after`; `None` if it is malformed.
pub(super) fn read_page(reply: &Value, after: DeniedCursor) -> Option<DeniedPage> {
    let parts = reply::byte_strings(reply)?;
    let (pairs, rest) = parts.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let mut names = Vec::with_capacity(pairs.len());
    let mut next = after;
    for [entry, place] in pairs {
        let (until, name) = str::from_utf8(entry).ok()?.split_once(' ')?;
        let until = Duration::from_secs(until.parse::<u32>().ok()?.into());
        names.push(Denied::new(name.to_owned(), UNIX_EPOCH.checked_add(until)?));
        next = DeniedCursor(str::from_utf8(place).ok()?.parse().ok()?);
    }
    let is_last = names.len() < PAGE_LEN;
    Some(DeniedPage {
        names,
        next,
        is_last,
    })
}
