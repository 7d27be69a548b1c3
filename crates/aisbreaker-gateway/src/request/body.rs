//! The content of a request: received within bounds of time and memory, then parsed where that does
//! not stall other requests.

use std::{
    fmt,
    future::{Future as _, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, LazyLock, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::{
    sync::Semaphore,
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep_until, timeout},
};

use crate::{
    clock::FAR,
    memory::{ClientMemory, MemoryHold},
    request::{
        error::RequestError,
        head::{Content, ContentFormat},
        inflate::ContentCoding,
        secret_buffer::SecretBuffer,
    },
};

/// The largest content that is cheap to parse. Anything larger, or with a content coding, is
/// charged to the quotas before it is parsed.
const MAX_CHEAP_BYTES: usize = 64 << 10;
/// The largest form in bytes: one of many short parameters takes many times its length.
const MAX_FORM_BYTES: usize = 256 << 10;
/// How much longer content may be by its coding, apart from a part of its length: the headers of
/// gzip, with a file name.
const MAX_CODING_OVERHEAD: usize = 1_024;
/// The largest content that is parsed on a thread of the runtime.
const MAX_INLINE_BYTES: usize = 1 << 20;
/// How long content waits for a worker.
const WORKER_TIMEOUT: Duration = Duration::from_secs(10);
/// The minimum average rate of content, so that a client which sends a byte now and then does not
/// stay forever.
const MIN_BYTES_PER_SECOND: u64 = 1_024;
/// Parses and inflates large content, on at most as many threads as leave a processor to the
/// runtime.
static WORKERS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(processors.saturating_sub(1).max(1)))
});
/// The bounds of content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    /// The largest content in bytes, after decoding.
    pub(crate) max_bytes: usize,
    /// The largest content in bytes that is passed on as it arrives.
    pub(crate) max_upload_bytes: usize,
    /// The longest pause.
    pub(crate) timeout: Duration,
}

/// The largest content of one request in bytes, after decoding, and whose limit that is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SizeLimit {
    OfServer(usize),
    OfKey(usize),
}

impl SizeLimit {
    /// Returns the smaller one of the server's and the key's limit.
    pub(super) fn of(server: usize, key: Option<u64>) -> Self {
        match key.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)) {
            Some(key) if key < server => Self::OfKey(key),
            Some(_) | None => Self::OfServer(server),
        }
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::OfServer(bytes) | Self::OfKey(bytes) => bytes,
        }
    }

    /// Returns the largest content before decoding. Little content can grow when it is encoded.
    fn encoded_bytes(self, coding: ContentCoding, server: usize) -> usize {
        match self {
            Self::OfKey(bytes) if coding != ContentCoding::Identity => {
                let growth = (bytes / 1_024).saturating_add(MAX_CODING_OVERHEAD);
                bytes.saturating_add(growth).min(server)
            }
            Self::OfKey(bytes) | Self::OfServer(bytes) => bytes,
        }
    }

    /// Returns the error of content that is larger.
    pub(super) fn exceeded(self) -> RequestError {
        match self {
            Self::OfServer(limit) => RequestError::TooLarge { limit },
            Self::OfKey(_) => RequestError::TooLargeForKey,
        }
    }

    fn explain(self, error: RequestError) -> RequestError {
        match (self, error) {
            (Self::OfKey(_), RequestError::TooLarge { .. }) => RequestError::TooLargeForKey,
            (_, error) => error,
        }
    }
}

/// Content that was received completely, with the memory that it holds.
#[derive(Debug)]
pub(crate) struct ReceivedBody {
    coding: ContentCoding,
    body: SecretBytes,
    hold: MemoryHold,
    limit: SizeLimit,
}

