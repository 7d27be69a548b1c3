//! The goals of the design, compared with what was measured.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::{
    goal::Goal,
    machine::Vendor,
    measure::{Comparison, Spread},
    scenarios::{FIGURES, Results},
};

/// A row of the table: its name, its goal, and how it follows from a comparison.
struct Row {
    name: &'static str,
    /// The name of a part, and the index of a comparison in it.
    source: (&'static str, usize),
    goal: Goal,
    figure: fn(&Comparison) -> Spread,
    /// Shows the two figures that were compared.
    both: fn(&Comparison) -> String,
}

const ROWS: [Row; 14] = [
    Row {
        name: "JSON call, CPU per request / bare proxy",
        source: ("json", 0),
        goal: Goal::at_most_by_vendor(1.35, 1.6),
        figure: |c| c.ratio(|s| s.cpu),
        both: micros,
    },
    Row {
        name: "JSON call, requests per second / bare proxy, all on one machine",
        source: ("json", 0),
        goal: Goal::at_least_by_vendor(0.8, 0.7),
        figure: |c| c.ratio(|s| s.per_second),
        both: |c| {
            let [ours, other] = [c.ours(|s| s.per_second), c.other(|s| s.per_second)];
            format!("{:.0} / {:.0} per second", ours.median, other.median)
        },
    },
    Row {
        name: "stream of 100 chunks in a burst, a write for each: CPU per stream / bare proxy",
        source: ("streams", 0),
        goal: Goal::at_most(0.6),
        figure: |c| c.ratio(|s| s.cpu),
        both: micros,
    },
    Row {
        name: "the same in one write",
        source: ("streams", 1),
        goal: Goal::at_most(0.6),
        figure: |c| c.ratio(|s| s.cpu),
        both: micros,
    },
    Row {
        name: "stream of 100 chunks 10 ms apart, 64 at once: CPU per chunk / bare proxy",
        source: ("streams", 2),
        goal: Goal::at_most(1.1),
        figure: |c| c.ratio(|s| s.cpu),
        both: micros,
    },
    Row {
        name: "first streamed byte, p50: ms over bare proxy",
        source: ("first-byte", 0),
        goal: Goal::at_most(0.5),
        figure: |c| c.difference(|s| s.first_byte.p50),
        both: |c| millis(c.ours(|s| s.first_byte.p50), c.other(|s| s.first_byte.p50)),
    },
    Row {
        name: "1000 calls per second, open loop: p50 / bare proxy",
        source: ("steady", 0),
        goal: Goal::at_most_by_vendor(1.1, 1.2),
        figure: |c| c.ratio(|s| s.answer.p50),
        both: |c| millis(c.ours(|s| s.answer.p50), c.other(|s| s.answer.p50)),
    },
    Row {
        name: "70 % load, open loop: p99 / bare proxy at the same rate",
        source: ("busy", 0),
        goal: Goal::None,
        figure: |c| c.ratio(|s| s.answer.p99),
        both: |c| millis(c.ours(|s| s.answer.p99), c.other(|s| s.answer.p99)),
    },
    Row {
        name: "`chat:dummy` through `process`, with its log: CPU per request / hyper server with \
               a constant",
        source: ("dummy", 0),
        goal: Goal::at_most_by_vendor(1.8, 2.4),
        figure: |c| c.ratio(|s| s.cpu),
        both: micros,
    },
    Row {
        name: "JSON call through `process` to `chat:openai.com`, translated both ways: CPU per \
               request / bare proxy with the provider's request",
        source: ("process", 0),
        goal: Goal::at_most(2.5),
        figure: |c| c.ratio(|s| s.cpu),
        both: micros,
    },
    Row {
        name: "resident memory after the start, before the first request, MB",
        source: ("idle", 0),
        goal: Goal::at_most(8.0),
        figure: |c| c.ours(|s| s.resident),
        both: megabytes,
    },
    Row {
        name: "resident memory at the JSON load, MB",
        source: ("json", 0),
        goal: Goal::at_most(15.0),
        figure: |c| c.ours(|s| s.resident),
        both: megabytes,
    },
    Row {
        name: "CPU of the load generator per JSON request, µs",
        source: ("json", 0),
        goal: Goal::None,
        figure: |c| c.ours(|s| s.load_cpu),
        both: |_| String::new(),
    },
    Row {
        name: "CPU of the provider per JSON request, µs",
        source: ("json", 0),
        goal: Goal::None,
        figure: |c| c.ours(|s| s.provider_cpu),
        both: |_| String::new(),
    },
];

fn micros(comparison: &Comparison) -> String {
    let [ours, other] = [comparison.ours(|s| s.cpu), comparison.other(|s| s.cpu)];
    format!("{:.1} / {:.1} µs", ours.median, other.median)
}

fn megabytes(comparison: &Comparison) -> String {
    let [ours, other] = [
        comparison.ours(|s| s.resident),
        comparison.other(|s| s.resident),
    ];
    format!("{:.1} / {:.1} MB", ours.median, other.median)
}

fn millis(ours: Spread, other: Spread) -> String {
    format!("{:.3} / {:.3} ms", ours.median, other.median)
}

/// A row measured by the program `figures`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Measured {
    row: String,
    unit: String,
    ours: Option<f64>,
    anchor: Option<f64>,
    ratio: Option<f64>,
    goal: Option<f64>,
    is_least: bool,
    met: Option<bool>,
    spread: Option<(f64, f64)>,
}

