//! WebSockets: the end of a client, and that of a provider.

use std::net::TcpStream;

use openssl::sha::sha1;
use tungstenite::{
    Message, WebSocket,
    protocol::{CloseFrame, Role, WebSocketConfig},
};

use super::{
    Connection, ReceivedRequest, Request, Response, Server, Wire, base64,
    client_socket::ClientSocket,
};

/// The end of a client.
pub(crate) type ClientWebSocket = WebSocket<ClientSocket>;
/// The end of a provider.
pub(crate) type ProviderWebSocket = WebSocket<TcpStream>;

/// The key of the example in RFC 6455.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A valid handshake for this path.
pub(crate) fn handshake(path: &str) -> Request {
    Request::get(path)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", KEY)
}

/// Sends a handshake on this connection, to which the server must agree.
#[track_caller]
pub(crate) fn open(mut connection: Connection, request: &Request) -> (Response, ClientWebSocket) {
    connection.write(&request.to_bytes());
    let response = connection.head();
    assert_eq!(response.status, 101, "{response:?}");
    let (socket, read) = connection.into_socket();
    let websocket = WebSocket::from_partially_read(socket, read, Role::Client, Some(config()));
    (response, websocket)
}

impl Server {
    /// Opens a WebSocket, to which the server must agree.
    #[track_caller]
    pub(crate) fn open_websocket(&self, request: &Request) -> (Response, ClientWebSocket) {
        open(self.connect(), request)
    }
}

impl Wire {
    /// Agrees to a handshake, with these fields beside those that every answer has, and sends these
    /// bytes at once.
    pub(crate) fn agree(
        &mut self,
        request: &ReceivedRequest,
        fields: &[(&str, &str)],
    ) -> ProviderWebSocket {
        let accept = accept(request);
        let fields = [
            &[
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Accept", &accept),
            ],
            fields,
        ];
        self.head(101, &fields.concat());
        WebSocket::from_raw_socket(self.socket(), Role::Server, Some(config()))
    }
}

/// Returns what proves that a provider has read this handshake.
pub(crate) fn accept(request: &ReceivedRequest) -> String {
    let key = request
        .header("Sec-WebSocket-Key")
        .expect("a key of a handshake");
    let hashed = [key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    base64::encode(&sha1(hashed.as_bytes()))
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
}

/// Sends back what a client sends, until one of them closes the WebSocket.
pub(crate) fn echo(mut websocket: ProviderWebSocket) {
    while let Ok(message) = websocket.read() {
        if message.is_text() || message.is_binary() {
            let _sent = websocket.send(message);
        }
    }
}

/// Reads until the close frame, and returns its code and reason.
#[track_caller]
pub(crate) fn read_close<S: std::io::Read + std::io::Write>(
    websocket: &mut WebSocket<S>,
) -> (u16, String) {
    loop {
        match websocket.read() {
            Ok(Message::Close(Some(CloseFrame { code, reason }))) => {
                return (code.into(), reason.to_string());
            }
            Ok(_) => {}
            Err(error) => panic!("no close frame: {error}"),
        }
    }
}
