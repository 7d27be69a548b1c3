//! The gateway: one request in, one response out.

use std::{fmt, io, net::IpAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use aisbreaker_services::Registry;
use aisbreaker_token::KeyRing;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Request, Response, request::Parts};
use http_body::Body;

use crate::{
    admission::{
        Admission,
        backend::{Backend, SharedQuotas},
        counters,
    },
    api::{
        info,
        introspect::IntrospectionApi,
        jwks, metadata,
        process::ProcessApi,
        quota,
        revoke::RevocationApi,
        token::{Minter, grant_rules::GrantRules},
    },
    authenticate::Authenticator,
    clock::Clock,
    config::Config,
    cors, dialect,
    failure::Failure,
    in_flight::InFlight,
    memory::ClientMemories,
    pipeline::Pipeline,
    provider_api::{OperationRequest, ProviderApi},
    request::{
        body::BodyLimits,
        head::{Endpoints, check_host, check_size},
        host::HostPolicy,
        websocket,
    },
    response::{self, ResponseBody},
    revocation::{Revocation, Revocations},
    route::{Action, Route, RouteError, operation::Operation},
    server_keys::ServerKeys,
    telemetry::{access_log::AccessLog, metrics::Metrics, providers::KnownProviders},
};

/// How often a part of the idle counters is freed.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);
/// How long to wait until it is known whether the shared quota store answers.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the gateway itself does not serve a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum GatewayError {
    /// Too many requests are in flight.
    TooManyRequests,
    /// The gateway accepts no new requests.
    Draining,
    /// The readiness probe while the gateway drains.
    NotReady,
    /// The code of the gateway panicked.
    Panicked,
}

/// An AIsBreaker gateway. Cheap to clone; clones share all state.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    pipeline: Pipeline,
    process: ProcessApi,
    minter: Minter,
    revocation: RevocationApi,
    introspection: IntrospectionApi,
    /// `None`: only the server's own API is served.
    provider_api: Option<ProviderApi>,
    host_policy: HostPolicy,
    max_requests: usize,
    in_flight: InFlight,
    metrics: Metrics,
    known_providers: Arc<KnownProviders>,
    clock: Arc<dyn Clock>,
}

impl Gateway {
    /// Creates a gateway to these services.
    #[must_use]
    pub fn new(config: Config, registry: Registry, clock: impl Clock) -> Self {
        let known_providers = Arc::new(KnownProviders::new());
        if let Some(relay) = &config.relay {
            known_providers.add(relay.providers());
        }
        let metrics = Metrics::new(config.shared_quotas.is_some());
        let counters = match config.saved_counters {
            Some(saved) => saved.into_counters(),
            None => counters::counters(clock.monotonic(), config.max_counters),
        };
        let shared_engine = config.shared_quotas.as_ref().map(SharedQuotas::engine);
        let backend = Backend::new(counters, config.shared_quotas, metrics.quotas.clone());
        let keys = ServerKeys::new(config.keys.with_offline_keys());
        let sealed_urls = config.minting.url_source();
        let rules = Arc::new(GrantRules {
            keys: keys.clone(),
            policy: config.minting,
            max_lifetime: config.max_expiration,
            relay: config.relay.clone(),
        });
        let clock: Arc<dyn Clock> = Arc::new(clock);
        let pipeline = Pipeline {
            authenticator: Authenticator {
                keys: keys.clone(),
                default_key: config.default_key,
                rules: Arc::clone(&rules),
                requires_key: config.require_key,
                sealed_urls,
            },
            revocations: Revocations::new(
                config.revoked_before,
                config.revocation_log,
                shared_engine,
            ),
            admission: Admission::new(backend, config.server_quotas, config.default_quotas),
            body_limits: BodyLimits {
                max_bytes: config.max_body_bytes,
                timeout: config.body_timeout,
            },
            memories: ClientMemories::new(config.memory_budget, config.max_client_bytes),
            clock: Arc::clone(&clock),
        };
        Self(Arc::new(Inner {
            pipeline,
            process: ProcessApi {
                registry: registry.clone(),
                keep_alive: config.stream_keep_alive,
            },
            introspection: IntrospectionApi {
                operator_secret: config.operator_secret.clone(),
            },
            revocation: RevocationApi {
                operator_secret: config.operator_secret,
                max_lifetime: config.max_expiration,
                metrics: metrics.revocations.clone(),
            },
            minter: Minter {
                keys,
                registry,
                rules,
            },
            provider_api: config
                .relay
                .map(|relay| ProviderApi::new(relay, config.stream_keep_alive)),
            host_policy: HostPolicy {
                public_hosts: config.public_hosts,
                trusted_proxies: config.trusted_proxies,
            },
            max_requests: config.max_requests,
            in_flight: InFlight::default(),
            metrics,
            known_providers,
            clock,
        }))
    }

