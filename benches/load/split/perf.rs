//! `perf`, which samples a process from outside.

use std::{
    fs,
    io::Read as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Samples per second of CPU time.
const FREQUENCY: &str = "2000";

/// A recording that runs.
#[derive(Debug)]
pub(super) struct Recording {
    child: Child,
    file: PathBuf,
}

impl Recording {
    /// Samples a process from now on, for this long. Returns nothing if `perf` is not installed.
    pub(super) fn start(pid: u32, time: Duration) -> Option<Self> {
        let file = std::env::temp_dir().join(format!("aisbreaker-load-{pid}.perf"));
        // A clock of the kernel: virtual machines often count no cycles.
        let mut child = Command::new("perf")
            .args(["record", "-q", "-e", "cpu-clock", "-F", FREQUENCY])
            // No copies of the sampled files in the home directory.
            .args(["--no-buildid", "--no-buildid-cache"])
            .args(["-p", &pid.to_string(), "-o"])
            .arg(&file)
            // It runs this once it samples, and ends with it.
            .args(["--", "sh", "-c"])
            .arg(format!("echo started; exec sleep {}", time.as_secs_f64()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut started = [0; 1];
        // It ends at once if it may not sample.
        let _ended = child.stdout.as_mut()?.read(&mut started);
        Some(Self { child, file })
    }

    /// Waits for its end. Returns a line for each sample, with its address, symbol and file, or
    /// nothing if `perf` may not record.
    pub(super) fn samples(mut self) -> Option<String> {
        let is_recorded = self.child.wait().is_ok_and(|status| status.success());
        let output = Command::new("perf")
            .args(["script", "-F", "ip,sym,dso", "--no-inline", "-i"])
            .arg(&self.file)
            // Symbols that are not on this machine are not worth a download.
            .env_remove("DEBUGINFOD_URLS")
            .stderr(Stdio::null())
            .output();
        let _not_written = fs::remove_file(&self.file);
        let output = output.ok()?;
        let has_samples = is_recorded && output.status.success();
        has_samples.then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Returns the file of the program that runs in a process.
pub(super) fn program(pid: u32) -> String {
    let link = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    link.to_string_lossy().into_owned()
}
