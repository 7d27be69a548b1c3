//! The settings of the quota store that several servers share.

use std::{num::NonZeroU32, time::Duration};

use aisbreaker_gateway::{OnStoreFailure, SharedQuotas};
use aisbreaker_quota::shared::{InvalidStore, SharedEngine, SharedOptions, StoreAddress};

use super::{parse::Reader, values::Setting};

pub(super) const URL: Setting = Setting {
    key: "redis.url",
    variable: "AISBREAKER_REDIS_URL",
};
pub(super) const AUTHORITY: Setting = Setting {
    key: "redis.ca_file",
    variable: "AISBREAKER_REDIS_CA_FILE",
};
pub(super) const PREFIX: Setting = Setting {
    key: "redis.prefix",
    variable: "AISBREAKER_REDIS_PREFIX",
};
pub(super) const TIMEOUT: Setting = Setting {
    key: "redis.timeout",
    variable: "AISBREAKER_REDIS_TIMEOUT",
};
pub(super) const ON_FAILURE: Setting = Setting {
    key: "quotas.on_store_failure",
    variable: "AISBREAKER_QUOTA_ON_STORE_FAILURE",
};
pub(super) const REPLICAS: Setting = Setting {
    key: "replicas",
    variable: "AISBREAKER_REPLICAS",
};
pub(super) const LEASE: Setting = Setting {
    key: "quotas.lease",
    variable: "AISBREAKER_QUOTA_LEASE",
};

/// A wait for the store that every caller notices.
const LONG: Duration = Duration::from_secs(1);

/// A store, and what to do without it.
#[derive(Debug)]
pub(crate) struct StoreSettings {
    address: StoreAddress,
    options: SharedOptions,
    on_failure: OnStoreFailure,
    /// How many servers share the store, if that was told.
    servers: Option<NonZeroU32>,
}

impl StoreSettings {
    /// Starts to connect; to be called within the runtime.
    pub(crate) fn start(self) -> Result<SharedQuotas, InvalidStore> {
        if self.servers.is_none() && self.on_failure == OnStoreFailure::Local {
            tracing::warn!(
                "AISBREAKER_REPLICAS is not set: while the quota store is gone, each server admits up to the whole of each \
                 limit"
            );
        }
        if self.options.deadline > LONG {
            let timeout = humantime::format_duration(self.options.deadline);
            tracing::warn!(%timeout, "AISBREAKER_REDIS_TIMEOUT is long: requests wait for it when the quota store is slow");
        }
        let engine = SharedEngine::start(self.address, self.options)?;
        Ok(SharedQuotas::new(
            engine,
            self.on_failure,
            self.servers.unwrap_or(NonZeroU32::MIN),
        ))
    }
}

/// The store, if one is set; what only makes sense with one is a fault without.
pub(super) fn store(reader: &mut Reader) -> Option<StoreSettings> {
    let needless = [AUTHORITY, PREFIX, TIMEOUT, ON_FAILURE, REPLICAS, LEASE]
        .map(|setting| (setting, reader.values.has(setting)));
    let url = reader.text(URL, false);
    let authority = authority(reader);
    let mut options = SharedOptions::default();
    reader.duration(TIMEOUT, &mut options.deadline);
    if let Some((_, prefix)) = reader.text(PREFIX, false) {
        options.prefix = prefix;
    }
    options.lease = reader.given_count(LEASE).and_then(narrow);
    let on_failure = reader.parsed(ON_FAILURE, |text| match text {
        "local" => Ok(OnStoreFailure::Local),
        "closed" => Ok(OnStoreFailure::Closed),
        "open" => Ok(OnStoreFailure::Open),
        _ => Err("must be local, closed or open"),
    });
    let servers = reader.given_count(REPLICAS).and_then(narrow);
    let Some((name, text)) = url else {
        for (setting, _) in needless.iter().filter(|(_, is_given)| *is_given) {
            reader.faults.add(
                setting.variable,
                format_args!("has no effect without {}", URL.variable),
            );
        }
        return None;
    };
    let address = match authority {
        None => StoreAddress::parse(&text),
        Some(certificate) => StoreAddress::parse_with_ca(&text, &certificate),
    };
    let address = address.map_err(|error| {
        let name = if error == InvalidStore::CaCertificate {
            AUTHORITY.variable
        } else {
            &name
        };
        reader
            .faults
            .add(name, format_args!("is unusable: {error}"));
    });
    if let Err(error) = options.check() {
        reader
            .faults
            .add(PREFIX.variable, format_args!("is unusable: {error}"));
    }
    Some(StoreSettings {
        address: address.ok()?,
        options,
        on_failure: on_failure.unwrap_or_default(),
        servers,
    })
}

/// The certificate of the authority that is trusted for the store.
fn authority(reader: &mut Reader) -> Option<Vec<u8>> {
    let (name, path) = reader.text(AUTHORITY, false)?;
    let read = std::fs::read(path);
    read.map_err(|error| {
        reader
            .faults
            .add(&name, format_args!("cannot be read: {error}"))
    })
    .ok()
}

/// A setting is at most 1 000 000 000.
fn narrow(count: usize) -> Option<NonZeroU32> {
    u32::try_from(count).ok().and_then(NonZeroU32::new)
}
