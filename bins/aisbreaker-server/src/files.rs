//! How many files the process may have open: each connection is one, and each call to a provider
//! another one.

use aisbreaker_egress::Bounds;
use aisbreaker_gateway::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the process has open besides connections: the log, the runtime, name look-ups.
const OTHERS: u64 = 100;

/// Raises the limit on open files as far as the system lets this process, and warns if it stays
/// below what all connections and the calls to one provider need.
pub(crate) fn raise_limit(limits: &Limits, bounds: &Bounds) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // If it fails, the limit is what it was, which is judged below.
        let _raised_or_not = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        );
    }
    let connections = limits
        .max_connections
        .saturating_add(bounds.max_calls_per_origin);
    let needed = u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHERS);
    // No value stands for no limit.
    if let Some(files) = getrlimit(Resource::Nofile)
        .current
        .filter(|files| *files < needed)
    {
        tracing::warn!(
            files,
            needed,
            "the system lets this process open fewer files than connections and calls may need; raise its limit (ulimit -n) or \
             lower AISBREAKER_MAX_CONNECTIONS or AISBREAKER_MAX_PROVIDER_CONNECTIONS"
        );
    }
}
