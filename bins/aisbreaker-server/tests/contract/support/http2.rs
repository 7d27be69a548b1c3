//! A client that speaks HTTP/2 with prior knowledge.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Collected};
use hyper::{
    Request,
    body::{Body, Bytes, Incoming},
    client::conn::http2::{self, SendRequest},
    http::response::Parts,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{runtime::Runtime, task::JoinHandle};

use super::{Server, current_thread_runtime};

/// Sends these requests one after the other on one connection.
pub(crate) fn send_over_http2(
    server: &Server,
    requests: Vec<Request<String>>,
) -> Vec<(Parts, String)> {
    current_thread_runtime().block_on(async {
        let (mut client, driver) = connect(server.address()).await;
        let mut responses = Vec::new();
        for request in requests {
            let response = client.send_request(request).await.expect("a response");
            let (head, incoming) = response.into_parts();
            let body = incoming.collect().await.expect("a whole body").to_bytes();
            let text = String::from_utf8(body.into()).expect("a body in UTF-8");
            responses.push((head, text));
        }
        drop(client);
        driver.await.expect("no panic").expect("an orderly end");
        responses
    })
}

/// Sends one request with this body, and returns the response, even if it comes before the body was
/// sent.
pub(crate) fn http2_upload<B>(server: &Server, request: Request<B>) -> (Parts, String)
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    current_thread_runtime().block_on(async {
        let (mut client, driver) = connect(server.address()).await;
        let response = client.send_request(request).await.expect("a response");
        let (head, incoming) = response.into_parts();
        let body = incoming.collect().await.expect("a whole body").to_bytes();
        drop(client);
        driver.await.expect("no panic").expect("an orderly end");
        let text = String::from_utf8(body.into()).expect("a body in UTF-8");
        (head, text)
    })
}

/// Returns the first piece of a response, then resets the stream and checks that the connection is
/// still usable.
pub(crate) fn http2_first_piece_then_reset(server: &Server, request: Request<String>) -> String {
    current_thread_runtime().block_on(async {
        let (mut client, driver) = connect(server.address()).await;
        let mut response = client.send_request(request).await.expect("a response");
        let first = first_piece(response.body_mut()).await;
        drop(response);
        let ping = Request::get("http://localhost/api/v1/ping")
            .body(String::new())
            .expect("a request");
        let pong = client.send_request(ping).await.expect("a response");
        assert_eq!(pong.status(), 200);
        drop(client);
        driver.await.expect("no panic").expect("an orderly end");
        String::from_utf8(first.into()).expect("a body in UTF-8")
    })
}

/// Sends a request and leaves the body of its response unread, on a connection that is otherwise
/// served, until `until` returns.
pub(crate) fn http2_unread_response(
    server: &Server,
    request: Request<String>,
    until: impl FnOnce() + Send + 'static,
) {
    current_thread_runtime().block_on(async {
        let (mut client, _driver) = connect(server.address()).await;
        // While the response is held unread, the server gets no more capacity for its stream.
        let response = client.send_request(request).await.expect("a response");
        assert_eq!(response.status(), 200);
        // On another thread, since this one drives the connection.
        tokio::task::spawn_blocking(until).await.expect("no panic");
        drop(response);
    });
}

/// Streams of which the first piece has arrived, several on each connection. Dropping them closes
/// the connections.
pub(crate) struct Http2Streams {
    runtime: Runtime,
    streams: Vec<(Bytes, Incoming)>,
    /// A connection ends when the handle that can send requests on it is dropped.
    _clients: Vec<SendRequest<String>>,
}

impl Http2Streams {
    /// Sends the request on this many streams of this many connections, and waits for the first
    /// piece of each response.
    pub(crate) fn begin(
        server: SocketAddr,
        request: &Request<String>,
        (connections, streams): (usize, usize),
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (mut begun, mut clients) = (Vec::new(), Vec::new());
        runtime.block_on(async {
            for _ in 0..connections {
                let (mut client, _driver) = connect(server).await;
                for _ in 0..streams {
                    let response = client
                        .send_request(request.clone())
                        .await
                        .expect("a response");
                    let mut body = response.into_body();
                    begun.push((first_piece(&mut body).await, body));
                }
                clients.push(client);
            }
        });
        Self {
            runtime,
            streams: begun,
            _clients: clients,
        }
    }

    /// Reads all bodies to their end. The body of a stream that was cut is `None`.
    pub(crate) fn finish(self) -> Vec<Option<String>> {
        let Self {
            runtime,
            streams,
            _clients,
        } = self;
        runtime.block_on(async {
            let mut bodies = Vec::new();
            for (first, body) in streams {
                let rest = body.collect().await.ok().map(Collected::to_bytes);
                bodies.push(
                    rest.map(|rest| String::from_utf8([first, rest].concat()).expect("UTF-8")),
                );
            }
            bodies
        })
    }
}

async fn first_piece(body: &mut Incoming) -> Bytes {
    let frame = body.frame().await.expect("a body").expect("a frame of it");
    frame.into_data().expect("data")
}

async fn connect<B>(server: SocketAddr) -> (SendRequest<B>, JoinHandle<hyper::Result<()>>)
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = tokio::net::TcpStream::connect(server)
        .await
        .expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("a handshake");
    (client, tokio::spawn(connection))
}
