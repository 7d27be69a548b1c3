//! Servers that know the function, as they say, and answer calls of it with something else.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use aisbreaker_quota::shared::{SharedRefusal, StoreError};

use crate::{number, options, start, store::per_minute};

/// What an impostor answers to a command.
type Answer = fn(&[String]) -> Vec<u8>;

/// The address of a server that answers like this.
fn impostor(answer: Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    // It ends with the process of the tests.
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(&stream, answer));
        }
    });
    url
}

/// Answers until the client is gone.
fn serve(mut stream: &TcpStream, answer: Answer) -> Option<()> {
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
        stream.write_all(&answer(&command)).ok()?;
    }
}

/// What anything but our own calls is answered.
fn polite(command: &[String], ours: &[u8]) -> Vec<u8> {
    let is_ours = command
        .first()
        .is_some_and(|word| word.starts_with("FCALL"));
    if is_ours {
        ours.to_vec()
    } else {
        b"+OK\r\n".to_vec()
    }
}

/// Why such a server is not used.
async fn cause(answer: Answer) -> String {
    let mut options = options();
    options.deadline = Duration::from_millis(500);
    let engine = start(&impostor(answer), options);
    let cause = crate::cause(&engine).await;
    let charged = engine.charge(&per_minute("one", 5), number(1)).await;
    assert!(
        matches!(charged, Err(SharedRefusal::Store(_))),
        "{charged:?}"
    );
    cause
}

#[tokio::test]
async fn store_that_answers_the_probe_with_anything_else_is_down() {
    let failed = |kind: &str| StoreError::Failed(kind.to_owned());
    let rows: [(&str, Answer, StoreError); 5] = [
        (
            "wrong type",
            |command| polite(command, b":5\r\n"),
            failed("it answered what nobody can read"),
        ),
        (
            "wrong parts",
            |command| polite(command, b"*1\r\n$3\r\nabc\r\n"),
            failed("it answered what nobody can read"),
        ),
        (
            "huge",
            |command| polite(command, b"$9000000000000\r\n"),
            StoreError::Timeout,
        ),
        (
            "deep",
            |command| polite(command, &b"*1\r\n".repeat(100_000)),
            failed("parse error"),
        ),
        (
            "cut off",
            |command| polite(command, b"*1\r\n$30\r\nabc"),
            StoreError::Timeout,
        ),
    ];
    for (name, answer, expected) in rows {
        assert_eq!(cause(answer).await, expected.to_string(), "{name}");
    }
}
