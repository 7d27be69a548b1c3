//! A client that speaks HTTP/2 from the first byte.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Collected};
use hyper::{
    Request,
    body::{Bytes, Incoming},
    client::conn::http2::{self, SendRequest},
    http::response::Parts,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{runtime::Runtime, task::JoinHandle};

use super::Server;

/// The answers to these requests, made one after the other on one connection.
pub(crate) fn http2(server: &Server, requests: Vec<Request<String>>) -> Vec<(Parts, String)> {
    runtime().block_on(async {
        let (mut client, driver) = connect(server).await;
        let mut answers = Vec::new();
        for request in requests {
            let (head, body) = client
                .send_request(request)
                .await
                .expect("an answer")
                .into_parts();
            let body = body.collect().await.expect("a whole body").to_bytes();
            answers.push((
                head,
                String::from_utf8(body.into()).expect("a body in UTF-8"),
            ));
        }
        drop(client);
        driver.await.expect("no panic").expect("an orderly end");
        answers
    })
}

/// The first piece of the answer to a request; then the client gives the stream up, but not the
/// connection.
pub(crate) fn http2_beginning(server: &Server, request: Request<String>) -> String {
    runtime().block_on(async {
        let (mut client, driver) = connect(server).await;
        let mut answer = client.send_request(request).await.expect("an answer");
        let frame = answer
            .body_mut()
            .frame()
            .await
            .expect("a body")
            .expect("a piece of it");
        drop(answer);
        // A second answer shows that the connection is in order.
        let ping = Request::get("http://localhost/api/v1/ping")
            .body(String::new())
            .expect("a request");
        assert_eq!(
            client.send_request(ping).await.expect("an answer").status(),
            200
        );
        drop(client);
        driver.await.expect("no panic").expect("an orderly end");
        String::from_utf8(frame.into_data().expect("data").into()).expect("a body in UTF-8")
    })
}

/// Makes a request and takes nothing of the body of its answer, on a connection in order, until
/// `end` returns.
pub(crate) fn http2_untaken(
    server: &Server,
    request: Request<String>,
    end: impl FnOnce() + Send + 'static,
) {
    runtime().block_on(async {
        let (mut client, _driver) = connect(server).await;
        // As long as it is held and not read, its stream gets no more capacity.
        let answer = client.send_request(request).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        // On a thread of its own, since the connection must go on: it takes all that the server
        // writes.
        tokio::task::spawn_blocking(end).await.expect("no panic");
        drop(answer);
    });
}

/// Streams that have begun, several on each connection. Dropping them ends the connections.
pub(crate) struct Http2Streams {
    runtime: Runtime,
    streams: Vec<(Bytes, Incoming)>,
    /// Connections end when nobody can make requests on them.
    _clients: Vec<SendRequest<String>>,
}

impl Http2Streams {
    /// The answers to this request, made so often on each of so many connections, of which the
    /// first piece has come.
    pub(crate) fn begin(
        server: SocketAddr,
        request: &Request<String>,
        (connections, streams): (usize, usize),
    ) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (mut begun, mut clients) = (Vec::new(), Vec::new());
        runtime.block_on(async {
            for _ in 0..connections {
                let (mut client, _driver) = connect_to(server).await;
                for _ in 0..streams {
                    let answer = client
                        .send_request(request.clone())
                        .await
                        .expect("an answer");
                    let mut body = answer.into_body();
                    let first = body.frame().await.expect("a body").expect("a piece of it");
                    begun.push((first.into_data().expect("data"), body));
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

    /// The whole bodies, as far as they are whole.
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

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn connect(server: &Server) -> (SendRequest<String>, JoinHandle<hyper::Result<()>>) {
    connect_to(server.address()).await
}

async fn connect_to(server: SocketAddr) -> (SendRequest<String>, JoinHandle<hyper::Result<()>>) {
    let stream = tokio::net::TcpStream::connect(server)
        .await
        .expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("a handshake");
    (client, tokio::spawn(connection))
}
