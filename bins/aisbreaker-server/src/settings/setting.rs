//! What a row of the table of settings consists of.

use super::{
    Settings,
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
    /// Description, for `--help` and the example file.
    pub(crate) help: &'static str,
    /// Value it has when it is not given; `None` if there is no single one.
    pub(crate) default: Option<&'static str>,
    /// Value in the example file, in TOML. May be empty where there is a default, which is shown then.
    pub(crate) example: &'static str,
    /// Variable of the setting without which this one has no effect.
    pub(crate) requires: Option<&'static str>,
    /// Whether an empty environment variable counts as unset. Where the server is less safe without
    /// the setting, it does not, so that an empty value is a fault.
    pub(crate) ignores_empty: bool,
    /// What happens when a running server finds another value.
    pub(crate) on_reload: OnReload,
    /// Whether the value is or may contain a secret. It is never shown then, and may be given in a
    /// file or as a credential of systemd too: see `secret_files.rs`.
    pub(crate) is_secret: bool,
    /// Parses the value and puts it in its place.
    pub(super) apply: fn(&mut Draft, &Given) -> Result<(), Problem>,
    /// Returns the value in effect where it is not simply the one that was given or else the default.
    /// `None` if there is none.
    pub(super) effective: Option<fn(&Settings) -> Option<String>>,
}

/// What happens when a server that is asked to reload its settings (SIGHUP) finds another value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OnReload {
    /// It takes effect.
    Apply,
    /// The reload is refused, since the value takes effect at the start only.
    NeedRestart,
}

/// A command line flag.
#[derive(Clone, Copy)]
pub(crate) struct Flag {
    /// Name, without the dashes.
    pub(crate) name: &'static str,
    /// Placeholder of the value, for `--help`; `None` for a switch, whose value is `true`.
    pub(crate) value: Option<&'static str>,
}

impl Setting {
    /// Returns the key, or else the variable.
    pub(crate) fn name(&self) -> &'static str {
        self.key.unwrap_or(self.variable)
    }

    /// Returns the variable of the file that this secret may be in.
    pub(super) fn file_variable(&self) -> String {
        format!("{}_FILE", self.variable)
    }
}

/// A setting without any of the optional parts, to be completed by a row.
pub(super) const PLAIN: Setting = Setting {
    key: None,
    variable: "",
    flag: None,
    help: "",
    default: None,
    example: "",
    requires: None,
    ignores_empty: true,
    on_reload: OnReload::NeedRestart,
    is_secret: false,
    apply: |_, _| Ok(()),
    effective: None,
};
