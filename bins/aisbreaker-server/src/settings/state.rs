//! The settings of the file in which counters outlive the process.

use std::{path::PathBuf, time::Duration};

use super::{parse::Reader, values::Setting};

pub(super) const FILE: Setting = Setting {
    key: "state_file",
    variable: "AISBREAKER_STATE_FILE",
};
pub(super) const INTERVAL: Setting = Setting {
    key: "state_interval",
    variable: "AISBREAKER_STATE_INTERVAL",
};

/// A file, and how often it is written.
#[derive(Debug)]
pub(crate) struct StateSettings {
    pub(crate) path: PathBuf,
    pub(crate) interval: Duration,
}

impl StateSettings {
    /// What the file is called where something is wrong with it.
    pub(crate) const VARIABLE: &str = FILE.variable;
}

/// The file, if one is set; how often it is written is a fault without one.
pub(super) fn state(reader: &mut Reader) -> Option<StateSettings> {
    let has_interval = reader.values.has(INTERVAL);
    let file = reader.text(FILE, false);
    let mut interval = Duration::from_secs(60);
    reader.duration(INTERVAL, &mut interval);
    if file.is_none() && has_interval {
        reader.faults.add(
            INTERVAL.variable,
            format_args!("has no effect without {}", FILE.variable),
        );
    }
    file.map(|(_, path)| StateSettings {
        path: path.into(),
        interval,
    })
}
