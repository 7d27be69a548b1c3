//! The listener for the operator's monitoring. It is apart from the one for clients, so that these
//! never see it.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};

use crate::{gateway::Gateway, metrics};

/// How many may ask at a time.
const MAX_CONNECTIONS: usize = 16;
/// The longest time to a complete request head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to leave `accept` alone after an error.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers `GET /metrics` with what the gateway counts, in the text form of OpenMetrics 1.0 that
/// Prometheus reads, until it is dropped.
///
/// Whoever reaches the listener reads them, so it belongs on an address of the inside. They tell
/// how much is done, never by whom or what.
pub async fn serve_metrics(listener: TcpListener, gateway: Gateway) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // Only a closed semaphore has no place to come.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let gateway = gateway.clone();
        connections.spawn(async move {
            let answer =
                |request| std::future::ready(Ok::<_, Infallible>(answer(&request, &gateway)));
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .keep_alive(false);
            let _unreadable = http
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, gateway: &Gateway) -> Response<Full<Bytes>> {
    let (status, media_type, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            (StatusCode::OK, metrics::CONTENT_TYPE, gateway.metrics())
        }
        (_, "/metrics") => (
            StatusCode::METHOD_NOT_ALLOWED,
            "text/plain",
            "GET only\n".to_owned(),
        ),
        _ => (
            StatusCode::NOT_FOUND,
            "text/plain",
            "see /metrics\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
