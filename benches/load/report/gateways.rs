//! `docs/performance.md` and its chart, and the details of that run for `docs/benchmarks.md`.

use std::{fmt::Write as _, path::Path};

use aisbreaker_benches::plot::{self, LineColor, Panel};

use super::{LINE, filled};
use crate::gateways::{Figure, Gateway, GatewayRun};

const PAGE: &str = include_str!("../performance.md");

/// What is compared: its name, its unit, and how it follows from a round.
const COLUMNS: [(&str, Figure); 5] = [
    ("Calls per second", |round| round.per_second),
    ("CPU per call, µs", |round| round.cpu_micros),
    ("Memory, MB", |round| round.resident_megabytes),
    ("p50, ms", |round| round.calm_millis.p50),
    ("p99, ms", |round| round.calm_millis.p99),
];

/// The columns that the chart has.
const CHART: [usize; 3] = [0, 1, 2];

/// Draws the chart.
pub(super) fn chart(run: &GatewayRun, path: &Path) {
    let rows: Vec<(&str, LineColor)> = run
        .gateways
        .iter()
        .enumerate()
        .map(|(index, gateway)| (&*gateway.name, color(index, gateway)))
        .collect();
    let panels = CHART.map(|column| {
        let (title, figure) = COLUMNS[column];
        Panel {
            title,
            values: medians(run, figure),
            show: three_digits,
        }
    });
    plot::bars(path, &rows, &panels);
}

const fn color(index: usize, gateway: &Gateway) -> LineColor {
    match (index, gateway.is_gateway) {
        (0, _) => LineColor::Blue,
        (_, true) => LineColor::Orange,
        (_, false) => LineColor::Gray,
    }
}

fn medians(run: &GatewayRun, figure: Figure) -> Vec<f64> {
    let gateways = run.gateways.iter();
    gateways
        .map(|gateway| gateway.figure(figure).median)
        .collect()
}

/// Returns the page for users.
pub(super) fn page(run: &GatewayRun) -> String {
    PAGE.replace("{sentences}", &sentences(run))
        .replace("{table}", &table(run))
        .replace("{work}", &work(run))
        .replace("{conditions}", &conditions(run))
        .replace("{connections}", &run.connections.to_string())
        .replace("{rate}", &three_digits(run.calm_rate))
        .replace("{key}", &run.key_length.to_string())
}

/// Returns the three sentences with which the page begins.
fn sentences(run: &GatewayRun) -> String {
    let shown = |gateway: &Gateway, column: usize| {
        let (_, figure) = COLUMNS[column];
        three_digits(gateway.figure(figure).median)
    };
    let [ours, bare] = [&run.gateways[0], run.bare_proxy()];
    let others: Vec<String> = run.gateways[2..]
        .iter()
        .filter(|gateway| gateway.is_gateway)
        .map(|gateway| {
            format!(
                "the {} forwards {} in {} MB",
                gateway.name,
                shown(gateway, 0),
                shown(gateway, 2)
            )
        })
        .collect();
    let text = format!(
        "On {} processors that it shares with its callers and the provider, aisbreaker forwards \
         {} JSON calls per second, for {} µs of CPU time each, in {} MB of memory. \
         A bare proxy made of hyper, without keys, quotas or a log, forwards {}, \
         for {} µs each. In the same run, {}.",
        run.machine.processors,
        shown(ours, 0),
        shown(ours, 1),
        shown(ours, 2),
        shown(bare, 0),
        shown(bare, 1),
        others.join(", and ")
    );
    filled(&text, LINE)
}

/// Returns when, where and how often it was measured.
fn conditions(run: &GatewayRun) -> String {
    let text = format!(
        "The figures are medians of {} rounds. In brackets is the multiple of the bare proxy's \
         figure in the same round. {}",
        run.bare_proxy().rounds.len(),
        run.machine
    );
    filled(&text, LINE)
}

