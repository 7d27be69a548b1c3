//! The command line. Its flags and the list in `--help` come from the table of settings.

use std::ffi::OsString;

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::{
    commands::{SUBCOMMANDS, Subcommand},
    settings::{Flags, Setting, table::SETTINGS},
};

const PRECEDENCE: &str = "\
Every setting has an environment variable, and most have a key in the configuration file. A flag \
beats the environment, the environment beats the file.";

/// What the command line asks for.
pub(crate) enum Args {
    /// Serve, with these flags.
    Serve(Flags),
    /// Run a subcommand with these flags and its own arguments.
    Subcommand(&'static Subcommand, Flags, ArgMatches),
}

impl Args {
    /// Parses the command line. Ends the process after `--help`, `--version` and mistakes.
    pub(crate) fn parse() -> Self {
        let matches = command().get_matches();
        let flags = flags(&matches);
        let Some((name, arguments)) = matches.subcommand() else {
            return Self::Serve(flags);
        };
        let is_it = |subcommand: &&Subcommand| (subcommand.command)().get_name() == name;
        match SUBCOMMANDS.iter().find(is_it) {
            Some(subcommand) => Self::Subcommand(subcommand, flags, arguments.clone()),
            // Not expected: the names are those of the table.
            None => Self::Serve(flags),
        }
    }
}

/// Returns the definition of the whole command line.
pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_PKG_NAME"))
        .version(env!("CARGO_PKG_VERSION"))
        .about("An AI gateway whose API keys are the database. Without a subcommand, it serves.")
        .after_help(format!("{PRECEDENCE}\n'--help' lists all settings."))
        .after_long_help(list_settings())
        .args(SETTINGS.iter().filter_map(arg))
        .subcommands(SUBCOMMANDS.iter().map(|subcommand| (subcommand.command)()))
}

/// Returns the argument of a setting that has a flag.
fn arg(setting: &Setting) -> Option<Arg> {
    let flag = setting.flag?;
    let mut help = format!("{} [env: {}]", setting.help, setting.variable);
    if let Some(default) = setting.default {
        help.push_str(&format!(" [default: {default}]"));
    }
    let arg = Arg::new(flag.name)
        .long(flag.name)
        .value_parser(value_parser!(OsString))
        .help(help)
        .global(true);
    Some(match flag.value {
        Some(placeholder) => arg.value_name(placeholder),
        None => arg
            .value_name("BOOL")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
    })
}

fn flags(matches: &ArgMatches) -> Flags {
    let mut flags = Flags::new();
    for flag in SETTINGS.iter().filter_map(|setting| setting.flag) {
        if let Some(value) = matches.get_one::<OsString>(flag.name) {
            flags.insert(flag.name, value.clone());
        }
    }
    flags
}

/// Lists all settings: the variable, and below it what it is for, its key and its default.
fn list_settings() -> String {
    let mut text = format!("{PRECEDENCE}\n\nSettings:");
    for setting in SETTINGS {
        text.push_str(&format!("\n  {}\n      {}", setting.variable, setting.help));
        if let Some(key) = setting.key {
            text.push_str(&format!(" [key: {key}]"));
        }
        if setting.is_secret {
            text.push_str(&format!(" [file: {}_FILE]", setting.variable));
        }
        if let Some(default) = setting.default {
            text.push_str(&format!(" [default: {default}]"));
        }
    }
    text
}
