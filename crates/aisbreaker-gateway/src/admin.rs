//! The operator's listener, apart from the one for clients.

use std::{convert::Infallible, net::Ipv4Addr, sync::Arc, time::Duration};

use aisbreaker_token::Host;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, HOST},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::{JoinSet, spawn_blocking},
};

use crate::{
    console, gateway::Gateway, server::linger::LingeringIo, telemetry::metrics::MetricsFormat,
};

/// The most connections at a time.
const MAX_CONNECTIONS: usize = 16;
/// The longest time to a complete request head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after an error of `accept`.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const TEXT: &str = "text/plain";

/// Serves `GET /metrics` until it is dropped, in the text format of Prometheus or as OpenMetrics, and,
/// if [`Config::live_page`](crate::Config::live_page) is set, a page at `/console/` that shows them.
///
/// There is no authentication, so the listener belongs on an internal address. The metrics show how
/// much is done, never by whom. A request must name the listener by an IP address, as `localhost`
/// or by one of `hosts`: otherwise a web page could have its visitors' browsers read the metrics
/// under a name of its own.
pub async fn serve_metrics(listener: TcpListener, gateway: Gateway, hosts: Vec<Host>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let served = Arc::new(Served { gateway, hosts });
    let mut connections = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let served = Arc::clone(&served);
        connections.spawn(async move {
            let respond = |request| {
                let served = Arc::clone(&served);
                async move { Ok::<_, Infallible>(served.respond(request).await) }
            };
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .keep_alive(false);
            let _unreadable = http
                .serve_connection(TokioIo::new(LingeringIo::new(stream)), service_fn(respond))
                .await;
            drop(permit);
        });
    }
}

/// What the listener serves.
struct Served {
    gateway: Gateway,
    /// The names under which requests may come.
    hosts: Vec<Host>,
}

impl Served {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if !self.is_named_by(request.headers()) {
            let problem = "this host name is not one of metrics.hosts (AISBREAKER_METRICS_HOSTS)\n";
            return response(StatusCode::MISDIRECTED_REQUEST, TEXT, problem.to_owned());
        }
        let path = request.uri().path();
        if self.gateway.has_live_page()
            && let Some(page) = live_page(request.method(), path, request.headers())
        {
            return page;
        }
        match (request.method(), path) {
            (&Method::GET | &Method::HEAD, "/metrics") => {
                let format = MetricsFormat::accepted(request.headers());
                let gateway = self.gateway.clone();
                let encoded = spawn_blocking(move || gateway.metrics(format)).await;
                match encoded {
                    Ok(text) => response(StatusCode::OK, format.content_type(), text),
                    Err(_panic) => {
                        let problem = "the metrics cannot be read\n".to_owned();
                        response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, problem)
                    }
                }
            }
            (_, "/metrics") => method_not_allowed(),
            _ => response(StatusCode::NOT_FOUND, TEXT, self.hint().to_owned()),
        }
    }

    /// Returns what is served here.
    fn hint(&self) -> &'static str {
        if self.gateway.has_live_page() {
            "see /metrics, or /console/ in a browser\n"
        } else {
            "see /metrics\n"
        }
    }

    /// Returns whether a request names this listener. Browsers always name a host.
    fn is_named_by(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(HOST).into_iter();
        let value = match (values.next(), values.next()) {
            (None, _) => return true,
            (Some(value), None) => value,
            (Some(_), Some(_)) => return false,
        };
        let Some(host) = value.to_str().ok().and_then(|text| Host::parse(text).ok()) else {
            return false;
        };
        let name = host.as_str();
        let is_address = name.starts_with('[') || name.parse::<Ipv4Addr>().is_ok();
        is_address || name == "localhost" || self.hosts.contains(&host)
    }
}

/// Answers a request for the page that shows the metrics, if it is one.
fn live_page(method: &Method, path: &str, headers: &HeaderMap) -> Option<Response<Full<Bytes>>> {
    let page = console::serve_live(path, headers)?;
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refusal = method_not_allowed();
        console::write_headers(refusal.headers_mut());
        return Some(refusal);
    }
    Some(page.map(Full::new))
}

fn method_not_allowed() -> Response<Full<Bytes>> {
    let problem = "GET only\n".to_owned();
    let mut response = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, problem);
    let methods = HeaderValue::from_static("GET, HEAD");
    response.headers_mut().insert(ALLOW, methods);
    response
}

fn response(status: StatusCode, media_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
