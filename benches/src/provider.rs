//! A provider that costs little: it reads requests and replies with prepared bytes, as one JSON
//! body or as a stream of events.

use std::{
    fmt::Write as _,
    io,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use clap::Args;
use memchr::memmem::Finder;
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
    let mut events = String::new();
    let json_response = json_response();
    loop {
        while let Some(length) = request_length(&received) {
            received.drain(..length);
            if reply.chunks == 0 {
                stream.write_all(json_response.as_bytes()).await?;
            } else {
                stream_events(&mut stream, reply, &mut events).await?;
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
    static HEAD_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));
    let head_length = HEAD_END.find(received)? + 4;
    let length = head_length + content_length(received.get(..head_length)?);
    (received.len() >= length).then_some(length)
}

/// Returns the length of the body that a head announces.
fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length:";
    let value = memchr::memchr_iter(b'\n', head).find_map(|line_end| {
        let (name, rest) = head.get(line_end + 1..)?.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME)
            .then_some(rest.trim_ascii_start())
    });
    let digits = value.unwrap_or_default().iter();
    digits
        .map_while(|byte| char::from(*byte).to_digit(10))
        .fold(0, |length, digit| 10 * length + digit as usize)
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

/// Replies with events, whose text is written to an empty buffer before it is sent.
async fn stream_events(
    stream: &mut (impl AsyncWrite + Unpin),
    reply: ReplyOptions,
    text: &mut String,
) -> io::Result<()> {
    text.push_str("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n");
    text.push_str(FIELDS);
    text.push_str("transfer-encoding: chunked\r\n\r\n");
    let started = Instant::now();
    for number in 0..reply.chunks {
        if number > 0 && reply.pause_millis > 0 {
            sleep_until(started + Duration::from_millis(reply.pause_millis) * number).await;
        }
        write_event(text);
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
    const BEFORE_STAMP: &str =
        r#"data: {"id":"chatcmpl-0123456789","object":"chat.completion.chunk","sent":"#;
    const STAMP_LEN: usize = 19;
    const AFTER_STAMP: &str = concat!(
        r#","choices":[{"index":0,"delta":{"content":" window"},"finish_reason":null}]}"#,
        "\n\n"
    );
    static LENGTH: LazyLock<String> = LazyLock::new(|| {
        let length = BEFORE_STAMP.len() + STAMP_LEN + AFTER_STAMP.len();
        format!("{length:x}\r\n")
    });
    text.push_str(&LENGTH);
    text.push_str(BEFORE_STAMP);
    let _written = write!(text, "{:0STAMP_LEN$}", nanoseconds());
    text.push_str(AFTER_STAMP);
    text.push_str("\r\n");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_long_as_its_head_says() {
        let rows: [(&str, Option<usize>); 7] = [
            ("", None),
            ("GET / HTTP/1.1\r\nhost: a\r\n", None),
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\nGET", Some(27)),
            ("POST / HTTP/1.1\r\ncontent-length: 12\r\n\r\n", None),
            (
                "POST / HTTP/1.1\r\nContent-Length:3 \r\na: b\r\n\r\nabcdef",
                Some(47),
            ),
            (
                "POST / HTTP/1.1\r\nx-content-length: 9\r\ncontent-length: 3\r\n\r\nabc",
                Some(62),
            ),
            ("POST / HTTP/1.1\r\ncontent-length:\r\n\r\n", Some(36)),
        ];
        for (received, expected) in rows {
            assert_eq!(request_length(received.as_bytes()), expected, "{received}");
        }
    }

    #[test]
    fn an_event_is_one_chunk_with_its_stamp() {
        let mut text = String::new();
        write_event(&mut text);
        let (length, chunk) = text.split_once("\r\n").expect("a length");
        let event = chunk.strip_suffix("\r\n").expect("a whole chunk");
        assert_eq!(usize::from_str_radix(length, 16), Ok(event.len()));
        assert!(event.contains(str::from_utf8(STAMP).expect("it is text")));
        let json = event.strip_prefix("data: ").expect("an event");
        let json: serde_json::Value = serde_json::from_str(json).expect("it is JSON");
        assert!(json["sent"].as_u64() > Some(1_700_000_000_000_000_000));
    }
}
