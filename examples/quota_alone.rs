//! The quota crate alone: two limits on one request, charged together or not at all, and windows of
//! other lengths than a minute, an hour and a day.
#![expect(clippy::print_stdout, reason = "an example prints to its terminal")]
#![expect(
    clippy::disallowed_methods,
    reason = "time is an argument of the crate; this program owns the clock"
)]

use std::time::{Duration, Instant};

use aisbreaker_examples::Outcome;
use aisbreaker_quota::{Charge, Engine, Limits, Rate, Refusal};

fn main() -> Outcome {
    per_minute(Instant::now())?;
    per_second_and_week(Instant::now())
}

/// Three per minute for each user, five per minute for all users together.
fn per_minute(start: Instant) -> Outcome {
    let engine = Engine::new(start, 10_000);
    let request = |user: &'static str| {
        [
            Charge::new(user, Limits::per_minute(3)),
            Charge::shared("everybody", Limits::per_minute(5)),
        ]
    };

    for user in ["ada", "ada", "ada", "ada", "bob", "bob", "bob"] {
        match engine.charge_one(&request(user), start) {
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
                        .charge_one(&request(user), start + retry_after)
                        .is_ok()
                );
                break;
            }
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Ok(())
}

/// Ten per second and 500 per seven days for each user.
fn per_second_and_week(start: Instant) -> Outcome {
    const SECOND: Rate = Rate::per(Duration::from_secs(1), 10);
    const WEEK: Rate = Rate::per(Duration::from_secs(7 * 86_400), 500);

    let engine = Engine::new(start, 10_000);
    let request = [Charge::new("ada", SECOND), Charge::new("ada", WEEK)];
    let mut now = start;
    let mut admitted = 0;
    loop {
        match engine.charge_one(&request, now) {
            Ok(_) => admitted += 1,
            // The second is over soon.
            Err(Refusal::Exceeded {
                charge: 0,
                retry_after,
                ..
            }) => now += retry_after,
            Err(refusal) => {
                println!(
                    "ada: {admitted} admitted in {:?}, then: {refusal}",
                    now - start
                );
                return Ok(());
            }
        }
    }
}
