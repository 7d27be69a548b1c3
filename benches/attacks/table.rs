//! The table, in Markdown.

use crate::{attack::Attack, measure::Outcome};

pub(crate) const HEAD: &str = "\
| attack | pace | p50 ms: without, with | p99 ms: without | p99 ms: with | p99: with / without | max ms | errors | \
MB before, peak, after | sockets left | CPU: server, attackers |
|---|---|---|---|---|---|---|---|---|---|---|
";

/// Returns the row of an attack: medians over the rounds, with the least and the most of them.
pub(crate) fn row(attack: &Attack, outcome: &Outcome) -> String {
    let mut p50 = [Vec::new(), Vec::new()];
    let mut p99 = [Vec::new(), Vec::new()];
    let mut ratios = Vec::new();
    let mut max = 0.0_f64;
    let mut errors = [0, 0];
    for (undisturbed, attacked) in &outcome.rounds {
        for (index, calls) in [undisturbed, attacked].into_iter().enumerate() {
            p50[index].push(calls.quantile(50, 100));
            p99[index].push(calls.quantile(99, 100));
            errors[index] += calls.errors;
        }
        ratios.push(attacked.quantile(99, 100) / undisturbed.quantile(99, 100));
        max = max.max(attacked.quantile(1, 1));
    }
    let [before, peak, after] = outcome.memory;
    let [server, attackers] = outcome.processors;
    format!(
        "| {} | {} | {:.2}, {:.2} | {} | {} | {} | {:.1} | {}, {} | {before:.0}, {peak:.0}, \
         {after:.0} | {} | \
         {server:.2}, {attackers:.2} |\n",
        attack.name,
        attack.pace,
        median(&p50[0]),
        median(&p50[1]),
        with_spread(&p99[0]),
        with_spread(&p99[1]),
        with_spread(&ratios),
        max,
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
