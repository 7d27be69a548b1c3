//! Metrics of the process, with the names that all Prometheus clients use.
//!
//! Source: proc_pid_stat(5), and "Writing client libraries" of Prometheus.

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

/// Reads the metrics of this process from `/proc` for every scrape. What is not there is left out.
#[derive(Debug)]
pub(super) struct ProcessMetrics;

/// What `/proc/self/stat` has of the process.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stat {
    cpu_ticks: u64,
    /// Since the system started.
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is a name in parentheses, which may hold anything.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        // The first one after the name is the third.
        let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)?.saturating_add(field(15)?),
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Ok(text) = fs::read_to_string("/proc/self/stat")
            && let Some(stat) = Stat::parse(&text)
        {
            encode_stat(&mut encoder, stat)?;
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // The folder itself is one of them.
            let open = u64::try_from(files.count()).unwrap_or(u64::MAX);
            let help = "Open files and sockets of the process.";
            gauge(
                &mut encoder,
                ("process_open_fds", help),
                open.saturating_sub(1),
            )?;
        }
        let Some(most) = getrlimit(Resource::Nofile).current else {
            return Ok(());
        };
        let help = "The most files and sockets that the process may open.";
        gauge(&mut encoder, ("process_max_fds", help), most)
    }
}

fn encode_stat(encoder: &mut DescriptorEncoder<'_>, stat: Stat) -> fmt::Result {
    let (name, help) = ("process_cpu_seconds", "Processor time of the process.");
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    ConstCounter::new(seconds(stat.cpu_ticks)).encode(metric)?;
    let page = u64::try_from(page_size()).unwrap_or(u64::MAX);
    gauge(
        encoder,
        (
            "process_resident_memory_bytes",
            "Resident memory of the process.",
        ),
        stat.resident_pages.saturating_mul(page),
    )?;
    gauge(
        encoder,
        (
            "process_virtual_memory_bytes",
            "Virtual memory of the process.",
        ),
        stat.virtual_bytes,
    )?;
    let Some(boot) = boot_time() else {
        return Ok(());
    };
    let (name, help) = (
        "process_start_time_seconds",
        "When the process started, in seconds since 1970.",
    );
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(boot + seconds(stat.start_ticks)).encode(metric)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    value: u64,
) -> fmt::Result {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(metric)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 ticks are millions of years"
)]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / clock_ticks_per_second().max(1) as f64
}

/// Returns when the system started, in seconds since 1970.
fn boot_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_shifts_no_field() {
        let text = "7 (a) b (c)) S 1 7 7 0 -1 4194304 90 0 0 0 11 5 0 0 20 0 9 0 1234 5000000 321 \
                    18446744073709551615 1 1 0";
        let expected = Stat {
            cpu_ticks: 16,
            start_ticks: 1234,
            virtual_bytes: 5_000_000,
            resident_pages: 321,
        };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
    }
}
