//! Simulates how far budgets are overspent by what becomes of a call's cost: added after the call,
//! settled when it ends, or settled in the slot of its reservation, which is what `Ledger` does.
//!
//! Prints a table. With `--docs` it also writes `budgets/simulation.md` and its plot there. The time
//! is simulated and the traffic is seeded, so that every run has the same result.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "a simulation that cannot go on has nothing better to do"
)]
#![expect(clippy::print_stdout, reason = "the table is for a terminal")]

mod counter;
mod report;
mod simulation;
mod traffic;

use std::path::PathBuf;

use clap::Parser;

use crate::{counter::Policy, simulation::Plan, traffic::Reserve};

/// The policies side by side, in the order of the table.
const POLICIES: [Policy; 5] = [
    Policy::AddAfter,
    Policy::SettleNow(Reserve::Estimate),
    Policy::SettleNow(Reserve::Strict),
    Policy::SettleInSlot(Reserve::Estimate),
    Policy::SettleInSlot(Reserve::Strict),
];

/// Simulates how far budgets are overspent.
#[derive(Debug, Parser)]
struct Args {
    /// Simulated hours of every run
    #[arg(long, default_value_t = 4)]
    hours: u32,
    /// Runs of every policy, each with a seed of its own
    #[arg(long, default_value_t = 10)]
    seeds: u64,
    /// The directory of the documents, to write the report as well
    #[arg(long)]
    docs: Option<PathBuf>,
}

fn main() {
    let args = Args::parse();
    let plans: Vec<Plan> = (1..=args.seeds)
        .map(|seed| Plan {
            hours: args.hours,
            seed,
        })
        .collect();
    let table = report::table(&plans);
    print!("{table}");
    if let (Some(docs), Some(first)) = (args.docs, plans.first()) {
        report::write(&docs, &plans, &table, first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        counter::LIMIT,
        simulation::{Outcome, run},
    };

    /// Runs of an hour with several seeds.
    fn outcomes(policy: Policy) -> impl Iterator<Item = (u64, Outcome)> {
        let outcome = move |seed| (seed, run(policy, &Plan { hours: 1, seed }));
        (1..=5).map(outcome)
    }

    #[test]
    fn strict_reservations_settled_in_their_slot_never_overspend() {
        for (seed, outcome) in outcomes(Policy::SettleInSlot(Reserve::Strict)) {
            let worst = outcome.worst_window();
            assert!(worst <= LIMIT, "seed {seed}: {worst}");
            // It is used, too.
            assert!(worst > LIMIT / 2, "seed {seed}: {worst}");
            assert!(
                outcome.spent.iter().all(|spent| spent.beyond == 0),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn estimates_settled_in_their_slot_overspend_by_what_exceeds_them() {
        for (seed, outcome) in outcomes(Policy::SettleInSlot(Reserve::Estimate)) {
            let worst = outcome.worst_window_within_reservations();
            assert!(worst <= LIMIT, "seed {seed}: {worst}");
        }
    }

    #[test]
    fn adding_after_the_call_overspends_more_than_twice() {
        for (seed, outcome) in outcomes(Policy::AddAfter) {
            let worst = outcome.worst_window();
            assert!(worst > 2 * LIMIT, "seed {seed}: {worst}");
        }
    }

    #[test]
    fn settling_at_the_end_of_the_call_overspends() {
        for (seed, outcome) in outcomes(Policy::SettleNow(Reserve::Strict)) {
            let worst = outcome.worst_window_within_reservations();
            assert!(worst > LIMIT + LIMIT / 5, "seed {seed}: {worst}");
        }
    }

    #[test]
    fn the_same_seed_has_the_same_outcome() {
        for policy in POLICIES {
            let outcome = |seed| run(policy, &Plan { hours: 1, seed }).spent;
            assert_eq!(outcome(7), outcome(7), "{policy:?}");
            assert_ne!(outcome(7), outcome(8), "{policy:?}");
        }
    }
}
