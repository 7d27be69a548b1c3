//! The limit on open files: every client connection and every call to a provider is one.

use aisbreaker_egress::Bounds;
use aisbreaker_gateway::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files other than connections: the log, the runtime, name resolution.
const OTHER_FILES: u64 = 100;

/// Raises the limit as far as the system allows, and warns if it stays below what all connections
/// and the calls to one provider need.
pub(crate) fn raise_limit(limits: &Limits, bounds: &Bounds) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        // If it fails, the limit is what it was, and is judged below.
        let _raised_or_not = setrlimit(Resource::Nofile, raised);
    }
    let connections = limits
        .max_connections
        .saturating_add(bounds.max_calls_per_origin);
    let needed = u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHER_FILES);
    // `None` is no limit.
    let Some(files) = getrlimit(Resource::Nofile).current else {
        return;
    };
    if files < needed {
        tracing::warn!(
            files,
            needed,
            "this process may open fewer files than its connections and calls may need; raise the \
             limit (ulimit -n) or lower AISBREAKER_MAX_CONNECTIONS or \
             AISBREAKER_MAX_PROVIDER_CONNECTIONS"
        );
    }
}
