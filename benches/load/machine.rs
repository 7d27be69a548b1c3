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
    /// The name of the processor, which virtual machines often cut short.
    pub(crate) processor: String,
    /// What it is beyond its name. Results of older versions lack it.
    #[serde(default)]
    pub(crate) model: Model,
    pub(crate) system: String,
    pub(crate) compiler: String,
    /// The load average of the last minute before the measurement.
    pub(crate) load_average: f64,
}

/// The numbers that distinguish a processor from others of the same name; zeros and an empty
/// text where the system does not report them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Model {
    pub(crate) vendor: String,
    pub(crate) family: u32,
    pub(crate) number: u32,
    pub(crate) stepping: u32,
}

/// Who made a processor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Vendor {
    Amd,
    Intel,
    Other,
}

impl Model {
    /// Reads the first processor of `/proc/cpuinfo`.
    fn parse(cpu_info: &str) -> Self {
        let number = |name| field(cpu_info, name).parse().unwrap_or(0);
        Self {
            vendor: field(cpu_info, "vendor_id").to_owned(),
            family: number("cpu family"),
            number: number("model"),
            stepping: number("stepping"),
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            vendor,
            family,
            number,
            stepping,
        } = self;
        write!(
            f,
            "{vendor} family {family}, model {number}, stepping {stepping}"
        )
    }
}

impl Machine {
    /// Returns the state of this machine, which should be quiet now.
    pub(crate) fn observe() -> Self {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let kernel = output("uname", &["-r"]);
        let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            day: output("date", &["--utc", "+%Y-%m-%d"]),
            commit: output(
                "git",
                &["describe", "--always", "--exclude=*", "--dirty=+changes"],
            ),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            processor: field(&cpu_info, "model name").to_owned(),
            model: Model::parse(&cpu_info),
            system: format!("Linux {}", kernel.split('-').next().unwrap_or_default()),
            compiler: output("rustc", &["--version"]),
            load_average: load
                .split(' ')
                .next()
                .and_then(|average| average.parse().ok())
                .unwrap_or(f64::NAN),
        }
    }

    /// Returns who made the processor. Results of older versions have only its name.
    pub(crate) fn vendor(&self) -> Vendor {
        let is = |id: &str, name: &str| self.model.vendor == id || self.processor.starts_with(name);
        if is("AuthenticAMD", "AMD") {
            Vendor::Amd
        } else if is("GenuineIntel", "Intel") {
            Vendor::Intel
        } else {
            Vendor::Other
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
            model,
            system,
            compiler,
            load_average,
        } = self;
        write!(
            f,
            "Measured on {day} with the server of commit {commit}: {processors} processors \
             ({processor}"
        )?;
        if !model.vendor.is_empty() {
            write!(f, ": {model}")?;
        }
        write!(
            f,
            "), {system}, {compiler}, load average {load_average:.1} before the run."
        )?;
        if self.was_quiet() {
            return Ok(());
        }
        f.write_str(" The machine had other work at the time, so only the ratios mean something.")
    }
}

/// Returns the value of the first line of `/proc/cpuinfo` with exactly this name.
fn field<'a>(cpu_info: &'a str, name: &str) -> &'a str {
    let mut fields = cpu_info.lines().filter_map(|line| line.split_once(':'));
    let found = fields.find(|(found, _)| found.trim() == name);
    found.map_or("", |(_, value)| value.trim())
}

/// Returns what a program prints, or nothing if it is not there.
fn output(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU_INFO: &str = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\n\
        model\t\t: 17\nmodel name\t: AMD EPYC\nstepping\t: 1\n\nprocessor\t: 1\nmodel\t\t: 18\n";

    #[test]
    fn a_processor_has_a_name_and_numbers() {
        let model = Model::parse(CPU_INFO);
        assert_eq!(field(CPU_INFO, "model name"), "AMD EPYC");
        let text = "AuthenticAMD family 25, model 17, stepping 1";
        assert_eq!(model.to_string(), text);
        assert_eq!(Model::parse(""), Model::default());
    }

    #[test]
    fn a_vendor_is_known_by_its_id_or_by_the_name_of_the_processor() {
        let machine = |vendor: &str, processor: &str| Machine {
            processor: processor.to_owned(),
            model: Model {
                vendor: vendor.to_owned(),
                ..Model::default()
            },
            ..Machine::default()
        };
        let rows = [
            ("AuthenticAMD", "", Vendor::Amd),
            ("", "AMD EPYC", Vendor::Amd),
            ("GenuineIntel", "Genuine", Vendor::Intel),
            ("", "Intel(R) Xeon(R) Processor", Vendor::Intel),
            ("", "", Vendor::Other),
            ("HygonGenuine", "Hygon", Vendor::Other),
        ];
        for (vendor, processor, expected) in rows {
            let found = machine(vendor, processor).vendor();
            assert_eq!(found, expected, "{vendor} {processor}");
        }
    }
}
