//! The entries of a grant, as a service finds its own among them.

use aisbreaker_api::{ServiceId, ServicePattern};
use aisbreaker_token::{Grant, ServiceSecret};
use secrecy::ExposeSecret as _;

/// The entries of a grant in their order; the first that matches a service decides.
pub(super) struct Entries<'a>(Vec<(ServicePattern, &'a ServiceSecret)>);

/// What the secret of an entry is, the least useful first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum SecretKind {
    Invalid,
    Empty,
    CallersOwn,
    Sealed,
}

impl<'a> Entries<'a> {
    pub(super) fn of(grant: &'a Grant) -> Self {
        let parse = |entry: &'a ServiceSecret| {
            let pattern = ServicePattern::parse(entry.service_id.as_str()).ok()?;
            Some((pattern, entry))
        };
        Self(grant.service_secrets.iter().filter_map(parse).collect())
    }

    /// Returns the entry that decides for a service.
    pub(super) fn first_match(&self, id: &ServiceId) -> Option<&'a ServiceSecret> {
        let found = self.0.iter().find(|(pattern, _)| pattern.matches(id));
        found.map(|(_, entry)| *entry)
    }

    /// Returns the most useful secret that a service gets with any engine, if the id names none,
    /// or with the engine that it names.
    pub(super) fn kind_for(&self, id: &ServiceId) -> Option<SecretKind> {
        let decisive = self.first_match(id).map(SecretKind::of);
        let service = ServicePattern::parse(id.as_str()).ok()?;
        // An entry for one engine of the service, before the one for all of them.
        let of_engines = self.0.iter().filter_map(|(pattern, entry)| {
            let engine = ServiceId::parse(pattern.as_str()).ok()?;
            service.matches(&engine).then(|| SecretKind::of(entry))
        });
        decisive.into_iter().chain(of_engines).max()
    }

    /// Returns the ids that the entries are for.
    pub(super) fn ids(&self) -> impl Iterator<Item = ServiceId> {
        self.0
            .iter()
            .filter_map(|(pattern, _)| ServiceId::parse(pattern.as_str()).ok())
    }

    /// Returns whether there are entries, and all of them block their services.
    pub(super) fn are_all_invalid(&self) -> bool {
        let mut kinds = self.0.iter().map(|(_, entry)| SecretKind::of(entry));
        !self.0.is_empty() && kinds.all(|kind| kind == SecretKind::Invalid)
    }
}

impl SecretKind {
    pub(super) fn of(entry: &ServiceSecret) -> Self {
        match entry.auth_secret.expose_secret() {
            "" => Self::Empty,
            "INVALID" => Self::Invalid,
            "{{secret}}" => Self::CallersOwn,
            _ => Self::Sealed,
        }
    }
}
