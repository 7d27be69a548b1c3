//! Clients that send or hold as much as they can: what they cost is bounded, and others are served
//! meanwhile.

mod crowds;
mod http1;
mod http2;

use std::{
    io::{ErrorKind, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::support::{PATIENCE, Request, Server, call, service};

const MIB: usize = 1 << 20;

/// Attacks a server while a well-behaved client is answered all the time, on connections of its
/// own.
fn with_others_served<T>(row: &str, server: &Server, attack: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    let requests = [
        Request::process(&call(service("chat:dummy"), "Hi")),
        Request::get("/api/v1/ping"),
    ];
    std::thread::scope(|scope| {
        let served = scope.spawn(|| {
            let (mut answered, mut cut) = (0, 0);
            loop {
                let was_over = is_over.load(Ordering::SeqCst);
                for request in &requests {
                    let mut connection = server.connect();
                    connection.write(&request.to_bytes());
                    match connection.status_or_end() {
                        Some(status) => {
                            assert_eq!(status, 200, "{row}");
                            answered += 1;
                        }
                        // Where the machine is so busy that the request comes after a short header
                        // timeout.
                        None => cut += 1,
                    }
                }
                if was_over && answered > cut {
                    return;
                }
                assert!(!was_over, "{row}: {answered} requests answered, {cut} not");
            }
        });
        let over = Over(&is_over);
        let outcome = attack();
        drop(over);
        served.join().unwrap();
        outcome
    })
}

/// Ends the well-behaved client, even when the attack fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Writes a piece again and again until the server closes the connection, which it must do, or it
/// `is_enough`.
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

/// Panics if the server ever had this much more memory than before.
#[track_caller]
fn assert_grown_less(row: &str, server: &Server, before: usize, bytes: usize) {
    let grown = server.peak_memory().saturating_sub(before);
    println!("{row}: the server grew by {} KiB at most", grown >> 10);
    assert!(grown < bytes, "{row}: the server grew by {grown} bytes");
}

/// Waits until the server has as few files and sockets open as before.
fn wait_for_files(server: &Server, before: usize) {
    // Each question is a connection of its own, which may be open for a moment longer.
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
