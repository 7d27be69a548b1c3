//! Snapshots that are damaged, and time that passes between two processes.

use std::time::{Duration, SystemTime};

use aisbreaker_quota::{
    SnapshotError,
    ledger::{Budget, Ledger, Period, Reservation},
};

use crate::some_instant;

const WALL: Duration = Duration::from_secs(1_800_000_000);

fn wall() -> SystemTime {
    SystemTime::UNIX_EPOCH + WALL
}

fn budget() -> Budget {
    Budget::unlimited()
        .with(Period::Minute, 100)
        .with(Period::Month, 100)
        .with(Period::Lifetime, 100)
}

fn saved() -> Vec<u8> {
    let start = some_instant();
    let ledger = Ledger::new(start, 10);
    for account in [3_u8, 7] {
        let amount = u64::from(account);
        let _held = ledger
            .reserve(&[Reservation::new(account, budget(), amount)], start)
            .unwrap();
    }
    let mut bytes = Vec::new();
    let written = ledger.snapshot(
        start,
        wall(),
        |key, to| to.push(*key),
        |piece| {
            bytes.extend_from_slice(piece);
            Ok::<(), ()>(())
        },
    );
    written.unwrap();
    bytes
}

fn restored(bytes: &[u8], wall: SystemTime) -> Result<Ledger<u8>, SnapshotError> {
    Ledger::restore(bytes, (some_instant(), wall), 1, |bytes| {
        bytes.first().copied()
    })
}

#[test]
fn time_between_two_processes_passes_by_the_wall_clock() {
    let bytes = saved();
    let used = |wall: SystemTime| {
        let ledger = restored(&bytes, wall).unwrap();
        assert_eq!(ledger.len(), 2);
        let balances = ledger.balances(&7, &budget(), some_instant());
        [0, 1, 2].map(|index| balances[index].used)
    };
    assert_eq!(used(wall()), [7, 7, 7]);
    assert_eq!(used(wall() - Duration::from_secs(3_600)), [7, 7, 7]);
    assert_eq!(used(wall() + Duration::from_secs(62)), [0, 7, 7]);
    assert_eq!(used(wall() + Duration::from_secs(32 * 86_400)), [0, 0, 7]);
}

#[test]
fn whatever_is_not_a_whole_snapshot_is_refused() {
    let bytes = saved();
    for length in 0..bytes.len() {
        assert!(restored(&bytes[..length], wall()).is_err(), "{length}");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x20;
        assert!(restored(&damaged, wall()).is_err(), "{at}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(
        restored(&longer, wall()).unwrap_err(),
        SnapshotError::Damaged
    );
    assert_eq!(
        restored(b"{}", wall()).unwrap_err(),
        SnapshotError::NotASnapshot
    );
}

#[test]
fn what_is_whole_but_no_ledger_is_invalid() {
    let bytes = saved();
    let body = &bytes[..bytes.len() - 4];
    // With a checksum that fits.
    let sealed = |body: &[u8]| {
        let mut crc = !0_u32;
        for byte in body {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 {
                    (crc >> 1) ^ 0xEDB8_8320
                } else {
                    crc >> 1
                };
            }
        }
        [body, &(!crc).to_le_bytes()].concat()
    };
    assert!(restored(&sealed(body), wall()).is_ok());
    // Every changed byte is either another ledger or an error, never a panic.
    for at in 8..body.len() {
        for value in [0, 1, 0x7F, 0xFF] {
            let mut other = body.to_vec();
            other[at] = value;
            let _ledger_or_error = restored(&sealed(&other), wall());
        }
    }
    let (head, count) = body.split_at(body.len() - 8);
    let more = [
        head,
        &(u64::from_le_bytes(count.try_into().unwrap()) + 1).to_le_bytes(),
    ]
    .concat();
    assert_eq!(
        restored(&sealed(&more), wall()).unwrap_err(),
        SnapshotError::Invalid
    );
}
