//! The log: where its lines go, in which format, and which are written.

mod access_lines;
mod rate_limit;

use std::{
    io::{self, BufWriter, Write},
    num::NonZeroU32,
    str::FromStr,
    sync::{Arc, mpsc},
    time::Duration,
};

use aisbreaker_gateway::{AccessLogSink, SystemClock};
use tracing::{Level, Metadata};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, filter::filter_fn, layer::SubscriberExt as _, reload,
    util::SubscriberInitExt as _,
};

use self::access_lines::{AccessLines, Decisions, LineFormat, Observed};
pub(crate) use self::rate_limit::RateLimit;
use crate::panics;

/// How long flushing the last lines may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// For how long lines are collected into one write.
const BATCH_TIME: Duration = Duration::from_millis(5);
/// How many lines wait for a slow reader of standard error; further ones are dropped.
const MAX_QUEUED_LINES: usize = 8_192;

/// Which lines are written, and how.
#[derive(Debug)]
pub(crate) struct LogOptions {
    pub(crate) filter: EnvFilter,
    pub(crate) format: Format,
    pub(crate) max_per_second: NonZeroU32,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            filter: EnvFilter::new("info"),
            format: Format::Text,
            // More than the default quotas admit, and some 20 GB a day under a flood.
            max_per_second: NonZeroU32::new(1_000).unwrap_or(NonZeroU32::MAX),
        }
    }
}

/// The format of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    Text,
    Json,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be text or json"),
        }
    }
}

/// Parses a filter in the syntax of [`EnvFilter`].
pub(crate) fn parse_filter(text: &str) -> Result<EnvFilter, &'static str> {
    EnvFilter::try_new(text).map_err(|_syntax| "is not a log filter such as info or debug")
}

/// The log filter in use.
#[derive(Debug)]
pub(crate) struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    /// Replaces the filter for all lines from now on.
    pub(crate) fn replace(&self, filter: EnvFilter) {
        // An error means that the log has ended.
        let _replaced_or_ended = self.0.reload(filter);
    }
}

/// A log that was started.
pub(crate) struct Log {
    /// Pass it to [`finish`] at the end.
    pub(crate) guard: WorkerGuard,
    /// Poll [`RateLimit::report`] until then.
    pub(crate) limit: RateLimit<SystemClock>,
    pub(crate) filter: LogFilter,
    /// The short way of the access log into this log.
    pub(crate) access_lines: Arc<dyn AccessLogSink>,
}

/// Starts logging to standard error from a separate thread, so that a slow reader of the log, or
/// none at all, does not stop requests.
pub(crate) fn start(options: LogOptions) -> Log {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(MAX_QUEUED_LINES)
        .lossy(true)
        .finish(BatchWriter(BufWriter::new(io::stderr())));
    let unread = writer.error_counter();
    let format = match options.format {
        Format::Text if io::IsTerminal::is_terminal(&io::stderr()) => LineFormat::ColouredText,
        Format::Text => LineFormat::Text,
        Format::Json => LineFormat::Json,
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer.clone())
        .with_target(false);
    let formatted = match format {
        LineFormat::Text => lines.with_ansi(false).boxed(),
        LineFormat::ColouredText => lines.with_ansi(true).boxed(),
        LineFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let limit = RateLimit::new(options.max_per_second, SystemClock::new(), Some(unread));
    let (filter, handle) = reload::Layer::new(options.filter);
    let decisions = Arc::<Decisions>::default();
    let filter = Observed {
        filter,
        decisions: Arc::clone(&decisions),
    };
    let filtered = formatted
        .with_filter(limit.clone())
        .with_filter(filter)
        .with_filter(filter_fn(is_safe));
    tracing_subscriber::registry().with(filtered).init();
    panics::report_to_log();
    Log {
        guard,
        limit: limit.clone(),
        filter: LogFilter(handle),
        access_lines: Arc::new(AccessLines {
            format,
            decisions,
            limit,
            writer,
        }),
    }
}

/// Writes the queued lines, for a bounded time: if nobody reads them, the process ends all the
/// same.
pub(crate) fn finish(guard: WorkerGuard) {
    let (flushed, is_flushed) = mpsc::channel();
    std::thread::spawn(move || {
        drop(guard);
        flushed.send(())
    });
    let _flushed_in_time = is_flushed.recv_timeout(FLUSH_TIMEOUT);
}

/// Returns whether a line is free of secrets. Dependencies do not know which bytes and header
/// fields are secret, so what they log below `WARN` is never written, whatever the filter says.
fn is_safe(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("aisbreaker") || *metadata.level() <= Level::WARN
}

/// Writes the lines of a few milliseconds together: a write, and waking the thread that does it,
/// cost more than a line.
struct BatchWriter<W: Write>(BufWriter<W>);

impl<W: Write> Write for BatchWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    /// Called when the queue is empty.
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        #[expect(clippy::disallowed_methods, reason = "this thread does nothing else")]
        std::thread::sleep(BATCH_TIME);
        Ok(())
    }
}
