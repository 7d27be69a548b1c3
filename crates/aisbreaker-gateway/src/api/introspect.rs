//! `POST /api/v1/oauth/introspect`: tells what a key allows (RFC 7662).
//!
//! The holder of a key asks about that key, and the operator about any. Nothing in an answer is a
//! secret, or the address of a service.

mod introspection_request;

use std::time::SystemTime;

use aisbreaker_services::Dialect;
use aisbreaker_token::{Budgets, Grant, Host, KeyId, Opened, RequestQuotas, Restriction};
use bytes::Bytes;
use http::{Response, request::Parts};
use http_body::Body;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use self::introspection_request::IntrospectionRequest;
use super::{quota, token::reach::Reach};
use crate::{
    authenticate::AuthenticationError,
    failure::Failure,
    pipeline::Pipeline,
    request::{
        basic::{self, constant_time_eq},
        credentials::{self, Authorization},
        head::Endpoints,
    },
    response::{self, ResponseBody},
    telemetry::access_log::AccessLog,
};

/// Why a key is not told about.
#[derive(Debug)]
pub(crate) enum IntrospectError {
    /// The caller is neither the holder of the key nor the operator.
    UnknownClient,
    /// Too many keys of this client that were sealed offline did not open, so that none is read.
    NotRead,
}

/// The introspection surface.
#[derive(Debug)]
pub(crate) struct IntrospectionApi {
    /// What the operator proves itself with. `None`: nobody is the operator.
    pub(crate) operator_secret: Option<SecretString>,
}

/// The response about a key that does not open, whatever the cause.
#[derive(Serialize)]
struct Inactive {
    active: bool,
}

/// The response about a key (RFC 7662 section 2.2). Times are in seconds since 1970.
#[derive(Serialize)]
struct Active<'a> {
    active: bool,
    token_type: &'static str,
    aud: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    exp: u64,
    /// The id of the key, as in the server's log.
    jti: KeyId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    /// Whether it was sealed offline, with the server's public key.
    sealed: bool,
    /// The ids of the keys that it was made from, the first of them first.
    ancestors: Vec<KeyId>,
    /// The ids of the entries that it has for services, except for those that only bar services.
    services: Vec<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    restrict: &'a [Restriction],
    #[serde(rename = "requestQuotas", skip_serializing_if = "Option::is_none")]
    request_quotas: Option<&'a RequestQuotas>,
    /// Its own. Those of its ancestors hold as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    budgets: Option<&'a Budgets>,
}

impl IntrospectionApi {
    /// Takes a request through all stages. Errors are in the format of RFC 6749 section 5.2.
    pub(crate) async fn serve<B: Body<Data = Bytes>>(
        &self,
        pipeline: &Pipeline,
        request: (&Parts, Endpoints),
        body: B,
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, Failure> {
        let outcome = self.introspect(pipeline, request, body, log).await;
        outcome.map_err(Failure::into_oauth_error)
    }

    async fn introspect<B: Body<Data = Bytes>>(
        &self,
        pipeline: &Pipeline,
        (parts, endpoints): (&Parts, Endpoints),
        body: B,
        log: &mut AccessLog,
    ) -> Result<Response<ResponseBody>, Failure> {
        if let Err(error) = endpoints.host {
            return Err(error.into());
        }
        quota::charge(pipeline, &endpoints)?;
        log.mark_charged();
        let parse = IntrospectionRequest::parse;
        let form = pipeline.receive_form((parts, endpoints), body, parse);
        let (head, IntrospectionRequest { token }) = form.await?;
        self.check_caller(parts, &token)?;
        let opened = match pipeline.open_key(&token, &head.host, head.client) {
            Ok(opened) => opened,
            // It may be valid, and nobody has looked.
            Err(AuthenticationError::TooManyFailures) => {
                return Err(IntrospectError::NotRead.into());
            }
            Err(error) => {
                if let Some(cause) = Failure::from(error).cause {
                    log.set_cause(cause);
                }
                return Ok(response::not_stored(&Inactive { active: false }));
            }
        };
        log.set_key(opened.id());
        if let Some(name) = &opened.payload().name {
            log.set_key_name(name);
        }
        Ok(response::not_stored(&Active::of(&opened, &head.host)))
    }

    /// Checks that the caller is the operator, or sends the key that it asks about as its own.
    fn check_caller(&self, parts: &Parts, token: &SecretString) -> Result<(), Failure> {
        if let Some(secret) = &self.operator_secret
            && basic::has_password(&parts.headers, secret)
        {
            return Ok(());
        }
        let own = credentials::any_authorization(&parts.headers, Dialect::OpenAi)?;
        match own {
            Authorization::Bearer(own) | Authorization::Entrusted(own)
                if constant_time_eq(own.expose(), token.expose_secret()) =>
            {
                Ok(())
            }
            Authorization::Bearer(_)
            | Authorization::Entrusted(_)
            | Authorization::Absent
            | Authorization::Unusable => Err(IntrospectError::UnknownClient.into()),
        }
    }
}

impl<'a> Active<'a> {
    fn of(opened: &'a Opened<Grant>, host: &Host) -> Self {
        let grant = opened.payload();
        let reach = Reach::new(&grant.restrict);
        let mut services = Vec::new();
        for entry in &grant.service_secrets {
            let (id, bars) = (
                &*entry.service_id,
                entry.auth_secret.expose_secret() == "INVALID",
            );
            if !bars && reach.meets(id) && !services.contains(&id) {
                services.push(id);
            }
        }
        Self {
            active: true,
            token_type: "Bearer",
            aud: host.to_string(),
            iat: opened.issued_at().and_then(unix_seconds),
            nbf: opened.not_before().and_then(unix_seconds),
            exp: unix_seconds(opened.expires_at()).unwrap_or_default(),
            jti: opened.id(),
            name: grant.name.as_deref(),
            sealed: opened.is_offline(),
            ancestors: grant.ancestors.iter().map(|ancestor| ancestor.id).collect(),
            services,
            restrict: &grant.restrict,
            request_quotas: grant.request_quotas.as_ref(),
            budgets: grant.budgets.as_deref(),
        }
    }
}

fn unix_seconds(time: SystemTime) -> Option<u64> {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(since_epoch.as_secs())
}
