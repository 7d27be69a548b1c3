//! The gateway: one request in, one answer out.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use aisbreaker_services::Registry;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::ALLOW, request::Parts};
use http_body::Body;

use crate::{
    admit::{self, Counters},
    answer::{self, Failure, RequestFacts},
    authenticate,
    body::ResponseBody,
    clock::Clock,
    config::Config,
    greet, identity,
    lifecycle::Lifecycle,
    mint, parse,
    process::{self, Admitted},
    record::Record,
    route::{Action, Route},
};

/// How often one part of the idle counters is freed.
const SWEEP_EVERY: Duration = Duration::from_millis(250);

/// An AIsBreaker gateway. Cheap to clone; clones share counters and everything else.
#[derive(Clone)]
pub struct Gateway(Arc<Shared>);

struct Shared {
    config: Config,
    registry: Registry,
    counters: Counters,
    clock: Arc<dyn Clock>,
    lifecycle: Lifecycle,
}

impl Gateway {
    /// A gateway to these services.
    #[must_use]
    pub fn new(config: Config, registry: Registry, clock: impl Clock) -> Self {
        let counters = admit::counters(clock.monotonic(), config.max_counters);
        let lifecycle = Lifecycle::new();
        Self(Arc::new(Shared { config, registry, counters, clock: Arc::new(clock), lifecycle }))
    }

    /// Answers one request from the peer at this address.
    ///
    /// Never fails: what goes wrong is in the answer. The body of the answer must be read or dropped; until then the
    /// request counts as being under way.
    ///
    /// # Cancel safety
    /// Dropping the future, or the body of the answer, ends the call to the provider at once.
    pub async fn handle<B: Body<Data = Bytes>>(
        &self,
        request: Request<B>,
        peer: IpAddr,
    ) -> Response<ResponseBody> {
        let (parts, body) = request.into_parts();
        let route = Route::of(parts.uri.path());
        let client = identity::client_address(peer, &parts.headers, &self.0.config.trusted_proxies);
        let in_flight = self.0.lifecycle.begin();
        let request = (&parts.method, &parts.headers);
        let mut record = Record::start(request, route, client, Arc::clone(&self.0.clock), in_flight);
        let facts = RequestFacts::of(&parts.method, &parts.headers, record.id().clone());
        let answered = match route {
            Some(route) => self.route(route, &parts, body, peer, &mut record).await,
            None => {
                Err(Failure::new(StatusCode::NOT_FOUND, "there is nothing at this path; see /api/v1/version"))
            }
        };
        let mut response = answered.unwrap_or_else(|mut failure| {
            if let Some(cause) = failure.cause.take() {
                record.cause(cause);
            }
            failure.into_response()
        });
        answer::finish(&mut response, &facts);
        record.status(response.status());
        response.body_mut().attach(record, facts.is_head);
        response
    }

    /// Frees counters of idle clients, a little at a time, for as long as it is polled. [`serve`](crate::serve) does
    /// so by itself.
    pub async fn maintain(&self) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.0.counters.sweep(self.0.clock.monotonic());
        }
    }

    pub(crate) fn lifecycle(&self) -> &Lifecycle {
        &self.0.lifecycle
    }

    async fn route<B: Body<Data = Bytes>>(
        &self,
        route: Route,
        parts: &Parts,
        body: B,
        peer: IpAddr,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Failure> {
        parse::check_head_size(&parts.headers)?;
        match route.action(&parts.method) {
            Action::Preflight => return Ok(answer::preflight(route, &parts.headers)),
            Action::Nothing => return Ok(answer::no_content()),
            Action::WrongMethod => return Err(wrong_method(route)),
            Action::Serve => {}
        }
        let is_draining = self.0.lifecycle.is_draining();
        if is_draining && !route.is_probe() {
            return Err(Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "this server is shutting down; try again",
            ));
        }
        if !self.0.config.public_hosts.is_empty() && !route.is_probe() {
            parse::head(parts, peer, &self.0.config)?;
        }
        match route {
            Route::Root => Ok(greet::root()),
            Route::Ping => Ok(greet::ping()),
            Route::Version => Ok(greet::version(parts.uri.query())),
            Route::Healthy => Ok(greet::healthy()),
            Route::Ready => Ok(greet::ready(is_draining)),
            Route::Mint => self.mint(parts, body, peer, record).await,
            Route::Process => self.process(parts, body, peer, record).await,
        }
    }

    async fn mint<B: Body<Data = Bytes>>(
        &self,
        parts: &Parts,
        body: B,
        peer: IpAddr,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Failure> {
        let Shared { config, counters, clock, .. } = &*self.0;
        let head = parse::head(parts, peer, config)?;
        let body = parse::json_body(&parts.headers, body, config).await?;
        let request = mint::parse(&body, config)?;
        let admission = admit::admit(counters, None, head.client, config, clock.monotonic())?;
        let minted = mint::seal(&request, &head.host, config, clock.wall());
        charged(
            minted.map_err(Failure::from).map(|(id, response)| {
                record.key(id);
                response
            }),
            |headers| admission.describe(headers),
        )
    }

    async fn process<B: Body<Data = Bytes>>(
        &self,
        parts: &Parts,
        body: B,
        peer: IpAddr,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Failure> {
        let Shared { config, registry, counters, clock, .. } = &*self.0;
        let parsed = parse::process(parts, body, peer, config).await?;
        let call = authenticate::authenticate(parsed, config, clock.wall())?;
        if let Some(key) = call.key {
            record.key(key.id);
        }
        let admission = admit::admit(counters, call.key, call.head.client, config, clock.monotonic())?;
        let (outcome, admission) = process::process(Admitted { call, admission }, registry, record).await;
        charged(outcome.map_err(Failure::from), |headers| admission.describe(headers))
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("registry", &self.0.registry).finish_non_exhaustive()
    }
}

/// Adds to an answer, good or bad, how the quotas stand after it was charged.
fn charged(
    outcome: Result<Response<ResponseBody>, Failure>,
    describe: impl FnOnce(&mut HeaderMap),
) -> Result<Response<ResponseBody>, Failure> {
    match outcome {
        Ok(mut response) => {
            describe(response.headers_mut());
            Ok(response)
        }
        Err(mut failure) => {
            describe(&mut failure.headers);
            Err(failure)
        }
    }
}

fn wrong_method(route: Route) -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, format!("this path takes {}", route.allowed()))
        .with_header(ALLOW, HeaderValue::from_static(route.allowed()))
}
