//! The well-behaved client: an open loop with a fixed rate of calls. Latency counts from when a
//! call is due; the timer has a resolution of a millisecond, which is included in all figures.

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

/// Calls per second.
const RATE: u32 = 200;
/// The number of kept connections.
const KEPT: usize = 8;
/// Every such call uses a fresh connection.
const FRESH_EVERY: usize = 20;
/// A call that takes longer has failed.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The outcomes of calls.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Milliseconds from when a call was due until its response was complete, sorted.
    pub(crate) millis: Vec<f64>,
    pub(crate) errors: usize,
}

impl Calls {
    /// Returns the latency that `part` of every `of` calls do not exceed.
    pub(crate) fn quantile(&self, part: usize, of: usize) -> f64 {
        let at = (self.millis.len() * part / of).min(self.millis.len().saturating_sub(1));
        self.millis.get(at).copied().unwrap_or(f64::NAN)
    }
}

/// A client with its kept connections.
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

    /// Makes calls for this long.
    pub(crate) async fn call_for(&self, time: Duration) -> Calls {
        let count = usize::try_from(u64::from(RATE) * time.as_secs()).expect("a few thousand");
        let started = Instant::now();
        let mut calls = JoinSet::new();
        for number in 0..count {
            let due = started
                + time * u32::try_from(number).expect("a few")
                    / u32::try_from(count).expect("a few");
            sleep_until(due.into()).await;
            let client = self.clone();
            calls.spawn(async move {
                match timeout(CALL_TIMEOUT, client.call(number)).await {
                    Ok(Ok(())) => Some(due.elapsed().as_secs_f64() * 1e3),
                    Ok(Err(_)) | Err(_) => None,
                }
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
        if number.is_multiple_of(FRESH_EVERY) {
            return send(&mut connect(self.address).await?, &self.request).await;
        }
        let mut kept = self.kept[number % KEPT].lock().await;
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => connect(self.address).await?,
        };
        send(&mut stream, &self.request).await?;
        *kept = Some(stream);
        Ok(())
    }
}
