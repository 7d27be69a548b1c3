//! The table, the plot and the document.

use std::{fmt::Write as _, fs, path::Path};

use aisbreaker_benches::plot::{self, Labels, Line, LineColor};

use crate::{
    POLICIES,
    counter::{LIMIT, Policy},
    simulation::{Outcome, Plan, run},
    traffic::Reserve,
};

const METHOD: &str = include_str!("method.md");

/// The time that the plot shows, and the time between its points, in seconds.
const PLOTTED: u32 = 3_600;
const STEP: usize = 5;

/// Runs every policy by all plans, and returns a row for each.
pub(crate) fn table(plans: &[Plan]) -> String {
    let mut text = String::from(
        "| policy | reserved | worst window | of all runs | without what exceeded reservations | mean | calls per hour |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for policy in POLICIES {
        let outcomes: Vec<(Outcome, u32)> = plans
            .iter()
            .map(|plan| (run(policy, plan), plan.hours))
            .collect();
        text += &row(policy, &outcomes);
    }
    text
}

fn row(policy: Policy, outcomes: &[(Outcome, u32)]) -> String {
    let worst: Vec<u64> = outcomes.iter().map(|(run, _)| run.worst_window()).collect();
    let within = outcomes
        .iter()
        .map(|(run, _)| run.worst_window_within_reservations());
    let hours: u32 = outcomes.iter().map(|(_, hours)| hours).sum();
    let total: u64 = outcomes.iter().map(|(run, _)| run.total()).sum();
    let calls: usize = outcomes.iter().map(|(run, _)| run.spent.len()).sum();
    let most = worst.iter().copied().max().unwrap_or(0);
    let (name, reserved) = names(policy);
    let within = match policy {
        Policy::AddAfter => "-".to_owned(),
        Policy::SettleNow(_) | Policy::SettleInSlot(_) => {
            format!("{:.2}", multiple(within.max().unwrap_or(0)))
        }
    };
    let mut text = String::new();
    let _written = writeln!(
        text,
        "| {name} | {reserved} | **{:.2}** | {:.2} to {:.2} | {within} | {:.2} | {:.0} |",
        multiple(most),
        multiple(worst.iter().copied().min().unwrap_or(0)),
        multiple(most),
        multiple(total) / f64::from(60 * hours),
        number(calls) / f64::from(hours),
    );
    text
}

const fn names(policy: Policy) -> (&'static str, &'static str) {
    let (name, reserve) = match policy {
        Policy::AddAfter => return ("add after the call", "nothing"),
        Policy::SettleNow(reserve) => ("settle when the call ends", reserve),
        Policy::SettleInSlot(reserve) => ("settle in the slot of the reservation (ours)", reserve),
    };
    match reserve {
        Reserve::Estimate => (name, "`estimate`"),
        Reserve::Strict => (name, "`strict`"),
    }
}

/// Writes the document and its plot below this directory.
pub(crate) fn write(docs: &Path, plans: &[Plan], table: &str, plotted: &Plan) {
    let directory = docs.join("budgets");
    fs::create_dir_all(&directory).expect("a directory for the document");
    draw(&directory.join("simulation.svg"), plotted);
    let (runs, hours) = (plans.len(), plotted.hours);
    let text = format!(
        "{METHOD}\n## Result\n\n{runs} runs of {hours} hours. Windows and means are multiples of the \
         limit.\n\n{table}\n![What the calls of the last minute have used](simulation.svg)\n"
    );
    fs::write(directory.join("simulation.md"), text).expect("the document is written");
}

fn draw(path: &Path, plan: &Plan) {
    let plan = Plan {
        hours: 1,
        ..plan.clone()
    };
    let strict = Reserve::Strict;
    let mut lines: Vec<Line<'_>> = [
        (Policy::AddAfter, "add after the call", LineColor::Red),
        (
            Policy::SettleNow(strict),
            "settle when the call ends, strict",
            LineColor::Orange,
        ),
        (
            Policy::SettleInSlot(Reserve::Estimate),
            "settle in the slot, estimate",
            LineColor::Green,
        ),
        (
            Policy::SettleInSlot(strict),
            "settle in the slot, strict",
            LineColor::Blue,
        ),
    ]
    .into_iter()
    .map(|(policy, name, color)| line(name, points(&run(policy, &plan)), color))
    .collect();
    let minutes = f64::from(PLOTTED / 60);
    let limit = vec![(0.0, 1.0), (minutes, 1.0)];
    lines.push(line("the limit", limit, LineColor::Gray));
    let labels = Labels {
        title: "What the calls that were admitted in the last minute use",
        x: "minutes",
        y: "multiple of the limit",
    };
    plot::linear(path, &labels, &lines, |minute| format!("{minute:.0}"));
}

fn line(name: &str, points: Vec<(f64, f64)>, color: LineColor) -> Line<'_> {
    Line {
        name,
        points,
        color,
        has_marks: false,
    }
}

fn points(outcome: &Outcome) -> Vec<(f64, f64)> {
    let point = |second: u32| {
        let spent = outcome.window_until(1_000 * u64::from(second));
        (f64::from(second) / 60.0, multiple(spent))
    };
    (0..PLOTTED).step_by(STEP).map(point).collect()
}

/// Returns an amount as a multiple of the limit.
fn multiple(amount: u64) -> f64 {
    number(amount) / number(LIMIT)
}

fn number<N: TryInto<u32>>(number: N) -> f64 {
    let number = number.try_into().ok();
    f64::from(number.expect("numbers of a simulation are small"))
}
