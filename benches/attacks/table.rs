//! The table, in Markdown.

use crate::{attack::Attack, client::Calls, round::Outcome};

pub(crate) const HEAD: &str = "\
| attack | pace | p50 ms: peace, attack | p99 ms: peace | p99 ms: attack | p99: attack / peace | max ms | errors | \
MB before, peak, after | sockets left | CPU: server, attackers |
|---|---|---|---|---|---|---|---|---|---|---|
";

/// One attack; medians over the rounds, with the smallest and the largest of them.
pub(crate) fn line(attack: &Attack, outcome: &Outcome) -> String {
    let rounds = &outcome.rounds;
    let of =
        |pick: &dyn Fn(&(Calls, Calls)) -> f64| -> Vec<f64> { rounds.iter().map(pick).collect() };
    let p50 = [
        of(&|(peace, _)| peace.quantile(50, 100)),
        of(&|(_, war)| war.quantile(50, 100)),
    ];
    let p99 = [
        of(&|(peace, _)| peace.quantile(99, 100)),
        of(&|(_, war)| war.quantile(99, 100)),
    ];
    let ratio = of(&|(peace, war)| war.quantile(99, 100) / peace.quantile(99, 100));
    let max = of(&|(_, war)| war.quantile(1, 1));
    let errors: [usize; 2] = [
        rounds.iter().map(|(peace, _)| peace.errors).sum(),
        rounds.iter().map(|(_, war)| war.errors).sum(),
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
