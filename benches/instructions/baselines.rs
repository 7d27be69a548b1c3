//! The committed figures of each case, and by how much they may be exceeded.

use std::{collections::BTreeMap, fmt, fs, path::Path, process::Command};

use serde::{Deserialize, Serialize};

/// The fraction by which a call may exceed the instructions of its baseline: hash tables and
/// allocators vary between runs.
const TOLERANCE: f64 = 0.03;
/// By how many allocations a call may exceed its baseline: less than one per call.
const ALLOCATION_TOLERANCE: f64 = 0.5;

/// The cost of one call.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Figures {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
}

/// The committed figures.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Baselines {
    made_with: String,
    cases: BTreeMap<String, Figures>,
}

/// Figures compared with their baseline.
#[derive(Debug)]
pub(crate) struct Verdict {
    found: Figures,
    baseline: Option<Figures>,
    pub(crate) is_worse: bool,
}

impl Baselines {
    /// Reads a file. Returns no baselines if there is no file.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text =
            fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    pub(crate) fn write(&mut self, path: &Path) -> Result<(), String> {
        self.made_with = tools();
        let text = serde_json::to_string_pretty(self).expect("figures serialise");
        fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
    }

    pub(crate) fn made_with(&self) -> &str {
        &self.made_with
    }

    /// Compares figures with the baseline. A case without one counts as worse.
    pub(crate) fn judge(&self, case: &str, found: Figures) -> Verdict {
        let baseline = self.cases.get(case).copied();
        let is_worse = baseline.is_none_or(|baseline| {
            found.instructions > baseline.instructions * (1.0 + TOLERANCE)
                || found.allocations > baseline.allocations + ALLOCATION_TOLERANCE
        });
        Verdict {
            found,
            baseline,
            is_worse,
        }
    }

    pub(crate) fn set(&mut self, case: String, found: Figures) {
        let rounded = Figures {
            instructions: found.instructions.round(),
            allocations: (found.allocations * 100.0).round() / 100.0,
        };
        self.cases.insert(case, rounded);
    }
}

impl Verdict {
    /// Returns whether the figures are so much better that the baseline should follow.
    fn is_better(&self) -> bool {
        self.baseline.is_some_and(|baseline| {
            self.found.instructions < baseline.instructions * (1.0 - TOLERANCE)
                || self.found.allocations < baseline.allocations - ALLOCATION_TOLERANCE
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures {
            instructions,
            allocations,
        } = self.found;
        let word = match (self.is_worse, self.is_better()) {
            (true, _) => "WORSE",
            (false, true) => "better: make it the baseline (--write)",
            (false, false) => "as it was",
        };
        match self.baseline {
            None => write!(
                f,
                "{instructions:>12.0} {:>12} {:>8}   {allocations:>8.2} {:>8}   {word}",
                "-", "-", "-"
            ),
            Some(baseline) => {
                let percent = 100.0 * (instructions / baseline.instructions - 1.0);
                write!(
                    f,
                    "{instructions:>12.0} {:>12.0} {percent:>+7.2}%   {allocations:>8.2} \
                     {:>8.2}   {word}",
                    baseline.instructions, baseline.allocations
                )
            }
        }
    }
}

/// Returns whether the baselines apply to this machine: valgrind passes on which instructions the
/// processor has, and encryption uses the widest ones.
pub(crate) fn apply_here() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Returns the versions of the tools that the figures depend on.
fn tools() -> String {
    let version = |program: &str| {
        let Ok(output) = Command::new(program).arg("--version").output() else {
            return format!("no {program}");
        };
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().next().unwrap_or_default().to_owned()
    };
    [version("rustc"), version("valgrind"), version("ldd")].join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_tolerance_is_worse() {
        let mut baselines = Baselines::default();
        baselines.set(
            "call".to_owned(),
            Figures {
                instructions: 1000.0,
                allocations: 10.0,
            },
        );
        let rows = [
            (1000.0, 10.0, "as it was"),
            (1029.0, 10.4, "as it was"),
            (1031.0, 10.0, "WORSE"),
            (1000.0, 11.0, "WORSE"),
            (900.0, 11.0, "WORSE"),
            (969.0, 10.0, "better: make it the baseline (--write)"),
            (1000.0, 9.0, "better: make it the baseline (--write)"),
        ];
        for (instructions, allocations, word) in rows {
            let verdict = baselines.judge(
                "call",
                Figures {
                    instructions,
                    allocations,
                },
            );
            assert!(
                verdict.to_string().ends_with(&format!("   {word}")),
                "{instructions} {allocations}: {verdict}"
            );
            assert_eq!(
                verdict.is_worse,
                word == "WORSE",
                "{instructions} {allocations}"
            );
        }
        assert!(
            baselines
                .judge(
                    "another",
                    Figures {
                        instructions: 1.0,
                        allocations: 0.0
                    }
                )
                .is_worse
        );
    }
}
