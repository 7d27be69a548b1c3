//! The body of a request: received within bounds, then read where that does not stop other
//! requests.

use std::{
    pin::{Pin, pin},
    sync::{Arc, LazyLock, Weak},
    time::Duration,
};

use aisbreaker_api::InvalidRequest;
use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::{
    sync::Semaphore,
    task::coop::unconstrained,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    config::Config,
    inflate::Coding,
    parse::ParseFault,
    shares::{Held, Share},
    wiped::Growing,
};

/// Longer bodies, and those with a coding, take so much time to read that it must be paid for
/// before.
const MAX_FREE_BYTES: usize = 64 << 10;
/// How long a body waits for its turn to be read.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longer bodies are parsed where they do not stop other requests.
const MAX_INLINE_BYTES: usize = 1 << 20;
/// How fast a body must come on average, once it has had the time of the longest pause: a client
/// that sends a byte now and then would stay forever.
const MIN_BYTES_PER_SECOND: u64 = 1_024;
/// Work that takes its time runs on so many threads at once that a processor is left for requests,
/// if there are several.
static WORKERS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(processors.saturating_sub(1).max(1)))
});
/// How long the rest of a body that is too large is read. Many clients look for the answer only
/// when they have sent everything.
const DISCARD_TIME: Duration = Duration::from_secs(3);

/// A body that has come whole, and what it holds of the budget.
#[derive(Debug)]
pub(crate) struct Received {
    coding: Coding,
    body: Wire,
    held: Held,
    limit: usize,
}

/// Bytes as they came, which may hold secrets.
struct Wire(Bytes);

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Received {
    /// Receives a body that comes steadily and within the limit.
    pub(crate) async fn receive<B: Body<Data = Bytes>>(
        body: B,
        coding: Coding,
        expects_to_be_told: bool,
        config: &Config,
        share: &Arc<Share>,
    ) -> Result<Self, ParseFault> {
        let mut held = share.held();
        let body = collect(body, config, expects_to_be_told, &mut held).await?;
        Ok(Self {
            coding,
            body: Wire(body),
            held,
            limit: config.max_body_bytes,
        })
    }

    /// Whether reading it takes more than a moment.
    pub(crate) fn is_costly(&self) -> bool {
        self.coding != Coding::Identity || self.body.0.len() > MAX_FREE_BYTES
    }

    /// Whether nothing came.
    pub(crate) fn is_empty(&self) -> bool {
        self.body.0.is_empty()
    }

    /// Whether it came with a coding.
    pub(crate) fn is_coded(&self) -> bool {
        self.coding != Coding::Identity
    }

    /// What `parse` makes of it, and what it holds of the budget.
    pub(crate) async fn parsed<T: Send + 'static>(
        self,
        parse: impl FnOnce(&Bytes) -> Result<T, InvalidRequest> + Send + 'static,
    ) -> Result<(T, Held), ParseFault> {
        let Self {
            coding,
            body: Wire(mut body),
            mut held,
            limit,
        } = self;
        if coding == Coding::Identity && body.len() <= MAX_INLINE_BYTES {
            return Ok((parse(&body)?, held));
        }
        off_the_runtime(move |wanted| {
            if coding != Coding::Identity {
                let coded = body.len();
                body = coding.decode(body, limit, |inflated| {
                    wanted.check()?;
                    Ok(held.hold(inflated.saturating_add(coded))?)
                })?;
                held.hold(body.len())?;
            }
            Ok((parse(&body)?, held))
        })
        .await
    }
}

/// Tells work off the runtime whether somebody still waits for it.
struct Wanted(Weak<()>);

impl Wanted {
    fn check(&self) -> Result<(), ParseFault> {
        if self.0.strong_count() > 0 {
            Ok(())
        } else {
            Err(ParseFault::Cut)
        }
    }
}

/// Does what may take a tenth of a second where it does not stop other requests. The work keeps its
/// place and all it holds until it is done, also if its request is not there any more.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce(&Wanted) -> Result<T, ParseFault> + Send + 'static,
) -> Result<T, ParseFault> {
    let place = timeout(PATIENCE, Arc::clone(&WORKERS).acquire_owned()).await;
    // Never closed, so that it is only the time that can be over.
    let place = place.ok().and_then(Result::ok).ok_or(ParseFault::Busy)?;
    let waiting = Arc::new(());
    let wanted = Wanted(Arc::downgrade(&waiting));
    let outcome = tokio::task::spawn_blocking(move || {
        let outcome = wanted.check().and_then(|()| work(&wanted));
        drop(place);
        outcome
    });
    let outcome = outcome.await;
    drop(waiting);
    match outcome {
        Ok(outcome) => outcome,
        // Goes on here, where all panics become answers.
        Err(stopped) if stopped.is_panic() => std::panic::resume_unwind(stopped.into_panic()),
        Err(_stopped) => Err(ParseFault::Cut),
    }
}

