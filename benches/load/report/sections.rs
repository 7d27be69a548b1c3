//! The sections of `docs/benchmarks.md` that have what was measured: tables and plots.

use std::{fmt::Write as _, path::Path};

use aisbreaker_benches::plot::{self, Labels, Line, LineColor};

use super::split;
use crate::{
    goals,
    measure::{Comparison, Figure, Spread},
    scenarios::Results,
};

/// A section of the report: its name, the parts that it is made of, and how it is written.
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) parts: &'static [&'static str],
    pub(super) write: fn(&Results<'_>, &Path) -> String,
}

/// The sections, in the order of the report.
pub(super) const ALL: [Section; 5] = [
    Section {
        name: "design",
        parts: &[
            "idle",
            "json",
            "streams",
            "first-byte",
            "steady",
            "busy",
            "dummy",
            "process",
            "open-streams",
            "clients",
            "figures",
        ],
        write: |results, _| goals::table(results),
    },
    Section {
        name: "split",
        parts: &["split"],
        write: |results, _| split::section(results.of("split").split.as_ref()),
    },
    Section {
        name: "response-times",
        parts: &["steady", "busy"],
        write: response_times,
    },
    Section {
        name: "scale",
        parts: &["connections", "open-streams"],
        write: scale,
    },
    Section {
        name: "memory",
        parts: &["clients", "soak"],
        write: memory,
    },
];

fn points(comparison: &Comparison, name: &'static str) -> [Line<'static>; 2] {
    // A quantile q is drawn at 1 / (1 - q), so that each further nine takes the same space.
    let drawn = |points: &[(f64, f64)]| {
        points
            .iter()
            .map(|(quantile, millis)| (1.0 / (1.0 - quantile), *millis))
            .collect()
    };
    let ours = Line {
        name,
        points: drawn(&comparison.ours),
        color: LineColor::Blue,
        has_marks: true,
    };
    [
        ours,
        Line {
            name: "bare proxy",
            points: drawn(&comparison.other),
            color: LineColor::Orange,
            has_marks: true,
        },
    ]
}

fn percentile(x: &f64) -> String {
    let percent = 100.0 - 100.0 / x;
    format!("{} %", (percent * 1e4).round() / 1e4)
}

