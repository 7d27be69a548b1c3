//! The surfaces of a gateway under one configuration, and which of them serves a request.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use aisbreaker_services::{Providers, Registry};
use bytes::Bytes;
use http::{Response, request::Parts};
use http_body::Body;

use crate::{
    admission::{Admission, ServerQuotas},
    api::{
        info,
        introspect::IntrospectionApi,
        jwks, metadata, openapi,
        process::ProcessApi,
        quota,
        revoke::RevocationApi,
        token::{Minter, grant_rules::GrantRules},
    },
    authenticate::Authenticator,
    budgets::{Budgets, ledgers::Ledgers},
    config::Config,
    console, cors, dialect,
    failure::Failure,
    gateway_error::GatewayError,
    gateway_state::GatewayState,
    in_flight::InFlight,
    pipeline::Pipeline,
    provider_api::{OperationRequest, ProviderApi, SocketRequest, WebSocketTimes},
    request::{
        head::{Endpoints, check_host, check_size},
        host::HostPolicy,
        websocket::{self, Handshake},
    },
    response::{self, ResponseBody},
    route::{Action, Route, RouteError, operation::Operation},
    telemetry::access_log::AccessLog,
};

/// All surfaces, as one configuration has them. A request keeps those that it began with.
pub(crate) struct Surfaces {
    pub(crate) host_policy: HostPolicy,
    pub(crate) pipeline: Pipeline,
    process: ProcessApi,
    minter: Minter,
    revocation: RevocationApi,
    introspection: IntrospectionApi,
    /// `None`: only the server's own API is served.
    pub(crate) provider_api: Option<ProviderApi>,
    describes_api: bool,
    has_console: bool,
    pub(crate) has_live_page: bool,
    /// Whether another configuration holds by now.
    is_replaced: AtomicBool,
}

impl Surfaces {
    /// Creates the surfaces of this configuration, over what the gateway keeps.
    pub(crate) fn new(config: Config, registry: Registry, state: &GatewayState) -> Self {
        if let Some(relay) = &config.relay {
            state.metrics.add_providers(relay.providers());
        }
        let keys = Arc::new(config.keys.with_offline_keys());
        let sealed_urls = config.minting.url_source();
        let rules = Arc::new(GrantRules {
            keys: Arc::clone(&keys),
            policy: config.minting,
            max_lifetime: config.max_expiration,
            relay: config.relay.clone(),
        });
        let authenticator = Authenticator {
            keys: Arc::clone(&keys),
            default_key: config.default_key,
            rules: Arc::clone(&rules),
            requires_key: config.require_key,
            sealed_urls,
        };
        let quotas = ServerQuotas {
            all: config.server_quotas,
            default: config.default_quotas,
            minting: config.mint_quotas,
        };
        let budgets = Arc::new(Budgets {
            ledgers: state.ledgers.clone(),
            prices: config.prices,
            max_lifetime: config.max_expiration,
            may_last: config.long_budgets || matches!(state.ledgers, Ledgers::Store(_)),
            may_be_uncounted: config.uncounted_budgets,
            clock: Arc::clone(&state.clock),
            metrics: state.metrics.budgets.clone(),
        });
        let pipeline = Pipeline {
            authenticator,
            revocations: Arc::clone(&state.revocations),
            revoked_before: config.revoked_before,
            admission: Admission::new(Arc::clone(&state.backend), quotas),
            budgets: Arc::clone(&budgets),
            body_limits: state.body_limits,
            memories: state.memories.clone(),
            clock: Arc::clone(&state.clock),
        };
        Self {
            host_policy: HostPolicy::new(
                config.public_hosts,
                config.trusted_proxies,
                config.has_tls_listener,
            ),
            pipeline,
            process: ProcessApi {
                registry: registry.clone(),
                keep_alive: state.keep_alive,
                budgets: Arc::clone(&budgets),
                providers: match &config.relay {
                    Some(relay) => relay.providers().clone(),
                    None => Providers::builtin(),
                },
            },
            introspection: IntrospectionApi {
                operator_secret: config.operator_secret.clone(),
            },
            revocation: RevocationApi {
                operator_secret: config.operator_secret,
                max_lifetime: config.max_expiration,
                metrics: state.metrics.revocations.clone(),
            },
            minter: Minter {
                keys,
                registry,
                rules,
            },
            provider_api: config.relay.map(|relay| {
                let websockets = WebSocketTimes {
                    idle: config.websocket_idle_timeout,
                    lifetime: config.websocket_lifetime,
                };
                let budgets = Arc::clone(&budgets);
                ProviderApi::new(relay, state.keep_alive, budgets, websockets)
            }),
            describes_api: config.openapi,
            has_console: config.console,
            has_live_page: config.live_page,
            is_replaced: AtomicBool::new(false),
        }
    }

