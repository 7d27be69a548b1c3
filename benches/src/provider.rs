//! A provider that costs little: it reads requests and answers with bytes that were prepared, whole
//! or as a stream of events.

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

/// What a provider answers; without chunks, 1 kB of JSON.
#[derive(Args, Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "only for benchmarks")]
pub struct Answers {
    /// Chunks of a stream; 0: a whole answer
    #[arg(long, default_value_t = 0)]
    pub chunks: u32,
    /// Milliseconds between two chunks
    #[arg(long, default_value_t = 0)]
    pub pause_millis: u64,
    /// Write all chunks of a stream at once
    #[arg(long)]
    pub at_once: bool,
    /// Let whoever reads in the same runtime have each chunk by itself
    #[arg(skip)]
    pub by_itself: bool,
}

/// What the provider writes where a chunk was sent, before nanoseconds since 1970 in nineteen
/// digits.
pub const STAMP: &[u8] = b"\"sent\":";
/// Where a chunk ends with which no other follows.
pub const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

const FIELDS: &str = "date: Wed, 25 Nov 2026 12:00:00 GMT\r\nserver: provider\r\nopenai-version: 2020-10-01\r\n\
    x-request-id: req_0123456789abcdef0123456789abcdef\r\nopenai-processing-ms: 17\r\n";

/// Answers one request after the other, until there are no more.
///
/// # Errors
/// If whoever calls leaves.
pub async fn answer_all(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: Answers,
) -> io::Result<()> {
    let mut received = Vec::with_capacity(8192);
    let whole = whole();
    loop {
        while let Some(length) = request_length(&received) {
            received.drain(..length);
            if answers.chunks == 0 {
                stream.write_all(whole.as_bytes()).await?;
            } else {
                stream_events(&mut stream, answers).await?;
            }
        }
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
    }
}

/// Bytes of the first request, if it has come whole.
fn request_length(received: &[u8]) -> Option<usize> {
    let head_length = memmem::find(received, b"\r\n\r\n")? + 4;
    let head = received.get(..head_length)?;
    let name = b"content-length:";
    let field = head
        .windows(name.len())
        .position(|window| window.eq_ignore_ascii_case(name));
    let body_length = field.map_or(0, |at| {
        let value = head[at + name.len()..]
            .split(|byte| *byte == b'\r')
            .next()
            .unwrap_or_default();
        std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
    });
    let length = head_length + body_length;
    (received.len() >= length).then_some(length)
}

fn whole() -> String {
    let text = "Sliding windows count what happened lately. ".repeat(15);
    let body = format!(
        r#"{{"id":"chatcmpl-0123456789","object":"chat.completion","created":1764072000,"model":"gpt-4o-mini-2024-07-18","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":180,"completion_tokens":135,"total_tokens":315}}}}"#
    );
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{FIELDS}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn stream_events(stream: &mut (impl AsyncWrite + Unpin), answers: Answers) -> io::Result<()> {
    let mut text = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n{FIELDS}transfer-encoding: chunked\r\n\r\n"
    );
    let started = Instant::now();
    for number in 0..answers.chunks {
        if number > 0 && answers.pause_millis > 0 {
            sleep_until(started + Duration::from_millis(answers.pause_millis) * number).await;
        }
        write_event(&mut text);
        if number + 1 == answers.chunks {
            text.push_str("0\r\n\r\n");
        }
        if !answers.at_once || number + 1 == answers.chunks {
            stream.write_all(text.as_bytes()).await?;
            text.clear();
            if answers.by_itself {
                tokio::task::yield_now().await;
            }
        }
    }
    Ok(())
}

/// One event as one chunk.
fn write_event(text: &mut String) {
    let stamp = nanoseconds();
    let event = format!(
        "data: {{\"id\":\"chatcmpl-0123456789\",\"object\":\"chat.completion.chunk\",\"sent\":{stamp:019},\
         \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" window\"}},\"finish_reason\":null}}]}}\n\n"
    );
    let _written = write!(text, "{:x}\r\n{event}\r\n", event.len());
}

/// Nanoseconds since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "what is told is the real time")]
pub fn nanoseconds() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
