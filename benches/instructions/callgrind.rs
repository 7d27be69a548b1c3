//! Runs a case under callgrind and reads its counts.

use std::{
    collections::HashMap,
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::cases::Case;

/// A call of any of these is one allocation.
const ALLOCATORS: [&str; 5] = [
    "malloc",
    "calloc",
    "realloc",
    "posix_memalign",
    "aligned_alloc",
];

/// The counts of one call, by function.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    /// Instructions of each function itself, without its callees.
    functions: HashMap<String, f64>,
    allocations: f64,
}

/// Measures one call of a case.
pub(crate) fn profile_one_call(case: Case) -> Result<Profile, String> {
    let folder = env::temp_dir().join(format!(
        "instructions-{}-{}",
        std::process::id(),
        case.name()
    ));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let profile = difference(case, &folder);
    let _removed_or_not = fs::remove_dir_all(&folder);
    profile
}

/// Runs a number of calls and twice as many, both at once. Returns the difference per call.
fn difference(case: Case, folder: &Path) -> Result<Profile, String> {
    let calls = case.calls();
    let started = [calls, 2 * calls].map(|calls| {
        let path = folder.join(calls.to_string());
        (start(case, calls, &path), path)
    });
    let mut counted = Vec::new();
    for (child, path) in started {
        let output = child?
            .wait_with_output()
            .map_err(|error| format!("valgrind: {error}"))?;
        if !output.status.success() {
            return Err(format!(
                "{} failed:\n{}",
                case.name(),
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        counted.push(read(&text));
    }
    let [few, many] = <[Profile; 2]>::try_from(counted).expect("two were started");
    Ok(few.per_call(&many, f64::from(calls)))
}

fn start(case: Case, calls: u32, path: &Path) -> Result<Child, String> {
    let this = env::current_exe()
        .map_err(|error| format!("cannot find the path of this program: {error}"))?;
    Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--compress-strings=no",
            "--compress-pos=no",
        ])
        .arg(format!("--callgrind-out-file={}", path.display()))
        .arg(this)
        .args(["run", &case.name(), &calls.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            format!("valgrind cannot be started ({error}); on Debian: apt-get install valgrind")
        })
}

/// Parses callgrind's output ("Callgrind Format Specification" in valgrind's manual). The costs in
/// the lines after `fn=` are the function's own, except the line after `calls=`, which is the cost
/// of the callee in `cfn=`.
fn read(text: &str) -> Profile {
    let mut profile = Profile::default();
    let (mut function, mut callee, mut is_call) = ("", "", false);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = name;
        } else if let Some(name) = line.strip_prefix("cfn=") {
            callee = name;
        } else if let Some(counts) = line.strip_prefix("calls=") {
            is_call = true;
            if ALLOCATORS.contains(&callee) {
                profile.allocations += number(counts.split(' ').next());
            }
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            if !is_call {
                *profile.functions.entry(function.to_owned()).or_default() +=
                    number(line.split(' ').nth(1));
            }
            is_call = false;
        }
    }
    profile
}

fn number(text: Option<&str>) -> f64 {
    text.and_then(|text| text.parse().ok())
        .expect("a file as callgrind writes it")
}

impl Profile {
    /// Returns the counts per call, where `more` has this many calls more than `self`.
    fn per_call(&self, more: &Self, calls: f64) -> Self {
        let mut functions = HashMap::new();
        for (name, many) in &more.functions {
            let few = self.functions.get(name).unwrap_or(&0.0);
            functions.insert(name.clone(), (many - few) / calls);
        }
        Self {
            functions,
            allocations: (more.allocations - self.allocations) / calls,
        }
    }

    pub(crate) fn instructions(&self) -> f64 {
        self.functions.values().sum()
    }

    pub(crate) fn allocations(&self) -> f64 {
        self.allocations
    }

    /// Returns the functions with the most instructions of their own, and their instructions.
    pub(crate) fn top(&self, count: usize) -> Vec<(&str, f64)> {
        let mut all: Vec<_> = self
            .functions
            .iter()
            .map(|(name, own)| (name.as_str(), own.round()))
            .collect();
        all.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        all.truncate(count);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_calls_at_the_caller_and_costs_at_the_callee() {
        let text = "version: 1\nevents: Ir\n\nfn=main\n10 5\ncfn=malloc\ncalls=3 20\n10 300\n\
            11 2\n\nfn=malloc\n20 300\n\n\
            totals: 307\n";

        let profile = read(text);

        assert_eq!(profile.top(9), [("malloc", 300.0), ("main", 7.0)]);
        assert_eq!(
            (profile.instructions(), profile.allocations()),
            (307.0, 3.0)
        );
    }
}
