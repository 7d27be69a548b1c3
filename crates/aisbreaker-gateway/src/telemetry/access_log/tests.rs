use super::*;
use crate::{clock::SystemClock, in_flight::InFlight, telemetry::metrics::Metrics};

fn minting() -> AccessLog {
    let client = IpAddr::from([127, 0, 0, 1]);
    let (guard, _) = InFlight::default().enter();
    AccessLog::start(
        (&Method::POST, &HeaderMap::new()),
        Some(Route::Token),
        client,
        Arc::new(Observer {
            clock: Arc::new(SystemClock),
            metrics: Arc::new(Metrics::new(false)),
            access_log_sink: None,
        }),
        guard,
    )
}

#[test]
fn a_request_that_its_client_gives_up_mints_nothing() {
    let mut log = minting();
    assert_eq!(log.mint_outcome(), None);
    log.set_status(StatusCode::OK);
    assert_eq!(log.mint_outcome(), Some(MintOutcome::Minted));
    log.set_status(StatusCode::BAD_REQUEST);
    assert_eq!(log.mint_outcome(), Some(MintOutcome::Refused));
}
