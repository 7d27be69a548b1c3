//! An open loop: requests are due at a fixed rate, whether the server keeps up or not, and each
//! latency counts from when its request was due, so that one slow response is not hidden by the
//! requests that it delays.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{latency::Latencies, response::Response};

/// How late the system may wake a thread, in nanoseconds.
const TIMER_SLACK_NANOS: u64 = 1_000;

/// The parameters of an open loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenLoop<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) request: &'a [u8],
    /// Requests per second.
    pub(crate) rate: f64,
    /// Connections, which send in rotation; each has its own thread.
    pub(crate) connections: u32,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
}

impl OpenLoop<'_> {
    /// Runs the loop. Returns the latencies, and how late requests were sent.
    pub(crate) fn run(self) -> (Latencies, Latencies) {
        // Leaves time for all to connect.
        let start = Instant::now() + Duration::from_millis(200);
        let (mut all, mut lateness) = (Latencies::default(), Latencies::default());
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.connections)
                .map(|number| scope.spawn(move || self.run_connection(start, number)))
                .collect();
            for thread in threads {
                let (latencies, late) = thread.join().expect("all responses are 200");
                all.add(&latencies);
                lateness.add(&late);
            }
        });
        (all, lateness)
    }

    fn run_connection(self, start: Instant, number: u32) -> (Latencies, Latencies) {
        rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(TIMER_SLACK_NANOS))
            .expect("a thread may set its timer slack");
        let mut stream = TcpStream::connect(self.address).expect("it accepts");
        stream.set_nodelay(true).expect("it is a TCP socket");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("it is a time");
        let (mut latencies, mut lateness) = (Latencies::default(), Latencies::default());
        let mut response = Response::default();
        for round in 0u32.. {
            let place = f64::from(round) * f64::from(self.connections) + f64::from(number);
            let due = Duration::from_secs_f64(place / self.rate);
            if due >= self.warm_up + self.time {
                break;
            }
            thread::sleep((start + due).saturating_duration_since(Instant::now()));
            let late = (start + due).elapsed();
            call(&mut stream, self.request, &mut response);
            if due >= self.warm_up {
                latencies.record((start + due).elapsed());
                lateness.record(late);
            }
        }
        (latencies, lateness)
    }
}

fn call(stream: &mut TcpStream, request: &[u8], response: &mut Response) {
    response.clear();
    stream.write_all(request).expect("it takes the request");
    let mut buffer = [0; 8192];
    while !response.is_complete().expect("all responses are 200") {
        let read = stream.read(&mut buffer).expect("it responds in time");
        assert!(read > 0, "the connection was closed");
        response.buffer().extend_from_slice(&buffer[..read]);
    }
}
