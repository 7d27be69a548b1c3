//! Helpers for the tests of keys.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

use std::time::{Duration, SystemTime};

use aisbreaker_token::{Host, KeyRing, OpenError, ServerKey};
use serde::{Deserialize, Serialize};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Note {
    pub(crate) text: String,
}

pub(crate) fn note() -> Note {
    Note {
        text: "hello".to_owned(),
    }
}

pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_396_965)
}

pub(crate) fn host() -> Host {
    Host::parse("api.example.com").unwrap()
}

pub(crate) fn ring(byte: u8) -> KeyRing {
    KeyRing::new(ServerKey::from_bytes([byte; 32]))
}

pub(crate) fn seal(ring: &KeyRing) -> String {
    ring.seal(&note(), &host(), now(), HOUR)
        .unwrap()
        .expose()
        .to_owned()
}

pub(crate) fn refusal(ring: &KeyRing, key: &str) -> OpenError {
    ring.open::<Note>(key, &host(), now()).unwrap_err()
}
