//! The table, in Markdown.

use crate::{attack::Attack, client::Calls, measure::Outcome};

pub(crate) const HEAD: &str = "\
| attack | pace | p50 ms: without, with | p99 ms: without | p99 ms: with | p99: with / without | max ms | errors | \
MB before, peak, after | sockets left | CPU: server, attackers |
|---|---|---|---|---|---|---|---|---|---|---|
";

/// Returns the row of an attack: medians over the rounds, with the least and the most of them.
pub(crate) fn row(attack: &Attack, outcome: &Outcome) -> String {
    let rounds = &outcome.rounds;
    let column =
        |pick: fn(&(Calls, Calls)) -> f64| -> Vec<f64> { rounds.iter().map(pick).collect() };
    let p50 = [
        column(|(undisturbed, _)| undisturbed.quantile(50, 100)),
        column(|(_, attacked)| attacked.quantile(50, 100)),
    ];
    let p99 = [
        column(|(undisturbed, _)| undisturbed.quantile(99, 100)),
        column(|(_, attacked)| attacked.quantile(99, 100)),
    ];
    let ratio = column(|(undisturbed, attacked)| {
        attacked.quantile(99, 100) / undisturbed.quantile(99, 100)
    });
    let max = column(|(_, attacked)| attacked.quantile(1, 1));
    let errors: [usize; 2] = [
        rounds
            .iter()
            .map(|(undisturbed, _)| undisturbed.errors)
            .sum(),
        rounds.iter().map(|(_, attacked)| attacked.errors).sum(),
    ];
    let [before, peak, after] = outcome.memory;
    let [server, attackers] = outcome.processors;
    format!(
        "| {} | {} | {:.2}, {:.2} | {} | {} | {} | {:.1} | {}, {} | {before:.0}, {peak:.0}, {after:.0} | {} | \
         {server:.2}, {attackers:.2} |\n",
        attack.name,
        attack.pace,
        median(&p50[0]),
        median(&p50[1]),
        with_spread(&p99[0]),
        with_spread(&p99[1]),
        with_spread(&ratio),
        max.iter().copied().fold(0.0, f64::max),
        errors[0],
        errors[1],
        outcome.sockets_left,
    )
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn with_spread(figures: &[f64]) -> String {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(0.0, f64::max);
    format!("{:.2} ({least:.2} to {most:.2})", median(figures))
}
