//! Judges a call by the services that the caller's key is restricted to.
//!
//! What counts is what the call reaches: behind filters, with the engine that is called, at another
//! AIsBreaker server as well.

use aisbreaker_api::{Request, ServiceId, ServiceProps};

use super::{Call, Registry, parse_id};
use crate::{
    credentials::{Allowance, Credentials, ServiceRestrictions},
    error::ServiceError,
};

/// Members of a request with which some providers let a caller name other models: those to use when
/// the first one fails.
const OTHER_MODELS: [&str; 2] = ["models", "fallbacks"];

/// What is known of a call before it is made.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Target<'a> {
    /// The requested id.
    pub service_id: &'a ServiceId,
    /// The service properties that came with the call.
    pub service: &'a ServiceProps,
    /// The request.
    pub request: &'a Request,
}

/// What a call reaches.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "code that judges a call must decide each case"
)]
pub enum Reached {
    /// The service with this id, which names the engine if the service has engines.
    Service(ServiceId),
    /// The service with this id, of whose engine the version alone is called, whatever stands
    /// before it. So a part of the engine allows nothing.
    Version(ServiceId),
    /// The service that `forward2ServiceProps` names.
    Behind,
    /// The service that `forward2ServiceProps` names, at another AIsBreaker server.
    BehindOtherServer,
}

impl<'a> Target<'a> {
    pub(crate) fn of(call: &'a Call) -> Self {
        Self {
            service_id: &call.service_id,
            service: &call.service,
            request: &call.request,
        }
    }
}

/// Where a call is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Here,
    /// At another AIsBreaker server. What it adds to an id is not known, so that the id is judged
    /// as it is written, and also as it would be called here.
    OtherServer,
}

/// Checks that the restrictions of the caller's key allow what a call reaches.
///
/// # Errors
/// [`ServiceError::Restricted`], and whatever keeps the call from reaching anything.
pub(super) fn check(
    registry: &Registry,
    target: Target<'_>,
    credentials: &Credentials,
) -> Result<(), ServiceError> {
    match credentials.restrictions() {
        Some(restrictions) => {
            let key = (credentials, restrictions);
            check_at(Place::Here, registry, target, key)
        }
        None => Ok(()),
    }
}

fn check_at(
    place: Place,
    registry: &Registry,
    target: Target<'_>,
    key: (&Credentials, &ServiceRestrictions),
) -> Result<(), ServiceError> {
    let found = registry.find(target.service_id);
    let place_behind = match found.and_then(|service| service.reached(&target)) {
        Ok(Reached::Service(id)) => {
            if place == Place::OtherServer {
                judge(target.service_id, target, key)?;
            }
            return judge(&id, target, key);
        }
        Ok(Reached::Version(id)) => return judge_version(&id, target, key),
        Ok(Reached::Behind) => place,
        Ok(Reached::BehindOtherServer) => Place::OtherServer,
        Err(_unknown_here) if place == Place::OtherServer => {
            return judge(target.service_id, target, key);
        }
        Err(error) => return Err(error),
    };
    let (id, service) = behind(target.service)?;
    let inner = Target {
        service_id: &id,
        service,
        ..target
    };
    check_at(place_behind, registry, inner, key)
}

/// A service that a call reaches.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ReachedService {
    /// Its id, which names the engine if the service has engines.
    pub service_id: ServiceId,
    /// Whether it is at another AIsBreaker server.
    pub is_elsewhere: bool,
}

/// Returns the services that a call may reach: its own, and the fallbacks for it. A filter calls the
/// service behind it with the fallbacks for that one.
///
/// # Errors
/// Whatever keeps the call from reaching anything. A fallback that cannot be called is left out.
pub(super) fn reached(
    registry: &Registry,
    target: Target<'_>,
    credentials: &Credentials,
) -> Result<Vec<ReachedService>, ServiceError> {
    let mut reached = Vec::new();
    let (mut id, mut service) = (target.service_id.clone(), target.service);
    loop {
        let reach = |service_id: &ServiceId| {
            let target = Target {
                service_id,
                service,
                ..target
            };
            registry.find(service_id)?.reached(&target)
        };
        let own = reach(&id)?;
        let fallbacks = credentials.fallback_for(&id).iter();
        let mut is_behind = false;
        // A fallback that is a filter has the same service behind it.
        for one in std::iter::once(own).chain(fallbacks.filter_map(|id| reach(id).ok())) {
            match one {
                Reached::Service(service_id) | Reached::Version(service_id) => {
                    reached.push(ReachedService {
                        service_id,
                        is_elsewhere: false,
                    });
                }
                Reached::Behind => is_behind = true,
                Reached::BehindOtherServer => reached.push(ReachedService {
                    service_id: behind(service)?.0,
                    is_elsewhere: true,
                }),
            }
        }
        if !is_behind {
            return Ok(reached);
        }
        (id, service) = behind(service)?;
    }
}

fn behind(outer: &ServiceProps) -> Result<(ServiceId, &ServiceProps), ServiceError> {
    let Some(inner) = &outer.forward_to else {
        let text = "service.forward2ServiceProps is missing";
        return Err(ServiceError::BadRequest(text.into()));
    };
    Ok((parse_id(&inner.service_id)?, inner))
}

/// Judges an id of whose engine only the version counts.
fn judge_version(
    id: &ServiceId,
    target: Target<'_>,
    key: (&Credentials, &ServiceRestrictions),
) -> Result<(), ServiceError> {
    let (_, restrictions) = key;
    if restrictions.name_whole(id) {
        judge(id, target, key)
    } else {
        Err(ServiceError::Restricted {
            what: id.to_string(),
        })
    }
}

/// Judges the id that is reached. Where only its engine is allowed, nothing in the request may
/// choose another one.
fn judge(
    id: &ServiceId,
    target: Target<'_>,
    (credentials, restrictions): (&Credentials, &ServiceRestrictions),
) -> Result<(), ServiceError> {
    let refuse = |what: String| Err(ServiceError::Restricted { what });
    match restrictions.allowance(id) {
        Allowance::Service => Ok(()),
        Allowance::Refused => refuse(id.to_string()),
        Allowance::Engine => {
            // Some providers have the model in the path.
            let url = target.service.url.as_deref();
            if url.is_some_and(|url| !credentials.names_url(id, url)) {
                return refuse("service.url, which could choose another model".to_owned());
            }
            let options = &target.request.intern_options;
            match options.keys().find(|name| chooses_other_models(name)) {
                Some(name) => refuse(format!(
                    "request.internOptions.{name}, which could choose another model"
                )),
                None => Ok(()),
            }
        }
    }
}

/// Returns whether a member of a request lets a caller name other models. Some providers take
/// `model` in any case, and only in small letters it is the one that was judged.
#[must_use]
pub fn chooses_other_models(name: &str) -> bool {
    let is_other = |member: &&str| name.eq_ignore_ascii_case(member);
    OTHER_MODELS.iter().any(is_other) || (name != "model" && is_other(&"model"))
}
