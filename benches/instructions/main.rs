//! Counts the instructions and allocations of a call with callgrind (valgrind), which are
//! repeatable where times are not.
//!
//! `instructions` measures every case and compares it with `benches/instructions/baselines.json`.
//! It fails when one exceeds its baseline by more than the tolerance. `instructions --write` makes
//! the measured figures the baseline. `instructions --top 20 json` lists the functions with the
//! most instructions of a case.
//!
//! A case runs for some calls and for twice as many, each in its own process; the difference is the
//! cost of the calls alone.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "a measurement that cannot go on has nothing better to do"
)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the figures are its output"
)]
#![expect(clippy::disallowed_methods, reason = "a measurement owns its clock")]

mod baselines;
mod callgrind;
mod cases;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum as _};

use self::{
    baselines::{Baselines, Figures},
    cases::Case,
};

/// Counts the instructions and allocations of calls, and compares them with the committed ones.
#[derive(Debug, Parser)]
struct Args {
    /// Cases to measure; all by default
    #[arg(value_enum)]
    cases: Vec<Case>,
    /// Make the measured figures the baseline
    #[arg(long)]
    write: bool,
    /// Also list this many functions with the most instructions; needs a build with symbols
    /// (`CARGO_PROFILE_DIST_STRIP=none`)
    #[arg(long, default_value_t = 0)]
    top: usize,
    /// The file with the baselines
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions/baselines.json"))]
    baselines: PathBuf,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Role {
    /// Run a case this often
    #[command(hide = true)]
    Run {
        #[arg(value_enum)]
        case: Case,
        calls: u32,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Role::Run { case, calls }) = args.role {
        case.run(calls);
        return ExitCode::SUCCESS;
    }
    match measure(&args) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<ExitCode, String> {
    let mut baselines = Baselines::read(&args.baselines)?;
    let cases = if args.cases.is_empty() {
        Case::value_variants().to_vec()
    } else {
        args.cases.clone()
    };
    let mut is_worse = false;
    println!(
        "{:<12} {:>12} {:>12} {:>8}   {:>8} {:>8}",
        "", "instructions", "baseline", "", "mallocs", "baseline"
    );
    for case in cases {
        let profile = callgrind::profile_one_call(case)?;
        let found = Figures {
            instructions: profile.instructions(),
            allocations: profile.allocations(),
        };
        let name = case.name();
        let verdict = baselines.judge(&name, found);
        is_worse |= verdict.is_worse;
        println!("{name:<12} {verdict}");
        for (function, instructions) in profile.top(args.top) {
            println!("    {instructions:>10}  {function}");
        }
        baselines.set(name, found);
    }
    if args.write {
        baselines.write(&args.baselines)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !baselines::apply_here() {
        println!(
            "The baselines are for x86-64 with AVX2; this machine is different, so they do not \
             apply."
        );
        return Ok(ExitCode::SUCCESS);
    }
    if is_worse {
        eprintln!(
            "A call takes more than its baseline. Find out why (--top 20). If it is worth it, \
             make it the baseline: instructions --write. The baselines were measured with: {}.",
            baselines.made_with()
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
