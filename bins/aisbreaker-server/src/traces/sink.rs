//! Samples traces, and queues their spans for the collector.

use std::{sync::Arc, time::Duration};

use aisbreaker_gateway::{Span, SpanKind, SpanSink, SpanValue, SystemClock};
use aisbreaker_services::TraceContext;
use opentelemetry::{
    Context, InstrumentationScope, KeyValue, Value,
    trace::{
        self, SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    },
};
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SamplingDecision, ShouldSample, SpanData, SpanEvents, SpanLinks,
    SpanProcessor as _,
};

use super::loss::{LossReport, QueueLength};

/// Where the gateway's spans go.
#[derive(Debug)]
pub(super) struct Sink {
    sampler: Box<dyn ShouldSample>,
    processor: BatchSpanProcessor,
    queue: QueueLength,
    loss: Arc<LossReport<SystemClock>>,
    scope: InstrumentationScope,
}

impl Sink {
    pub(super) fn new(
        sampler: Box<dyn ShouldSample>,
        processor: BatchSpanProcessor,
        queue: QueueLength,
        loss: Arc<LossReport<SystemClock>>,
    ) -> Self {
        Self {
            sampler,
            processor,
            queue,
            loss,
            scope: InstrumentationScope::builder("aisbreaker-gateway")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        }
    }

    /// Exports what is queued, for this long at most, and nothing after it.
    pub(super) fn flush(&self, timeout: Duration) {
        if let Err(error) = self.processor.shutdown_with_timeout(timeout) {
            self.loss.add(self.queue.len(), &error);
        }
    }

    fn span_data(&self, span: Span) -> SpanData {
        let trace_state = match &span.trace_state {
            Some(state) => state.to_str().unwrap_or_default().parse().ok(),
            None => None,
        };
        let trace_state: TraceState = trace_state.unwrap_or_default();
        let is_server = span.kind == SpanKind::Server;
        let attributes = span.attributes.into_iter();
        SpanData {
            span_context: span_context(&span.context, false, trace_state),
            parent_span_id: match span.parent_span_id {
                Some(id) => SpanId::from_bytes(id),
                None => SpanId::INVALID,
            },
            parent_span_is_remote: is_server && span.parent_span_id.is_some(),
            span_kind: match span.kind {
                SpanKind::Server => trace::SpanKind::Server,
                SpanKind::Client => trace::SpanKind::Client,
            },
            name: span.name.into(),
            start_time: span.started,
            end_time: span.ended,
            attributes: attributes
                .map(|(name, value)| KeyValue::new(name, otel_value(value)))
                .collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: if span.is_error {
                // The attribute `error.type` says why.
                Status::error("")
            } else {
                Status::Unset
            },
            instrumentation_scope: self.scope.clone(),
        }
    }
}

impl SpanSink for Sink {
    fn is_sampled(&self, trace_id: [u8; 16], parent: Option<TraceContext>, name: &str) -> bool {
        let context = match &parent {
            Some(parent) => {
                let parent = span_context(parent, true, TraceState::default());
                Context::new().with_remote_span_context(parent)
            }
            None => Context::new(),
        };
        let trace_id = TraceId::from_bytes(trace_id);
        let kind = trace::SpanKind::Server;
        let sampled = self
            .sampler
            .should_sample(Some(&context), trace_id, name, &kind, &[], &[]);
        sampled.decision == SamplingDecision::RecordAndSample
    }

    fn export(&self, span: Span) {
        if self.queue.add() {
            self.processor.on_end(self.span_data(span));
        } else {
            self.loss
                .add(1, &"more spans wait than OTEL_BSP_MAX_QUEUE_SIZE");
        }
    }
}

fn span_context(context: &TraceContext, is_remote: bool, state: TraceState) -> SpanContext {
    let flags = if context.is_sampled() {
        TraceFlags::SAMPLED
    } else {
        TraceFlags::NOT_SAMPLED
    };
    SpanContext::new(
        TraceId::from_bytes(context.trace_id()),
        SpanId::from_bytes(context.span_id()),
        flags,
        is_remote,
        state,
    )
}

fn otel_value(value: SpanValue) -> Value {
    match value {
        SpanValue::Text(text) => Value::String(text.into()),
        SpanValue::Integer(number) => Value::I64(number),
    }
}
