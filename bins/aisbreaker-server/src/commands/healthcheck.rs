//! `healthcheck`: asks the server of this machine whether it is ready.

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    time::Duration,
};

use bytes::Bytes;
use clap::{ArgMatches, Command};
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_openssl::SslStream;

use super::{Outcome, target::runtime};
use crate::settings::{self, Flags};

/// The longest wait for the answer.
const TIMEOUT: Duration = Duration::from_secs(3);

pub(crate) fn command() -> Command {
    Command::new("healthcheck")
        .about("Asks the server of this machine whether it is ready, for containers without curl")
        .long_about(
            "Asks the server that listens as these settings say for GET /readyz, and ends with \
             status 0 if it is ready within three seconds, and 1 otherwise.",
        )
}

pub(crate) fn run(flags: Flags, _arguments: &ArgMatches) -> Outcome {
    let listener = settings::load_listener(flags, std::env::vars_os())?;
    let address = reachable(listener.address);
    if address.port() == 0 {
        return Err("the settings leave the port to the system: set a fixed one".into());
    }
    let asked = async {
        let stream = TcpStream::connect(address).await?;
        if listener.has_tls {
            ask(over_tls(stream).await?).await
        } else {
            ask(stream).await
        }
    };
    let asked = runtime()?.block_on(async { tokio::time::timeout(TIMEOUT, asked).await });
    match asked {
        Ok(Ok(StatusCode::OK)) => Ok(()),
        Ok(Ok(status)) => Err(format!("{address} is not ready: status {}", status.as_u16()).into()),
        Ok(Err(error)) => Err(format!("{address} does not answer: {error}").into()),
        Err(_elapsed) => {
            Err(format!("{address} does not answer within {} s", TIMEOUT.as_secs()).into())
        }
    }
}

/// Returns the address by which this machine reaches a listener on all of its addresses.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Speaks TLS without checking the certificate: it is that of the public host, and nothing secret is
/// sent.
async fn over_tls(stream: TcpStream) -> Result<SslStream<TcpStream>, Box<dyn Error>> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_verify(SslVerifyMode::NONE);
    let mut connection = builder.build().configure()?;
    connection.set_verify_hostname(false);
    let mut stream = SslStream::new(connection.into_ssl("localhost")?, stream)?;
    Pin::new(&mut stream).connect().await?;
    Ok(stream)
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<StatusCode, Box<dyn Error>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/readyz")
        .header(header::HOST, "localhost")
        .body(Empty::<Bytes>::new())?;
    tokio::select! {
        // Both may be ready at once.
        biased;
        response = sender.send_request(request) => Ok(response?.status()),
        ended = connection => match ended {
            Ok(()) => Err("the connection was closed".into()),
            Err(error) => Err(error.into()),
        },
    }
}
