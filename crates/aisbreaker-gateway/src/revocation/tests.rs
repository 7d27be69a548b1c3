use std::sync::atomic::{AtomicBool, Ordering};

use aisbreaker_token::Ancestor;
use futures_util::FutureExt as _;

use super::*;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The id of 16 equal bytes.
fn id(byte: u8) -> KeyId {
    let letter = [
        "AAAAAAAAAAAAAAAAAAAAAA",
        "AQEBAQEBAQEBAQEBAQEBAQ",
        "AgICAgICAgICAgICAgICAg",
    ];
    letter[usize::from(byte)].parse().unwrap()
}

fn key(issued_at: Option<u64>, ancestors: &[(KeyId, Option<u64>)]) -> Key {
    let ancestor = |(id, issued_at): &(KeyId, Option<u64>)| Ancestor::new(*id, *issued_at, None);
    Key {
        id: id(0),
        name: None,
        quotas: None,
        budgets: None,
        issued_at: issued_at.map(at),
        expires_at: at(10_000),
        ancestors: ancestors.iter().map(ancestor).collect(),
    }
}

/// A log that fails while it is told to.
#[derive(Debug, Default)]
struct Log {
    is_broken: AtomicBool,
    lines: Mutex<Vec<Revocation>>,
}

impl RevocationLog for Log {
    fn append(&self, revocations: &[Revocation]) -> io::Result<()> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.lines.lock().unwrap().extend(revocations);
        Ok(())
    }
}

#[test]
fn a_key_is_refused_for_itself_and_for_each_ancestor() {
    let revocations = Revocations::new(None, None);
    let rows = [
        key(Some(1), &[]),
        key(Some(1), &[(id(1), Some(1)), (id(2), None)]),
    ];
    for key in &rows {
        assert_eq!(revocations.check(key, None), Ok(()));
    }
    let revoke = |id| revocations.restore([Revocation::new(id, at(10_000))]);
    revoke(id(2));
    assert_eq!(revocations.check(&rows[0], None), Ok(()));
    assert_eq!(
        revocations.check(&rows[1], None),
        Err(Revoked::Ancestor(id(2)))
    );
    revoke(id(0));
    for key in &rows {
        assert_eq!(revocations.check(key, None), Err(Revoked::Listed));
    }
}

#[test]
fn keys_issued_before_a_time_are_refused_with_all_that_came_of_them() {
    let revocations = Revocations::new(None, None);
    let rows = [
        (key(Some(100), &[]), true),
        (key(Some(99), &[]), false),
        (key(None, &[]), false),
        (
            key(Some(101), &[(id(1), Some(100)), (id(2), Some(100))]),
            true,
        ),
        (
            key(Some(101), &[(id(1), Some(99)), (id(2), Some(100))]),
            false,
        ),
        (
            key(Some(101), &[(id(1), Some(100)), (id(2), Some(99))]),
            false,
        ),
        (key(Some(101), &[(id(1), None)]), false),
        (key(Some(101), &[(id(1), Some(u64::MAX))]), false),
    ];
    for (key, is_valid) in rows {
        assert_eq!(
            revocations.check(&key, Some(at(100))).is_ok(),
            is_valid,
            "{key:?}"
        );
    }
    // Whole seconds are all that a key says.
    let before = at(100) + Duration::from_millis(1);
    assert!(
        revocations
            .check(&key(Some(100), &[]), Some(before))
            .is_err()
    );
}

#[tokio::test]
async fn what_the_log_did_not_take_holds_here_and_is_written_when_it_is_revoked_again() {
    let log = Arc::new(Log::default());
    let revocations = Revocations::new(Some(Arc::<Log>::clone(&log)), None);
    let revoke = async |id| {
        let revocation = Revocation::new(id, at(10_000));
        revocations.revoke(vec![revocation], Revoker::Holder).await
    };
    log.is_broken.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        assert!(matches!(revoke(id(0)).await, Err(NotRevoked::NotKept(_))));
    }
    assert!(revocations.check(&key(Some(1), &[]), None).is_err());

    log.is_broken.store(false, Ordering::Relaxed);
    for _ in 0..2 {
        revoke(id(0)).await.unwrap();
        revoke(id(1)).await.unwrap();
    }
    let logged: Vec<KeyId> = log
        .lines
        .lock()
        .unwrap()
        .iter()
        .map(|line| line.id)
        .collect();
    assert_eq!(logged, [id(0), id(1)], "each once");
}

#[tokio::test]
async fn a_revocation_that_is_given_up_is_not_taken_for_written() {
    let log = Arc::new(Log::default());
    let revocations = Revocations::new(Some(Arc::<Log>::clone(&log)), None);
    let revocation = Revocation::new(id(0), at(10_000));
    let given_up = revocations.revoke(vec![revocation], Revoker::Holder);
    assert!(given_up.now_or_never().is_none(), "it waits for the log");
    revocations
        .revoke(vec![revocation], Revoker::Holder)
        .await
        .unwrap();
    assert!(!log.lines.lock().unwrap().is_empty());
}
