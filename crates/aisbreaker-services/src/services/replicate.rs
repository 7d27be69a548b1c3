//! `chat:replicate.com/<owner>/<name>` and `chat:replicate.com/<owner>/<name>:<version>`.
//!
//! - `request` makes the provider's request of ours;
//! - `answer` reads a prediction, which is finished or not.
//!
//! Source: the API reference of `POST /v1/models/{owner}/{name}/predictions`,
//! `POST /v1/predictions` and `GET /v1/predictions/{id}`.

mod answer;
mod request;

use std::time::Duration;

use aisbreaker_api::{Origin, ServiceUrl};
use aisbreaker_egress::{Client, MemoryBudget, MemoryReservation, Outgoing};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use tokio::time::Instant;

use self::{answer::Prediction, request::Model};
use super::{
    exchange::{Settings, whole},
    told::{MAX_ERROR_TEXT_BYTES, Pending, Told, in_one_piece},
    turn::{self, Turn},
    upstream::{self, Context},
};
use crate::{
    destination::{Destination, Endpoint, SecretNeed},
    error::ServiceError,
    providers::AuthScheme,
    service::{Call, Reply, ReplyFuture, Service},
};

const NAME: &str = "ReplicateComChatService";
const DEFAULT_URL: &str = "https://api.replicate.com";
/// Where predictions are looked at.
const PREDICTIONS: &str = "/v1/predictions";
/// Asks for the answer to be held back for a while until the prediction is finished (RFC 7240).
const PREFER: (HeaderName, HeaderValue) = (
    HeaderName::from_static("prefer"),
    HeaderValue::from_static("wait"),
);
/// Ends a prediction for which nobody waits any more, so that it does not cost more.
const CANCEL_AFTER: HeaderName = HeaderName::from_static("cancel-after");
/// The shortest time that can be said in it, in seconds.
const SHORTEST_CANCEL_AFTER: u64 = 5;
/// How long the first pause before a look at a prediction is; the next ones are longer and longer.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A chat service with the protocol of Replicate's predictions.
///
/// The input of the model is what the request's `internOptions` hold, and over it:
/// - `prompt`: what the user says; if it goes on, the conversation with `User:` and `Assistant:`
///   before each turn, and `Assistant:` at its end;
/// - `system_prompt`: the instructions, if there are any.
///
/// A prediction that is not finished at once is looked at again, until it is or the client's
/// response timeout is over. A stream has the answer in one piece.
#[derive(Clone, Debug)]
pub struct ReplicateChat {
    client: Client,
    settings: Settings,
    first_pause: Duration,
}

impl ReplicateChat {
    /// The service, with what the operator set.
    #[must_use]
    pub fn new(client: Client, settings: Settings) -> Self {
        Self {
            client,
            settings,
            first_pause: FIRST_PAUSE,
        }
    }

    /// Sets the pause before the first look at a prediction that is not finished; 500 ms by
    /// default.
    #[must_use]
    pub fn with_first_pause(mut self, pause: Duration) -> Self {
        self.first_pause = pause;
        self
    }

    async fn answer(&self, mut call: Call) -> Result<Reply, ServiceError> {
        let engine = turn::engine(&call, self.settings.engine.as_deref())?;
        let model = Model::parse(&call.service_id, &engine)?;
        let path = model.path();
        let endpoint = Endpoint {
            default_url: Some(DEFAULT_URL),
            default_path: &path,
            operator_origins: &self.settings.operator_origins,
            is_continued: true,
            secret: SecretNeed::Required,
        };
        let destination = Destination::choose(&endpoint, &call)?;
        let turn = Turn::begin(&call.service_id, &mut call.request)?;
        let mut options = std::mem::take(&mut call.request.intern_options);
        if call.service_id.engine().is_none() {
            // It says which model is asked, and is no input of it.
            options.remove("model");
        }
        let body = request::body(&call.service_id, &turn, &model, options)?;
        let context = Context::new(
            NAME,
            call.service_id.as_str(),
            &destination,
            MAX_ERROR_TEXT_BYTES,
        );
        let pending = Pending::new(turn, engine, &destination.url);
        let base = destination
            .url
            .as_str()
            .strip_suffix(&*path)
            .map(str::to_owned);
        let run = Run {
            base: base.unwrap_or_else(|| destination.url.origin().to_string()),
            deadline: self.client.deadline(),
            pause: self.first_pause,
            client: self.client.clone(),
            budget: call.budget,
            destination,
        };
        let stream = call.request.stream;
        let exchange = async move {
            let response = pending.finish(run.told(body).await?);
            Ok(if stream {
                in_one_piece(response)
            } else {
                Reply::Final(response)
            })
        };
        context.reply(stream, exchange).await
    }
}

