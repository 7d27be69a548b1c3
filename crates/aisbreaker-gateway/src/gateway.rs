//! The gateway: one request in, one answer out.

use std::{
    fmt, io,
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aisbreaker_api::ProcessCall;
use aisbreaker_services::{Registry, ServiceError};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONNECTION, CONTENT_TYPE},
    request::Parts,
};
use http_body::Body;

use crate::{
    admit::{self, Admission, NotAdmitted},
    answer::{self, Failure},
    authenticate::{self, Key},
    body::ResponseBody,
    clock::Clock,
    config::Config,
    dialect, greet,
    identity::{self, ClientId},
    lifecycle::Lifecycle,
    metrics::Metrics,
    mint,
    operation::{self, Operation},
    parse::{self, Asked, Authorization, Head},
    process::{self, Admitted, Incoming},
    quota,
    quotas::Quotas,
    record::Record,
    relay::{
        self, Asking,
        models::{self, Asker, ModelLists},
    },
    route::{Action, Route},
    shares::Shares,
    status,
};

/// How often one part of the idle counters is freed.
const SWEEP_EVERY: Duration = Duration::from_millis(250);
/// How long to wait for word of the shared quota store.
const STORE_PATIENCE: Duration = Duration::from_secs(1);

/// An AIsBreaker gateway. Cheap to clone; clones share counters and everything else.
#[derive(Clone)]
pub struct Gateway(Arc<Shared>);

struct Shared {
    config: Config,
    registry: Registry,
    quotas: Quotas,
    /// Whether something was charged since the counters were last written down.
    has_changed: AtomicBool,
    metrics: Metrics,
    shares: Shares,
    model_lists: ModelLists,
    clock: Arc<dyn Clock>,
    lifecycle: Lifecycle,
}

impl Gateway {
    /// A gateway to these services.
    #[must_use]
    pub fn new(mut config: Config, registry: Registry, clock: impl Clock) -> Self {
        let metrics = Metrics::new(config.shared_quotas.is_some());
        let counters = match config.saved_counters.take() {
            Some(saved) => saved.into_counters(),
            None => admit::counters(clock.monotonic(), config.max_counters),
        };
        let quotas = Quotas::new(
            counters,
            config.shared_quotas.take(),
            metrics.quotas.clone(),
        );
        let lifecycle = Lifecycle::new();
        let shares = Shares::new(config.budget.clone(), config.max_client_bytes);
        let clock = Arc::new(clock);
        let has_changed = AtomicBool::new(false);
        let model_lists = ModelLists::default();
        Self(Arc::new(Shared {
            config,
            registry,
            quotas,
            has_changed,
            metrics,
            shares,
            model_lists,
            clock,
            lifecycle,
        }))
    }

