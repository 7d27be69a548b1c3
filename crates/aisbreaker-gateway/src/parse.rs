//! The parse stage: what a request says, read within bounds and checked for form.

use std::{
    net::IpAddr,
    pin::{Pin, pin},
    sync::LazyLock,
    time::Duration,
};

use aisbreaker_api::{InvalidRequest, ProcessCall};
use aisbreaker_services::{
    Budget, BudgetSpent, Reservation,
    services::{HOPS_HEADER, SEALED_HEADER},
};
use aisbreaker_token::Host;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, Version,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, EXPECT},
    request::Parts,
};
use http_body::Body;
use http_body_util::BodyExt as _;
use secrecy::SecretString;
use tokio::{
    sync::Semaphore,
    task::coop::unconstrained,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    config::Config,
    identity::{self, HostFault},
    inflate::Coding,
    wiped::Growing,
};

const HOPS: HeaderName = HeaderName::from_static(HOPS_HEADER);
const SEALED: HeaderName = HeaderName::from_static(SEALED_HEADER);
/// How many fields a request may have.
const MAX_FIELDS: usize = 100;
/// Longer bodies are parsed where they do not stop other requests.
const MAX_INLINE_BYTES: usize = 1 << 20;
/// How fast a body must come on average, once it has had the time of the longest pause: a client that sends a byte now
/// and then would stay forever.
const MIN_BYTES_PER_SECOND: u64 = 1_024;
/// Work that takes its time runs on so many threads at once that a processor is left for requests, if there are several.
static WORKERS: LazyLock<Semaphore> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Semaphore::new(processors.saturating_sub(1).max(1))
});
/// How long the rest of a body that is too large is read. Many clients look for the answer only when they have sent
/// everything.
const DISCARD_TIME: Duration = Duration::from_secs(3);
/// The largest sum of all header field names and values.
const MAX_HEAD_BYTES: usize = 32 << 10;

/// Why a request could not be read.
#[derive(Debug)]
pub(crate) enum ParseFault {
    /// The host is not named, or not ours.
    Host(HostFault),
    /// Too many bytes of header fields.
    HeadTooLarge,
    /// A content type that the route does not take.
    ContentType { accepted: &'static str },
    /// A content coding that is not supported.
    ContentEncoding,
    /// The body does not have the coding it claims.
    Inflate,
    /// The body is over the limit.
    TooLarge { limit: usize },
    /// The body paused for too long.
    Slow,
    /// The bodies of other requests take all the memory that bodies may take.
    Overloaded(BudgetSpent),
    /// The connection broke before the body was whole.
    Cut,
    /// A header field is repeated or unreadable.
    Field { name: HeaderName },
    /// The body is not what the route takes.
    Body(InvalidRequest),
}

impl From<BudgetSpent> for ParseFault {
    fn from(spent: BudgetSpent) -> Self {
        Self::Overloaded(spent)
    }
}

impl From<InvalidRequest> for ParseFault {
    fn from(invalid: InvalidRequest) -> Self {
        Self::Body(invalid)
    }
}

/// The head of a request, read.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) host: Host,
    pub(crate) client: IpAddr,
}

/// What `Authorization` says.
#[derive(Debug)]
pub(crate) enum Authorization {
    /// There is none.
    Absent,
    /// `Bearer` and a value.
    Bearer(SecretString),
    /// The same from another server, which took the value out of a sealed key: whoever made the call does not know it.
    Entrusted(SecretString),
    /// Another scheme, or no value.
    Unusable,
}

/// A call, read and well-formed; who calls is not known yet.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) head: Head,
    pub(crate) authorization: Authorization,
    pub(crate) hops: u8,
    pub(crate) call: ProcessCall,
}

/// Refuses heads that are too large; `hyper` has bounds of its own far above.
pub(crate) fn check_head_size(headers: &HeaderMap) -> Result<(), ParseFault> {
    let bytes: usize =
        headers.iter().map(|(name, value)| name.as_str().len().saturating_add(value.len())).sum();
    let is_too_large = bytes > MAX_HEAD_BYTES || headers.len() > MAX_FIELDS;
    if is_too_large { Err(ParseFault::HeadTooLarge) } else { Ok(()) }
}

/// Reads the host of a request from this client.
pub(crate) fn head(parts: &Parts, client: IpAddr, peer: IpAddr, config: &Config) -> Result<Head, ParseFault> {
    let from_trusted_proxy = identity::is_trusted(peer, &config.trusted_proxies);
    let host = identity::host(&parts.uri, &parts.headers, from_trusted_proxy, &config.public_hosts)
        .map_err(ParseFault::Host)?;
    Ok(Head { host, client })
}

/// Refuses a host that is not ours, and requests that name none (RFC 9112 section 3.2); HTTP/1.0 need not name one as
/// long as nothing depends on it.
pub(crate) fn check_host(parts: &Parts, head: &Result<Head, ParseFault>) -> Result<(), ParseFault> {
    match head {
        Err(ParseFault::Host(HostFault::NotOurs)) => Err(ParseFault::Host(HostFault::NotOurs)),
        Err(ParseFault::Host(HostFault::Unreadable)) if parts.version > Version::HTTP_10 => {
            Err(ParseFault::Host(HostFault::Unreadable))
        }
        _ => Ok(()),
    }
}

