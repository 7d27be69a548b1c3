//! Servers that claim to have the function, and reply to its calls with something else.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use aisbreaker_quota::shared::{SharedRefusal, StoreError};

use crate::{
    oracle::number,
    support::{options_with_deadline, per_minute, start, wait_until_down},
};

/// Returns the reply to a command.
type Reply = fn(&[String]) -> Vec<u8>;

/// Starts a server with these replies and returns its address.
fn fake(reply: Reply) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    // The thread ends with the test process.
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(&stream, reply));
        }
    });
    url
}

/// Replies until the client disconnects.
fn serve(mut stream: &TcpStream, reply: Reply) -> Option<()> {
    let mut lines = BufReader::new(stream);
    let number = |lines: &mut BufReader<_>, mark: char| -> Option<usize> {
        let mut line = String::new();
        lines.read_line(&mut line).ok()?;
        line.trim_end().strip_prefix(mark)?.parse().ok()
    };
    loop {
        let mut command = Vec::new();
        for _ in 0..number(&mut lines, '*')? {
            let mut word = vec![0; number(&mut lines, '$')? + 2];
            lines.read_exact(&mut word).ok()?;
            command.push(String::from_utf8_lossy(&word[..word.len() - 2]).into_owned());
        }
        stream.write_all(&reply(&command)).ok()?;
    }
}

/// Replies to calls of the function with these bytes, and to other commands with `OK`.
fn to_calls(command: &[String], reply: &[u8]) -> Vec<u8> {
    let is_call = command
        .first()
        .is_some_and(|word| word.starts_with("FCALL"));
    if is_call {
        reply.to_vec()
    } else {
        b"+OK\r\n".to_vec()
    }
}

/// Returns why the engine does not use such a server.
async fn cause(reply: Reply) -> String {
    let options = options_with_deadline(Duration::from_millis(500));
    let engine = start(&fake(reply), options);
    let cause = wait_until_down(&engine).await;
    let result = engine.charge(&per_minute("one", 5), number(1)).await;
    assert!(matches!(result, Err(SharedRefusal::Store(_))), "{result:?}");
    cause
}

#[tokio::test]
async fn malformed_reply_to_the_probe_means_down() {
    let failed = |kind: &str| StoreError::Failed(kind.to_owned());
    let rows: [(&str, Reply, StoreError); 5] = [
        (
            "wrong type",
            |command| to_calls(command, b":5\r\n"),
            failed("it answered what nobody can read"),
        ),
        (
            "wrong parts",
            |command| to_calls(command, b"*1\r\n$3\r\nabc\r\n"),
            failed("it answered what nobody can read"),
        ),
        (
            "huge",
            |command| to_calls(command, b"$9000000000000\r\n"),
            StoreError::Timeout,
        ),
        (
            "deep",
            |command| to_calls(command, &b"*1\r\n".repeat(100_000)),
            failed("parse error"),
        ),
        (
            "cut off",
            |command| to_calls(command, b"*1\r\n$30\r\nabc"),
            StoreError::Timeout,
        ),
    ];
    for (name, reply, expected) in rows {
        assert_eq!(cause(reply).await, expected.to_string(), "{name}");
    }
}
