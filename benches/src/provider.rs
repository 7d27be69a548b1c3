//! A provider that costs little: it reads requests and replies with prepared bytes, as one JSON
//! body or as a stream of events.

use std::{
    fmt::Write as _,
    io,
    time::{Duration, SystemTime},
};

use clap::Args;
use memchr::memmem;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, sleep_until},
};

/// How the provider replies: by default with 1 kB of JSON.
#[derive(Args, Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "only for benchmarks")]
pub struct ReplyOptions {
    /// Chunks of a streamed reply; 0 for a JSON body
    #[arg(long, default_value_t = 0)]
    pub chunks: u32,
    /// Milliseconds between two chunks
    #[arg(long, default_value_t = 0)]
    pub pause_millis: u64,
    /// Write all chunks of a stream at once
    #[arg(long)]
    pub at_once: bool,
    /// Yield after each chunk, so that a reader in the same runtime gets each one separately
    #[arg(skip)]
    pub yields_after_chunk: bool,
}

/// Precedes the time at which a chunk was sent: nanoseconds since 1970 in nineteen digits.
pub const STAMP: &[u8] = b"\"sent\":";
/// The end of the last chunk of a stream.
pub const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

const FIELDS: &str = "date: Wed, 25 Nov 2026 12:00:00 GMT\r\nserver: provider\r\n\
    openai-version: 2020-10-01\r\n\
    x-request-id: req_0123456789abcdef0123456789abcdef\r\nopenai-processing-ms: 17\r\n";

/// Replies to the requests of a connection until it ends.
///
/// # Errors
/// When the client closes the connection while a reply is written.
pub async fn serve_connection(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    reply: ReplyOptions,
) -> io::Result<()> {
    let mut received = Vec::with_capacity(8192);
    let json_response = json_response();
    loop {
        while let Some(length) = request_length(&received) {
            received.drain(..length);
            if reply.chunks == 0 {
                stream.write_all(json_response.as_bytes()).await?;
            } else {
                stream_events(&mut stream, reply).await?;
            }
        }
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
    }
}

/// Returns the length of the first request if it is complete.
#[must_use]
pub fn request_length(received: &[u8]) -> Option<usize> {
    let head_length = memmem::find(received, b"\r\n\r\n")? + 4;
    let head = received.get(..head_length)?;
    let name = b"content-length:";
    let field = head
        .windows(name.len())
        .position(|window| window.eq_ignore_ascii_case(name));
    let body_length = match field {
        Some(at) => {
            let mut lines = head[at + name.len()..].split(|byte| *byte == b'\r');
            let value = str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
            value.trim().parse().unwrap_or(0)
        }
        None => 0,
    };
    let length = head_length + body_length;
    (received.len() >= length).then_some(length)
}

/// Returns the whole response of a provider that replies with JSON.
#[must_use]
pub fn json_response() -> String {
    let text = "Sliding windows count what happened lately. ".repeat(15);
    let body = format!(
        r#"{{"id":"chatcmpl-0123456789","object":"chat.completion","created":1764072000,"model":"gpt-4o-mini-2024-07-18","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":180,"completion_tokens":135,"total_tokens":315}}}}"#
    );
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{FIELDS}content-length: {}\r\n\r\n\
         {body}",
        body.len()
    )
}

async fn stream_events(
    stream: &mut (impl AsyncWrite + Unpin),
    reply: ReplyOptions,
) -> io::Result<()> {
    let mut text = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
         {FIELDS}transfer-encoding: chunked\r\n\r\n"
    );
    let started = Instant::now();
    for number in 0..reply.chunks {
        if number > 0 && reply.pause_millis > 0 {
            sleep_until(started + Duration::from_millis(reply.pause_millis) * number).await;
        }
        write_event(&mut text);
        if number + 1 == reply.chunks {
            text.push_str("0\r\n\r\n");
        }
        if !reply.at_once || number + 1 == reply.chunks {
            stream.write_all(text.as_bytes()).await?;
            text.clear();
            if reply.yields_after_chunk {
                tokio::task::yield_now().await;
            }
        }
    }
    Ok(())
}

/// Appends one event as one chunk.
fn write_event(text: &mut String) {
    let stamp = nanoseconds();
    let event = format!(
        "data: {{\"id\":\"chatcmpl-0123456789\",\"object\":\"chat.completion.chunk\",\"sent\":{stamp:019},\
         \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" window\"}},\
         \"finish_reason\":null}}]}}\n\n"
    );
    let _written = write!(text, "{:x}\r\n{event}\r\n", event.len());
}

/// Returns the current time in nanoseconds since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a measurement owns its clock")]
pub fn nanoseconds() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
