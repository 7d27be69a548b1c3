//! What a row of the table of settings consists of.

use super::{
    draft::Draft,
    given::{Given, Problem},
};

/// A setting: its names, its description and its effect.
pub(crate) struct Setting {
    /// Dotted key in the configuration file; `None` if the file cannot hold it.
    pub(crate) key: Option<&'static str>,
    /// Environment variable.
    pub(crate) variable: &'static str,
    /// Command line flag, if it has one.
    pub(crate) flag: Option<Flag>,
    /// Description, for `--help`.
    pub(crate) help: &'static str,
    /// Value it has when it is not given, for `--help`; `None` if there is no single one.
    pub(crate) default: Option<&'static str>,
    /// Variable of the setting without which this one has no effect.
    pub(crate) requires: Option<&'static str>,
    /// Whether an empty environment variable counts as unset. Where the server is less safe without
    /// the setting, it does not, so that an empty value is a fault.
    pub(crate) ignores_empty: bool,
    /// What happens when a running server finds another value.
    pub(crate) on_reload: OnReload,
    /// Parses the value and puts it in its place.
    pub(super) apply: fn(&mut Draft, &Given) -> Result<(), Problem>,
}

/// What happens when a server that is asked to reload its settings (SIGHUP) finds another value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OnReload {
    /// It takes effect.
    Apply,
    /// The reload is refused, since the value takes effect at the start only.
    NeedRestart,
}

/// A command line flag that takes a value.
#[derive(Clone, Copy)]
pub(crate) struct Flag {
    /// Name, without the dashes.
    pub(crate) name: &'static str,
    /// Placeholder of the value, for `--help`.
    pub(crate) value: &'static str,
}

/// A setting without any of the optional parts, to be completed by a row.
pub(super) const PLAIN: Setting = Setting {
    key: None,
    variable: "",
    flag: None,
    help: "",
    default: None,
    requires: None,
    ignores_empty: true,
    on_reload: OnReload::NeedRestart,
    apply: |_, _| Ok(()),
};