/// Returns the table of all rows.
pub(crate) fn table(results: &Results<'_>) -> String {
    let mut text = String::from(
        "The median of all rounds, and in brackets the least \
         and the most of them.\n\n\
         | what | measured | goal | met | ours / other |\n|---|---|---|---|---|\n",
    );
    for row in &ROWS {
        let result = results.of(row.source.0);
        let vendor = result.machine.vendor();
        let Some(comparison) = result.comparisons.into_iter().nth(row.source.1) else {
            continue;
        };
        let figure = (row.figure)(&comparison);
        let (goal, met) = judge(row.goal, figure.median, vendor);
        let (measured, both) = (figure.with_digits(3), (row.both)(&comparison));
        let _written = writeln!(
            text,
            "| {} | {measured} | {goal} | {met} | {both} |",
            row.name
        );
    }
    text += &memory_rows(results);
    for row in results.of(FIGURES).figures {
        text += &measured(&row);
    }
    text
}

/// Returns the rows about the memory of streams and of clients.
fn memory_rows(results: &Results<'_>) -> String {
    let mut text = String::new();
    if let Some((ours, bare_proxy)) = results.of("open-streams").bytes_per_stream {
        let (goal, met) = judge(Goal::at_most(55.0), ours / 1e3, Vendor::Other);
        let _written = writeln!(
            text,
            "| resident memory per open stream, of 5000, kB | {ours:.1} | {goal} | {met} | \
             {ours:.1} / {bare_proxy:.1} kB |",
            ours = ours / 1e3,
            bare_proxy = bare_proxy / 1e3,
        );
    }
    if let Some((clients, megabytes)) = results.of("clients").memory.last() {
        let (goal, met) = judge(Goal::at_most(250.0), *megabytes, Vendor::Other);
        let _written = writeln!(
            text,
            "| resident memory, {clients} known clients, MB | {megabytes:.1} | {goal} | {met} | |"
        );
    }
    text
}

/// Returns the cells that show a goal, and whether a figure meets it.
fn judge(goal: Goal, figure: f64, vendor: Vendor) -> (String, &'static str) {
    let met = goal.is_met(figure, vendor).map_or("", yes_or_no);
    (goal.text(vendor), met)
}

fn measured(row: &Measured) -> String {
    let Some(ratio) = row.ratio else {
        return String::new();
    };
    let spread = show(row.spread, |(least, most)| {
        format!(" ({least:.3}–{most:.3})")
    });
    let sign = if row.is_least { '≥' } else { '≤' };
    let goal = show(row.goal, |goal| format!("{sign} {goal}"));
    let met = row.met.map_or("", yes_or_no);
    let one_digit = |figure: f64| format!("{figure:.1}");
    let both = match row.anchor {
        Some(anchor) => {
            let ours = show(row.ours, one_digit);
            format!("{ours} / {anchor:.1} {}", row.unit)
        }
        None => row.unit.clone(),
    };
    format!(
        "| {} | {ratio:.3}{spread} | {goal} | {met} | {both} |\n",
        row.row
    )
}

fn show<T>(value: Option<T>, format: impl Fn(T) -> String) -> String {
    match value {
        Some(value) => format(value),
        None => String::new(),
    }
}

fn yes_or_no(is_met: bool) -> &'static str {
    if is_met { "yes" } else { "**no**" }
}