    /// Answers one request from the peer at this address.
    ///
    /// Never fails: errors are responses. The body of the response must be read or dropped; until
    /// then the request is in flight.
    ///
    /// # Cancel safety
    /// Dropping the future, or the body of the response, cancels the call to the provider.
    pub async fn handle<B: Body<Data = Bytes>>(
        &self,
        request: Request<B>,
        peer: IpAddr,
    ) -> Response<ResponseBody> {
        let inner = &*self.0;
        let (parts, body) = request.into_parts();
        let route = Route::of(parts.uri.path());
        let client = inner.host_policy.client_address(peer, &parts.headers);
        let (guard, in_flight) = inner.in_flight.enter();
        let clock = Arc::clone(&inner.clock);
        let providers = Arc::clone(&inner.known_providers);
        let logged = (&parts.method, &parts.headers);
        let mut log = AccessLog::start(logged, route.ok(), client, clock, providers, guard);
        let is_probe = route.is_ok_and(Route::is_probe);
        let outcome = if in_flight > inner.max_requests && !is_probe {
            Err(GatewayError::TooManyRequests.into())
        } else {
            let served = inner.serve(route, (&parts, body), (peer, client), &mut log);
            match AssertUnwindSafe(served).catch_unwind().await {
                Ok(outcome) => outcome,
                Err(_panic) => Err(GatewayError::Panicked.into()),
            }
        };
        let mut response = match outcome {
            Ok(response) => response,
            Err(failure) => error_response(failure, &parts, &mut log),
        };
        let is_head = parts.method == Method::HEAD;
        response::finish(&mut response, &log, is_head);
        log.set_status(response.status());
        response.body_mut().attach(log);
        response
    }

    /// Returns whether as many requests are in flight as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.0.in_flight.count() >= self.0.max_requests
    }

    /// Stops accepting requests, health probes excepted: `/readyz` and everything else answer 503.
    pub fn start_draining(&self) {
        self.0.in_flight.start_draining();
    }

    /// Waits until no request is in flight.
    pub async fn idle(&self) {
        self.0.in_flight.idle().await;
    }

    /// Frees counters of idle clients and expired revocations, a few at a time, logs when a shared
    /// store goes down or comes back, and copies its revocations, for as long as it is polled. [`serve`](crate::serve) polls it.
    pub async fn maintain(&self) {
        let Inner {
            pipeline, clock, ..
        } = &*self.0;
        let watch = pipeline.admission.watch_store();
        let follow = pipeline.revocations.follow_store(&**clock);
        futures_util::future::join3(self.sweep(), watch, follow).await;
    }

    /// Returns the metrics in the OpenMetrics text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        let Pipeline {
            admission,
            revocations,
            ..
        } = &self.0.pipeline;
        let (counters, revoked) = (admission.counter_count(), revocations.len());
        self.0.metrics.text(counters, revoked)
    }

    /// Replaces the server keys. Requests that have opened their key keep the former ones.
    pub fn replace_keys(&self, keys: KeyRing) {
        let in_use = &self.0.pipeline.authenticator.keys;
        in_use.replace(keys.with_offline_keys());
    }

    /// Adds revoked keys that are kept elsewhere already, such as in the
    /// [`RevocationLog`](crate::RevocationLog) by another process.
    pub fn restore_revoked(&self, revocations: impl IntoIterator<Item = Revocation>) {
        self.0.pipeline.revocations.restore(revocations);
    }

    /// Waits until it is known whether the shared quota store answers and its revocations are copied,
    /// for a second at most.
    ///
    /// Returns at once without a shared store. Until then, requests are handled as if it were down.
    pub async fn wait_for_store(&self) {
        let Inner {
            pipeline, clock, ..
        } = &*self.0;
        let known_and_read = async {
            pipeline.admission.wait_for_store().await;
            pipeline.revocations.read_store(clock.wall()).await;
        };
        let _in_time = tokio::time::timeout(STORE_TIMEOUT, known_and_read).await;
    }

    /// Writes the counters, for [`SavedCounters::read`](crate::SavedCounters::read), while the
    /// gateway goes on serving. They hold no secrets: ids of keys, addresses of clients, numbers.
    ///
    /// Blocks as `to` does, and delays charges for short moments.
    ///
    /// # Errors
    /// The first error of `to`.
    pub fn write_counters(&self, mut to: impl io::Write) -> io::Result<()> {
        let Inner {
            pipeline, clock, ..
        } = &*self.0;
        let now = (clock.monotonic(), clock.wall());
        pipeline.admission.write_counters(now, &mut to)
    }

    /// Returns whether anything was charged since [`write_counters`](Self::write_counters).
    #[must_use]
    pub fn has_unwritten_counters(&self) -> bool {
        self.0.pipeline.admission.has_unwritten()
    }

    /// Notes that what was written last is lost.
    pub fn forget_written_counters(&self) {
        self.0.pipeline.admission.mark_unwritten();
    }

    async fn sweep(&self) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Inner {
                pipeline, clock, ..
            } = &*self.0;
            pipeline.admission.sweep(clock.monotonic());
            pipeline.revocations.sweep(clock.wall());
        }
    }
}

