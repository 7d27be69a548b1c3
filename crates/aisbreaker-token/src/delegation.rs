//! Delegation: what a key is that its holder makes from another one.
//!
//! A child never allows more than its parent. Its restrictions are those of its parent and more, and
//! nothing is intersected. It expires no later and begins no earlier. It names all keys that it
//! descends from, so that a server charges them as well, and refuses it with any of them.

use std::time::{Duration, SystemTime};

use crate::{
    claims::{Ancestor, Budgets, Grant, RequestQuotas, Restriction, ServiceSecret},
    format::MAX_DELEGATION_DEPTH,
    opening::Opened,
    sealing::ValidityPeriod,
};

pub use crate::error::DelegationError;

/// What is asked of a child. By default it is its parent, for as long as its parent is valid.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ChildRequest {
    /// For how long the child is valid. `None`, or too long: as long as its parent.
    pub lifetime: Option<Duration>,
    /// The first moment at which the child is accepted. `None`, or too early: as its parent.
    pub not_before: Option<SystemTime>,
    /// What the child is called. The name of its parent is not passed on.
    pub name: Option<String>,
    /// The child's own quotas. `None`: only those of the keys that it descends from hold.
    pub request_quotas: Option<RequestQuotas>,
    /// The child's own budgets. `None`: only those of the keys that it descends from hold.
    pub budgets: Option<Box<Budgets>>,
    /// Restrictions beside those of the parent.
    pub restrict: Vec<Restriction>,
    /// How many levels of keys may be made from the child. `None`, or too many: as many as its
    /// parent leaves.
    pub delegation: Option<u8>,
}

/// A part of a parent's grant that a child gets if it can use it.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "code that decides what a child gets must decide each case"
)]
pub enum GrantPart<'a> {
    /// A secret.
    Secret(&'a ServiceSecret),
    /// The id of a service to call if another one fails.
    Fallback(&'a str),
    /// The service id that a model alias stands for.
    AliasTarget(&'a str),
}

/// Returns the grant of a child, and when it is valid.
///
/// `can_use` decides which secrets, fallbacks and aliases the child gets, in their order, given all
/// its restrictions. It may leave out only what these restrictions keep the child from using:
/// leaving out an entry makes way for the entries behind it.
///
/// # Errors
/// [`DelegationError`] if the parent allows no child, or the child would never be valid.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use aisbreaker_token::{
///     Grant, Host, KeyRing, Restriction, ServerKey, ServiceSecret,
///     delegation::{ChildRequest, GrantPart, child_of},
/// };
///
/// let ring = KeyRing::new(ServerKey::generate()?);
/// let host = Host::parse("api.example.com")?;
/// let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
/// let day = Duration::from_secs(86_400);
/// let secrets = ["chat:openai.com", "chat:mistral.ai"]
///     .map(|service| ServiceSecret::new(service, "sk-…".into()));
/// let parent = ring.seal(&Grant::new(None, secrets.into()), &host, now, day)?;
///
/// let mut request = ChildRequest::default();
/// request.lifetime = Some(2 * day);
/// let mut restriction = Restriction::default();
/// restriction.services = Some(vec!["chat:openai.com".to_owned()]);
/// request.restrict = vec![restriction];
/// let can_use = |_: &[Restriction], part: GrantPart<'_>| match part {
///     GrantPart::Secret(secret) => secret.service_id == "chat:openai.com",
///     GrantPart::Fallback(_) | GrantPart::AliasTarget(_) => false,
/// };
/// let opened = ring.open_grant(parent.expose(), &host, now)?;
/// let (grant, validity) = child_of(opened, request, now, can_use)?;
/// let child = ring.seal_for(&grant, &host, validity)?;
///
/// let opened = ring.open_grant(child.expose(), &host, now)?;
/// assert_eq!(opened.expires_at(), now + day); // as its parent
/// assert_eq!(opened.payload().service_secrets.len(), 1);
/// assert_eq!(opened.payload().ancestors[0].id, parent.id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn child_of(
    parent: Opened<Grant>,
    request: ChildRequest,
    now: SystemTime,
    can_use: impl Fn(&[Restriction], GrantPart<'_>) -> bool,
) -> Result<(Grant, ValidityPeriod), DelegationError> {
    let levels = levels_below(&parent)?;
    let validity = validity(&parent, &request, now)?;
    let itself = Ancestor::new(
        parent.id(),
        parent.issued_at().and_then(seconds),
        parent.payload().request_quotas,
    );
    let mut grant = parent.into_payload();
    let itself = itself.with_budgets(grant.budgets.take());
    grant.ancestors.push(itself);
    grant.restrict.extend(request.restrict);
    grant.name = request.name;
    grant.request_quotas = request.request_quotas;
    grant.budgets = request.budgets;
    grant.delegation = match (grant.delegation, request.delegation) {
        (None, None) => None,
        (_, asked) => Some(asked.unwrap_or(levels).min(levels)),
    };

    retain_usable(&mut grant, can_use);
    Ok((grant, validity))
}

/// Drops the secrets, fallbacks and aliases that a key cannot use, as [`child_of`] does.
///
/// A nested key (feature `ecdh-es`) still has all those of its parent when it is opened.
pub fn retain_usable(grant: &mut Grant, can_use: impl Fn(&[Restriction], GrantPart<'_>) -> bool) {
    let restrictions = &grant.restrict;
    grant
        .service_secrets
        .retain(|secret| can_use(restrictions, GrantPart::Secret(secret)));
    for secret in &mut grant.service_secrets {
        secret
            .fallback
            .retain(|id| can_use(restrictions, GrantPart::Fallback(id)));
    }
    grant
        .model_aliases
        .retain(|_, alias| can_use(restrictions, GrantPart::AliasTarget(&alias.model)));
}

/// Returns how many levels of keys may be made from a child of this key.
fn levels_below(parent: &Opened<Grant>) -> Result<u8, DelegationError> {
    let grant = parent.payload();
    let left = MAX_DELEGATION_DEPTH.saturating_sub(grant.ancestors.len());
    let left = u8::try_from(left).unwrap_or(u8::MAX);
    if grant.delegation == Some(0) {
        return Err(DelegationError::Forbidden);
    }
    let allowed = grant.delegation.unwrap_or(left).min(left);
    allowed.checked_sub(1).ok_or(DelegationError::TooDeep)
}

/// Returns when a child is valid: within what is asked and within the validity of its parent.
fn validity(
    parent: &Opened<Grant>,
    request: &ChildRequest,
    now: SystemTime,
) -> Result<ValidityPeriod, DelegationError> {
    // In whole seconds, as keys have them, so that a child can last exactly as long as its parent.
    let issued_at = seconds(now).ok_or(DelegationError::NeverValid)?;
    let expiry = seconds(parent.expires_at()).ok_or(DelegationError::NeverValid)?;
    let longest = expiry.saturating_sub(issued_at);
    let lifetime = match request.lifetime {
        Some(asked) => asked.as_secs().min(longest),
        None => longest,
    };
    let period = ValidityPeriod::new(now, Duration::from_secs(lifetime));
    let period = match request.not_before.max(parent.not_before()) {
        Some(not_before) => period.with_not_before(not_before),
        None => period,
    };
    if period.is_empty() {
        return Err(DelegationError::NeverValid);
    }
    Ok(period)
}

/// Returns whole seconds since 1970; `None` before that.
fn seconds(time: SystemTime) -> Option<u64> {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(since_epoch.as_secs())
}
