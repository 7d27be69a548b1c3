//! One entry of a cell's list.

/// What was charged in one slot. The part of the list that holds the pair decides which grid the
/// slot belongs to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Pair {
    pub(super) slot: u32,
    pub(super) count: u32,
}
