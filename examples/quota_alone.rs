//! The quota crate alone: two limits on one request, charged together or not at all.
#![expect(clippy::print_stdout, reason = "an example prints to its terminal")]
#![expect(
    clippy::disallowed_methods,
    reason = "time is an argument of the crate; this program owns the clock"
)]

use std::{num::NonZeroU32, time::Instant};

use aisbreaker_examples::Outcome;
use aisbreaker_quota::{Charge, Engine, Limits, Refusal};

fn main() -> Outcome {
    let three = NonZeroU32::new(3).ok_or("3 is not 0")?;
    let five = NonZeroU32::new(5).ok_or("5 is not 0")?;
    let start = Instant::now();
    let engine = Engine::new(start, 10_000);
    // Three per minute for each user, five per minute for all users together.
    let request = |user: &'static str| {
        [
            Charge::new(user, Limits::per_minute(three)),
            Charge::shared("everybody", Limits::per_minute(five)),
        ]
    };

    for user in ["ada", "ada", "ada", "ada", "bob", "bob", "bob"] {
        match engine.charge(&request(user), NonZeroU32::MIN, start) {
            Ok(_) => println!("{user}: admitted"),
            Err(Refusal::Exceeded {
                charge,
                retry_after,
                ..
            }) => {
                println!("{user}: refused by limit {charge}, again in {retry_after:?}");
                // The wait is exact: the request is admitted at that time.
                assert!(
                    engine
                        .charge(&request(user), NonZeroU32::MIN, start + retry_after)
                        .is_ok()
                );
                break;
            }
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Ok(())
}
