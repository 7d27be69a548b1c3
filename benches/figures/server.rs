//! Rows about the server: its start, its memory, and a call over a socket.

use std::{
    convert::Infallible,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
};

use aisbreaker_benches::{
    gateway::{DUMMY_REQUEST, GatewayClient, gateway},
    process::{Process, is_complete, resident_bytes},
};
use aisbreaker_gateway::{Limits, serve};
use http_body_util::Full;
use hyper::{body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;

use crate::{
    cpu, memory,
    row::{Measurement, Sample},
};

const PING: &[u8] = b"GET /api/v1/ping HTTP/1.1\r\nhost: localhost\r\n\r\n";
/// Calls per sample.
const CALLS: u32 = 10_000;

pub(crate) fn rows(server: PathBuf) -> Vec<Measurement> {
    let process_rows = process_rows(server);
    let mut rows = vec![
        Measurement::ratio(
            "chat:dummy through process: CPU / hyper server with a constant",
            "ns",
            2.5,
            || (gateway_calls(), constant_calls()),
        )
        .noted("CPU of the server's thread, without its log"),
        Measurement::absolute(
            "resident memory, a million known clients",
            "MB",
            250.0,
            || memory::sample("million-clients-megabytes"),
        )
        .rounds_at_most(1),
    ];
    rows.extend(process_rows);
    rows
}

/// Returns the rows about the program itself, which must have been built.
fn process_rows(server: PathBuf) -> [Measurement; 2] {
    let (start_name, start_goal) = ("start to first answer, raw key", 30.0);
    let (memory_name, memory_goal) = ("resident memory, idle", 8.0);
    if !server.exists() {
        let note = "build it first: cargo build --profile dist -p aisbreaker-server";
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

/// Starts the server. Returns the milliseconds until its first response, too.
#[expect(clippy::disallowed_methods, reason = "a measurement owns its clock")]
fn start(server: &Path) -> (Process, f64) {
    let started = Instant::now();
    let (running, _log) = Process::start(server, &[]);
    let mut socket = TcpStream::connect(running.address()).expect("it accepts");
    call(&mut socket, PING);
    (running, started.elapsed().as_secs_f64() * 1e3)
}

/// Sends a request and reads the complete response.
fn call(socket: &mut TcpStream, request: &[u8]) {
    socket.write_all(request).expect("it takes the request");
    let mut response = Vec::with_capacity(4096);
    let mut buffer = [0; 4096];
    while !is_complete(&response) {
        let read = socket.read(&mut buffer).expect("it responds");
        assert!(read > 0, "the server closed the connection");
        response.extend_from_slice(&buffer[..read]);
    }
    let text = String::from_utf8_lossy(&response);
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

fn gateway_calls() -> Sample {
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
    // Both gateways have the same server key, so that its key opens at the other one.
    let client = runtime.block_on(GatewayClient::new());
    let request = format!(
        "POST /api/v1/process HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
         content-type: application/json\r\n\
         content-length: {}\r\n\r\n{DUMMY_REQUEST}",
        client.authorization(),
        DUMMY_REQUEST.len()
    );
    cpu_per_call(address, thread, request)
}

/// Measures the floor: the same bytes in, as many bytes out, and no work in between.
fn constant_calls() -> Sample {
    let (address, thread) = on_own_thread(|listener| async move {
        loop {
            let (stream, _) = listener.accept().await.expect("it accepts");
            stream.set_nodelay(true).expect("it is a TCP socket");
            let service = service_fn(|_request| async {
                let body = Full::new(Bytes::from_static(&[b'x'; 600]));
                Ok::<_, Infallible>(http::Response::new(body))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    let request = format!(
        "POST /api/v1/process HTTP/1.1\r\nhost: localhost\r\nauthorization: {:x<1400}\r\n\
         content-type: application/json\r\n\
         content-length: {}\r\n\r\n{DUMMY_REQUEST}",
        "Bearer ",
        DUMMY_REQUEST.len()
    );
    cpu_per_call(address, thread, request)
}

/// Runs a server on a new thread with its own runtime. Returns the server's address and the
/// thread's directory in `/proc`.
fn on_own_thread<F: Future>(
    server: impl FnOnce(tokio::net::TcpListener) -> F + Send + 'static,
) -> (SocketAddr, PathBuf) {
    let (sender, started) = mpsc::channel();
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
            sender
                .send((address, cpu::this_thread()))
                .expect("the caller waits");
            server(listener).await;
        });
    });
    started.recv().expect("the server starts")
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
