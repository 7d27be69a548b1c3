//! A closed loop: each connection sends its next request when it has the answer to the last one, so
//! that the server is always as busy as it can be.

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

use crate::{latency::Latencies, wire::Answer};

/// A closed loop that is to be run.
pub(crate) struct Loop<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) request: &'a [u8],
    /// Makes each request another one, by its number.
    pub(crate) number: Option<Number>,
    pub(crate) first_number: u64,
    pub(crate) connections: usize,
    /// How many calls may be under way.
    pub(crate) most_under_way: usize,
    pub(crate) warm_up: Duration,
    /// How long it is measured, unless so many calls are done before.
    pub(crate) time: Duration,
    pub(crate) most_calls: u64,
}

/// Writes a number into a request.
pub(crate) type Number = fn(&mut [u8], u64);

/// What came of it while it was measured.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) seconds: f64,
    pub(crate) answers: u64,
    pub(crate) chunks: u64,
    pub(crate) latencies: Latencies,
    pub(crate) first_bytes: Latencies,
    /// How long chunks were on their way.
    pub(crate) chunk_delays: Latencies,
}

#[derive(Default)]
struct Tally {
    is_counting: Cell<bool>,
    is_over: Cell<bool>,
    begun: Cell<u64>,
    outcome: RefCell<Outcome>,
}

impl Loop<'_> {
    /// Runs it on this thread; `look` is called when the measured time begins and when it ends.
    pub(crate) fn run(&self, mut look: impl FnMut()) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let tally = Rc::new(Tally::default());
        LocalSet::new().block_on(&runtime, async {
            let turns = Rc::new(Semaphore::new(self.most_under_way));
            let mut tasks = Vec::with_capacity(self.connections);
            for _ in 0..self.connections {
                let stream = connect(self.address).await.expect("it accepts");
                let (tally, turns) = (Rc::clone(&tally), Rc::clone(&turns));
                let mut requests = Requests {
                    bytes: self.request.to_vec(),
                    number: self.number,
                    first: self.first_number,
                };
                let most = self.most_calls;
                tasks.push(tokio::task::spawn_local(async move {
                    call_again(stream, &mut requests, most, &tally, &turns).await
                }));
            }
            tokio::time::sleep(self.warm_up).await;
            look();
            tally.is_counting.set(true);
            let begun = Instant::now();
            while begun.elapsed() < self.time && tally.begun.get() < self.most_calls {
                tokio::time::sleep(Duration::from_millis(10).min(self.time - begun.elapsed()))
                    .await;
            }
            tally.is_counting.set(false);
            tally.outcome.borrow_mut().seconds = begun.elapsed().as_secs_f64();
            look();
            tally.is_over.set(true);
            // A fault of a connection is one of the measurement. The others may be in the middle of
            // a long stream.
            for task in tasks {
                if task.is_finished() {
                    task.await
                        .expect("it does not panic")
                        .expect("all answers are good");
                } else {
                    task.abort();
                }
            }
        });
        tally.outcome.take()
    }
}

struct Requests {
    bytes: Vec<u8>,
    number: Option<Number>,
    first: u64,
}

async fn call_again(
    mut stream: TcpStream,
    requests: &mut Requests,
    most: u64,
    tally: &Tally,
    turns: &Semaphore,
) -> io::Result<()> {
    let mut answer = Answer::default();
    while !tally.is_over.get() && tally.begun.get() < most {
        let turn = turns.acquire().await.expect("it is never closed");
        if let Some(number) = requests.number {
            number(&mut requests.bytes, requests.first + tally.begun.get());
        }
        tally.begun.set(tally.begun.get() + 1);
        answered(&mut stream, &requests.bytes, &mut answer, tally).await?;
        drop(turn);
    }
    Ok(())
}

async fn answered(
    stream: &mut TcpStream,
    request: &[u8],
    answer: &mut Answer,
    tally: &Tally,
) -> io::Result<()> {
    answer.clear();
    let begun = Instant::now();
    stream.write_all(request).await?;
    let mut has_begun = false;
    loop {
        if stream.read_buf(answer.buffer()).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let is_whole = answer.is_whole().map_err(io::Error::other)?;
        let mut outcome = tally.outcome.borrow_mut();
        let is_first = !has_begun && answer.has_begun();
        has_begun |= is_first;
        if !tally.is_counting.get() {
            answer.stamps(|_| {});
        } else {
            if is_first {
                outcome.first_bytes.note(begun.elapsed());
            }
            let now = provider::nanoseconds();
            answer.stamps(|sent| {
                outcome.chunks += 1;
                outcome
                    .chunk_delays
                    .note(Duration::from_nanos(now.saturating_sub(sent)));
            });
        }
        if is_whole {
            if tally.is_counting.get() {
                outcome.latencies.note(begun.elapsed());
                outcome.answers += 1;
            }
            return Ok(());
        }
    }
}
