//! What a gateway observes its requests with.

use std::sync::Arc;

use super::{access_line::AccessLogSink, metrics::Metrics};
use crate::clock::Clock;

/// What every request is measured, counted and logged with. All requests share one.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    /// `None`: lines are logged by `tracing`.
    pub(crate) access_log_sink: Option<Arc<dyn AccessLogSink>>,
}
