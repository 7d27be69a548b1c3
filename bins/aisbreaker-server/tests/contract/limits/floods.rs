//! Clients that send or hold as much as they can: what they cost is bounded, and others are served
//! meanwhile.

mod connections;
mod http1;
mod http2;

use std::{
    io::{ErrorKind, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
};

use super::MIB;
use crate::support::{PATIENCE, Request, Server, dummy_call};

/// Runs an attack while a well-behaved client, which uses a new connection per request, must be
/// served.
fn with_others_served<T>(row: &str, server: &Server, attack: impl FnOnce() -> T) -> T {
    let is_finished = AtomicBool::new(false);
    let requests = [
        Request::process(&dummy_call()),
        Request::get("/api/v1/ping"),
    ];
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let (mut served, mut closed) = (0, 0);
            loop {
                let was_finished = is_finished.load(Ordering::SeqCst);
                for request in &requests {
                    let mut connection = server.connect();
                    connection.write(&request.to_bytes());
                    match connection.status_or_end() {
                        Some(status) => {
                            assert_eq!(status, 200, "{row}");
                            served += 1;
                        }
                        // On a busy machine, a request may arrive after a short header timeout.
                        None => closed += 1,
                    }
                }
                if was_finished && served > closed {
                    return;
                }
                assert!(
                    !was_finished,
                    "{row}: {served} requests served, {closed} not"
                );
            }
        });
        let finish = FinishOnDrop(&is_finished);
        let outcome = attack();
        drop(finish);
        client.join().unwrap();
        outcome
    })
}

/// Stops the well-behaved client, even when the attack panics.
struct FinishOnDrop<'a>(&'a AtomicBool);

impl Drop for FinishOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Repeats a piece until the server closes the connection, which it must do, or until `is_enough`.
fn write_until_closed(mut stream: &TcpStream, piece: &[u8], is_enough: impl Fn() -> bool) {
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    while !is_enough() {
        if let Err(error) = stream.write_all(piece) {
            assert_ne!(
                error.kind(),
                ErrorKind::WouldBlock,
                "the server neither takes more nor closes"
            );
            return;
        }
    }
}

/// Asserts that the peak memory of the server has grown by less than this since `before`.
#[track_caller]
fn assert_growth_below(row: &str, server: &Server, before: usize, limit: usize) {
    let grown = server.peak_memory().saturating_sub(before);
    println!("{row}: the server grew by {} KiB at most", grown >> 10);
    assert!(grown < limit, "{row}: the server grew by {grown} bytes");
}

/// Waits until the server has no more files and sockets open than before.
fn wait_for_files(server: &Server, before: usize) {
    // The connection of the last probe may be open for a moment longer.
    wait_until_files(server, |files| files <= before + 1);
}

fn wait_until_files(server: &Server, is_it: impl Fn(usize) -> bool) {
    let mut files = 0;
    for _ in 0..20_000 {
        let mut connection = server.connect();
        connection.write(&Request::get("/api/v1/ping").to_bytes());
        connection.status_or_end();
        files = server.open_files();
        if is_it(files) {
            return;
        }
    }
    panic!("{files} files are open");
}
