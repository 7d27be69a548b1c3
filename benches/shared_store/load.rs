//! Connections that call as fast as they are answered, on their own thread.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};

use aisbreaker_benches::calls;
use tokio::task::JoinSet;

/// Running calls.
pub(crate) struct Load {
    thread: JoinHandle<()>,
    calls: Arc<Mutex<Calls>>,
    is_over: Arc<AtomicBool>,
}

/// The outcomes of calls, in the order in which they ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    pub(crate) millis: Vec<f64>,
    pub(crate) errors: usize,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, key: &str, connections: usize) -> Self {
        let request: Arc<[u8]> = calls::dummy_request(key).into();
        let (calls, is_over) = (Arc::<Mutex<Calls>>::default(), Arc::<AtomicBool>::default());
        let (calls_of_thread, thread_is_over) = (Arc::clone(&calls), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let mut tasks = JoinSet::new();
                for _ in 0..connections {
                    let request = Arc::clone(&request);
                    let calls = Arc::clone(&calls_of_thread);
                    let is_over = Arc::clone(&thread_is_over);
                    tasks.spawn(async move {
                        call_repeatedly(address, &request, &calls, &is_over).await;
                    });
                }
                tasks.join_all().await;
            });
        });
        Self {
            thread,
            calls,
            is_over,
        }
    }

    pub(crate) fn so_far(&self) -> Calls {
        self.calls.lock().expect("no caller panics").clone()
    }

    pub(crate) fn end(self) -> Calls {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("no caller panics");
        Arc::try_unwrap(self.calls)
            .expect("all have ended")
            .into_inner()
            .expect("no caller panics")
    }
}

async fn call_repeatedly(
    address: SocketAddr,
    request: &[u8],
    calls: &Mutex<Calls>,
    is_over: &AtomicBool,
) {
    let mut stream = calls::connect(address).await.expect("it accepts");
    while !is_over.load(Ordering::Relaxed) {
        let started = Instant::now();
        let outcome = calls::send(&mut stream, request).await;
        let millis = started.elapsed().as_secs_f64() * 1e3;
        if outcome.is_err() {
            stream = calls::connect(address).await.expect("it accepts");
        }
        let mut calls = calls.lock().expect("no caller panics");
        calls.errors += usize::from(outcome.is_err());
        calls.millis.push(millis);
    }
}

impl Calls {
    /// Returns the calls that ended after `earlier` was taken.
    pub(crate) fn since(mut self, earlier: &Self) -> Self {
        self.millis.drain(..earlier.millis.len());
        Self {
            millis: self.millis,
            errors: self.errors - earlier.errors,
        }
    }

    /// Returns this percentile of the latencies.
    pub(crate) fn quantile(&self, percent: usize) -> f64 {
        let mut sorted = self.millis.clone();
        sorted.sort_by(f64::total_cmp);
        let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(at).copied().unwrap_or(f64::NAN)
    }
}
