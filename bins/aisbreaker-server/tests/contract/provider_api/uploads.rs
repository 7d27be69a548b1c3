//! Uploads: request bodies that are passed on to the provider as they arrive.

mod content;
mod departures;
mod early_answers;
mod memory;
mod pace;
mod refusals;

use serde_json::json;

use crate::support::{
    Connection, ContentBody, Request, Response, Server, UploadProvider, content_at, http2_upload,
};

const FILES: &str = "/v1/files";
/// More than all buffers between a client and a provider hold.
const LONG: usize = 24 << 20;

/// How a client sends an upload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Transport {
    /// HTTP/1.1 with `Content-Length`.
    Length,
    /// HTTP/1.1 in chunks of about this size.
    Chunked(usize),
    /// HTTP/2 with `content-length`.
    Http2,
    /// HTTP/2 without.
    Http2Unannounced,
}

impl Transport {
    const ALL: [Self; 4] = [
        Self::Length,
        Self::Chunked(10_000),
        Self::Http2,
        Self::Http2Unannounced,
    ];

    fn is_announced(self) -> bool {
        matches!(self, Self::Length | Self::Http2)
    }
}

/// Mints a key whose secret is bound to this provider.
fn key(server: &Server, provider: &UploadProvider) -> String {
    server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": "sk-one", "url": provider.url()},
    ]))
}

/// The head of an upload.
fn head(key: &str, transport: Transport, length: usize) -> Request {
    let request = Request::new("POST", FILES)
        .header("Content-Type", "multipart/form-data; boundary=b")
        .bearer(key);
    match transport {
        Transport::Length => request.header("Content-Length", length.to_string()),
        Transport::Chunked(_) | Transport::Http2 | Transport::Http2Unannounced => {
            request.header("Transfer-Encoding", "chunked")
        }
    }
}

/// Writes content from `offset` to `end`, until the server accepts no more.
fn write_content(
    connection: &mut Connection,
    transport: Transport,
    mut offset: usize,
    end: usize,
) -> bool {
    while offset < end {
        let left = end - offset;
        let is_written = if let Transport::Chunked(size) = transport {
            let piece = content_at(offset, size.min(left));
            offset += piece.len();
            let size = format!("{:x}\r\n", piece.len());
            connection.try_write(&[size.as_bytes(), &piece, b"\r\n"].concat())
        } else {
            let piece = content_at(offset, left.min(256 << 10));
            offset += piece.len();
            connection.try_write(&piece)
        };
        if !is_written {
            return false;
        }
    }
    true
}

/// Ends chunked content.
fn end_content(connection: &mut Connection, transport: Transport) {
    if matches!(transport, Transport::Chunked(_)) {
        connection.write(b"0\r\n\r\n");
    }
}

/// Sends an upload of this length on a connection of its own, and returns the response.
fn upload(server: &Server, key: &str, transport: Transport, length: usize) -> Response {
    upload_with(server, &head(key, transport, length), transport, length)
}

fn upload_with(server: &Server, head: &Request, transport: Transport, length: usize) -> Response {
    match transport {
        Transport::Length | Transport::Chunked(_) => {
            let mut connection = server.connect();
            connection.write(&head.to_bytes());
            if write_content(&mut connection, transport, 0, length) {
                end_content(&mut connection, transport);
            }
            connection.response_to("POST")
        }
        Transport::Http2 | Transport::Http2Unannounced => {
            let mut request = hyper::Request::post(format!("http://localhost{FILES}"));
            for (name, value) in head.headers() {
                if name != "Transfer-Encoding" {
                    request = request.header(name, value);
                }
            }
            let body = ContentBody::new(length, 50_000, transport.is_announced());
            let (parts, text) = http2_upload(server, request.body(body).unwrap());
            let headers = parts.headers.iter().map(|(name, value)| {
                let value = value.to_str().unwrap();
                (name.to_string(), value.to_owned())
            });
            Response {
                status: parts.status.as_u16(),
                version: "HTTP/2".to_owned(),
                headers: headers.collect(),
                body: text.into(),
                is_truncated: false,
            }
        }
    }
}