/// Reads a body that comes steadily and within the limit. One that came in one piece is not copied.
async fn collect<B: Body<Data = Bytes>>(
    body: B,
    config: &Config,
    expects_to_be_told: bool,
    held: &mut Held,
) -> Result<Bytes, ParseFault> {
    let limit = config.max_body_bytes;
    let mut body = pin!(body);
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        if !expects_to_be_told {
            discard(body).await;
        }
        return Err(ParseFault::TooLarge { limit });
    }
    let mut first = Bytes::new();
    let mut all = Growing::default();
    let mut pace = Pace::begin(config.body_timeout);
    // A client that sends as fast as it can, but nothing of a body, uses up what its connection's
    // task may do before it has to wait, which the clock must not depend on.
    while let Some(frame) = unconstrained(timeout_at(pace.deadline, body.frame()))
        .await
        .map_err(|_elapsed| ParseFault::Slow)?
    {
        let Ok(data) = frame.map_err(|_broken| ParseFault::Cut)?.into_data() else {
            continue;
        };
        pace.received(data.len());
        let length = first.len().max(all.len()).saturating_add(data.len());
        let fits = if length > limit {
            Err(ParseFault::TooLarge { limit })
        } else {
            held.hold(length).map_err(ParseFault::from)
        };
        if let Err(fault) = fits {
            drop((first, all));
            held.release();
            discard(body).await;
            return Err(fault);
        }
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            all.extend(&std::mem::take(&mut first));
            all.extend(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

/// Until when the next piece of a body must come: after the longest pause at the latest, and
/// earlier if what came of late was less than it should be on average. Being fast at first gives no
/// more time later.
struct Pace {
    longest_pause: Duration,
    deadline: Instant,
}

impl Pace {
    fn begin(longest_pause: Duration) -> Self {
        Self {
            longest_pause,
            deadline: Instant::now() + longest_pause,
        }
    }

    fn received(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        // Pieces can be as short as a byte, so that thousandths of a second would be too coarse.
        let time = Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / MIN_BYTES_PER_SECOND);
        self.deadline = (self.deadline + time).min(Instant::now() + self.longest_pause);
    }
}

/// Reads on and forgets, for a bounded time.
async fn discard<B: Body<Data = Bytes>>(mut body: Pin<&mut B>) {
    let all = async { while let Some(Ok(_frame)) = body.frame().await {} };
    let _in_time = unconstrained(timeout(DISCARD_TIME, all)).await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use aisbreaker_token::{KeyRing, ServerKey};
    use futures_util::{Stream, StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;
    use crate::shares::Shares;

    /// A body of so many pieces of a length, with a pause before each of them.
    fn pieces(
        count: usize,
        length: usize,
        pause: Duration,
    ) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
        stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok(Frame::data(Bytes::from(vec![b'x'; length])))
        })
    }

    async fn read(
        pieces: impl Stream<Item = Result<Frame<Bytes>, Infallible>>,
    ) -> (Result<usize, ParseFault>, u64) {
        let body = StreamBody::new(Box::pin(pieces));
        let config = Config::new(KeyRing::new(ServerKey::from_bytes([7; 32])));
        let begun = Instant::now();
        let collected = collect(
            body,
            &config,
            false,
            &mut Shares::new(config.budget.clone(), usize::MAX)
                .of([192, 0, 2, 1].into())
                .held(),
        )
        .await;
        (collected.map(|body| body.len()), begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_must_not_pause_nor_trickle() {
        let seconds = Duration::from_secs;
        let (paused, after) = read(pieces(2, 1_000_000, seconds(61))).await;
        assert!(
            matches!(paused, Err(ParseFault::Slow)) && after == 60,
            "a pause: {paused:?} after {after} s"
        );

        let (trickled, after) = read(pieces(1_000_000, 1, seconds(1))).await;
        assert!(
            matches!(trickled, Err(ParseFault::Slow)) && after == 60,
            "a trickle: {trickled:?} after {after} s"
        );

        // All but the end at once, and then a trickle.
        let (hogged, after) =
            read(pieces(1, 8 << 20, Duration::ZERO).chain(pieces(1_000, 1, seconds(1)))).await;
        assert!(
            matches!(hogged, Err(ParseFault::Slow)) && after == 60,
            "a hog: {hogged:?} after {after} s"
        );

        // Two kilobytes a second, for five minutes.
        let (slow, after) = read(pieces(30, 20_480, seconds(10))).await;
        assert_eq!(slow.unwrap(), 30 * 20_480);
        assert_eq!(after, 300);

        // As fast, in pieces of a byte.
        let (fine, after) = read(pieces(200_000, 1, Duration::from_micros(500))).await;
        assert!(
            matches!(fine, Ok(200_000)),
            "in pieces of a byte: {fine:?} after {after} s"
        );
    }

    #[tokio::test]
    async fn a_panic_off_the_runtime_goes_on_in_the_request() {
        let work = tokio::spawn(off_the_runtime(|_| -> Result<(), ParseFault> {
            panic!("what it says")
        }));

        assert!(work.await.unwrap_err().is_panic());
    }
}
