//! A request to forward, and what becomes of it for each service that is called.

use std::{borrow::Cow, fmt, sync::Arc};

use aisbreaker_egress::{Outgoing, Payload};
use aisbreaker_services::{Dialect, ForwardedRequest, ServiceError, Trace};
use aisbreaker_token::PREFIX;
use bytes::Bytes;
use http::{Method, request};
use tokio::time::Instant;

use super::{
    error::ProviderApiError,
    headers::{self, dialects},
    model::{BodyModel, replace_model},
    models,
    resolve::ResolvedService,
    usage_request::{UsageRequest, add_after_replaced, add_stream_options},
};
use crate::{
    budgets::demand::Demand,
    failure::Failure,
    form_urlencoded,
    memory::ClientMemory,
    pipeline::Admitted,
    request::{credentials::is_key, upload::Upload},
    route::{
        family::Family,
        operation::{self, Operation},
    },
};

/// A request to forward.
pub struct ProxiedRequest<'a> {
    pub(crate) operation: Operation,
    pub(crate) dialect: Dialect,
    pub(crate) parts: &'a request::Parts,
    pub(crate) body: Bytes,
    /// The content in place of a body, if it is passed on as it arrives.
    pub(crate) upload: Option<Upload>,
    /// Whether the body came with a content coding, which was decoded.
    pub(crate) was_coded: bool,
    /// The model that the body names.
    pub(crate) model: Option<BodyModel>,
    /// What the body shows of its cost, if its key has budgets.
    pub(crate) demand: Option<Demand>,
    pub(crate) usage_request: UsageRequest,
    /// The memory that the request and its response are held of.
    pub(crate) memory: Arc<ClientMemory>,
    pub(crate) trace: Trace,
}

/// Shows no header field and no content: both may hold secrets.
impl fmt::Debug for ProxiedRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxiedRequest")
            .field("operation", &self.operation)
            .field("dialect", &self.dialect)
            .finish_non_exhaustive()
    }
}

impl ProxiedRequest<'_> {
    /// Returns the family of resources that the request reaches.
    pub(super) fn family(&self) -> Option<&'static Family> {
        self.operation.family(&self.parts.method)
    }

    /// Returns the model that the path or the body names.
    ///
    /// What is known by an id has the model that it was made with, whatever a body says.
    pub(super) fn requested_model(&self) -> Result<Option<Cow<'_, str>>, ProviderApiError> {
        let model = if self.operation == Operation::Model {
            Some(models::model_in_path(self.parts.uri.path())?.into())
        } else if self.operation.is_provider_bound() {
            None
        } else {
            self.model.as_ref().map(|model| (&*model.name).into())
        };
        if model.as_deref().is_some_and(is_key) {
            return Err(ProviderApiError::ModelIsKey);
        }
        if let Some(query) = self.parts.uri.query()
            && form_urlencoded::decode(query).contains(PREFIX)
        {
            return Err(ProviderApiError::KeyInQuery);
        }
        Ok(model)
    }

    /// Returns the request to one service: with its own content, or what it was translated to.
    pub(super) fn outgoing<'a>(
        &'a self,
        service: &'a ResolvedService,
        (path, translated): (&'a str, Option<Payload>),
        admitted: &'a Admitted,
        deadline: Instant,
    ) -> ForwardedRequest<'a> {
        let mut fields = headers::for_provider(&self.parts.headers, self.was_coded);
        let (query, payload) = match translated {
            None => (
                self.parts.uri.query().map(str::to_owned),
                self.payload(service),
            ),
            // A query means nothing to a provider of the other dialect.
            Some(payload) => {
                dialects::translate_request(&mut fields, &service.provider, self.dialect);
                (None, payload)
            }
        };
        let model = match (&service.engine, &self.model) {
            (Some(engine), _) => Some(engine.as_str()),
            (None, model) => model.as_ref().map(|model| model.name.as_str()),
        };
        let outgoing = Outgoing::new(self.method(), fields, payload)
            .with_query(query)
            .with_budget(self.memory.budget().clone())
            .with_deadline(deadline)
            .with_observer(self.trace.call(&service.service_id, model));
        ForwardedRequest {
            service_id: &service.service_id,
            provider: &service.provider,
            dialect: service.dialect,
            path,
            credentials: &admitted.caller().credentials,
            hops: admitted.hops(),
            outgoing,
        }
    }

    /// A `HEAD` request becomes a `GET`, whose content is dropped later.
    fn method(&self) -> Method {
        if self.parts.method == Method::HEAD {
            Method::GET
        } else {
            self.parts.method.clone()
        }
    }

    /// Returns the body, with the provider's name of the model where it differs, and with
    /// `stream_options` where they are added.
    fn payload(&self, service: &ResolvedService) -> Payload {
        if let Some(upload) = &self.upload {
            return upload.payload();
        }
        let addition = self.usage_request.addition(&service.provider);
        let renamed = match (&self.model, &service.engine) {
            (Some(model), Some(engine)) => Some(replace_model(&self.body, model, engine)),
            (Some(_) | None, _) => None,
        };
        match (renamed, addition) {
            (None, None) => self.body.clone().into(),
            (Some(pieces), None) => Payload::from_pieces(pieces),
            // They are added after the model if there is one.
            (Some(pieces), Some(_)) => Payload::from_pieces(add_after_replaced(pieces)),
            (None, Some(place)) => Payload::from_pieces(add_stream_options(&self.body, place)),
        }
    }

    /// Returns the path after the base of the provider's API.
    pub(super) fn path(&self, service: &ResolvedService) -> Result<Cow<'_, str>, ServiceError> {
        if service.dialect != self.dialect {
            let operation = self.operation.counterpart();
            let path = operation.map(Operation::template).unwrap_or_default();
            return Ok(Cow::Borrowed(
                operation::strip_base(path).unwrap_or_default(),
            ));
        }
        let path = self.parts.uri.path();
        if self.operation != Operation::Model {
            let path = operation::strip_base(operation::trim_slashes(path));
            return Ok(Cow::Borrowed(path.unwrap_or_default()));
        }
        let model = match &service.engine {
            Some(engine) => Ok(engine.clone()),
            None => models::model_in_path(path),
        };
        match model {
            Ok(model) => Ok(Cow::Owned(models::path_of(&model))),
            // Not expected: the service was found by this name.
            Err(_) => Err(ServiceError::Internal("the path names no model".into())),
        }
    }

    /// Whether the content failed by itself while it was passed on.
    pub(super) fn has_failed(&self) -> bool {
        self.upload.as_ref().is_some_and(Upload::has_failed)
    }

    /// Returns the failure of a call that ended with this error, or of the content if that failed by
    /// itself.
    pub(super) fn failure(&self, error: ServiceError) -> Failure {
        match self.upload.as_ref().and_then(Upload::take_fault) {
            Some(fault) => fault.into(),
            None => ProviderApiError::from(error).into(),
        }
    }
}
