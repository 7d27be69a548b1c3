//! The provider, as a server of its own process.

use std::net::SocketAddr;

use aisbreaker_benches::provider::{ReplyOptions, serve_connection};
use tokio::net::TcpListener;

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, reply: ReplyOptions) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        tokio::spawn(async move {
            let _delayed = stream.set_nodelay(true);
            // Ends with an error when the client disconnects.
            let _disconnected = serve_connection(stream, reply).await;
        });
    }
}

/// Reports the address of this process to the one that started it, as the server does in its log.
#[expect(
    clippy::print_stderr,
    reason = "the process that started this one reads it"
)]
pub(crate) fn report_address(address: SocketAddr) {
    eprintln!("{{\"address\":\"{address}\"}}");
}