/// Reads a call of `process`; with it, what its body holds of the budget.
pub(crate) async fn process<B: Body<Data = Bytes>>(
    head: Head,
    parts: &Parts,
    body: B,
    config: &Config,
    budget: &Budget,
) -> Result<(Parsed, Reservation), ParseFault> {
    let authorization = authorization(&parts.headers)?;
    let hops = hops(&parts.headers)?;
    if !matches!(content_type(&parts.headers)?.as_str(), "" | "application/json" | "text/plain") {
        return Err(ParseFault::ContentType { accepted: "application/json" });
    }
    let (body, held) = read_body(&parts.headers, body, config, budget).await?;
    let call = parsed(body, ProcessCall::from_json).await?;
    Ok((Parsed { head, authorization, hops, call }, held))
}

/// Parses a body, a long one where it does not stop other requests.
pub(crate) async fn parsed<T: Send + 'static>(
    body: Bytes,
    parse: impl FnOnce(&[u8]) -> Result<T, InvalidRequest> + Send + 'static,
) -> Result<T, ParseFault> {
    if body.len() <= MAX_INLINE_BYTES {
        return Ok(parse(&body)?);
    }
    off_the_runtime(move || Ok(parse(&body)?)).await
}

/// Reads the body of a request that must be JSON; with it, what it holds of the budget.
pub(crate) async fn json_body<B: Body<Data = Bytes>>(
    headers: &HeaderMap,
    body: B,
    config: &Config,
    budget: &Budget,
) -> Result<(Bytes, Reservation), ParseFault> {
    if content_type(headers)? != "application/json" {
        return Err(ParseFault::ContentType { accepted: "application/json" });
    }
    read_body(headers, body, config, budget).await
}

/// The media type without parameters, lower case; empty if there is none.
fn content_type(headers: &HeaderMap) -> Result<String, ParseFault> {
    let Some(value) = sole(headers, CONTENT_TYPE)? else {
        return Ok(String::new());
    };
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    Ok(String::from_utf8_lossy(essence).to_ascii_lowercase())
}

fn authorization(headers: &HeaderMap) -> Result<Authorization, ParseFault> {
    let Some(value) = sole(headers, AUTHORIZATION)? else {
        return Ok(Authorization::Absent);
    };
    let text = std::str::from_utf8(value).map_err(|_utf8| ParseFault::Field { name: AUTHORIZATION })?;
    let secret = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Ok(match secret.map(|(_, secret)| secret.trim()) {
        Some(secret) if !secret.is_empty() && headers.contains_key(SEALED) => {
            Authorization::Entrusted(secret.into())
        }
        Some(secret) if !secret.is_empty() => Authorization::Bearer(secret.into()),
        Some(_) | None => Authorization::Unusable,
    })
}

/// How many AIsBreaker servers the request has passed.
fn hops(headers: &HeaderMap) -> Result<u8, ParseFault> {
    let Some(value) = sole(headers, HOPS)? else {
        return Ok(0);
    };
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or(ParseFault::Field { name: HOPS })
}

/// The value of a field that must not be repeated.
fn sole(headers: &HeaderMap, name: HeaderName) -> Result<Option<&[u8]>, ParseFault> {
    let mut values = headers.get_all(&name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(ParseFault::Field { name });
    }
    Ok(first.map(|value| value.as_bytes()))
}

async fn read_body<B: Body<Data = Bytes>>(
    headers: &HeaderMap,
    body: B,
    config: &Config,
    budget: &Budget,
) -> Result<(Bytes, Reservation), ParseFault> {
    let coding = Coding::parse(sole(headers, CONTENT_ENCODING)?.unwrap_or_default())
        .ok_or(ParseFault::ContentEncoding)?;
    let limit = config.max_body_bytes;
    let mut held = budget.reservation();
    let body = collect(body, config, headers.contains_key(EXPECT), &mut held).await?;
    if coding == Coding::Identity {
        return Ok((body, held));
    }
    let body = off_the_runtime(move || coding.decode(body, limit)).await?;
    held.hold(body.len())?;
    Ok((body, held))
}

/// Does what may take a tenth of a second where it does not stop other requests.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ParseFault> + Send + 'static,
) -> Result<T, ParseFault> {
    // Never closed, so that there always is a permit in the end.
    let _permit = WORKERS.acquire().await;
    match tokio::task::spawn_blocking(work).await {
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
    held: &mut Reservation,
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
    // A client that sends as fast as it can, but nothing of a body, uses up what its connection's task may do before
    // it has to wait, which the clock must not depend on.
    while let Some(frame) =
        unconstrained(timeout_at(pace.deadline, body.frame())).await.map_err(|_elapsed| ParseFault::Slow)?
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

/// Until when the next piece of a body must come: after the longest pause at the latest, and earlier if what came of late
/// was less than it should be on average. Being fast at first gives no more time later.
struct Pace {
    longest_pause: Duration,
    deadline: Instant,
}

impl Pace {
    fn begin(longest_pause: Duration) -> Self {
        Self { longest_pause, deadline: Instant::now() + longest_pause }
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
        let collected = collect(body, &config, false, &mut config.budget.reservation()).await;
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
        assert!(matches!(hogged, Err(ParseFault::Slow)) && after == 60, "a hog: {hogged:?} after {after} s");

        // Two kilobytes a second, for five minutes.
        let (slow, after) = read(pieces(30, 20_480, seconds(10))).await;
        assert_eq!(slow.unwrap(), 30 * 20_480);
        assert_eq!(after, 300);

        // As fast, in pieces of a byte.
        let (fine, after) = read(pieces(200_000, 1, Duration::from_micros(500))).await;
        assert!(matches!(fine, Ok(200_000)), "in pieces of a byte: {fine:?} after {after} s");
    }

    #[tokio::test]
    async fn a_panic_off_the_runtime_goes_on_in_the_request() {
        let work = tokio::spawn(off_the_runtime(|| -> Result<(), ParseFault> { panic!("what it says") }));

        assert!(work.await.unwrap_err().is_panic());
    }
}
