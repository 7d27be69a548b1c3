//! When and where something was measured.

use std::{fmt, fs, process::Command};

use serde::{Deserialize, Serialize};

/// The load average above which figures say that the machine had other work.
const QUIET_LOAD: f64 = 0.5;

/// The machine, the commit and the day of a measurement.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Machine {
    /// The day, as in 2026-11-30.
    pub(crate) day: String,
    /// The commit of this repository, with a plus sign if there were changes.
    pub(crate) commit: String,
    pub(crate) processors: usize,
    pub(crate) processor: String,
    pub(crate) system: String,
    pub(crate) compiler: String,
    /// The load average of the last minute before the measurement.
    pub(crate) load_average: f64,
}

impl Machine {
    /// Returns the state of this machine, which should be quiet now.
    pub(crate) fn observe() -> Self {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let kernel = output("uname", &["-r"]);
        Self {
            day: output("date", &["--utc", "+%Y-%m-%d"]),
            commit: output(
                "git",
                &["describe", "--always", "--exclude=*", "--dirty=+changes"],
            ),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            processor: field("/proc/cpuinfo", "model name"),
            system: format!("Linux {}", kernel.split('-').next().unwrap_or_default()),
            compiler: output("rustc", &["--version"]),
            load_average: load
                .split(' ')
                .next()
                .and_then(|average| average.parse().ok())
                .unwrap_or(f64::NAN),
        }
    }

    /// Returns whether nothing else was running.
    pub(crate) fn was_quiet(&self) -> bool {
        self.load_average <= QUIET_LOAD
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            day,
            commit,
            processors,
            processor,
            system,
            compiler,
            load_average,
        } = self;
        write!(
            f,
            "Measured on {day} with the server of commit {commit}: {processors} processors \
             ({processor}), {system}, {compiler}, load average {load_average:.1} before the run."
        )?;
        if self.was_quiet() {
            return Ok(());
        }
        f.write_str(" The machine had other work at the time, so only the ratios mean something.")
    }
}

/// Returns the value of the first line of a file that begins with this name.
fn field(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.unwrap_or_default();
    value.trim_matches([' ', '\t', ':']).to_owned()
}

/// Returns what a program prints, or nothing if it is not there.
fn output(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(_) => String::new(),
    }
}
