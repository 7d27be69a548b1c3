//! The memory of a process.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
};

use super::canary::Canaries;

/// How much is read at once.
const BLOCK: usize = 1 << 20;
/// How much of a block is read once more with the next, so that nothing is missed between two.
const OVERLAP: usize = 1 << 10;

/// All pieces of the canaries in memory to which the process can write: heap, stacks, and
/// variables. `None` where the system lets nobody look.
pub(crate) fn search(process: u32, canaries: &Canaries) -> Option<Vec<String>> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).ok()?;
    let memory = File::open(format!("/proc/{process}/mem")).ok()?;
    let mut found = Vec::new();
    let mut read = 0;
    for map in maps.lines() {
        let mut words = map.split_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else {
            continue;
        };
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-')?;
        let (mut from, to) = (
            u64::from_str_radix(from, 16).ok()?,
            u64::from_str_radix(to, 16).ok()?,
        );
        let name = words.nth(3).unwrap_or("anonymous");
        while from < to {
            let mut block = vec![0; BLOCK.min(usize::try_from(to - from).ok()?)];
            let Ok(length) = memory.read_at(&mut block, from) else {
                break;
            };
            read += length;
            found.extend(
                canaries
                    .found_in(&block[..length])
                    .into_iter()
                    .map(|piece| format!("{name}: {piece}")),
            );
            let is_last = from + length as u64 >= to || length <= OVERLAP;
            from += if is_last {
                length as u64
            } else {
                (length - OVERLAP) as u64
            };
            if length == 0 {
                break;
            }
        }
    }
    assert!(read > 1 << 20, "hardly any memory was read: {read} bytes");
    Some(found)
}
