//! The gateway inside another hyper server, which serves one path itself and passes the rest on: the
//! gateway's own API, and those of the providers below `/v1`.
#![expect(clippy::print_stdout, reason = "an example prints to its terminal")]

use std::convert::Infallible;

use aisbreaker_egress::{Client, Outgoing, Policy, Timeouts, UrlSource, parse_url};
use aisbreaker_examples::{Outcome, client};
use aisbreaker_gateway::{
    Gateway, ResponseBody,
    token::{KeyRing, ServerKey},
};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

type Body = Either<Full<Bytes>, ResponseBody>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let keys = KeyRing::new(ServerKey::generate()?);
    let gateway = Gateway::builder(keys).client(client()?).build();

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    // Frees the counters of idle clients, as `aisbreaker_gateway::serve` does by itself.
    let maintained = gateway.clone();
    tokio::spawn(async move { maintained.maintain().await });
    let server = tokio::spawn(serve(listener, gateway));

    for path in ["/mine", "/api/v1/ping", "/v1/models"] {
        let client = Client::new(Policy::strict().allow(&base)?, Timeouts::default());
        let url = parse_url(&format!("{base}{path}"))?;
        let response = client
            .send(
                &url,
                UrlSource::Trusted,
                Outgoing::new(Method::GET, HeaderMap::new(), ""),
            )
            .await?;
        let body = response.into_body().collect().await?.to_bytes();
        println!("{path}: {}", String::from_utf8_lossy(&body));
    }
    server.abort();
    Ok(())
}

async fn serve(listener: TcpListener, gateway: Gateway) {
    while let Ok((stream, peer)) = listener.accept().await {
        let gateway = gateway.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let gateway = gateway.clone();
            async move {
                Ok::<_, Infallible>(match request.uri().path() {
                    "/mine" => Response::new(Body::Left(Full::from("this path is mine"))),
                    _ => gateway.handle(request, peer.ip()).await.map(Body::Right),
                })
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}
