//! Searches the memory of a running process.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
};

use super::Canaries;

/// How many bytes are read at once.
const BLOCK_BYTES: usize = 1 << 20;
/// How many bytes adjacent blocks share, so that no match is lost at a boundary.
const OVERLAP_BYTES: usize = 1 << 10;

/// Finds all canaries in writable memory of the process: heap, stacks and variables.
///
/// Returns `None` where the system does not let one process read the memory of another.
pub(crate) fn search(process: u32, canaries: &Canaries) -> Option<Vec<String>> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).ok()?;
    let memory = File::open(format!("/proc/{process}/mem")).ok()?;
    let mut found = Vec::new();
    let mut bytes_read = 0;
    for map in maps.lines() {
        let mut words = map.split_whitespace();
        let (Some(range), Some(permissions)) = (words.next(), words.next()) else {
            continue;
        };
        if !permissions.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-')?;
        let mut position = u64::from_str_radix(start, 16).ok()?;
        let end = u64::from_str_radix(end, 16).ok()?;
        let name = words.nth(3).unwrap_or("anonymous");
        while position < end {
            let mut block = vec![0; BLOCK_BYTES.min(usize::try_from(end - position).ok()?)];
            let Ok(length) = memory.read_at(&mut block, position) else {
                break;
            };
            if length == 0 {
                break;
            }
            bytes_read += length;
            for fragment in canaries.found_in(&block[..length]) {
                found.push(format!("{name}: {fragment}"));
            }
            let is_last = position + length as u64 >= end || length <= OVERLAP_BYTES;
            position += if is_last {
                length as u64
            } else {
                (length - OVERLAP_BYTES) as u64
            };
        }
    }
    assert!(
        bytes_read > 1 << 20,
        "hardly any memory was read: {bytes_read} bytes"
    );
    Some(found)
}
