//! A closed loop: each connection sends its next request once the last one is answered, so that the
//! server is always as busy as it can be.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use aisbreaker_benches::{calls::connect, provider};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    task::LocalSet,
};

use crate::{latency::Latencies, response::Response};

/// The parameters of a closed loop.
pub(crate) struct ClosedLoop<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) request: &'a [u8],
    /// Makes each request a different one, by its number.
    pub(crate) write_number: Option<WriteNumber>,
    pub(crate) first_number: u64,
    pub(crate) connections: usize,
    /// How many calls may be in flight.
    pub(crate) max_in_flight: usize,
    pub(crate) warm_up: Duration,
    /// How long it is measured, unless `max_calls` are done before.
    pub(crate) time: Duration,
    pub(crate) max_calls: u64,
}

/// Writes a number into a request.
pub(crate) type WriteNumber = fn(&mut [u8], u64);

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct LoopResult {
    pub(crate) seconds: f64,
    pub(crate) answers: u64,
    pub(crate) chunks: u64,
    pub(crate) latencies: Latencies,
    pub(crate) first_bytes: Latencies,
    /// Times from the write of a chunk by the provider to its read here.
    pub(crate) chunk_delays: Latencies,
}

#[derive(Default)]
struct Tally {
    is_counting: Cell<bool>,
    is_over: Cell<bool>,
    calls_started: Cell<u64>,
    result: RefCell<LoopResult>,
}

impl ClosedLoop<'_> {
    /// Runs the loop on this thread. Calls `observe` when the measured time begins and when it
    /// ends.
    pub(crate) fn run(&self, mut observe: impl FnMut()) -> LoopResult {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let tally = Rc::new(Tally::default());
        LocalSet::new().block_on(&runtime, async {
            let permits = Rc::new(Semaphore::new(self.max_in_flight));
            let mut tasks = Vec::with_capacity(self.connections);
            for _ in 0..self.connections {
                let stream = connect(self.address).await.expect("it accepts");
                let (tally, permits) = (Rc::clone(&tally), Rc::clone(&permits));
                let mut requests = Requests {
                    bytes: self.request.to_vec(),
                    write_number: self.write_number,
                    first: self.first_number,
                };
                let max_calls = self.max_calls;
                tasks.push(tokio::task::spawn_local(async move {
                    call_repeatedly(stream, &mut requests, max_calls, &tally, &permits).await
                }));
            }
            tokio::time::sleep(self.warm_up).await;
            observe();
            tally.is_counting.set(true);
            let started = Instant::now();
            while started.elapsed() < self.time && tally.calls_started.get() < self.max_calls {
                tokio::time::sleep(Duration::from_millis(10).min(self.time - started.elapsed()))
                    .await;
            }
            tally.is_counting.set(false);
            tally.result.borrow_mut().seconds = started.elapsed().as_secs_f64();
            observe();
            tally.is_over.set(true);
            // A failed connection fails the measurement. One that still runs may be in the middle
            // of a long stream.
            for task in tasks {
                if task.is_finished() {
                    task.await
                        .expect("it does not panic")
                        .expect("all responses are 200");
                } else {
                    task.abort();
                }
            }
        });
        tally.result.take()
    }
}

struct Requests {
    bytes: Vec<u8>,
    write_number: Option<WriteNumber>,
    first: u64,
}

async fn call_repeatedly(
    mut stream: TcpStream,
    requests: &mut Requests,
    max_calls: u64,
    tally: &Tally,
    permits: &Semaphore,
) -> io::Result<()> {
    let mut response = Response::default();
    while !tally.is_over.get() && tally.calls_started.get() < max_calls {
        let permit = permits.acquire().await.expect("it is never closed");
        let number = tally.calls_started.get();
        if let Some(write_number) = requests.write_number {
            write_number(&mut requests.bytes, requests.first + number);
        }
        tally.calls_started.set(number + 1);
        call(&mut stream, &requests.bytes, &mut response, tally).await?;
        drop(permit);
    }
    Ok(())
}

async fn call(
    stream: &mut TcpStream,
    request: &[u8],
    response: &mut Response,
    tally: &Tally,
) -> io::Result<()> {
    response.clear();
    let started = Instant::now();
    stream.write_all(request).await?;
    let mut had_body = false;
    loop {
        if stream.read_buf(response.buffer()).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let is_complete = response.is_complete().map_err(io::Error::other)?;
        let is_first_byte = !had_body && response.has_body();
        had_body |= is_first_byte;
        if tally.is_counting.get() {
            let mut result = tally.result.borrow_mut();
            if is_first_byte {
                result.first_bytes.record(started.elapsed());
            }
            let now = provider::nanoseconds();
            response.take_stamps(|sent| {
                result.chunks += 1;
                let delay = Duration::from_nanos(now.saturating_sub(sent));
                result.chunk_delays.record(delay);
            });
            if is_complete {
                result.latencies.record(started.elapsed());
                result.answers += 1;
            }
        } else {
            response.take_stamps(|_| {});
        }
        if is_complete {
            return Ok(());
        }
    }
}
