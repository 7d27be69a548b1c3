//! An open loop: requests are due at a fixed rate, whether the server keeps up or not, and the time
//! of each counts from when it was due, so that one slow answer is not hidden by the requests that
//! it held up.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{latency::Latencies, wire::Answer};

/// How much later than asked for the system may wake a thread, in nanoseconds.
const TIMER_SLACK: u64 = 1_000;

/// An open loop that is to be run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) request: &'a [u8],
    /// Requests per second.
    pub(crate) rate: f64,
    /// Connections, which take turns; each has a thread of its own.
    pub(crate) connections: u32,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
}

impl Schedule<'_> {
    /// Runs it; the times of the answers, and how late requests were sent.
    pub(crate) fn run(self) -> (Latencies, Latencies) {
        // All are connected by then.
        let start = Instant::now() + Duration::from_millis(200);
        let (mut all, mut lateness) = (Latencies::default(), Latencies::default());
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.connections)
                .map(|number| scope.spawn(move || self.of_one_connection(start, number)))
                .collect();
            for thread in threads {
                let (latencies, late) = thread.join().expect("all answers are good");
                all.add(&latencies);
                lateness.add(&late);
            }
        });
        (all, lateness)
    }

    fn of_one_connection(self, start: Instant, number: u32) -> (Latencies, Latencies) {
        rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(TIMER_SLACK))
            .expect("a thread may be woken in time");
        let mut stream = TcpStream::connect(self.address).expect("it accepts");
        stream.set_nodelay(true).expect("it is a TCP socket");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("it is a time");
        let (mut latencies, mut lateness) = (Latencies::default(), Latencies::default());
        let mut answer = Answer::default();
        for turn in 0u32.. {
            let place = f64::from(turn) * f64::from(self.connections) + f64::from(number);
            let due = Duration::from_secs_f64(place / self.rate);
            if due >= self.warm_up + self.time {
                break;
            }
            thread::sleep((start + due).saturating_duration_since(Instant::now()));
            let late = (start + due).elapsed();
            call(&mut stream, self.request, &mut answer);
            if due >= self.warm_up {
                latencies.note((start + due).elapsed());
                lateness.note(late);
            }
        }
        (latencies, lateness)
    }
}

fn call(stream: &mut TcpStream, request: &[u8], answer: &mut Answer) {
    answer.clear();
    stream.write_all(request).expect("it takes the request");
    let mut piece = [0; 8192];
    while !answer.is_whole().expect("all answers are good") {
        let read = stream.read(&mut piece).expect("it answers in time");
        assert!(read > 0, "the connection was closed");
        answer.buffer().extend_from_slice(&piece[..read]);
    }
}
