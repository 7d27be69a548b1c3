//! The report: the method and the profile, which are written by hand, and the tables and plots of
//! what was measured.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use aisbreaker_benches::plot::{self, Labels, Line, LineColor};

use crate::{
    goals,
    measure::{Comparison, Figure, Spread},
    scenarios::{PartResult, result_file},
};

const METHOD: &str = include_str!("method.md");
const PROFILE: &str = include_str!("profile.md");

/// Writes the report from all results in this directory.
pub(crate) fn write(results: &Path, docs: &Path) {
    let plots = docs.join("performance");
    fs::create_dir_all(&plots).expect("a directory for plots");
    let results_of = |part: &str| {
        let text = fs::read_to_string(result_file(results, part)).unwrap_or_default();
        serde_json::from_str::<PartResult>(&text).unwrap_or_default()
    };
    let mut text = format!("{METHOD}\n{}", machine());
    text += &goals::table(&results_of, results);
    text += &distributions(&results_of, &plots);
    text += &scale(&results_of, &plots);
    text += &memory(&results_of, &plots);
    text += &peers(&results_of("peers"));
    text.push('\n');
    text += PROFILE;
    fs::write(docs.join("performance.md"), text).expect("the report is written");
}

/// Describes the machine.
fn machine() -> String {
    let first_line = |path: &str, begin: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(begin));
        line.unwrap_or_default()
            .trim_matches([' ', '\t', ':'])
            .to_owned()
    };
    let output = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
            .unwrap_or_default()
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "## Machine\n\n{processors} processors ({}), Linux {}, {}; server of commit {}, written \
         {}.\n",
        first_line("/proc/cpuinfo", "model name"),
        output("uname", &["-r"]),
        output("rustc", &["--version"]),
        output("git", &["rev-parse", "--short", "HEAD"]),
        output("date", &["--utc", "+%Y-%m-%d"]),
    )
}

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
fn distributions(results_of: &impl Fn(&str) -> PartResult, plots: &Path) -> String {
    let mut text = String::from(
        "\n## Response times\n\nOpen loop: requests are due at a fixed rate. Milliseconds from \
         when each was due until its response was complete: the median of the rounds, and the \
         least and the most of them.\n\n\
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
        for comparison in results_of(part).comparisons {
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
fn scale(results_of: &impl Fn(&str) -> PartResult, plots: &Path) -> String {
    let connections = results_of("connections").comparisons;
    let mut text = String::from(
        "\n## Scale\n\nClosed loop, JSON, by number of open connections, of which at most 1000 \
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
    let streams = results_of("open-streams");
    if streams.comparisons.is_empty() {
        return text;
    }
    text += "\nConcurrent streams, up to 5000 chunks per second in all; \
             times are from the provider's write of a chunk to the client's read:\n\n\
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
fn memory(results_of: &impl Fn(&str) -> PartResult, plots: &Path) -> String {
    let mut text = String::from("\n## Memory\n");
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
        let memory = results_of(part).memory;
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

/// Returns the section about other gateways.
fn peers(result: &PartResult) -> String {
    if result.comparisons.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n## Other gateways\n\nThe same provider, the same JSON request of 1 kB and 64 \
         connections, measured alternately with the same bare proxy, and set up as in \
         `benches/load/peers`. That folder says what each of them does: unlike aisbreaker, none \
         of them checks keys or quotas here, except for LiteLLM's master key.\n\n\
         | gateway | requests per second | of bare proxy | µs CPU per request | of bare proxy | \
         p50, ms | resident MB |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for comparison in &result.comparisons {
        let _written = writeln!(
            text,
            "| {} | {:.0} | {:.3} | {:.1} | {} | {:.2} | {:.0} |",
            comparison.name,
            comparison.ours(|s| s.per_second).median,
            comparison.ratio(|s| s.per_second).median,
            comparison.ours(|s| s.cpu).median,
            comparison.ratio(|s| s.cpu).with_digits(2),
            comparison.ours(|s| s.answer.p50).median,
            comparison.ours(|s| s.resident).median,
        );
    }
    text
}
