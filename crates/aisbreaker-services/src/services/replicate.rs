//! `chat:replicate.com/<owner>/<name>` and `chat:replicate.com/<owner>/<name>:<version>`.
//!
//! - `model` reads the name of a model;
//! - `request` writes the provider's request;
//! - `prediction` reads a prediction, finished or not;
//! - `prediction_call` creates a prediction and polls it until it is finished.
//!
//! Source: the API reference of `POST /v1/models/{owner}/{name}/predictions`,
//! `POST /v1/predictions` and `GET /v1/predictions/{id}`.

mod model;
mod prediction;
mod prediction_call;
mod request;

use std::time::Duration;

use aisbreaker_egress::Client;

use self::{model::Model, prediction_call::PredictionCall};
use super::{
    choose_engine::{choose_engine, reached_engine},
    conversation::Conversation,
    http_exchange::error_context,
    reply::{PendingReply, whole_reply},
    settings::ServiceSettings,
};
use crate::{
    destination::Destination,
    endpoint::{Endpoint, PathJoin, SecretNeed},
    error::ServiceError,
    service::{Call, Reached, Reply, ReplyFuture, Service, Target},
};

const DEFAULT_URL: &str = "https://api.replicate.com";
/// The pause before the first poll; later pauses are longer.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// A chat service with the protocol of Replicate's predictions.
///
/// The input of the model is the request's `internOptions`, and over it:
/// - `prompt`: the user's text; in a conversation, all turns with `User:` or `Assistant:` before
///   each, and `Assistant:` at the end;
/// - `system_prompt`: the instructions, if there are any.
///
/// A prediction that is not finished at once is polled until it is, or until the client's response
/// timeout has passed. A stream has the answer in one piece.
#[derive(Clone, Debug)]
pub struct ReplicateChat {
    client: Client,
    settings: ServiceSettings,
    first_pause: Duration,
}

impl ReplicateChat {
    /// Creates the service.
    #[must_use]
    pub fn new(client: Client, settings: ServiceSettings) -> Self {
        Self {
            client,
            settings,
            first_pause: FIRST_PAUSE,
        }
    }

    /// Sets the pause before the first poll of a prediction; 500 ms by default.
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn with_first_pause(mut self, pause: Duration) -> Self {
        self.first_pause = pause;
        self
    }

    async fn chat(&self, mut call: Call) -> Result<Reply, ServiceError> {
        let engine = choose_engine(&call, self.settings.engine.as_deref())?;
        let model = Model::parse(&call.service_id, &engine)?;
        let path = model.path();
        let endpoint = Endpoint {
            default_url: Some(DEFAULT_URL),
            default_path: &path,
            path_join: PathJoin::Overlap,
            operator_origins: &self.settings.operator_origins,
            secret: SecretNeed::Required,
        };
        let destination = Destination::choose(&endpoint, &call)?;
        let conversation = Conversation::start(&call.service_id, &mut call.request)?;
        let mut options = std::mem::take(&mut call.request.intern_options);
        if call.service_id.engine().is_none() {
            // It names the model, and is not an input of it.
            options.remove("model");
        }
        let body = request::body(&call.service_id, &conversation, &model, options)?;
        let context = error_context(&call.service_id, &destination);
        let kind = call.reply_kind();
        let observer = call.trace.call(&call.service_id, Some(&engine));
        let pending = PendingReply::new(conversation, engine, &destination.url, call.tokens);
        let prediction = PredictionCall::new(
            self.client.clone(),
            destination,
            &path,
            self.first_pause,
            call.budget,
        )
        .with_observer(observer);
        let record = call.provider_calls.begin(&call.service_id);
        let exchange = async move {
            let reply = prediction.run(body).await?;
            Ok(whole_reply(pending.finish(reply), kind))
        };
        context.reply(kind, record, Box::pin(exchange)).await
    }
}

impl Service for ReplicateChat {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(self.chat(call))
    }

    fn reached(&self, target: &Target<'_>) -> Result<Reached, ServiceError> {
        let reached = reached_engine(target, self.settings.engine.as_deref())?;
        // A prediction by version names neither the owner nor the model.
        if let Reached::Service(id) = &reached
            && id.engine().is_some_and(|engine| engine.contains(':'))
        {
            return Ok(Reached::Version(id.clone()));
        }
        Ok(reached)
    }
}
