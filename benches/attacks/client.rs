//! The well-behaved client: so many calls a second, whatever becomes of those before (an open
//! loop). A call begins when it is due, not when the client gets round to it; its clock beats once
//! a millisecond, which is in all figures.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use aisbreaker_benches::calls::{connect, send};
use tokio::{
    net::TcpStream,
    sync::Mutex,
    task::JoinSet,
    time::{sleep_until, timeout},
};

use crate::{requests, target::Target};

/// Calls a second.
const RATE: u32 = 200;
/// Connections that are kept.
const KEPT: usize = 8;
/// Every so many calls are on a fresh connection.
const FRESH: usize = 20;
/// A call that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// How calls of some seconds went.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Milliseconds from when a call was to begin until its whole answer was there, sorted.
    pub(crate) millis: Vec<f64>,
    pub(crate) errors: usize,
}

impl Calls {
    /// The latency that this part of the calls does not exceed.
    pub(crate) fn quantile(&self, part: usize, of: usize) -> f64 {
        let at = (self.millis.len() * part / of).min(self.millis.len().saturating_sub(1));
        self.millis.get(at).copied().unwrap_or(f64::NAN)
    }
}

/// The connections of a client that are kept.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    request: Arc<[u8]>,
    kept: Arc<[Mutex<Option<TcpStream>>]>,
}

impl Client {
    pub(crate) fn new(target: &Target) -> Self {
        let kept = (0..KEPT).map(|_| Mutex::new(None)).collect();
        Self {
            address: target.address,
            request: requests::dummy(target).into(),
            kept,
        }
    }

    /// Calls for this long.
    pub(crate) async fn call_for(&self, time: Duration) -> Calls {
        let count = usize::try_from(u64::from(RATE) * time.as_secs()).expect("a few thousand");
        let begin = Instant::now();
        let mut calls = JoinSet::new();
        for number in 0..count {
            let due = begin
                + time * u32::try_from(number).expect("a few")
                    / u32::try_from(count).expect("a few");
            sleep_until(due.into()).await;
            let client = self.clone();
            calls.spawn(async move {
                let answered = timeout(PATIENCE, client.call(number)).await;
                answered
                    .is_ok_and(|answered| answered.is_ok())
                    .then(|| due.elapsed().as_secs_f64() * 1e3)
            });
        }
        let outcomes = calls.join_all().await;
        let mut millis: Vec<f64> = outcomes.iter().copied().flatten().collect();
        millis.sort_by(f64::total_cmp);
        Calls {
            errors: outcomes.len() - millis.len(),
            millis,
        }
    }

    async fn call(&self, number: usize) -> io::Result<()> {
        if number.is_multiple_of(FRESH) {
            return answered(&mut connect(self.address).await?, &self.request).await;
        }
        let mut kept = self.kept[number % KEPT].lock().await;
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => connect(self.address).await?,
        };
        answered(&mut stream, &self.request).await?;
        *kept = Some(stream);
        Ok(())
    }
}
