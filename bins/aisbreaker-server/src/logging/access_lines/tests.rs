use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    sync::Mutex,
};

use aisbreaker_gateway::token::KeyId;
use proptest::{option, prelude::*};
use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    fmt::{MakeWriter, format::Writer, layer, time::FormatTime},
    layer::SubscriberExt as _,
    reload,
};

use super::*;
use crate::logging::parse_filter;

const TIME: &str = "2026-11-30T06:32:51.123456Z";
const CLIENT: std::net::IpAddr = std::net::IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What was written.
#[derive(Clone, Debug, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A time that stands still.
struct Fixed;

impl FormatTime for Fixed {
    fn format_time(&self, to: &mut Writer<'_>) -> std::fmt::Result {
        to.write_str(TIME)
    }
}

/// Formats a line by `tracing-subscriber`.
fn by_tracing(format: LineFormat, line: &AccessLine<'_>) -> String {
    let written = Written::default();
    let lines = layer()
        .with_writer(written.clone())
        .with_target(false)
        .with_timer(Fixed);
    let lines = match format {
        LineFormat::Text => lines.with_ansi(false).boxed(),
        LineFormat::ColouredText => lines.with_ansi(true).boxed(),
        LineFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(lines);
    tracing::subscriber::with_default(subscriber, || line.log());
    written.text()
}

fn by_ourselves(format: LineFormat, line: &AccessLine<'_>) -> String {
    let mut written = Vec::new();
    format.write(line, TIME, &mut written);
    String::from_utf8(written).unwrap()
}

/// Text that is harmless, or has what formats escape.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9:./_-]{0,40}",
        "[ -~]{0,40}",
        "[\\x00-\\x20\"'\\\\\u{7f}-\u{a0}\u{301}\u{200b}\u{2028}é漢🙂]{0,20}",
        any::<String>(),
    ]
}

fn key() -> impl Strategy<Value = KeyId> {
    prop_oneof![
        "[A-Za-z0-9_-]{21}[AQgw]",
        "[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
    ]
    .prop_map(|text| text.parse().unwrap())
}

fn address() -> impl Strategy<Value = std::net::IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|address| Ipv4Addr::from(address).into()),
        any::<[u8; 16]>().prop_map(|address| Ipv6Addr::from(address).into()),
        any::<[u8; 4]>().prop_map(|address| Ipv4Addr::from(address).to_ipv6_mapped().into()),
        Just(Ipv6Addr::LOCALHOST.into()),
    ]
}

/// The values of a line, which borrows them.
type Values = (
    (bool, String, std::net::IpAddr, u16),
    [Option<KeyId>; 2],
    [Option<String>; 9],
    [Option<u64>; 12],
    (Option<bool>, Option<u16>),
);

fn values() -> impl Strategy<Value = Values> {
    let texts = std::array::from_fn::<_, 9, _>(|_| option::of(text()));
    let numbers = std::array::from_fn::<_, 12, _>(|_| option::of(any::<u64>()));
    (
        (any::<bool>(), text(), address(), any::<u16>()),
        [option::of(key()), option::of(key())],
        texts,
        numbers,
        (any::<Option<bool>>(), any::<Option<u16>>()),
    )
}

fn line(values: &Values) -> AccessLine<'_> {
    let ((is_charged, request_id, client, status), keys, texts, numbers, (stream, close_code)) =
        values;
    let [key, parent] = keys.each_ref().map(Option::as_ref);
    let texts = texts.each_ref().map(Option::as_deref);
    let mut line = AccessLine::new(request_id, *client);
    line.is_charged = *is_charged;
    line.status = *status;
    (line.key, line.parent) = (key, parent);
    line.method = texts[0].unwrap_or("POST");
    line.route = texts[1].unwrap_or("/v1/chat/completions");
    [
        line.trace_id,
        line.error,
        line.key_name,
        line.operation,
        line.service,
        line.provider,
        line.attempts,
    ] = [
        texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], texts[6],
    ];
    (line.provider_request_id, line.cause) = (texts[7], texts[8]);
    line.duration_ms = numbers[0].unwrap_or(7);
    [
        line.receive_ms,
        line.upstream_ms,
        line.first_byte_ms,
        line.key_expires_in_s,
        line.input_tokens,
        line.output_tokens,
        line.cached_tokens,
        line.reasoning_tokens,
        line.cost_nanos,
        line.received_bytes,
        line.sent_bytes,
    ] = std::array::from_fn(|index| numbers[index + 1]);
    (line.stream, line.close_code) = (*stream, *close_code);
    line
}

proptest! {
    #[test]
    fn lines_are_those_of_tracing(values in values()) {
        let line = line(&values);
        for format in [LineFormat::Text, LineFormat::ColouredText, LineFormat::Json] {
            prop_assert_eq!(by_ourselves(format, &line), by_tracing(format, &line));
        }
    }
}

