//! `chat:gemini.google.com` and `chat:gemini.vertexai.google.com`: Google's models with Google's
//! own protocol.
//!
//! - `request` writes the provider's request;
//! - `candidates` reads its answer, whole or streamed;
//! - `usage` reads the token counts in it.
//!
//! Source: the API references of `models.generateContent` and `models.streamGenerateContent` of the
//! Gemini API (v1beta) and of Vertex AI (v1).

mod candidates;
mod request;
mod usage;

use aisbreaker_api::ServiceUrl;
use aisbreaker_egress::{Client, Outgoing};
use secrecy::ExposeSecret as _;

use self::candidates::CandidateReader;
use super::{
    choose_engine::{choose_engine, reached_engine, with_engine},
    conversation::Conversation,
    http_exchange::ProviderRequest,
    reply::PendingReply,
    settings::ServiceSettings,
};
use crate::{
    destination::Destination,
    endpoint::{Endpoint, PathJoin, SecretNeed},
    error::ServiceError,
    providers::AuthScheme,
    service::{Call, Reached, Reply, ReplyFuture, ReplyKind, Service, Target},
    upstream::headers,
};

/// The prefix of an OAuth access token, which is not an API key.
const ACCESS_TOKEN: &str = "ya29.";
/// Requests server-sent events; without it, a stream is one JSON array.
const AS_EVENTS: &str = "alt=sse";

/// A chat service with the protocol of Google's Gemini.
///
/// The provider gets the conversation with its instructions apart, and the request's
/// `internOptions`. Options with the names of OpenAI's protocol (`temperature`, `top_p`,
/// `max_tokens`, `stop`, `n`, …) become members of `generationConfig`. The model is the engine of
/// the service id, else `internOptions.model`, else that of the settings.
///
/// The secret is an API key or an OAuth access token. One that begins with `ya29.` is sent as a
/// bearer value.
#[derive(Clone, Debug)]
pub struct GeminiChat {
    client: Client,
    api: Api,
    settings: ServiceSettings,
}

/// The API that serves the models.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Api {
    Gemini,
    VertexAi,
}

impl Api {
    fn default_url(self) -> &'static str {
        match self {
            Self::Gemini => "https://generativelanguage.googleapis.com",
            Self::VertexAi => "https://aiplatform.googleapis.com",
        }
    }

    /// Returns the path behind a base URL. A base of Vertex AI that names a project has the version
    /// already.
    fn path(self, base: &ServiceUrl, method: &str) -> String {
        let models = match self {
            Self::Gemini => "/v1beta/models",
            Self::VertexAi if base.as_str().contains("/projects/") => "/publishers/google/models",
            Self::VertexAi => "/v1/publishers/google/models",
        };
        format!("{models}/${{engine}}:{method}")
    }
}

impl GeminiChat {
    /// Creates the chat of the Gemini API, served by `generativelanguage.googleapis.com`.
    #[must_use]
    pub fn gemini_api(client: Client, settings: ServiceSettings) -> Self {
        Self {
            client,
            api: Api::Gemini,
            settings,
        }
    }

    /// Creates the chat of Vertex AI.
    ///
    /// It is called in express mode, unless the URL ends with a project and a location, as in
    /// `https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/europe-west1`.
    #[must_use]
    pub fn vertex_ai(client: Client, settings: ServiceSettings) -> Self {
        Self {
            client,
            api: Api::VertexAi,
            settings,
        }
    }

    async fn chat(&self, mut call: Call) -> Result<Reply, ServiceError> {
        let model = choose_engine(&call, self.settings.engine.as_deref())?;
        let destination = self.destination(&call, &model)?;
        let conversation = Conversation::start(&call.service_id, &mut call.request)?;
        let kind = call.reply_kind();
        let headers = headers::json_request(&destination, auth_scheme(&destination), kind)?;
        let body = request::body(&conversation, call.request.intern_options)?;
        let query = match kind {
            ReplyKind::Final => None,
            ReplyKind::Stream => Some(AS_EVENTS.to_owned()),
        };
        let observer = call.trace.call(&call.service_id, Some(&model));
        let pending = PendingReply::new(conversation, model, &destination.url, call.tokens);
        let request = ProviderRequest {
            client: &self.client,
            service_id: &call.service_id,
            destination,
            outgoing: Outgoing::post(headers, body)
                .with_budget(call.budget)
                .with_query(query)
                .with_observer(observer),
            reply_kind: kind,
            calls: call.provider_calls,
        };
        request.exchange(CandidateReader::new(pending)).await
    }

    fn destination(&self, call: &Call, model: &str) -> Result<Destination, ServiceError> {
        let id = with_engine(&call.service_id, model)?;
        let method = match call.reply_kind() {
            ReplyKind::Final => "generateContent",
            ReplyKind::Stream => "streamGenerateContent",
        };
        let endpoint = |default_path| Endpoint {
            default_url: Some(self.api.default_url()),
            default_path,
            path_join: PathJoin::Overlap,
            operator_origins: &self.settings.operator_origins,
            secret: SecretNeed::Required,
        };
        // The path depends on the base URL, which is found first.
        let base = Destination::choose_for_id(&endpoint(""), call, &id)?.url;
        let path = self.api.path(&base, method);
        Destination::choose_for_id(&endpoint(&path), call, &id)
    }
}

fn auth_scheme(destination: &Destination) -> AuthScheme {
    match &destination.secret {
        Some(secret) if secret.expose_secret().starts_with(ACCESS_TOKEN) => AuthScheme::Bearer,
        Some(_) | None => AuthScheme::XGoogApiKey,
    }
}

impl Service for GeminiChat {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(self.chat(call))
    }

    fn reached(&self, target: &Target<'_>) -> Result<Reached, ServiceError> {
        reached_engine(target, self.settings.engine.as_deref())
    }
}