/// Content that may hold secrets.
struct SecretBytes(Bytes);

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl ReceivedBody {
    /// Receives content, as its header section announced it. `key_limit` is the largest content
    /// that the key of the request allows, in bytes after decoding.
    pub(crate) async fn receive<B: Body<Data = Bytes>>(
        body: B,
        content: Content,
        limits: BodyLimits,
        key_limit: Option<u64>,
        memory: &Arc<ClientMemory>,
    ) -> Result<Self, RequestError> {
        let limits = match content.format {
            Some(ContentFormat::UrlEncoded) => BodyLimits {
                max_bytes: limits.max_bytes.min(MAX_FORM_BYTES),
                ..limits
            },
            Some(ContentFormat::Json | ContentFormat::Multipart) | None => limits,
        };
        let limit = SizeLimit::of(limits.max_bytes, key_limit);
        let encoded = BodyLimits {
            max_bytes: limit.encoded_bytes(content.coding, limits.max_bytes),
            ..limits
        };
        let mut hold = memory.empty_hold();
        match collect(body, encoded, &mut hold).await {
            Ok(body) => Ok(Self {
                coding: content.coding,
                body: SecretBytes(body),
                hold,
                limit,
            }),
            Err(error) => Err(limit.explain(error)),
        }
    }

    /// Returns whether parsing this takes long enough that it must be charged first.
    pub(crate) fn is_costly(&self) -> bool {
        self.is_coded() || self.body.0.len() > MAX_CHEAP_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.body.0.is_empty()
    }

    /// Returns whether this came with a content coding.
    pub(crate) fn is_coded(&self) -> bool {
        self.coding != ContentCoding::Identity
    }

    /// Decodes and parses the content. Returns the memory that it holds as well.
    pub(crate) async fn parse<T: Send + 'static, E: Into<RequestError>>(
        self,
        parse: impl FnOnce(&Bytes) -> Result<T, E> + Send + 'static,
    ) -> Result<(T, MemoryHold), RequestError> {
        let parse = move |content: &Bytes| parse(content).map_err(Into::into);
        let is_coded = self.is_coded();
        let Self {
            coding,
            body: SecretBytes(received),
            mut hold,
            limit,
        } = self;
        if !is_coded && received.len() <= MAX_INLINE_BYTES {
            return Ok((parse(&received)?, hold));
        }
        run_on_worker(move |waiter| {
            if !is_coded {
                return Ok((parse(&received)?, hold));
            }
            let received_bytes = received.len();
            let decoded = coding.decode(received, limit.bytes(), |decoded_bytes| {
                waiter.check()?;
                Ok(hold.resize(decoded_bytes.saturating_add(received_bytes))?)
            });
            let decoded = decoded.map_err(|error| limit.explain(error))?;
            hold.resize(decoded.len())?;
            Ok((parse(&decoded)?, hold))
        })
        .await
    }
}

/// Runs work on content of a request or a response, on a worker if it would stall other requests.
///
/// # Errors
/// [`RequestError::Busy`] if no worker is free in time.
pub(crate) async fn run_on_content<T: Send + 'static>(
    content: Bytes,
    work: impl FnOnce(&Bytes) -> T + Send + 'static,
) -> Result<T, RequestError> {
    if content.len() <= MAX_INLINE_BYTES {
        return Ok(work(&content));
    }
    run_on_worker(move |_waiter| Ok(work(&content))).await
}

/// The request that waits for a worker.
struct Waiter(Weak<()>);

impl Waiter {
    /// Fails once the request is gone, so that nobody works in vain.
    fn check(&self) -> Result<(), RequestError> {
        if self.0.strong_count() > 0 {
            Ok(())
        } else {
            Err(RequestError::Incomplete)
        }
    }
}

/// Runs work of up to a tenth of a second on a thread outside the runtime.
///
/// The work keeps its worker and everything it owns until it ends, even if the request is gone.
async fn run_on_worker<T: Send + 'static>(
    work: impl FnOnce(&Waiter) -> Result<T, RequestError> + Send + 'static,
) -> Result<T, RequestError> {
    let permit = timeout(WORKER_TIMEOUT, Arc::clone(&WORKERS).acquire_owned()).await;
    // The semaphore is never closed, so only the time can be over.
    let Ok(Ok(permit)) = permit else {
        return Err(RequestError::Busy);
    };
    let alive = Arc::new(());
    let waiter = Waiter(Arc::downgrade(&alive));
    let task = tokio::task::spawn_blocking(move || {
        let outcome = match waiter.check() {
            Ok(()) => work(&waiter),
            Err(gone) => Err(gone),
        };
        drop(permit);
        outcome
    });
    let joined = task.await;
    drop(alive);
    match joined {
        Ok(outcome) => outcome,
        // Panics of requests become responses in the gateway.
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_cancelled) => Err(RequestError::Incomplete),
    }
}

/// Collects content that arrives steadily and within the limits. A single frame is not copied.
async fn collect<B: Body<Data = Bytes>>(
    body: B,
    limits: BodyLimits,
    hold: &mut MemoryHold,
) -> Result<Bytes, RequestError> {
    let limit = limits.max_bytes;
    let mut body = pin!(body);
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(RequestError::TooLarge { limit });
    }
    let mut first = Bytes::new();
    let mut joined = SecretBuffer::default();
    let mut pace = FramePace::new(limits.timeout);
    // A client that sends empty frames as fast as it can spends the task's budget; the deadline
    // must hold nevertheless.
    while let Some(frame) = unconstrained(pace.next_frame(body.as_mut())).await? {
        let Ok(data) = frame
            .map_err(|_broken| RequestError::Incomplete)?
            .into_data()
        else {
            continue;
        };
        pace.advance(data.len());
        let length = first.len().max(joined.len()).saturating_add(data.len());
        check_length(length, limit, hold)?;
        if first.is_empty() && joined.is_empty() {
            first = data;
        } else {
            joined.extend(&std::mem::take(&mut first));
            joined.extend(&data);
        }
    }
    if joined.is_empty() {
        Ok(first)
    } else {
        Ok(joined.into())
    }
}

fn check_length(length: usize, limit: usize, hold: &mut MemoryHold) -> Result<(), RequestError> {
    if length > limit {
        return Err(RequestError::TooLarge { limit });
    }
    Ok(hold.resize(length)?)
}

