//! A gateway with the services that come with this crate, in a few lines.

use std::{fmt, sync::Arc};

use aisbreaker_api::ServiceId;
use aisbreaker_egress::{Client, Policy, Timeouts};
use aisbreaker_services::{Service, services::Options};
use aisbreaker_token::KeyRing;

use crate::{clock::SystemClock, config::Config, gateway::Gateway};

/// Builds a [`Gateway`] that serves its own API below `/api/v1` and the providers' APIs below `/v1`.
///
/// ```
/// use aisbreaker_gateway::{
///     Gateway,
///     services::{Call, Reply, ReplyFuture, Service, api::{Response, ServiceId}},
///     token::{KeyRing, ServerKey},
/// };
///
/// struct Greeting;
///
/// impl Service for Greeting {
///     fn call(&self, call: Call) -> ReplyFuture<'_> {
///         let response = Response::text(call.service_id.as_str(), "Hello!");
///         Box::pin(async { Ok(Reply::Final(response)) })
///     }
/// }
///
/// let gateway = Gateway::builder(KeyRing::new(ServerKey::generate()?))
///     .service(ServiceId::parse("chat:greeting")?, Greeting)
///     .configure(|config| config.require_key = true)
///     .build();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct GatewayBuilder {
    config: Config,
    client: Client,
    options: Options,
    services: Vec<(ServiceId, Arc<dyn Service>)>,
}

impl Gateway {
    /// Begins a gateway with the services that come with `aisbreaker-services`, which also serves
    /// the providers' own APIs.
    #[must_use]
    pub fn builder(keys: KeyRing) -> GatewayBuilder {
        GatewayBuilder::new(keys)
    }
}

impl GatewayBuilder {
    fn new(keys: KeyRing) -> Self {
        Self {
            config: Config::new(keys),
            client: Client::new(Policy::strict(), Timeouts::default()),
            options: Options::default(),
            services: Vec::new(),
        }
    }

    /// Sets the client that calls the providers. By default it calls public addresses over https
    /// only.
    #[must_use]
    pub fn client(self, client: Client) -> Self {
        Self { client, ..self }
    }

    /// Sets the providers and their engines. By default, they are those of the built-in table.
    #[must_use]
    pub fn options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// Adds a service. It replaces one that has this id already.
    #[must_use]
    pub fn service(mut self, id: ServiceId, service: impl Service) -> Self {
        self.services.push((id, Arc::new(service)));
        self
    }

    /// Serves the console at `/console/`. By default, there is none.
    ///
    /// The console has no authority: its page calls the gateway as any other client does.
    #[must_use]
    pub fn console(mut self) -> Self {
        self.config.console = true;
        self
    }

    /// Changes the configuration.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Creates the gateway, with the clock of the system.
    #[must_use]
    pub fn build(self) -> Gateway {
        let Self {
            mut config,
            client,
            options,
            services,
        } = self;
        let mut registry = config.connect(client, options);
        for (id, service) in services {
            registry = registry.with(&id, service);
        }
        Gateway::new(config, registry.build(), SystemClock::new())
    }
}

impl fmt::Debug for GatewayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.services.iter().map(|(id, _)| id.as_str()).collect();
        f.debug_struct("GatewayBuilder")
            .field("services", &ids)
            .finish_non_exhaustive()
    }
}
