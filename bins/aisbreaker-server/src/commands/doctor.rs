//! `doctor`: looks for what would keep the server from working here: settings, files, the port, names,
//! providers, the clock and the quota store.

mod finding;
mod machine;
mod network;

use std::io::{self, Write as _};

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use self::finding::{Finding, Status};
use super::{Outcome, target::runtime};
use crate::{
    settings::{self, Flags},
    terminal::printable,
};

pub(crate) fn command() -> Command {
    Command::new("doctor")
        .about("Checks settings, files, the port, names, providers, the clock and Redis")
        .long_about(
            "Checks settings, files, the port, names, providers, the clock and Redis, and ends with \
             status 1 if something fails. It changes nothing here, and may run beside the server; in \
             Redis, it loads the same functions as the server. Each provider of the configuration \
             file is called once, without a secret.",
        )
        .arg(
            Arg::new("provider")
                .long("provider")
                .value_name("ID")
                .action(ArgAction::Append)
                .help("Calls this provider of the built-in table too, such as openai.com; may be repeated"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Prints the findings as a JSON array"),
        )
}

pub(crate) fn run(flags: Flags, arguments: &ArgMatches) -> Outcome {
    let findings = findings(flags, arguments)?;
    print(&findings, arguments.get_flag("json"))?;
    let is_failure = |finding: &&Finding| finding.status == Status::Fail;
    match findings.iter().filter(is_failure).count() {
        0 => Ok(()),
        1 => Err("1 check failed".into()),
        failures => Err(format!("{failures} checks failed").into()),
    }
}

fn findings(flags: Flags, arguments: &ArgMatches) -> io::Result<Vec<Finding>> {
    let settings = match settings::load(flags, std::env::vars_os()) {
        Ok(settings) => settings,
        // The other checks would be about settings that are not those of the operator.
        Err(faults) => return Ok(faults.iter().map(finding::of_fault).collect()),
    };
    let mut findings = machine::check_settings(&settings);
    findings.extend(machine::check_files(&settings));
    let providers = arguments.get_many::<String>("provider");
    let providers: Vec<&str> = providers
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    findings.extend(runtime()?.block_on(network::check(settings, &providers)));
    Ok(findings)
}

fn print(findings: &[Finding], as_json: bool) -> io::Result<()> {
    let mut to = io::stdout().lock();
    if as_json {
        let array = Value::Array(findings.iter().map(Finding::to_json).collect());
        return writeln!(to, "{array:#}");
    }
    for finding in findings {
        writeln!(to, "{}", printable(&finding.to_string()))?;
    }
    to.flush()
}