/// The pace of frames, measured from the first one that has to be waited for: as a rule, content is
/// there already.
struct FramePace {
    longest_pause: Duration,
    /// `None` until a frame has to be waited for.
    begun: Option<Pace>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl FramePace {
    fn new(longest_pause: Duration) -> Self {
        Self {
            longest_pause,
            begun: None,
            timer: None,
        }
    }

    /// Returns the next frame, if it comes in time.
    async fn next_frame<B: Body>(
        &mut self,
        mut body: Pin<&mut B>,
    ) -> Result<Option<Result<Frame<B::Data>, B::Error>>, RequestError> {
        poll_fn(|cx| {
            if let Poll::Ready(frame) = body.as_mut().poll_frame(cx) {
                return Poll::Ready(Ok(frame));
            }
            let longest_pause = self.longest_pause;
            let pace = self.begun.get_or_insert_with(|| Pace::start(longest_pause));
            ready!(poll_until(&mut self.timer, pace.deadline, cx));
            Poll::Ready(Err(RequestError::Timeout))
        })
        .await
    }

    fn advance(&mut self, bytes: usize) {
        if let Some(pace) = &mut self.begun {
            pace.advance(bytes);
        }
    }
}

/// The deadline of the next frame: at most the longest pause away, and less if the content has been
/// slower than the minimum rate.
///
/// A fast beginning earns no time for later.
pub(crate) struct Pace {
    longest_pause: Duration,
    deadline: Instant,
}

impl Pace {
    pub(crate) fn start(longest_pause: Duration) -> Self {
        let longest_pause = longest_pause.min(FAR);
        Self {
            longest_pause,
            deadline: Instant::now() + longest_pause,
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Gives this much more time, in which nobody waited for the content.
    pub(crate) fn extend(&mut self, time: Duration) {
        self.deadline += time;
    }

    pub(crate) fn advance(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        // A frame can be a single byte, so milliseconds would be too coarse.
        let nanos = bytes.saturating_mul(1_000_000_000) / MIN_BYTES_PER_SECOND;
        let earned = self.deadline + Duration::from_nanos(nanos);
        self.deadline = earned.min(Instant::now() + self.longest_pause);
    }
}

/// Becomes ready at this time, which is never earlier than at the call before.
pub(crate) fn poll_until(
    timer: &mut Option<Pin<Box<Sleep>>>,
    deadline: Instant,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
    loop {
        ready!(timer.as_mut().poll(cx));
        if timer.deadline() >= deadline {
            return Poll::Ready(());
        }
        timer.as_mut().reset(deadline);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use aisbreaker_egress::MemoryBudget;
    use futures_util::{Stream, StreamExt as _, stream};
    use http_body_util::StreamBody;

    use super::*;
    use crate::memory::ClientMemories;

    #[tokio::test]
    async fn no_pause_is_too_long_for_the_clock() {
        let mut pace = Pace::start(Duration::MAX);
        pace.advance(usize::MAX);
        pace.extend(Duration::from_secs(86_400));

        assert!(pace.deadline() > Instant::now() + FAR / 2);
    }

    /// Returns content of `count` frames of `length` bytes, with a pause before each.
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
    ) -> (Result<usize, RequestError>, u64) {
        let body = StreamBody::new(Box::pin(pieces));
        let limits = BodyLimits {
            max_bytes: 32 << 20,
            max_upload_bytes: 0,
            timeout: Duration::from_secs(60),
        };
        let clients = ClientMemories::new(MemoryBudget::default(), usize::MAX);
        let mut hold = clients.for_client([192, 0, 2, 1].into()).empty_hold();
        let begun = Instant::now();
        let collected = collect(body, limits, &mut hold).await;
        (collected.map(|body| body.len()), begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn content_must_neither_pause_nor_trickle() {
        let seconds = Duration::from_secs;
        let (paused, after) = read(pieces(2, 1_000_000, seconds(61))).await;
        assert!(
            matches!(paused, Err(RequestError::Timeout)) && after == 60,
            "a pause: {paused:?} after {after} s"
        );

        let (trickled, after) = read(pieces(1_000_000, 1, seconds(1))).await;
        assert!(
            matches!(trickled, Err(RequestError::Timeout)) && after == 60,
            "a trickle: {trickled:?} after {after} s"
        );

        // Everything but the end at once, then a trickle.
        let (hogged, after) =
            read(pieces(1, 8 << 20, Duration::ZERO).chain(pieces(1_000, 1, seconds(1)))).await;
        assert!(
            matches!(hogged, Err(RequestError::Timeout)) && after == 60,
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
    async fn a_panic_on_a_worker_resumes_in_the_request() {
        let work = tokio::spawn(run_on_worker(|_| -> Result<(), RequestError> {
            panic!("what it says")
        }));

        assert!(work.await.unwrap_err().is_panic());
    }
}
