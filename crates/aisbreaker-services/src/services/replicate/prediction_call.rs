//! Creates a prediction and polls it until it is finished.

use std::{sync::Arc, time::Duration};

use aisbreaker_api::ServiceUrl;
use aisbreaker_egress::{Client, MemoryBudget, Observer, Outgoing};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tokio::time::Instant;

use super::{
    super::{http_exchange::fetch, reply::ProviderReply},
    model::PREDICTIONS,
    prediction::{self, Prediction},
};
use crate::{
    destination::Destination,
    error::ServiceError,
    providers::AuthScheme,
    service::ReplyKind,
    upstream::{body::CollectedBody, headers},
};

/// Lets the provider hold its response back for a while, until the prediction is finished (RFC
/// 7240).
const PREFER: (HeaderName, HeaderValue) = (
    HeaderName::from_static("prefer"),
    HeaderValue::from_static("wait"),
);
/// Ends a prediction for which nobody waits any more, so that it costs nothing more.
const CANCEL_AFTER: HeaderName = HeaderName::from_static("cancel-after");
/// The shortest time that `cancel-after` can have, in seconds.
const MIN_CANCEL_AFTER_SECONDS: u64 = 5;
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// The call of one prediction.
pub(super) struct PredictionCall {
    client: Client,
    /// The URL of the next request, and the secret of all requests.
    destination: Destination,
    /// What precedes [`PREDICTIONS`] in a URL.
    base_url: String,
    deadline: Instant,
    /// The pause before the next poll.
    pause: Duration,
    budget: MemoryBudget,
    /// Who observes all requests as one call.
    observer: Option<Arc<dyn Observer>>,
}

impl PredictionCall {
    /// Creates the call; `path` is the end of the URL of `destination`.
    pub(super) fn new(
        client: Client,
        destination: Destination,
        path: &str,
        first_pause: Duration,
        budget: MemoryBudget,
    ) -> Self {
        let url = &destination.url;
        let base_url = match url.as_str().strip_suffix(path) {
            Some(base) => base.to_owned(),
            None => url.origin().to_string(),
        };
        Self {
            deadline: client.deadline(),
            client,
            destination,
            base_url,
            pause: first_pause,
            budget,
            observer: None,
        }
    }

    /// Sets who observes all requests as one call.
    pub(super) fn with_observer(mut self, observer: Option<Arc<dyn Observer>>) -> Self {
        self.observer = observer;
        self
    }

    /// Creates the prediction with this request body, and returns its result.
    ///
    /// # Errors
    /// [`ServiceError::Timeout`] when the prediction is not finished before the deadline.
    pub(super) async fn run(mut self, body: Bytes) -> Result<ProviderReply, ServiceError> {
        let mut answer = self.create(body).await?;
        loop {
            match prediction::read(&answer)? {
                Prediction::Finished(reply) => return Ok(*reply),
                Prediction::Unfinished { id, get } => {
                    self.destination.url = self.poll_url(&id, get.as_deref())?;
                }
            }
            self.pause().await?;
            answer = self.poll().await?;
        }
    }

    async fn create(&self, body: Bytes) -> Result<CollectedBody, ServiceError> {
        let mut headers = self.headers()?;
        let (name, value) = PREFER;
        headers.insert(name, value);
        headers.extend(self.cancel_after());
        self.fetch(Outgoing::post(headers, body)).await
    }

    async fn poll(&self) -> Result<CollectedBody, ServiceError> {
        let mut headers = self.headers()?;
        headers.remove(header::CONTENT_TYPE);
        self.fetch(Outgoing::new(Method::GET, headers, Bytes::new()))
            .await
    }

    fn headers(&self) -> Result<HeaderMap, ServiceError> {
        headers::json_request(&self.destination, AuthScheme::Bearer, ReplyKind::Final)
    }

    fn cancel_after(&self) -> Option<(HeaderName, HeaderValue)> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let seconds = left.as_secs().max(MIN_CANCEL_AFTER_SECONDS);
        let value = HeaderValue::try_from(format!("{seconds}s")).ok()?;
        Some((CANCEL_AFTER, value))
    }

    async fn fetch(&self, outgoing: Outgoing) -> Result<CollectedBody, ServiceError> {
        let outgoing = outgoing
            .with_budget(self.budget.clone())
            .with_observer(self.observer.clone())
            .with_deadline(self.deadline);
        fetch(&self.client, &self.destination, outgoing).await
    }

    /// Returns the URL of a prediction: the one that the provider names, if it has the origin that
    /// the secret is sent to already, else one that is built from the id.
    fn poll_url(&self, id: &str, named: Option<&str>) -> Result<ServiceUrl, ServiceError> {
        if let Some(url) = named.and_then(|url| self.at_same_origin(url)) {
            return Ok(url);
        }
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !id.is_empty()
            && id.bytes().all(is_allowed)
            && let Some(url) = self.at_same_origin(&format!("{}{PREDICTIONS}/{id}", self.base_url))
        {
            return Ok(url);
        }
        let text = "the provider's answer has no usable id";
        Err(ServiceError::BadAnswer(text.into()))
    }

    fn at_same_origin(&self, url: &str) -> Option<ServiceUrl> {
        let url = ServiceUrl::resolve(url, "", None).ok()?;
        (url.origin() == self.destination.url.origin()).then_some(url)
    }

    async fn pause(&mut self) -> Result<(), ServiceError> {
        let end = Instant::now() + self.pause;
        if end >= self.deadline {
            let text =
                "the provider did not finish the prediction in time; try again, or a smaller one";
            return Err(ServiceError::Timeout(text.into()));
        }
        tokio::time::sleep_until(end).await;
        self.pause = self.pause.saturating_mul(2).min(MAX_PAUSE);
        Ok(())
    }
}