impl Inner {
    /// Routes a request to its surface.
    async fn serve<B: Body<Data = Bytes>>(
        &self,
        route: Result<Route, RouteError>,
        (parts, body): (&Parts, B),
        (peer, client): (IpAddr, IpAddr),
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, Failure> {
        let route = route?;
        check_size(&parts.headers)?;
        let host = self.host_policy.host(peer, &parts.uri, &parts.headers);
        let endpoints = Endpoints { client, host };
        if !route.is_probe() {
            check_host(parts.version, &endpoints)?;
        }
        if websocket::is_handshake(parts) {
            return Err(RouteError::WebSocket.into());
        }
        match route.action(&parts.method) {
            Action::Preflight => {
                let mut response = response::no_content();
                cors::write_preflight(route.methods(), &parts.headers, response.headers_mut());
                return Ok(response);
            }
            Action::NoContent => return Ok(response::no_content()),
            Action::MethodNotAllowed => {
                let allowed = route.methods();
                return Err(RouteError::MethodNotAllowed { allowed }.into());
            }
            Action::Serve => {}
        }
        let is_draining = self.in_flight.is_draining();
        if is_draining && !route.is_probe() {
            return Err(GatewayError::Draining.into());
        }
        let (pipeline, request) = (&self.pipeline, (parts, endpoints));
        match route {
            Route::Root => Ok(info::root()),
            Route::Ping => Ok(info::ping()),
            Route::Version => Ok(info::version(parts.uri.query())),
            Route::Hello => Ok(info::hello()),
            Route::Health => Ok(info::health()),
            Route::Ready if is_draining => Err(GatewayError::NotReady.into()),
            Route::Ready => Ok(info::ready()),
            Route::Metadata => match &request.1.host {
                Ok(host) if !self.host_policy.public_hosts.is_empty() => Ok(metadata::serve(host)),
                Ok(_) | Err(_) => Err(RouteError::NotFound.into()),
            },
            Route::Jwks => Ok(jwks::serve(
                &self.pipeline.authenticator.keys.load(),
                &parts.headers,
            )),
            // Boxed, since hyper moves the future of a request several times.
            Route::Token => Box::pin(self.minter.serve(pipeline, request, body, log)).await,
            Route::Revoke => Box::pin(self.revocation.serve(pipeline, request, body, log)).await,
            Route::Introspect => {
                Box::pin(self.introspection.serve(pipeline, request, body, log)).await
            }
            Route::Process => Box::pin(self.process.serve(pipeline, request, body, log)).await,
            Route::Quota => Box::pin(quota::serve(pipeline, request, log)).await,
            Route::Provider(operation) => {
                Box::pin(self.serve_provider(operation, request, body, log)).await
            }
        }
    }

    async fn serve_provider<B: Body<Data = Bytes>>(
        &self,
        operation: Operation,
        (parts, endpoints): (&Parts, Endpoints),
        body: B,
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, Failure> {
        let dialect = dialect::of(parts.uri.path(), &parts.headers);
        let (Some(provider_api), Some(dialect)) = (&self.provider_api, dialect) else {
            return Err(RouteError::NotFound.into());
        };
        let request = OperationRequest {
            operation,
            dialect,
            parts,
            endpoints,
            body,
        };
        provider_api.serve(&self.pipeline, request, log).await
    }
}

/// Creates the response that reports a failure, and logs its cause.
fn error_response(
    mut failure: Failure,
    parts: &Parts,
    log: &mut AccessLog,
) -> Response<ResponseBody> {
    if let Some(cause) = failure.cause.take() {
        log.set_cause(cause);
    }
    log.set_error(failure.error_type);
    let dialect = dialect::of(parts.uri.path(), &parts.headers);
    response::error(failure, dialect, log.request_id())
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("registry", &self.0.process.registry)
            .finish_non_exhaustive()
    }
}
