//! The services that come with this crate.
//!
//! [`standard`] registers them all. Each can be registered alone, and other services can be added.
//! Another provider with OpenAI's or Anthropic's protocol is another row of the provider table.
//!
//! - Chats, each with a folder for its protocol (a `request` that writes the provider's request, and
//!   a reader of its answer): `anthropic`, `gemini`, `openai`, `replicate`; and `images`.
//! - Services without a provider: `dummy`, `echo`.
//! - Services in front of another service (`filter`): `logging`, `mirror`, `nop`; and `network`,
//!   which forwards to another server.
//!
//! A call to a provider takes these steps: `choose_engine` chooses the model, `conversation` takes state and
//! inputs out of the request, `transcript` arranges them for protocols with two speakers,
//! `http_exchange` sends the request, and the reader makes the response, whole or through
//! `event_stream`. `provider_chat` has these steps for the providers of the table; `reply`,
//! `provider_error` and `json_view` have what all readers share.

mod anthropic;
mod choose_engine;
mod conversation;
pub(crate) mod dummy;
mod echo;
mod event_stream;
mod filter;
mod gemini;
mod http_exchange;
pub(crate) mod images;
mod json_view;
mod logging;
mod media_type;
mod mirror;
mod network;
mod nop;
mod openai;
mod provider_chat;
mod provider_error;
mod registration;
mod replicate;
mod reply;
mod settings;
mod transcript;

use std::collections::HashMap;

use aisbreaker_api::Origin;

pub use self::{
    anthropic::AnthropicChat,
    dummy::Dummy,
    echo::Echo,
    gemini::GeminiChat,
    images::{DummyImages, OpenAiImages, StabilityImages},
    logging::Logging,
    mirror::Mirror,
    network::Network,
    nop::Nop,
    openai::OpenAiChat,
    registration::{configurable_ids, lacks_url, secret_need, standard},
    replicate::ReplicateChat,
    settings::ServiceSettings,
};
use crate::providers::Providers;
pub use crate::upstream::headers::{HOPS_HEADER, MAX_HOPS, SEALED_HEADER};

/// What an operator may set about the services of [`standard`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// By registered service id: the engine if the caller names none, in place of that of the
    /// provider table.
    pub engines: HashMap<String, String>,
    /// By registered service id: origins to which sealed secrets for it may go in addition to those
    /// in the key.
    pub operator_origins: HashMap<String, Vec<Origin>>,
    /// The providers, each of which is a chat service.
    pub providers: Providers,
}

impl Options {
    fn settings(&self, id: &str) -> ServiceSettings {
        ServiceSettings {
            engine: self.engines.get(id).cloned(),
            operator_origins: self.origins(id),
        }
    }

    fn origins(&self, id: &str) -> Vec<Origin> {
        self.operator_origins.get(id).cloned().unwrap_or_default()
    }
}