/// Returns the section about response times at a fixed rate.
fn response_times(results: &Results<'_>, plots: &Path) -> String {
    let mut text = String::from(
        "Open loop: requests are due at a fixed rate. Milliseconds from when each was due until its \
         response was complete: the\nmedian of the rounds, and the least and the most of them.\n\n\
         | load | server | p50 | p90 | p99 | p99.9 | sent late, p50 |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let mut images = String::new();
    let figures: [Figure; 5] = [
        |s| s.answer.p50,
        |s| s.answer.p90,
        |s| s.answer.p99,
        |s| s.answer.p999,
        |s| s.lateness.p50,
    ];
    for (part, title) in [
        ("steady", "Answer times at 1000 requests per second"),
        (
            "busy",
            "Answer times at 70 % of what the slower one does at most",
        ),
    ] {
        for comparison in results.of(part).comparisons {
            for (server, pick) in [
                ("aisbreaker", Comparison::ours as fn(&_, _) -> _),
                ("bare proxy", Comparison::other),
            ] {
                let cells = figures
                    .map(|figure| pick(&comparison, figure).with_digits(3))
                    .join(" | ");
                let _written = writeln!(text, "| {} | {server} | {cells} |", comparison.name);
            }
            let path = plots.join(format!("latency-{part}.svg"));
            let labels = Labels {
                title,
                x: "part of all answers",
                y: "milliseconds",
            };
            plot::logarithmic(
                &path,
                &labels,
                &points(&comparison, "aisbreaker"),
                percentile,
            );
            let _written = write!(images, "\n![{title}](performance/latency-{part}.svg)\n");
        }
    }
    text + &images
}

/// Returns the section about throughput and cost by number of connections and streams.
fn scale(results: &Results<'_>, plots: &Path) -> String {
    let connections = results.of("connections").comparisons;
    let mut text = String::from(
        "Closed loop, JSON, by number of open connections, of which at most 1000 \
         have a call in flight:\n\n\
         | connections | per second | of bare proxy | µs CPU per request | bare proxy | ratio | \
         p99, ms | bare proxy, ms |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for comparison in &connections {
        let rate: Figure = |s| s.per_second;
        text += &scale_row(comparison, rate, |s| s.answer.p99);
    }
    let cost = |pick: fn(&Comparison, Figure) -> Spread| {
        let point = |comparison: &Comparison| {
            Some((
                comparison.name.parse().ok()?,
                pick(comparison, |sample| sample.cpu).median,
            ))
        };
        connections
            .iter()
            .filter_map(point)
            .collect::<Vec<(f64, f64)>>()
    };
    let lines = [
        Line {
            name: "aisbreaker",
            points: cost(Comparison::ours),
            color: LineColor::Blue,
            has_marks: true,
        },
        Line {
            name: "bare proxy",
            points: cost(Comparison::other),
            color: LineColor::Orange,
            has_marks: true,
        },
    ];
    let labels = Labels {
        title: "CPU per request",
        x: "open connections",
        y: "microseconds of CPU per request",
    };
    plot::logarithmic(&plots.join("cpu.svg"), &labels, &lines, |x| {
        format!("{x:.0}")
    });
    text += "\n![CPU per request](performance/cpu.svg)\n";
    let streams = results.of("open-streams");
    if streams.comparisons.is_empty() {
        return text;
    }
    text += "\nConcurrent streams, up to 5000 chunks per second in all; times are from the provider's \
             write of a chunk to the\nclient's read:\n\n\
             | streams | chunks per second | of bare proxy | µs CPU per chunk | bare proxy | \
             ratio | p99, ms | bare proxy, ms |\n\
             |---|---|---|---|---|---|---|---|\n";
    for comparison in &streams.comparisons {
        text += &scale_row(comparison, |s| s.per_second, |s| s.chunk.p99);
    }
    if let Some((ours, floor)) = streams.bytes_per_stream {
        let _written = writeln!(
            text,
            "\nMemory per open stream, of 5000: {:.1} kB, bare proxy {:.1} kB.",
            ours / 1e3,
            floor / 1e3
        );
    }
    text
}

fn scale_row(comparison: &Comparison, rate: Figure, time: Figure) -> String {
    format!(
        "| {} | {:.0} | {:.2} | {:.1} | {:.1} | {} | {:.2} | {:.2} |\n",
        comparison.name,
        comparison.ours(rate).median,
        comparison.ratio(rate).median,
        comparison.ours(|s| s.cpu).median,
        comparison.other(|s| s.cpu).median,
        comparison.ratio(|s| s.cpu).with_digits(2),
        comparison.ours(time).median,
        comparison.other(time).median,
    )
}

/// Returns the section about memory by number of clients and calls.
fn memory(results: &Results<'_>, plots: &Path) -> String {
    let mut text = String::new();
    let millions = |x: &f64| format!("{:.1} M", x / 1e6);
    for (part, title, what) in [
        (
            "clients",
            "Resident memory against known clients",
            "clients",
        ),
        (
            "soak",
            "Resident memory while JSON calls go through",
            "calls",
        ),
    ] {
        let memory = results.of(part).memory;
        let (Some(first), Some(last)) = (memory.first(), memory.last()) else {
            continue;
        };
        let path = plots.join(format!("{part}.svg"));
        let lines = [Line {
            name: "aisbreaker",
            points: memory.clone(),
            color: LineColor::Blue,
            has_marks: true,
        }];
        plot::linear(
            &path,
            &Labels {
                title,
                x: what,
                y: "megabytes",
            },
            &lines,
            millions,
        );
        let tenth = memory.get(memory.len() / 10).unwrap_or(first);
        let _written = writeln!(
            text,
            "\n{title}: {:.1} MB at the start, {:.1} MB after {:.0} {what}, {:.1} MB after \
             {:.0}.\n\n![{title}](performance/{part}.svg)",
            first.1, tenth.1, tenth.0, last.1, last.0
        );
    }
    text
}
