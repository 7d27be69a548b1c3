//! Where log lines go and which are written.

mod pace;

use std::{
    io::{self, BufWriter, Write},
    num::NonZeroU64,
    str::FromStr,
    time::Duration,
};

use aisbreaker_gateway::SystemClock;
use tracing::{Level, Metadata};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

pub(crate) use self::pace::Pace;
use crate::panics;

/// How log lines are written.
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

/// How long the last lines may take.
const FLUSH_TIME: Duration = Duration::from_secs(1);
/// For how long lines are collected.
const BATCH_TIME: Duration = Duration::from_millis(5);
/// How many lines wait for a slow reader of standard error; further ones are dropped.
const WAITING_LINES: usize = 8_192;

/// Starts logging to standard error, from a thread of its own: whoever reads the log slowly, or not
/// at all, must not stop requests. Hand the guard to [`finish`] at the end, and poll [`Pace::tell`]
/// until then.
pub(crate) fn start(
    filter: EnvFilter,
    format: Format,
    per_second: NonZeroU64,
) -> (WorkerGuard, Pace<SystemClock>) {
    let writer = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES)
        .lossy(true);
    let (writer, guard) = writer.finish(Batches(BufWriter::new(io::stderr())));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_target(false);
    let layer = match format {
        Format::Text => lines
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    let pace = Pace::new(per_second, SystemClock::new());
    let layer = layer
        .with_filter(pace.clone())
        .with_filter(filter)
        .with_filter(filter_fn(is_safe));
    tracing_subscriber::registry().with(layer).init();
    panics::tell_log();
    (guard, pace)
}

/// Writes together what comes within a moment: a write, and waking the thread that does it, cost
/// more than a line.
struct Batches<W: Write>(BufWriter<W>);

impl<W: Write> Write for Batches<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    /// Asked for when no line waits any more.
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        #[expect(clippy::disallowed_methods, reason = "this thread does nothing else")]
        std::thread::sleep(BATCH_TIME);
        Ok(())
    }
}

/// Writes the lines that wait, for a bounded time: nobody may read them, and the process is to end
/// all the same.
pub(crate) fn finish(guard: WorkerGuard) {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(guard);
        tell.send(())
    });
    let _in_time = told.recv_timeout(FLUSH_TIME);
}

/// Libraries below this project know nothing of its secrets, so what they say of bytes and header
/// fields at lower levels is never logged, whatever the filter says.
fn is_safe(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("aisbreaker") || *metadata.level() <= Level::WARN
}
