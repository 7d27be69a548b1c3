//! The lines of the access log, which are most lines of a log.
//!
//! They are formatted without `tracing`, which costs ten times as much. They pass the same filter and
//! the same limit as all other lines and look the same.

mod format;
#[cfg(test)]
mod tests;
mod timestamp;

use std::{
    cell::RefCell,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use aisbreaker_gateway::{
    AccessLine, AccessLogSink, CHARGED_TARGET, Clock as _, SystemClock, UNCHARGED_TARGET,
};
use tracing::{
    Event, Metadata,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::layer::{Context, Filter};

pub(super) use self::format::LineFormat;
use self::timestamp::Timestamp;
use super::RateLimit;

/// Writes the lines of the access log to the log.
#[derive(Debug)]
pub(super) struct AccessLines {
    pub(super) format: LineFormat,
    pub(super) decisions: Arc<Decisions>,
    pub(super) limit: RateLimit<SystemClock>,
    pub(super) writer: NonBlocking,
}

/// What the filter of the log decides on the lines of the access log.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    charged: AtomicU8,
    uncharged: AtomicU8,
}

/// A decision on all lines of one target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Decision {
    /// It is not known yet, or depends on more than the target.
    Ask = 0,
    Drop = 1,
    Write = 2,
}

/// A filter whose decisions on the lines of the access log are kept.
#[derive(Debug)]
pub(super) struct Observed<F> {
    pub(super) filter: F,
    pub(super) decisions: Arc<Decisions>,
}

/// What a thread formats lines with.
struct Scratch {
    line: Vec<u8>,
    timestamp: Timestamp,
}

impl AccessLogSink for AccessLines {
    fn write(&self, line: &AccessLine<'_>) {
        match self.decisions.on(line.is_charged) {
            // Has the filter decide, which is then known for the next line.
            Decision::Ask => line.log(),
            Decision::Drop => {}
            Decision::Write if self.limit.admits(!line.is_charged) => self.write_now(line),
            Decision::Write => {}
        }
    }
}

impl AccessLines {
    fn write_now(&self, line: &AccessLine<'_>) {
        thread_local! {
            static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
        }
        // An error means that the thread ends.
        let _written = SCRATCH.try_with(|scratch| {
            if let Ok(mut scratch) = scratch.try_borrow_mut() {
                let Scratch {
                    line: bytes,
                    timestamp,
                } = &mut *scratch;
                bytes.clear();
                let now = timestamp.text(SystemClock::new().wall());
                self.format.write(line, now, bytes);
                // Lines that do not fit into the queue are counted there.
                let _queued = self.writer.clone().write_all(bytes);
            }
        });
    }
}

impl Scratch {
    const fn new() -> Self {
        Self {
            line: Vec::new(),
            timestamp: Timestamp::new(),
        }
    }
}

impl Decisions {
    fn on(&self, is_charged: bool) -> Decision {
        let decision = if is_charged {
            &self.charged
        } else {
            &self.uncharged
        };
        match decision.load(Ordering::Relaxed) {
            1 => Decision::Drop,
            2 => Decision::Write,
            _ => Decision::Ask,
        }
    }

    /// Notes what the filter decides on the events of a call site.
    fn note(&self, target: &str, interest: &Interest) {
        let decision = if interest.is_always() {
            Decision::Write
        } else if interest.is_never() {
            Decision::Drop
        } else {
            Decision::Ask
        };
        let place = match target {
            CHARGED_TARGET => &self.charged,
            UNCHARGED_TARGET => &self.uncharged,
            _ => return,
        };
        place.store(decision as u8, Ordering::Relaxed);
    }
}

impl<S, F: Filter<S>> Filter<S> for Observed<F> {
    /// Called when the first event of a call site occurs, and again whenever the filter is replaced.
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let interest = self.filter.callsite_enabled(metadata);
        self.decisions.note(metadata.target(), &interest);
        interest
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        self.filter.enabled(metadata, context)
    }

    fn event_enabled(&self, event: &Event<'_>, context: &Context<'_, S>) -> bool {
        self.filter.event_enabled(event, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.filter.max_level_hint()
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.filter.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.filter.on_record(id, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.filter.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.filter.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.filter.on_close(id, context);
    }
}
