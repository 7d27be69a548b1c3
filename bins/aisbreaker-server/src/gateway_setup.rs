//! What gateways of this program are made of.

use aisbreaker_egress as egress;
use aisbreaker_gateway::{Config, Gateway, SystemClock};
use aisbreaker_services::{
    Registry, Relay,
    services::{self, Options},
};

use crate::settings::Settings;

/// Creates a gateway that serves requests of this process. It shares no counters and saves none.
pub(crate) fn gateway_alone(settings: Settings) -> Gateway {
    let Settings {
        mut gateway,
        egress,
        timeouts,
        bounds,
        services,
        ..
    } = settings;
    let client = egress::Client::new(egress, timeouts).with_bounds(bounds);
    let registry = connect_services(&mut gateway, client, services);
    Gateway::new(gateway, registry, SystemClock::new())
}

/// Gives the gateway its providers, and returns its services.
pub(crate) fn connect_services(
    gateway: &mut Config,
    client: egress::Client,
    services: Options,
) -> Registry {
    let relay = Relay::new(client.clone(), services.providers.clone());
    gateway.relay = Some(relay.with_operator_origins(services.operator_origins.clone()));
    services::standard(client, services).build()
}
