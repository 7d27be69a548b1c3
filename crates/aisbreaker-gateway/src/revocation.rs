//! Which keys are revoked: the list in memory, and the places that keep it.
//!
//! A key is refused if it, or one of the keys that it was made from, is on the list or was issued
//! before the time from which on keys hold. The list is in memory, so a request asks nobody. What
//! keeps it beyond the process is a [`RevocationLog`], the shared store of the quotas, or both.

pub(crate) mod deny_list;
