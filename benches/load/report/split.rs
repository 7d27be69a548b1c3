//! The section about how the CPU time of a JSON call is split.

use std::fmt::Write as _;

use super::{LINE, filled};
use crate::split::{Kind, Split};

/// The rows, in their order.
const KINDS: [(Kind, &str); 7] = [
    (Kind::User, "user mode"),
    (Kind::Code, "its own code and its crates"),
    (Kind::Allocation, "allocating and freeing memory"),
    (Kind::Copying, "copying (`memcpy`, `memmove`)"),
    (Kind::Libc, "the rest of the C library, and the vDSO"),
    (Kind::Other, "other libraries"),
    (Kind::Kernel, "the kernel"),
];

/// Returns a table of the shares of both, and how they were found.
pub(super) fn section(split: Option<&[Split; 2]>) -> String {
    let Some([ours, bare_proxy]) = split else {
        return String::new();
    };
    let mut text = filled(&conditions(ours, bare_proxy), LINE)
        + "\n\n| where | aisbreaker, µs | share | bare proxy, µs | share | ratio |\n\
           |---|---|---|---|---|---|\n";
    let is_sampled = ours.samples > 0 && bare_proxy.samples > 0;
    let shares = [ours, bare_proxy].map(|split| {
        if is_sampled {
            split.shares.clone()
        } else {
            split.user_and_kernel()
        }
    });
    for (kind, name) in KINDS {
        let [of_ours, of_proxy] = shares.each_ref().map(|shares| shares.get(&kind).copied());
        if of_ours.is_none() && of_proxy.is_none() {
            continue;
        }
        let both = [of_ours.unwrap_or(0.0), of_proxy.unwrap_or(0.0)];
        text += &row(name, [ours.cpu, bare_proxy.cpu], both);
    }
    text += &row("all", [ours.cpu, bare_proxy.cpu], [1.0, 1.0]);
    if is_sampled && !ours.crates.is_empty() {
        let crates: Vec<String> = ours
            .crates
            .iter()
            .map(|(name, share)| format!("`{name}` {:.1} %", share * 100.0))
            .collect();
        let sentence = format!(
            "The server's own code, by crate, as shares of all its CPU time: {}.",
            crates.join(", ")
        );
        let _written = writeln!(text, "\n{}", filled(&sentence, LINE));
    }
    text
}

fn row(name: &str, cpu: [f64; 2], shares: [f64; 2]) -> String {
    let micros = [cpu[0] * shares[0], cpu[1] * shares[1]];
    let ratio = if micros[1] > 0.0 {
        format!("{:.2}", micros[0] / micros[1])
    } else {
        String::new()
    };
    format!(
        "| {name} | {:.1} | {:.0} % | {:.1} | {:.0} % | {ratio} |\n",
        micros[0],
        shares[0] * 100.0,
        micros[1],
        shares[1] * 100.0,
    )
}

/// Returns how the shares were found.
fn conditions(ours: &Split, bare_proxy: &Split) -> String {
    let what =
        "CPU time per request of a JSON call, closed loop of 64 connections, in a run of its own.";
    if ours.samples == 0 || bare_proxy.samples == 0 {
        return format!(
            "{what} Without samples (`perf` is missing or may not see the kernel), there is only \
             what the system accounts for: user mode and the kernel."
        );
    }
    let fewest = f64::from(ours.samples.min(bare_proxy.samples));
    // Twice the standard deviation of a share of one half, in percent.
    let accuracy = (100.0 / fewest.sqrt()).ceil();
    let symbols = if ours.has_symbols {
        ""
    } else {
        " The server has no symbols, so an allocator that is linked into it, as jemalloc is, counts \
         as its own code."
    };
    format!(
        "{what} Sampled by the clock: {} samples of aisbreaker, {} of the bare proxy, so a share is \
         accurate to ±{accuracy} %.{symbols}",
        ours.samples, bare_proxy.samples
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(cpu: f64, samples: u32, shares: &[(Kind, f64)]) -> Split {
        Split {
            cpu,
            samples,
            shares: shares.iter().copied().collect(),
            ..Split::default()
        }
    }

    #[test]
    fn only_kinds_that_were_found_have_a_row() {
        let ours = split(40.0, 2_500, &[(Kind::Code, 0.6), (Kind::Kernel, 0.4)]);
        let bare_proxy = split(20.0, 10_000, &[(Kind::Code, 0.25), (Kind::Kernel, 0.75)]);
        let text = section(Some(&[ours, bare_proxy]));
        assert!(text.contains("accurate to ±2 %"), "{text}");
        assert!(text.contains("jemalloc"), "{text}");
        let (_, table) = text
            .split_once("|---|---|---|---|---|---|\n")
            .expect("a table");
        assert_eq!(
            table,
            "| its own code and its crates | 24.0 | 60 % | 5.0 | 25 % | 4.80 |\n\
             | the kernel | 16.0 | 40 % | 15.0 | 75 % | 1.07 |\n\
             | all | 40.0 | 100 % | 20.0 | 100 % | 2.00 |\n"
        );
    }

    #[test]
    fn crates_are_named_where_there_are_symbols() {
        let with_symbols = |crates: &[(&str, f64)]| Split {
            has_symbols: true,
            crates: crates
                .iter()
                .map(|(name, share)| ((*name).to_owned(), *share))
                .collect(),
            ..split(40.0, 400, &[(Kind::Code, 1.0)])
        };
        let splits = [
            with_symbols(&[("hyper", 0.25), ("core", 0.125)]),
            with_symbols(&[]),
        ];
        let text = section(Some(&splits));
        assert!(
            text.contains("CPU time: `hyper` 25.0 %, `core` 12.5 %.\n"),
            "{text}"
        );
        assert!(!text.contains("jemalloc"), "{text}");
    }

    #[test]
    fn accounts_of_the_system_are_said_to_be_all() {
        let accounted = split(40.0, 0, &[(Kind::User, 0.5), (Kind::Kernel, 0.5)]);
        let shares = [(Kind::Code, 0.25), (Kind::Libc, 0.25), (Kind::Kernel, 0.5)];
        let text = section(Some(&[accounted, split(40.0, 400, &shares)]));
        assert!(
            text.replace('\n', " ").contains("there is only what"),
            "{text}"
        );
        assert!(
            text.contains("| user mode | 20.0 | 50 % | 20.0 | 50 % | 1.00 |\n"),
            "{text}"
        );
        assert!(!text.contains("own code"), "{text}");
        assert_eq!(section(None), "");
    }
}
