//! How the CPU time of a process is split between its own code, the C library and the kernel.
//!
//! `perf` samples the process while a closed loop runs, which is a run of its own: no figure of
//! another part is measured meanwhile. Without `perf`, the system's own accounts still tell user
//! mode from the kernel.

mod fold;
mod perf;

use std::{collections::BTreeMap, fs};

use serde::{Deserialize, Serialize};

use crate::{
    measure::{ClosedRun, progress},
    target::Target,
};

/// Below this many samples, the accounts of the system are better.
const FEWEST_SAMPLES: u32 = 100;

/// What a processor was busy with.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) enum Kind {
    /// The program and the libraries that are linked into it. Without symbols, this includes an
    /// allocator that is linked into it.
    Code,
    /// The allocator, whether it is that of the C library or another one.
    Allocation,
    /// `memcpy` and `memmove`.
    Copying,
    /// The rest of the C library, with the dynamic linker and the vDSO.
    Libc,
    Kernel,
    /// Other libraries, and addresses that belong to nothing.
    Other,
    /// All but the kernel, where nothing more is known.
    User,
}

/// How the CPU time of one process was split.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Split {
    /// Microseconds of CPU time per request during the same run.
    pub(crate) cpu: f64,
    /// Zero if the shares are those that the system accounts for.
    pub(crate) samples: u32,
    /// Whether the program has symbols, which distinguish an allocator in it from its own code.
    pub(crate) has_symbols: bool,
    /// Shares of the CPU time; together 1.
    pub(crate) shares: BTreeMap<Kind, f64>,
    /// The crates that had the largest shares of the CPU time, if the program has symbols.
    pub(crate) crates: Vec<(String, f64)>,
}

impl Split {
    /// Runs the loop once and observes how the process spends its time.
    pub(crate) fn measure(target: &Target, closed: ClosedRun) -> Self {
        let pid = target.process.id();
        let recording = perf::Recording::start(pid, closed.time);
        let before = accounts(pid);
        let (sample, _) = closed.run(target, None);
        let after = accounts(pid);
        let sampled = recording
            .and_then(perf::Recording::samples)
            .map(|samples| fold::fold(&samples, &perf::program(pid)))
            .filter(Self::is_complete);
        let split = match sampled {
            Some(split) => split,
            None => Self::accounted(before, after),
        };
        progress(&format!(
            "{:.1} µs, {} samples: {:?}\n",
            sample.cpu, split.samples, split.shares
        ));
        Self {
            cpu: sample.cpu,
            ..split
        }
    }

    /// Returns whether there are samples of user mode and of the kernel. Without permission for the
    /// latter, `perf` records only the former.
    fn is_complete(&self) -> bool {
        self.samples >= FEWEST_SAMPLES && self.shares.contains_key(&Kind::Kernel)
    }

    /// Returns the shares with all of user mode as one.
    pub(crate) fn user_and_kernel(&self) -> BTreeMap<Kind, f64> {
        let kernel = self.shares.get(&Kind::Kernel).copied().unwrap_or(0.0);
        [(Kind::User, 1.0 - kernel), (Kind::Kernel, kernel)].into()
    }

    /// Returns what the system has accounted for in between.
    fn accounted(before: Accounts, after: Accounts) -> Self {
        let user = after.user.saturating_sub(before.user);
        let kernel = after.kernel.saturating_sub(before.kernel);
        let all = f64::from((user + kernel).max(1));
        let shares = [(Kind::User, user), (Kind::Kernel, kernel)];
        Self {
            shares: shares
                .map(|(kind, ticks)| (kind, f64::from(ticks) / all))
                .into(),
            ..Self::default()
        }
    }
}

/// Ticks of CPU time that a process has spent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Accounts {
    user: u32,
    kernel: u32,
}

fn accounts(pid: u32) -> Accounts {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    parse_accounts(&stat).unwrap_or_default()
}

/// Reads `/proc/PID/stat`. The name of the program, in parentheses, may have spaces and parentheses.
fn parse_accounts(stat: &str) -> Option<Accounts> {
    let (_, fields) = stat.rsplit_once(") ")?;
    // The first of them is the third of the file, the state.
    let mut fields = fields.split(' ').skip(11);
    let mut next = || fields.next()?.parse().ok();
    Some(Accounts {
        user: next()?,
        kernel: next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_behind_the_name_of_the_program() {
        let stat = "417 (a (b) c) S 1 417 417 0 -1 4194560 200 0 3 0 81 39 0 0 20 0 3 0 12 0\n";
        let expected = Accounts {
            user: 81,
            kernel: 39,
        };
        assert_eq!(parse_accounts(stat), Some(expected));
        assert_eq!(parse_accounts("417 (a) S 1"), None);
        assert_eq!(parse_accounts(""), None);
    }

    #[test]
    fn what_the_system_accounts_for_is_split_in_two() {
        let at = |user, kernel| Accounts { user, kernel };
        let split = Split::accounted(at(100, 50), at(160, 70));
        assert_eq!(split.shares[&Kind::User], 0.75);
        assert_eq!(split.shares[&Kind::Kernel], 0.25);
        assert_eq!(split.samples, 0);
        let nothing = Split::accounted(at(1, 1), at(1, 1));
        assert_eq!(nothing.shares[&Kind::Kernel], 0.0);
    }
}
