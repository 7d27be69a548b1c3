//! `chat:gemini.google.com` and `chat:gemini.vertexai.google.com`: Google's models with Google's
//! own protocol.
//!
//! - `request` makes the provider's request of ours;
//! - `answer` reads its answer, whole or streamed.
//!
//! Source: the API references of `models.generateContent` and `models.streamGenerateContent` of the
//! Gemini API (v1beta) and of Vertex AI (v1).

mod answer;
mod request;

use aisbreaker_api::ServiceUrl;
use aisbreaker_egress::{Client, Outgoing};
use secrecy::ExposeSecret as _;

use super::{
    exchange::{Settings, exchange},
    told::{MAX_ERROR_TEXT_BYTES, Pending},
    turn::{self, Turn},
    upstream::{self, Context},
};
use crate::{
    destination::{Destination, Endpoint, SecretNeed},
    error::ServiceError,
    providers::AuthScheme,
    service::{Call, Reply, ReplyFuture, Service},
};

/// How an access token of OAuth begins, which is no API key.
const ACCESS_TOKEN: &str = "ya29.";
/// Asks for server-sent events; without it, a stream is one JSON array.
const AS_EVENTS: &str = "alt=sse";

/// A chat service with the protocol of Google's Gemini.
///
/// The provider gets the conversation with its instructions apart, and what the request's
/// `internOptions` hold; of those, the names of OpenAI's protocol (`temperature`, `top_p`,
/// `max_tokens`, `stop`, `n`, …) become members of `generationConfig`. The model is the engine of
/// the service id, else `internOptions.model`, else that of the settings.
///
/// The secret is an API key, or an access token of OAuth: one that begins with `ya29.` goes as a
/// bearer value.
#[derive(Clone, Debug)]
pub struct GeminiChat {
    client: Client,
    place: Place,
    settings: Settings,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    GeminiApi,
    VertexAi,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::GeminiApi => "GeminiGoogleComChatService",
            Self::VertexAi => "GeminiVertexaiGoogleComChatService",
        }
    }

    fn default_url(self) -> &'static str {
        match self {
            Self::GeminiApi => "https://generativelanguage.googleapis.com",
            Self::VertexAi => "https://aiplatform.googleapis.com",
        }
    }

    /// What is appended to a base URL. A base of Vertex AI that names a project has the version
    /// already.
    fn path(self, base: &ServiceUrl, method: &str) -> String {
        let models = match self {
            Self::GeminiApi => "/v1beta/models",
            Self::VertexAi if base.as_str().contains("/projects/") => "/publishers/google/models",
            Self::VertexAi => "/v1/publishers/google/models",
        };
        format!("{models}/${{engine}}:{method}")
    }
}

impl GeminiChat {
    /// The chat of the Gemini API, which `generativelanguage.googleapis.com` serves.
    #[must_use]
    pub fn of_gemini_api(client: Client, settings: Settings) -> Self {
        Self {
            client,
            place: Place::GeminiApi,
            settings,
        }
    }

    /// The chat of Vertex AI: in express mode, unless the URL ends with a project and location, as
    /// in `https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/europe-west1`.
    #[must_use]
    pub fn of_vertex_ai(client: Client, settings: Settings) -> Self {
        Self {
            client,
            place: Place::VertexAi,
            settings,
        }
    }

    async fn answer(&self, mut call: Call) -> Result<Reply, ServiceError> {
        let model = turn::engine(&call, self.settings.engine.as_deref())?;
        let destination = self.destination(&call, &model)?;
        let turn = Turn::begin(&call.service_id, &mut call.request)?;
        let stream = call.request.stream;
        let is_token = destination
            .secret
            .as_ref()
            .is_some_and(|secret| secret.expose_secret().starts_with(ACCESS_TOKEN));
        let auth = if is_token {
            AuthScheme::Bearer
        } else {
            AuthScheme::XGoogApiKey
        };
        let headers = upstream::headers(&destination, auth, stream)?;
        let body = request::body(&turn, call.request.intern_options)?;
        let context = Context::new(
            self.place.name(),
            call.service_id.as_str(),
            &destination,
            MAX_ERROR_TEXT_BYTES,
        );
        let pending = Pending::new(turn, model, &destination.url);
        let query = stream.then(|| AS_EVENTS.to_owned());
        let outgoing = Outgoing::post(headers, body)
            .with_budget(call.budget)
            .with_query(query);
        let answer = answer::Reading::default();
        let exchange = exchange(
            self.client.clone(),
            destination,
            outgoing,
            pending,
            answer,
            stream,
        );
        context.reply(stream, exchange).await
    }

    fn destination(&self, call: &Call, model: &str) -> Result<Destination, ServiceError> {
        let id = turn::with_engine(&call.service_id, model)?;
        let method = if call.request.stream {
            "streamGenerateContent"
        } else {
            "generateContent"
        };
        let endpoint = |default_path| Endpoint {
            default_url: Some(self.place.default_url()),
            default_path,
            operator_origins: &self.settings.operator_origins,
            is_continued: true,
            secret: SecretNeed::Required,
        };
        let base = Destination::choose_as(&endpoint(""), call, &id)?.url;
        Destination::choose_as(&endpoint(&self.place.path(&base, method)), call, &id)
    }
}

impl Service for GeminiChat {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(self.answer(call))
    }
}