    /// Answers one request from the peer at this address.
    ///
    /// Never fails: what goes wrong is in the answer. The body of the answer must be read or
    /// dropped; until then the request counts as being under way.
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
        let (in_flight, count) = self.0.lifecycle.begin();
        let request = (&parts.method, &parts.headers);
        let mut record =
            Record::start(request, route, client, Arc::clone(&self.0.clock), in_flight);
        let is_head = parts.method == Method::HEAD;
        let is_probe = route.is_some_and(Route::is_probe);
        let answered = match route {
            _ if count > self.0.config.max_requests && !is_probe => Err(too_many_requests()),
            Some(route) => {
                let answered = self.route(route, &parts, body, (peer, client), &mut record);
                AssertUnwindSafe(answered)
                    .catch_unwind()
                    .await
                    .unwrap_or_else(|_panic| Err(panicked()))
            }
            None => Err(nothing_at(parts.uri.path())),
        };
        let mut response = answered.unwrap_or_else(|mut failure| {
            if let Some(cause) = failure.cause.take() {
                record.cause(cause);
            }
            dialect::failed(
                failure,
                dialect::of(parts.uri.path(), &parts.headers),
                record.id(),
            )
        });
        answer::finish(&mut response, record.id().clone(), is_head);
        record.status(response.status());
        response.body_mut().attach(record);
        response
    }

    /// Whether as many requests are under way as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.0.lifecycle.in_flight() >= self.0.config.max_requests
    }

    /// From now on no request is taken but those that ask how the server is: `/readyz` and all else
    /// answer 503.
    pub fn start_draining(&self) {
        self.0.lifecycle.start_draining();
    }

    /// Waits until no request is under way.
    pub async fn idle(&self) {
        self.0.lifecycle.idle().await;
    }

    /// Frees counters of idle clients, a little at a time, and logs when a shared store is gone or
    /// back, for as long as it is polled. [`serve`](crate::serve) does so by itself.
    pub async fn maintain(&self) {
        futures_util::future::join(self.sweep(), self.0.quotas.watch_store()).await;
    }

    /// What there is to count and to measure, as the text that Prometheus reads.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.0.metrics.text(self.0.quotas.local.len())
    }

    /// Waits until it is known whether the shared quota store answers, for a second at most; at
    /// once without one. Before that, requests are taken as if it did not.
    pub async fn store_is_known(&self) {
        let _unknown = tokio::time::timeout(STORE_PATIENCE, self.0.quotas.store_is_known()).await;
    }

    /// Writes down the counters of this gateway, for
    /// [`SavedCounters::read`](crate::SavedCounters::read), while it goes on answering. Nothing in
    /// them is secret: ids of keys, addresses of clients, numbers.
    ///
    /// Blocks as `to` does, and takes small pieces of time from those who are charged meanwhile.
    ///
    /// # Errors
    /// The first error of `to`.
    pub fn write_counters(&self, mut to: impl io::Write) -> io::Result<()> {
        let Shared {
            quotas,
            clock,
            has_changed,
            ..
        } = &*self.0;
        // Before anything is read: what is charged from now on may be missing, and then changes
        // this again.
        has_changed.swap(false, Ordering::AcqRel);
        let written =
            admit::write_counters(&quotas.local, (clock.monotonic(), clock.wall()), &mut to);
        if written.is_err() {
            has_changed.store(true, Ordering::Release);
        }
        written
    }

    /// Whether something was charged that [`write_counters`](Self::write_counters) has not written
    /// yet.
    #[must_use]
    pub fn has_unwritten_counters(&self) -> bool {
        self.0.has_changed.load(Ordering::Acquire)
    }

    /// Says that what was written last is lost.
    pub fn forget_written_counters(&self) {
        self.0.has_changed.store(true, Ordering::Release);
    }

    async fn sweep(&self) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.0.quotas.local.sweep(self.0.clock.monotonic());
        }
    }

    async fn route<B: Body<Data = Bytes>>(
        &self,
        route: Route,
        parts: &Parts,
        body: B,
        (peer, client): (IpAddr, IpAddr),
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Failure> {
        parse::check_head_size(&parts.headers)?;
        let head = parse::head(parts, client, peer, &self.0.config);
        if !route.is_probe() {
            parse::check_host(parts, &head)?;
        }
        match route.action(&parts.method) {
            Action::Preflight => return Ok(answer::preflight(route, &parts.headers)),
            Action::Nothing => return Ok(answer::no_content()),
            Action::WrongMethod => return Err(wrong_method(route)),
            Action::Serve => {}
        }
        let is_draining = self.0.lifecycle.is_draining();
        if is_draining && !route.is_probe() {
            return Err(draining());
        }
        match route {
            Route::Root => Ok(greet::root()),
            Route::Ping => Ok(greet::ping()),
            Route::Version => Ok(greet::version(parts.uri.query())),
            Route::Healthy => Ok(greet::healthy()),
            Route::Ready => Ok(greet::ready(is_draining)),
            Route::Mint => self.mint(head?, parts, body, record).await,
            Route::Process => self.process(head?, parts, body, record).await,
            Route::Quota => self.quota(&head?, parts, record).await,
            Route::Hello => Ok(greet::hello()),
            Route::Relay(operation) => self.relay(operation, head?, parts, body, record).await,
        }
    }

    async fn mint<B: Body<Data = Bytes>>(
        &self,
        head: Head,
        parts: &Parts,
        body: B,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Failure> {
        let Shared {
            config,
            shares,
            clock,
            ..
        } = &*self.0;
        let body = parse::json_body(&parts.headers, body, config, &shares.of(head.client)).await?;
        // What it costs to inflate and parse is paid for before.
        let early = if body.is_costly() {
            Some(self.charge(None, &head, record).await?)
        } else {
            None
        };
        let max_expiration = config.max_expiration;
        let request = match (
            body.parsed(move |body| mint::parse(body, max_expiration))
                .await,
            &early,
        ) {
            (Ok((request, held)), _) => {
                record.hold(held);
                request
            }
            (Err(fault), None) => return Err(fault.into()),
            (Err(fault), Some(admission)) => {
                return charged(Err(fault.into()), |headers| admission.describe(headers));
            }
        };
        let admission = match early {
            Some(admission) => admission,
            None => self.charge(None, &head, record).await?,
        };
        let minted = mint::seal(&request, &parts.headers, &head.host, config, clock.wall());
        let minted = minted.map_err(Failure::from).and_then(|(id, response)| {
            record.key(id);
            within_budget(response, record)
        });
        charged(minted, |headers| admission.describe(headers))
    }

    async fn process<B: Body<Data = Bytes>>(
        &self,
        head: Head,
        parts: &Parts,
        body: B,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Failure> {
        let Shared {
            config,
            registry,
            shares,
            ..
        } = &*self.0;
        let share = shares.of(head.client);
        let Asked {
            head,
            authorization,
            hops,
            body,
        } = parse::process(head, parts, body, config, &share).await?;
        // What it costs to inflate and parse is paid for before.
        let ((call, held), admitted) = if body.is_costly() {
            let admitted = self.admit(&head, authorization, record).await?;
            match body.parsed(|body| ProcessCall::from_json(body)).await {
                Ok(read) => (read, admitted),
                Err(fault) => {
                    let admission = admitted.admission;
                    return charged(Err(fault.into()), |headers| admission.describe(headers));
                }
            }
        } else {
            let call = body.parsed(|body| ProcessCall::from_json(body)).await?;
            (call, self.admit(&head, authorization, record).await?)
        };
        record.hold(held);
        let incoming = Incoming { call, hops, share };
        let (outcome, admission) = process::process(incoming, admitted, registry, record).await;
        let outcome = outcome
            .map_err(Failure::from)
            .and_then(|response| within_budget(response, record));
        charged(outcome, |headers| {
            admission.describe(headers);
            // Of a stream, which begins before its service has answered, they are in the log only.
            process::tell_attempts(record.attempted(), headers);
        })
    }

    async fn relay<B: Body<Data = Bytes>>(
        &self,
        operation: Operation,
        head: Head,
        parts: &Parts,
        body: B,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Failure> {
        let Shared { config, shares, .. } = &*self.0;
        let Some(relay) = &config.relay else {
            return Err(nothing_here());
        };
        let dialect = dialect::of(parts.uri.path(), &parts.headers).ok_or_else(nothing_here)?;
        let authorization = parse::any_authorization(&parts.headers, dialect)?;
        let hops = parse::hops(&parts.headers)?;
        let has_body = parts.method == Method::POST;
        let form = has_body
            .then(|| parse::body_form(&parts.headers, operation.takes_forms()))
            .transpose()?;
        let share = shares.of(head.client);
        let body = parse::received(&parts.headers, body, config, &share).await?;
        let Admitted { caller, admission } = self.admit(&head, authorization, record).await?;
        let passed_on = async {
            if operation == Operation::Models {
                let now = self.0.clock.monotonic();
                record.hold(share.held());
                let asker = Asker {
                    caller: &caller,
                    dialect,
                    hops,
                    budget: share.budget(),
                    now,
                };
                return within_budget(
                    models::list(&asker, relay, &self.0.model_lists).await?,
                    record,
                );
            }
            let was_coded = body.is_coded();
            let (model, body) = if let Some(form) =
                form.filter(|_| !(operation.may_be_empty() && body.is_empty()))
            {
                let content_type = parts.headers.get(CONTENT_TYPE).cloned();
                let read = move |body: &Bytes| {
                    Ok((
                        relay::model_in(content_type.as_ref(), form, body)?,
                        body.clone(),
                    ))
                };
                let (read, held) = body.parsed(read).await?;
                record.hold(held);
                read
            } else {
                (None, Bytes::new())
            };
            let share = Arc::clone(&share);
            let asking = Asking {
                operation,
                dialect,
                parts,
                hops,
                body,
                was_coded,
                model,
                share,
            };
            relay::pass_on(asking, &caller, (relay, config), record).await
        };
        let outcome = passed_on.await;
        charged(outcome, |headers| admission.describe_where_absent(headers))
    }

    async fn quota(
        &self,
        head: &Head,
        parts: &Parts,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Failure> {
        let Shared {
            config,
            quotas,
            clock,
            ..
        } = &*self.0;
        let client = ClientId::of(head.client);
        // Opening a key takes its time.
        quota::charge(quotas, client, clock.monotonic())?;
        record.charged();
        let authorization = parse::authorization(&parts.headers)?;
        let wall = clock.wall();
        let caller = authenticate::authenticate(authorization, &head.host, config, wall)?;
        if let Some(key) = caller.key {
            record.key(key.id);
        }
        quota::tell(
            quotas,
            caller.key,
            client,
            config,
            (wall, || clock.monotonic()),
        )
        .await
    }

    /// Finds out who calls, and charges the request to all its quotas.
    async fn admit(
        &self,
        head: &Head,
        authorization: Authorization,
        record: &mut Record,
    ) -> Result<Admitted, Failure> {
        let Shared { config, clock, .. } = &*self.0;
        let caller = authenticate::authenticate(authorization, &head.host, config, clock.wall())?;
        if let Some(key) = caller.key {
            record.key(key.id);
        }
        let admission = self.charge(caller.key, head, record).await?;
        Ok(Admitted { caller, admission })
    }

    async fn charge(
        &self,
        key: Option<Key>,
        head: &Head,
        record: &mut Record,
    ) -> Result<Admission, NotAdmitted> {
        let Shared {
            config,
            quotas,
            has_changed,
            clock,
            ..
        } = &*self.0;
        let admission =
            admit::admit(quotas, key, head.client, config, || clock.monotonic()).await?;
        record.charged();
        if !has_changed.load(Ordering::Relaxed) {
            has_changed.store(true, Ordering::Release);
        }
        Ok(admission)
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("registry", &self.0.registry)
            .finish_non_exhaustive()
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

/// A whole answer takes memory until its client has taken it, and its request none any more.
fn within_budget(
    mut response: Response<ResponseBody>,
    record: &mut Record,
) -> Result<Response<ResponseBody>, Failure> {
    let body = response.body_mut();
    if !body.is_stream()
        && let Some(held) = record.held()
    {
        body.count(held)?;
    }
    Ok(response)
}

fn nothing_here() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        "there is nothing at this path; see /api/v1/version",
    )
}

/// Most who miss a path of a provider's API have a base URL of the other kind.
fn nothing_at(path: &str) -> Failure {
    if operation::is_near(path) {
        let text = "there is nothing at this path; the base URL of OpenAI's clients ends with /v1 here, that of \
                    Anthropic's has no path";
        return Failure::new(StatusCode::NOT_FOUND, text);
    }
    nothing_here()
}

fn too_many_requests() -> Failure {
    status::overloaded("this server is overloaded: too many requests are under way; try again")
}

/// What the panic says may repeat a secret, so it is dropped unread.
fn panicked() -> Failure {
    ServiceError::Internal("the gateway panicked".into()).into()
}

fn draining() -> Failure {
    status::overloaded("this server is shutting down; try again")
        .with_header(CONNECTION, HeaderValue::from_static("close"))
}

fn wrong_method(route: Route) -> Failure {
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("this path takes {}", route.allowed()),
    )
    .with_header(ALLOW, HeaderValue::from_static(route.allowed()))
}
