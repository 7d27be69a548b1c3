//! Rows about the server: its start, its memory, and a whole call over a socket.

use std::{
    convert::Infallible,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
};

use aisbreaker_benches::{
    gateway::{Calls, DUMMY_REQUEST, gateway},
    process::{Process, is_whole, resident_bytes},
};
use aisbreaker_gateway::{Limits, serve};
use http_body_util::Full;
use hyper::{body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;

use crate::{
    cpu,
    row::{Measurement, Sample},
};

const PING: &[u8] = b"GET /api/v1/ping HTTP/1.1\r\nhost: localhost\r\n\r\n";
/// Calls per sample.
const CALLS: u32 = 10_000;

pub(crate) fn rows(server: PathBuf) -> Vec<Measurement> {
    let of_the_process = of_the_process(server);
    let mut rows = vec![
        Measurement::ratio(
            "chat:dummy through process: CPU / hyper server with a constant",
            "ns",
            2.5,
            || (calls_of_the_gateway(), calls_of_a_constant()),
        )
        .noted("CPU of the server's thread, without its log"),
        Measurement::absolute(
            "resident memory, a million known clients",
            "MB",
            250.0,
            || crate::probe::sample("million-clients-megabytes"),
        )
        .rounds_at_most(1),
    ];
    rows.extend(of_the_process);
    rows
}

/// Rows about the program itself, which must have been built.
fn of_the_process(server: PathBuf) -> [Measurement; 2] {
    let (start_name, start_goal) = ("start to first answer, raw key", 30.0);
    let (memory_name, memory_goal) = ("resident memory, idle", 8.0);
    if !server.exists() {
        let note = "build it first: cargo build --release -p aisbreaker-server";
        let not_measured = |name, goal| Measurement::not_measured(name, goal, note);
        return [
            not_measured(start_name, start_goal),
            not_measured(memory_name, memory_goal),
        ];
    }
    let for_memory = server.clone();
    [
        Measurement::absolute(start_name, "ms", start_goal, move || {
            Box::new(move || start(&server).1)
        }),
        Measurement::absolute(memory_name, "MB", memory_goal, move || {
            Box::new(move || {
                let (running, _) = start(&for_memory);
                resident_bytes(running.id()) / 1e6
            })
        }),
    ]
}

/// Starts the server; with it, the milliseconds until its first answer.
#[expect(clippy::disallowed_methods, reason = "a measurement owns its clock")]
fn start(server: &Path) -> (Process, f64) {
    let begun = Instant::now();
    let (running, _log) = Process::start(server, &[]);
    let mut socket = TcpStream::connect(running.address()).expect("it accepts");
    call(&mut socket, PING);
    (running, begun.elapsed().as_secs_f64() * 1e3)
}

/// Sends a request and reads its answer, whose length is announced.
fn call(socket: &mut TcpStream, request: &[u8]) {
    socket.write_all(request).expect("it takes the request");
    let mut answer = Vec::with_capacity(4096);
    let mut piece = [0; 4096];
    loop {
        let read = socket.read(&mut piece).expect("it answers");
        assert!(read > 0, "the server closed the connection");
        answer.extend_from_slice(&piece[..read]);
        if is_whole(&answer) {
            assert!(
                answer.starts_with(b"HTTP/1.1 200"),
                "{}",
                String::from_utf8_lossy(&answer)
            );
            return;
        }
    }
}

fn calls_of_the_gateway() -> Sample {
    let (address, thread) = on_own_thread(|listener| {
        serve(
            listener,
            gateway(),
            Limits::default(),
            std::future::pending(),
        )
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    // Keys of one server open at its twin.
    let calls = runtime.block_on(Calls::new());
    let request = format!(
        "POST /api/v1/process HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{DUMMY_REQUEST}",
        calls.authorization(),
        DUMMY_REQUEST.len()
    );
    cpu_per_call(address, thread, request)
}

/// The floor: the same bytes in, as many bytes out, nothing in between.
fn calls_of_a_constant() -> Sample {
    let (address, thread) = on_own_thread(|listener| async move {
        loop {
            let (stream, _) = listener.accept().await.expect("it accepts");
            stream.set_nodelay(true).expect("it is a TCP socket");
            let service = service_fn(|_request| async {
                let answer = Full::new(Bytes::from_static(&[b'x'; 600]));
                Ok::<_, Infallible>(http::Response::new(answer))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    let request = format!(
        "POST /api/v1/process HTTP/1.1\r\nhost: localhost\r\nauthorization: {:x<1400}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{DUMMY_REQUEST}",
        "Bearer ",
        DUMMY_REQUEST.len()
    );
    cpu_per_call(address, thread, request)
}

/// Runs a server on a thread with a runtime of its own; its address, and the thread's directory in
/// `/proc`.
fn on_own_thread<F: Future>(
    server: impl FnOnce(tokio::net::TcpListener) -> F + Send + 'static,
) -> (SocketAddr, PathBuf) {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            tell.send((address, cpu::this_thread()))
                .expect("somebody waits");
            server(listener).await;
        });
    });
    told.recv().expect("the server starts")
}

fn cpu_per_call(address: SocketAddr, thread: PathBuf, request: String) -> Sample {
    let mut socket = TcpStream::connect(address).expect("it accepts");
    socket.set_nodelay(true).expect("it is a TCP socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("it is a time");
    Box::new(move || {
        let before = cpu::nanoseconds(&thread);
        (0..CALLS).for_each(|_| call(&mut socket, request.as_bytes()));
        (cpu::nanoseconds(&thread) - before) / f64::from(CALLS)
    })
}
