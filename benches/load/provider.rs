//! The provider as a server.

use std::net::SocketAddr;

use aisbreaker_benches::provider::{Answers, answer_all};
use tokio::net::TcpListener;

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, answers: Answers) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        tokio::spawn(async move {
            let _delayed = stream.set_nodelay(true);
            // A caller that leaves ends it.
            let _left = answer_all(stream, answers).await;
        });
    }
}

/// Tells whoever started this process where it listens.
#[expect(
    clippy::print_stderr,
    reason = "that is how the server itself tells it"
)]
pub(crate) fn tell(address: SocketAddr) {
    eprintln!("{{\"address\":\"{address}\"}}");
}
