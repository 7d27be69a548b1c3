//! Exports traces to an OpenTelemetry collector, by OTLP over HTTP.
//!
//! The standard variables configure it, and nothing is traced until one of them names a collector.
//! Exporting never delays a request: spans wait in a queue of limited length, and those that do not
//! fit or cannot be delivered are dropped.
//!
//! - `collector` sends requests to the collector;
//! - `environment` reads the variables that the SDK does not read itself;
//! - `loss` warns of spans that were dropped;
//! - `sink` samples traces and queues their spans.

mod collector;
mod environment;
mod loss;
mod sink;

use std::{ffi::OsString, sync::Arc, time::Duration};

use aisbreaker_gateway::{SpanSink, SystemClock};
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Config, SpanProcessor as _},
};
use tokio::runtime::Handle;

use self::{
    collector::CollectorClient,
    environment::Environment,
    loss::{LossReport, QueueLength, ReportingExporter},
    sink::Sink,
};

/// How long the last spans may take to reach the collector when the server stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
const DEFAULT_SERVICE_NAME: &str = "aisbreaker-server";

/// The running export.
pub(crate) struct Traces(Arc<Sink>);

/// Starts exporting, if the environment names a collector. Requests to it run on this runtime.
///
/// A fault in these variables is logged, and leaves traces off: they are often set for all programs
/// of a machine, and must not stop this one.
pub(crate) fn start(
    runtime: &Handle,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Option<Traces> {
    let environment = Environment::read(variables)?;
    match start_with(runtime, &environment) {
        Ok(traces) => {
            tracing::info!(collector = environment.origin(), "traces are exported");
            Some(traces)
        }
        Err(problem) => {
            tracing::warn!("traces are off: {problem}");
            None
        }
    }
}

fn start_with(runtime: &Handle, environment: &Environment) -> Result<Traces, String> {
    if !environment.is_protocol_known() {
        return Err("OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf".to_owned());
    }
    let client = CollectorClient::new(runtime.clone(), environment)?;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_timeout(environment.timeout)
        .build()
        // The text of the error may repeat the URL.
        .map_err(|_error| "a variable OTEL_EXPORTER_OTLP_* cannot be used")?;
    let loss = Arc::new(LossReport::new(SystemClock::new()));
    let queue = QueueLength::new(environment.max_queue_size);
    let exporter = ReportingExporter::new(exporter, Arc::clone(&loss), queue.clone());
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(environment.max_queue_size)
        .build();
    let mut processor = BatchSpanProcessor::new(exporter, batches);
    let config = Config::default();
    processor.set_resource(&resource());
    Ok(Traces(Arc::new(Sink::new(
        config.sampler,
        processor,
        queue,
        loss,
    ))))
}

/// Describes this process, as far as the environment does not.
fn resource() -> Resource {
    let detected = Resource::builder().build();
    let named = |key| detected.get(&Key::from_static_str(key));
    let mut resource = Resource::builder();
    // The SDK's placeholder for a service without a name.
    if named("service.name").is_none_or(|name| name.as_str().starts_with("unknown_service")) {
        resource = resource.with_service_name(DEFAULT_SERVICE_NAME);
    }
    if named("service.version").is_none() {
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        resource = resource.with_attribute(version);
    }
    resource.build()
}

impl Traces {
    /// Returns where the spans of a gateway go.
    pub(crate) fn sink(&self) -> Arc<dyn SpanSink> {
        Arc::<Sink>::clone(&self.0)
    }

    /// Exports what is queued, for a bounded time. The runtime must still run.
    pub(crate) fn finish(&self) {
        self.0.flush(FLUSH_TIMEOUT);
    }
}
