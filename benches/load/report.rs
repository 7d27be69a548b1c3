//! The report: `docs/performance.md` and `docs/benchmarks.md`, made of text that is written by hand
//! and of what was measured.

mod gateways;
mod sections;
mod split;

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{gateways::GatewayRun, machine::Machine, measure::progress, scenarios::Results};

const METHOD: &str = include_str!("method.md");
const PROFILE: &str = include_str!("profile.md");
const GATEWAYS: &str = "gateways.json";

/// The width of a line of text.
const LINE: usize = 120;

/// Where the report is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report<'a> {
    /// The directory of what was measured: a section of text each, and the run with other gateways.
    pub(crate) measured: &'a Path,
    /// The directory of the pages.
    pub(crate) docs: &'a Path,
}

impl Report<'_> {
    /// Writes each section anew that has a part which was just measured, if there are results of
    /// all its parts.
    pub(crate) fn take_up(&self, results: Results<'_>, is_new: impl Fn(&str) -> bool) {
        for section in &sections::ALL {
            if !section.parts.iter().any(|part| is_new(part)) {
                continue;
            }
            let missing = section.parts.iter().find(|part| !results.have(part));
            if let Some(part) = missing {
                progress(&format!(
                    "section {} stays as it was, for want of part {part}\n",
                    section.name
                ));
                continue;
            }
            let mut machines: Vec<Machine> = Vec::new();
            for part in section.parts {
                let machine = results.of(part).machine;
                if !machines.contains(&machine) {
                    machines.push(machine);
                }
            }
            let machines: String = machines
                .iter()
                .map(|machine| filled(&machine.to_string(), LINE) + "\n\n")
                .collect();
            let text = machines + &(section.write)(&results, &self.plots());
            fs::write(self.section(section.name), text).expect("a section is written");
        }
    }

    /// Keeps the run with other gateways.
    pub(crate) fn keep_gateways(&self, run: &GatewayRun) {
        let text = serde_json::to_string_pretty(run).expect("it serialises");
        fs::write(self.measured.join(GATEWAYS), text + "\n").expect("the run is written");
    }

    /// Writes both pages, and the chart of the gateways. Without a run with other gateways, the page
    /// about them stays as it is.
    pub(crate) fn write(&self) {
        let details = if let Some(run) = self.gateways() {
            gateways::chart(&run, &self.plots().join("gateways.svg"));
            self.page("performance.md", &gateways::page(&run));
            gateways::details(&run)
        } else {
            progress("performance.md stays as it was: part gateways has not been measured\n");
            String::new()
        };
        let mut text = METHOD.replace("{gateways}", &details);
        for section in &sections::ALL {
            let measured = fs::read_to_string(self.section(section.name)).expect("it is committed");
            text = text.replace(&format!("{{{}}}", section.name), measured.trim());
        }
        self.page("benchmarks.md", &format!("{text}\n{PROFILE}"));
    }

    /// Returns the run with other gateways, if there was one.
    fn gateways(&self) -> Option<GatewayRun> {
        let text = fs::read_to_string(self.measured.join(GATEWAYS)).ok()?;
        Some(serde_json::from_str(&text).expect("it is as it was written"))
    }

    fn page(&self, name: &str, text: &str) {
        fs::write(self.docs.join(name), text).expect("a page is written");
    }

    fn section(&self, name: &str) -> PathBuf {
        self.measured.join(format!("{name}.md"))
    }

    fn plots(&self) -> PathBuf {
        let plots = self.docs.join("performance");
        fs::create_dir_all(&plots).expect("a directory for plots");
        plots
    }
}

/// Breaks text into lines of at most this many characters.
fn filled(text: &str, width: usize) -> String {
    let (mut filled, mut used) = (String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            filled.push('\n');
            used = 0;
        } else if used > 0 {
            filled.push(' ');
            used += 1;
        }
        filled.push_str(word);
        used += length;
    }
    filled
}
