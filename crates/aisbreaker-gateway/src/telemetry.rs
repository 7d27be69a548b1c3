//! What the operator sees: the access log and the metrics.

pub(crate) mod access_log;
mod call_times;
pub(crate) mod key_expiry;
pub(crate) mod metrics;
pub(crate) mod providers;
pub(crate) mod request_id;
