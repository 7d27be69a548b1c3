//! The settings of the quota store that several servers share.

use std::{num::NonZeroU32, time::Duration};

use aisbreaker_gateway::{OnStoreFailure, SharedQuotas};
use aisbreaker_quota::shared::{
    InvalidStore, SharedEngine, SharedOptions, StoreAddress, StoreState,
};

use super::{
    faults::Faults,
    given::{Named, Problem, unusable},
};

/// A store timeout from which on every caller notices a slow store.
const LONG_TIMEOUT: Duration = Duration::from_secs(1);

/// The store, and how requests are decided while it is unreachable.
#[derive(Debug)]
pub(crate) struct StoreSettings {
    address: StoreAddress,
    options: SharedOptions,
    on_failure: OnStoreFailure,
    /// How many servers share the store, if set.
    servers: Option<NonZeroU32>,
}

impl StoreSettings {
    /// Starts to connect. To be called within the runtime.
    pub(crate) fn start(self) -> Result<SharedQuotas, InvalidStore> {
        if self.servers.is_none() && self.on_failure == OnStoreFailure::Local {
            tracing::warn!(
                "AISBREAKER_REPLICAS is not set: while the quota store is unreachable, each \
                 server admits up to the whole of each limit"
            );
        }
        if self.options.deadline > LONG_TIMEOUT {
            let timeout = humantime::format_duration(self.options.deadline);
            tracing::warn!(
                %timeout,
                "AISBREAKER_REDIS_TIMEOUT is long: requests wait for it when the quota store is \
                 slow"
            );
        }
        let engine = SharedEngine::start(self.address, self.options)?;
        let servers = self.servers.unwrap_or(NonZeroU32::MIN);
        Ok(SharedQuotas::new(engine, self.on_failure, servers))
    }
}

impl StoreSettings {
    /// Connects once, and waits until it is known whether the store answers. To be called within the
    /// runtime.
    ///
    /// # Errors
    /// Why it does not, without secrets.
    pub(crate) async fn probe(self) -> Result<(), String> {
        let engine = SharedEngine::start(self.address, self.options).map_err(|e| e.to_string())?;
        let mut states = engine.states();
        let is_known = |state: &StoreState| *state != StoreState::Connecting;
        let state = states.wait_for(is_known).await;
        match state.as_deref() {
            Ok(StoreState::Down(error)) => Err(error.to_string()),
            Ok(StoreState::Up | StoreState::Connecting) => Ok(()),
            Err(_closed) => Err("the connection was given up".to_owned()),
        }
    }
}

/// The settings of the store as they are read, in any order.
#[derive(Default)]
pub(super) struct StoreDraft {
    pub(super) url: Option<Named<String>>,
    /// The content of the file, not its name.
    pub(super) ca_file: Option<Named<Vec<u8>>>,
    pub(super) options: SharedOptions,
    pub(super) on_failure: OnStoreFailure,
    pub(super) servers: Option<NonZeroU32>,
}

impl StoreDraft {
    pub(super) fn set_prefix(&mut self, prefix: &str) -> Result<(), Problem> {
        self.options.prefix = prefix.to_owned();
        self.options.check().map_err(unusable)
    }

    /// Returns the store, if there is a usable one.
    pub(super) fn finish(self, faults: &mut Faults) -> Option<StoreSettings> {
        let url = self.url?;
        let address = match &self.ca_file {
            None => StoreAddress::parse(&url.value),
            Some(ca_file) => StoreAddress::parse_with_ca(&url.value, &ca_file.value),
        };
        match address {
            Ok(address) => Some(StoreSettings {
                address,
                options: self.options,
                on_failure: self.on_failure,
                servers: self.servers,
            }),
            Err(error) => {
                let name = match &self.ca_file {
                    Some(ca_file) if error == InvalidStore::CaCertificate => &ca_file.name,
                    Some(_) | None => &url.name,
                };
                faults.add(name, unusable(error));
                None
            }
        }
    }
}

/// Parses the value of `quotas.on_store_failure`.
pub(super) fn on_failure(text: &str) -> Result<OnStoreFailure, &'static str> {
    match text {
        "local" => Ok(OnStoreFailure::Local),
        "closed" => Ok(OnStoreFailure::Closed),
        "open" => Ok(OnStoreFailure::Open),
        _ => Err("must be local, closed or open"),
    }
}