impl Service for ReplicateChat {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(self.answer(call))
    }
}

/// A prediction that is asked for and looked at until it is finished.
struct Run {
    client: Client,
    destination: Destination,
    /// What stands before [`PREDICTIONS`].
    base: String,
    deadline: Instant,
    pause: Duration,
    budget: MemoryBudget,
}

impl Run {
    async fn told(mut self, body: Bytes) -> Result<Told, ServiceError> {
        let mut headers = upstream::headers(&self.destination, AuthScheme::Bearer, false)?;
        let (name, value) = PREFER;
        headers.insert(name, value);
        headers.extend(self.cancel_after());
        let mut answer = self.send(Outgoing::post(headers, body)).await?;
        loop {
            match answer::read(&answer.0)? {
                Prediction::Finished(told) => return Ok(*told),
                Prediction::Unfinished { id, get } => {
                    self.destination.url = self.look_at(&id, get.as_deref())?
                }
            }
            self.wait().await?;
            let mut headers = upstream::headers(&self.destination, AuthScheme::Bearer, false)?;
            headers.remove(header::CONTENT_TYPE);
            answer = self
                .send(Outgoing::new(Method::GET, headers, Bytes::new()))
                .await?;
        }
    }

    fn cancel_after(&self) -> Option<(HeaderName, HeaderValue)> {
        let left = self
            .deadline
            .saturating_duration_since(Instant::now())
            .as_secs();
        let value = HeaderValue::try_from(format!("{}s", left.max(SHORTEST_CANCEL_AFTER))).ok()?;
        Some((CANCEL_AFTER, value))
    }

    async fn send(&self, outgoing: Outgoing) -> Result<(Bytes, MemoryReservation), ServiceError> {
        let outgoing = outgoing
            .with_budget(self.budget.clone())
            .with_deadline(self.deadline);
        whole(&self.client, &self.destination, outgoing).await
    }

    /// Where to look at a prediction: where the provider says, if that is where the secret goes
    /// already. Elsewhere it does not go, whoever says so.
    fn look_at(&self, id: &str, get: Option<&str>) -> Result<ServiceUrl, ServiceError> {
        let own: &Origin = self.destination.url.origin();
        let told = get.and_then(|url| ServiceUrl::resolve(url, "", None).ok());
        if let Some(told) = told.filter(|told| told.origin() == own) {
            return Ok(told);
        }
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let bad = || ServiceError::BadAnswer("the provider's answer has no usable id".to_owned());
        if id.is_empty() || !id.bytes().all(is_id) {
            return Err(bad());
        }
        let text = format!("{}{PREDICTIONS}/{id}", self.base);
        ServiceUrl::resolve(&text, "", None)
            .ok()
            .filter(|url| url.origin() == own)
            .ok_or_else(bad)
    }

    async fn wait(&mut self) -> Result<(), ServiceError> {
        let next = Instant::now() + self.pause;
        if next >= self.deadline {
            let text =
                "the provider did not finish the prediction in time; try again, or a smaller one";
            return Err(ServiceError::Timeout(text.to_owned()));
        }
        tokio::time::sleep_until(next).await;
        self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
        Ok(())
    }
}