fn table(run: &GatewayRun) -> String {
    let titles = COLUMNS.map(|(title, _)| title).join(" | ");
    let mut text = format!("| | {titles} |\n|---|---|---|---|---|---|\n");
    for (index, gateway) in run.gateways.iter().enumerate() {
        let cells = COLUMNS.map(|(_, figure)| {
            let median = three_digits(gateway.figure(figure).median);
            let ratio = run.ratio(gateway, figure).median;
            format!("{median} ({})", significant(ratio, 2))
        });
        let name = if index == 0 {
            format!("**{}**", gateway.name)
        } else {
            gateway.name.clone()
        };
        let _written = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    text.trim_end().to_owned()
}

fn work(run: &GatewayRun) -> String {
    let mut text = String::from("| | Version | What it does for a call |\n|---|---|---|\n");
    for gateway in &run.gateways {
        let Gateway {
            name,
            version,
            work,
            ..
        } = gateway;
        let _written = writeln!(text, "| {name} | {version} | {work} |");
    }
    text.trim_end().to_owned()
}

/// Returns the section for contributors: a table with the least and the most of all rounds.
pub(super) fn details(run: &GatewayRun) -> String {
    const DETAILS: [(Figure, usize); 5] = [
        (|round| round.per_second, 0),
        (|round| round.busy_millis.p50, 2),
        (|round| round.busy_millis.p99, 2),
        (|round| round.calm_millis.p50, 3),
        (|round| round.calm_millis.p99, 3),
    ];
    let mut text = format!(
        "## Other gateways\n\nThe run of [Performance](performance.md), with the least and the most of \
         all rounds. Times are in\nmilliseconds. At full load, a response time is mostly the time \
         that requests wait for each other.\n\n{}\n\n| | calls per second | p50, full load | p99, full load | p50, {rate} per second | \
         p99, {rate} per second | calls / bare proxy | CPU / bare proxy |\n\
         |---|---|---|---|---|---|---|---|\n",
        filled(&run.machine.to_string(), LINE),
        rate = run.calm_rate,
    );
    for gateway in &run.gateways {
        let cells = DETAILS.map(|(figure, digits)| gateway.figure(figure).with_digits(digits));
        let calls = run.ratio(gateway, |round| round.per_second);
        let cpu = run.ratio(gateway, |round| round.cpu_micros);
        let _written = writeln!(
            text,
            "| {} | {} | {} | {} |",
            gateway.name,
            cells.join(" | "),
            calls.with_digits(3),
            cpu.with_digits(2)
        );
    }
    text + "\n"
}

fn three_digits(number: f64) -> String {
    significant(number, 3)
}

/// Writes a positive number rounded to this many significant digits, with commas between thousands.
fn significant(number: f64, digits: usize) -> String {
    let rounded = format!("{number:.*e}", digits - 1);
    let (_, exponent) = rounded.split_once('e').expect("it has an exponent");
    let exponent: isize = exponent.parse().expect("an exponent is a number");
    let decimals = digits.saturating_add_signed(-exponent).saturating_sub(1);
    let rounded: f64 = rounded.parse().expect("it is a number");
    let mut text = format!("{rounded:.decimals$}");
    let mut end = text.find('.').unwrap_or(text.len());
    while end > 3 {
        end -= 3;
        text.insert(end, ',');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_significant_digits() {
        let rows = [
            (39_922.4, 3, "39,900"),
            (1_234_567.0, 3, "1,230,000"),
            (1_051.0, 3, "1,050"),
            (999.6, 3, "1,000"),
            (316.4, 3, "316"),
            (374.47, 2, "370"),
            (31.24, 3, "31.2"),
            (14.7, 2, "15"),
            (9.96, 2, "10"),
            (1.0, 2, "1.0"),
            (0.702, 2, "0.70"),
            (0.0305, 2, "0.030"),
        ];
        for (number, digits, text) in rows {
            assert_eq!(significant(number, digits), text, "{number}");
        }
    }

    #[test]
    fn lines_are_filled_up_to_their_width() {
        assert_eq!(filled("a bc def g", 5), "a bc\ndef g");
    }
}