#[test]
fn costs_are_logged_in_dollars() {
    for nanos in [0, 1, 99, 123_456_789, 2_000_000_000, u64::MAX] {
        let mut line = AccessLine::new("id", CLIENT);
        line.cost_nanos = Some(nanos);
        for format in [LineFormat::Text, LineFormat::Json] {
            assert_eq!(by_ourselves(format, &line), by_tracing(format, &line));
        }
    }
}

/// A log of its own, for the current thread.
struct Log {
    lines: AccessLines,
    written: Written,
    filter: reload::Handle<EnvFilter, Registry>,
    _until_dropped: tracing::subscriber::DefaultGuard,
    guard: tracing_appender::non_blocking::WorkerGuard,
}

impl Log {
    fn start(filter: &str, per_second: u32) -> Self {
        let written = Written::default();
        let (writer, guard) = NonBlockingBuilder::default().finish(written.clone());
        let limit = RateLimit::new(
            NonZeroU32::new(per_second).unwrap(),
            SystemClock::new(),
            None,
        );
        let (filter, handle) = reload::Layer::new(parse_filter(filter).unwrap());
        let decisions = Arc::<Decisions>::default();
        let filter = Observed {
            filter,
            decisions: Arc::clone(&decisions),
        };
        let formatted = layer()
            .with_writer(writer.clone())
            .with_target(false)
            .with_ansi(false)
            .with_filter(limit.clone())
            .with_filter(filter);
        let subscriber = tracing_subscriber::registry().with(formatted);
        Self {
            lines: AccessLines {
                format: LineFormat::Text,
                decisions,
                limit,
                writer,
            },
            written,
            filter: handle,
            _until_dropped: tracing::subscriber::set_default(subscriber),
            guard,
        }
    }

    fn write(&self, request_id: &str, is_charged: bool) {
        let mut line = AccessLine::new(request_id, CLIENT);
        line.is_charged = is_charged;
        self.lines.write(&line);
    }

    /// Returns the ids of the requests whose lines were written.
    fn finish(self) -> Vec<String> {
        drop(self.guard);
        let text = self.written.text();
        let ids = text.lines().map(|line| {
            let (_, id) = line.split_once("request_id=\"").unwrap();
            id.split_once('"').unwrap().0.to_owned()
        });
        ids.collect()
    }
}

#[test]
fn the_filter_decides_and_may_be_replaced() {
    let log = Log::start("info", 100);
    log.write("first", true);
    assert_eq!(log.lines.decisions.on(true), Decision::Write);
    log.write("second", true);
    log.write("uncharged", false);

    let filters = [
        ("warn", Decision::Drop, Decision::Drop),
        (
            "warn,aisbreaker_gateway::request=info",
            Decision::Write,
            Decision::Drop,
        ),
        (
            "info,aisbreaker_gateway::request=off",
            Decision::Drop,
            Decision::Write,
        ),
        (
            "info,aisbreaker_gateway::request[{nothing}]=off",
            Decision::Write,
            Decision::Write,
        ),
    ];
    for (filter, charged, uncharged) in filters {
        log.filter.reload(parse_filter(filter).unwrap()).unwrap();
        let decisions = &log.lines.decisions;
        assert_eq!(
            (decisions.on(true), decisions.on(false)),
            (charged, uncharged),
            "{filter}"
        );
        for is_charged in [true, false] {
            log.write(&format!("{filter} {is_charged}"), is_charged);
        }
    }
    // Depends on the spans around an event.
    let filter = "warn,[a_span]=info";
    log.filter.reload(parse_filter(filter).unwrap()).unwrap();
    assert_eq!(log.lines.decisions.on(true), Decision::Ask);
    log.write(filter, true);

    assert_eq!(
        log.finish(),
        [
            "first",
            "second",
            "uncharged",
            "warn,aisbreaker_gateway::request=info true",
            "info,aisbreaker_gateway::request=off false",
            "info,aisbreaker_gateway::request[{nothing}]=off true",
            "info,aisbreaker_gateway::request[{nothing}]=off false",
        ]
    );
}

#[test]
fn both_ways_to_the_log_share_one_limit() {
    let log = Log::start("info", 8);
    for id in ["a", "b", "c", "d"] {
        log.write(id, false);
    }
    let mut line = AccessLine::new("by tracing", CLIENT);
    line.is_charged = true;
    line.log();
    for id in ["e", "f", "g", "h", "i", "j", "k"] {
        log.write(id, true);
    }

    // A second may begin between two lines, so that more pass.
    let ids = log.finish();
    assert!(ids.starts_with(&["a".into(), "b".into()]), "{ids:?}");
    assert!((8..12).contains(&ids.len()), "{ids:?}");
}
