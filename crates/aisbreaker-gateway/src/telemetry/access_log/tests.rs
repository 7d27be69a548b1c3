use std::sync::Mutex;

use super::*;
use crate::{
    clock::SystemClock,
    in_flight::InFlight,
    telemetry::{access_line::AccessLogSink, metrics::Metrics},
};

/// Keeps the fields of lines, as text.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Vec<(&'static str, String)>>>);

impl AccessLogSink for Kept {
    fn write(&self, line: &AccessLine<'_>) {
        let mut fields = Vec::new();
        line.for_each_field(|name, value| fields.push((name, format!("{value:?}"))));
        self.0.lock().unwrap().push(fields);
    }
}

fn minting(sink: Option<Arc<dyn AccessLogSink>>) -> AccessLog {
    let client = IpAddr::from([127, 0, 0, 1]);
    let (guard, _) = InFlight::default().enter();
    AccessLog::start(
        (&Method::POST, &HeaderMap::new()),
        Some(Route::Token),
        client,
        Arc::new(Observer {
            clock: Arc::new(SystemClock),
            metrics: Arc::new(Metrics::new(false)),
            access_log_sink: sink,
        }),
        guard,
    )
}

#[test]
fn a_request_that_its_client_gives_up_mints_nothing() {
    let mut log = minting(None);
    assert_eq!(log.mint_outcome(), None);
    log.set_status(StatusCode::OK);
    assert_eq!(log.mint_outcome(), Some(MintOutcome::Minted));
    log.set_status(StatusCode::BAD_REQUEST);
    assert_eq!(log.mint_outcome(), Some(MintOutcome::Refused));
}

#[test]
fn a_sink_takes_the_line_of_each_request() {
    let kept = Arc::new(Kept::default());
    let mut log = minting(Some(Arc::clone(&kept) as Arc<dyn AccessLogSink>));
    log.set_service("é".repeat(MAX_SERVICE_CHARS + 1));
    drop(log);
    let mut log = minting(Some(Arc::clone(&kept) as Arc<dyn AccessLogSink>));
    log.set_status(StatusCode::OK);
    log.mark_complete();
    drop(log);

    let lines = kept.0.lock().unwrap();
    let [left, complete] = &lines[..] else {
        panic!("two lines, not {lines:?}");
    };
    let value = |line: &[(&'static str, String)], name| {
        let field = line.iter().find(|(known, _)| *known == name);
        field.map(|(_, value)| value.clone())
    };
    assert_eq!(left[0].0, "request_id");
    assert_eq!(value(left, "method").unwrap(), "Text(\"POST\")");
    assert_eq!(value(left, "status").unwrap(), "Integer(499)");
    assert_eq!(value(left, "error").unwrap(), "Text(\"client_left\")");
    assert_eq!(value(left, "client").unwrap(), "Address(127.0.0.1)");
    let service = value(left, "service").unwrap();
    let shortened = "é".repeat(MAX_SERVICE_CHARS);
    assert_eq!(service, format!("Text({shortened:?})"));
    assert_eq!(value(complete, "status").unwrap(), "Integer(200)");
    assert_eq!(value(complete, "error"), None);
}
