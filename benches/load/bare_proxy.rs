//! The anchors: a reverse proxy (hyper on both sides, a pool of connections, and nothing in
//! between), and a server that responds with a constant.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Either, Empty, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpListener;

type Upstream = Client<HttpConnector, Incoming>;
type ProxyResponse = Response<Either<Incoming, Empty<Bytes>>>;

/// Forwards everything to the provider at this address until the process ends.
pub(crate) async fn serve_proxy(listener: TcpListener, provider: SocketAddr) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let upstream: Upstream = Client::builder(TokioExecutor::new()).build(connector);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _set = stream.set_nodelay(true);
        let upstream = upstream.clone();
        let service = service_fn(move |request| {
            let upstream = upstream.clone();
            async move { Ok::<_, Infallible>(forward(request, &upstream, provider).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn forward(
    mut request: Request<Incoming>,
    upstream: &Upstream,
    provider: SocketAddr,
) -> ProxyResponse {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let uri = Uri::try_from(format!("http://{provider}{path}"));
    *request.uri_mut() = uri.expect("an address and a path are an URI");
    match upstream.request(request).await {
        Ok(response) => response.map(Either::Left),
        Err(_broken) => {
            let mut response = Response::new(Either::Right(Empty::new()));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    }
}

/// Responds to every request with 600 bytes until the process ends.
pub(crate) async fn serve_constant(listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _set = stream.set_nodelay(true);
        let service = service_fn(|request: Request<Incoming>| async {
            let _read = request.into_body().collect().await;
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(&[b'x'; 600]))))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