    /// Tells what was begun with this configuration, and goes on, that another one holds from now on.
    pub(crate) fn mark_replaced(&self) {
        self.is_replaced.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_replaced(&self) -> bool {
        self.is_replaced.load(Ordering::Relaxed)
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.process.registry
    }

    /// Routes a request to its surface.
    pub(crate) async fn serve<B: Body<Data = Bytes> + Send + 'static>(
        self: &Arc<Self>,
        route: Result<Route, RouteError<'_>>,
        (parts, body): (&Parts, B),
        (peer, client): (IpAddr, IpAddr),
        in_flight: &InFlight,
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, Failure> {
        let route = route?;
        check_size(&parts.headers)?;
        let host = self.host_policy.host(peer, &parts.uri, &parts.headers);
        let endpoints = Endpoints { client, host };
        if !route.is_probe() {
            check_host(parts.version, &endpoints)?;
        }
        if route == Route::OpenApi && !self.describes_api {
            return Err(RouteError::NotFound.into());
        }
        if route.is_console() && !self.has_console {
            return Err(RouteError::ConsoleOff.into());
        }
        let is_handshake = websocket::is_handshake(parts);
        let is_websocket = route == Route::Provider(Operation::Realtime)
            || (is_handshake && route == Route::Provider(Operation::Responses));
        if is_handshake && !is_websocket {
            return Err(RouteError::WebSocket.into());
        }
        let action = if is_handshake {
            Action::Serve
        } else {
            route.action(&parts.method)
        };
        match action {
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
        if in_flight.is_draining() && !route.is_probe() {
            return Err(GatewayError::Draining.into());
        }
        let (pipeline, request) = (&self.pipeline, (parts, endpoints));
        match route {
            Route::Root => Ok(info::root(self.has_console)),
            Route::Ping => Ok(info::ping()),
            Route::Version => Ok(info::version(parts.uri.query())),
            Route::Hello => Ok(info::hello()),
            Route::Health => Ok(info::health()),
            Route::Ready if !in_flight.is_ready() => Err(GatewayError::NotReady.into()),
            Route::Ready => Ok(info::ready()),
            Route::Metadata => match &request.1.host {
                Ok(host) if self.host_policy.has_public_hosts() => {
                    let head = (&parts.uri, &parts.headers);
                    Ok(metadata::serve(
                        &self.host_policy.https_origin(host, peer, head),
                    ))
                }
                Ok(_) | Err(_) => Err(RouteError::NotFound.into()),
            },
            Route::Jwks => Ok(jwks::serve(
                &self.pipeline.authenticator.keys,
                &parts.headers,
            )),
            Route::OpenApi => Ok(openapi::serve(&parts.headers)),
            Route::Console(path) => {
                Ok(console::serve(path, &parts.headers).map(ResponseBody::full))
            }
            // Boxed, since hyper moves the future of a request several times.
            Route::Token => Box::pin(self.minter.serve(pipeline, request, body, log)).await,
            Route::Revoke => Box::pin(self.revocation.serve(pipeline, request, body, log)).await,
            Route::Introspect => {
                Box::pin(self.introspection.serve(pipeline, request, body, log)).await
            }
            Route::Process => Box::pin(self.process.serve(pipeline, request, body, log)).await,
            Route::Quota => Box::pin(quota::serve(pipeline, request, log)).await,
            Route::Provider(operation) => {
                let dialect = dialect::of(parts.uri.path(), &parts.headers);
                let (Some(provider_api), Some(dialect)) = (&self.provider_api, dialect) else {
                    return Err(RouteError::NotFound.into());
                };
                let (_, endpoints) = request;
                if is_websocket {
                    let request = SocketRequest {
                        surfaces: self,
                        operation,
                        parts,
                        endpoints,
                        handshake: Handshake::read(parts, !body.is_end_stream()),
                        in_flight,
                    };
                    return Box::pin(provider_api.open_socket(pipeline, request, log)).await;
                }
                let request = OperationRequest {
                    operation,
                    dialect,
                    parts,
                    endpoints,
                    body,
                };
                // Allocated first, so that the future, which is large, is made where it stays.
                let place = Box::new_uninit();
                Box::into_pin(Box::write(
                    place,
                    provider_api.serve(pipeline, request, log),
                ))
                .await
            }
        }
    }
}
