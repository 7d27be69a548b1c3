//! The token crate alone: seals a custom payload for one host and opens it again.
#![expect(clippy::print_stdout, reason = "an example prints to its terminal")]
#![expect(
    clippy::disallowed_methods,
    reason = "time is an argument of the crate; this program owns the clock"
)]

use std::time::{Duration, SystemTime};

use aisbreaker_examples::Outcome;
use aisbreaker_token::{Host, KeyRing, OpenError, ServerKey};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Seat {
    customer: String,
    seats: u32,
}

fn main() -> Outcome {
    let ring = KeyRing::new(ServerKey::generate()?);
    let host = Host::parse("api.example.com")?;
    let now = SystemTime::now();
    let seat = Seat {
        customer: "Ada".to_owned(),
        seats: 3,
    };

    let key = ring.seal(&seat, &host, now, Duration::from_secs(3_600))?;
    println!("{}", key.expose());

    let opened = ring.open::<Seat>(key.expose(), &host, now)?;
    println!("{} opens to {:?}", opened.id(), opened.payload());
    assert_eq!(*opened.payload(), seat);

    let elsewhere = ring.open::<Seat>(key.expose(), &Host::parse("evil.example")?, now);
    assert!(matches!(elsewhere, Err(OpenError::WrongHost { .. })));
    let later = ring.open::<Seat>(key.expose(), &host, now + Duration::from_secs(3_600));
    assert!(matches!(later, Err(OpenError::Expired { .. })));
    Ok(())
}
