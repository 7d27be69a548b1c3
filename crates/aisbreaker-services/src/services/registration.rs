//! Which services come with this crate, and under which ids.
//!
//! A provider that speaks OpenAI's or Anthropic's protocol needs no code: add a row to
//! `providers.toml`. For a provider with a protocol of its own, write its service, give it an id
//! here, register it in `add_native`, and list its id in [`configurable_ids`].

use std::sync::Arc;

use aisbreaker_api::ServiceId;
use aisbreaker_egress::Client;

use super::{
    AnthropicChat, Dummy, DummyImages, Echo, GeminiChat, Logging, Mirror, Network, Nop, OpenAiChat,
    OpenAiImages, Options, ReplicateChat, ServiceSettings, StabilityImages,
};
use crate::{
    endpoint::SecretNeed,
    providers::{Dialect, Provider, Providers},
    service::{RegistryBuilder, Service},
};

const DUMMY: &str = "chat:dummy";
const ECHO: &str = "chat:echo";
/// The task of chat services, as their ids begin.
const CHAT: &str = "chat:";
const GEMINI: &str = "gemini.google.com";
const VERTEX_GEMINI: &str = "chat:gemini.vertexai.google.com";
const REPLICATE: &str = "chat:replicate.com";
const DUMMY_IMAGES: &str = "text-to-image:dummy";
const OPENAI_IMAGES: &str = "text-to-image:openai.com";
const STABILITY_IMAGES: &str = "text-to-image:stability.ai";
const NETWORK: &str = "aisbreaker:network";
const PROXY: &str = "aisbreaker:proxy";
const MIRROR: &str = "aisbreaker:mirror";
const NOP: &str = "aisbreaker:nop";
const LOGGING: &str = "aisbreaker:logging";

/// Returns a builder with all services of this crate under their ids; calls to providers go through
/// `client`.
///
/// Every provider of the table is `chat:<its id>`, in OpenAI's dialect if it supports that, and its
/// aliases are aliases of the service. `gemini.google.com` has a protocol of its own, which is
/// preferred here. `aisbreaker:proxy` is an alias of `aisbreaker:network`, and shares its operator
/// origins.
#[must_use]
#[expect(
    clippy::needless_pass_by_value,
    reason = "options are made to be given away here"
)]
pub fn standard(client: Client, options: Options) -> RegistryBuilder {
    let mut builder = RegistryBuilder::default().with_fallback_timeout(client.timeouts().response);
    builder = add(builder, DUMMY, Dummy);
    builder = add(builder, ECHO, Echo);
    builder = add(builder, MIRROR, Mirror);
    builder = add(builder, NOP, Nop);
    builder = add(builder, LOGGING, Logging);
    builder = add(builder, DUMMY_IMAGES, DummyImages);
    builder = add_native(builder, &client, &options);
    builder = add_table(builder, &client, &options);
    let network = Network::new(client).with_operator_origins(options.origins(NETWORK));
    builder = add(builder, NETWORK, network.clone());
    add(builder, PROXY, network)
}

/// Returns the ids of the services of [`standard`] that call a provider or another server, which an
/// operator may configure.
#[must_use]
pub fn configurable_ids(providers: &Providers) -> Vec<String> {
    let mut ids = Vec::new();
    for provider in providers.iter() {
        ids.extend(provider.names().map(chat_id));
    }
    if providers.find(GEMINI).is_none() {
        ids.push(chat_id(GEMINI));
    }
    ids.extend(
        [
            VERTEX_GEMINI,
            REPLICATE,
            OPENAI_IMAGES,
            STABILITY_IMAGES,
            NETWORK,
        ]
        .map(str::to_owned),
    );
    ids
}

/// Returns whether the service of [`standard`] with this id needs a secret. One that is not known
/// does not.
#[must_use]
pub fn secret_need(providers: &Providers, id: &ServiceId) -> SecretNeed {
    let vendor = id.vendor().unwrap_or_default();
    let service = [id.task(), ":", vendor].concat();
    if [VERTEX_GEMINI, REPLICATE, OPENAI_IMAGES, STABILITY_IMAGES].contains(&&*service) {
        return SecretNeed::Required;
    }
    if !service.starts_with(CHAT) {
        return SecretNeed::Optional;
    }
    match providers.find(vendor) {
        Some(provider) => provider.secret,
        None if vendor == GEMINI => SecretNeed::Required,
        None => SecretNeed::Optional,
    }
}

/// Returns whether the service of [`standard`] with this id can only be called at a URL that the
/// caller or its key names.
#[must_use]
pub fn lacks_url(providers: &Providers, id: &ServiceId) -> bool {
    let vendor = id.vendor().unwrap_or_default();
    let service = [id.task(), ":", vendor].concat();
    if [NETWORK, PROXY].contains(&&*service) {
        return true;
    }
    let provider = providers.find(vendor);
    service.starts_with(CHAT)
        && provider.is_some_and(|provider| provider.url.is_none() && !provider.is_dummy())
}

/// Adds the services with protocols of their own.
fn add_native(mut builder: RegistryBuilder, client: &Client, options: &Options) -> RegistryBuilder {
    let vertex = GeminiChat::vertex_ai(client.clone(), options.settings(VERTEX_GEMINI));
    builder = add(builder, VERTEX_GEMINI, vertex);
    let replicate = ReplicateChat::new(client.clone(), options.settings(REPLICATE));
    builder = add(builder, REPLICATE, replicate);
    let openai = OpenAiImages::new(client.clone(), options.settings(OPENAI_IMAGES));
    builder = add(builder, OPENAI_IMAGES, openai);
    let stability = StabilityImages::new(client.clone(), options.settings(STABILITY_IMAGES));
    add(builder, STABILITY_IMAGES, stability)
}

/// Adds the providers of the table.
///
/// A row that an operator adds replaces a service with a protocol of its own. Gemini is the
/// exception: it is in the table only for requests in OpenAI's dialect that are forwarded.
fn add_table(mut builder: RegistryBuilder, client: &Client, options: &Options) -> RegistryBuilder {
    for provider in options.providers.iter() {
        for id in provider.names().map(chat_id) {
            let settings = options.settings(&id);
            builder = add_chat(builder, &id, client.clone(), provider, settings);
        }
    }
    let gemini_names = match options.providers.find(GEMINI) {
        Some(gemini) => gemini.names().collect(),
        None => vec![GEMINI],
    };
    for id in gemini_names.into_iter().map(chat_id) {
        let chat = GeminiChat::gemini_api(client.clone(), options.settings(&id));
        builder = add(builder, &id, chat);
    }
    builder
}

/// Adds the chat of a provider, in OpenAI's dialect if the provider supports it.
fn add_chat(
    builder: RegistryBuilder,
    id: &str,
    client: Client,
    provider: &Arc<Provider>,
    settings: ServiceSettings,
) -> RegistryBuilder {
    match provider.dialect(Dialect::OpenAi) {
        Some(_) => add(builder, id, OpenAiChat::new(client, provider, settings)),
        None => add(builder, id, AnthropicChat::new(client, provider, settings)),
    }
}

fn chat_id(name: &str) -> String {
    format!("{CHAT}{name}")
}

fn add(builder: RegistryBuilder, id: &str, service: impl Service) -> RegistryBuilder {
    // All ids above are valid; a test finds each of them registered.
    match ServiceId::parse(id) {
        Ok(id) => builder.with(&id, service),
        Err(_invalid) => builder,
    }
}
