//! What the operator sees: the access log, the metrics and the traces.

pub(crate) mod access_line;
pub(crate) mod access_log;
mod call_times;
pub(crate) mod key_expiry;
pub(crate) mod metrics;
pub(crate) mod observer;
pub(crate) mod request_id;
pub(crate) mod span;
pub(crate) mod trace;
