//! Restrictions that leave nothing to call.

use aisbreaker_api::ServiceId;
use aisbreaker_services::{SecretNeed, ServiceRestrictions, services::secret_need};
use aisbreaker_token::{Grant, Restriction, ServiceSecret};

use super::{super::reach::OWN_TASK, Review, SECRETS, SecretKind};
use crate::restrictions::Restrictions;

const RESTRICT: &str = "restrict";

impl Review<'_> {
    /// A key that allows nothing, or next to nothing.
    pub(super) fn restrictions(&mut self, grant: &Grant) {
        if self.entries.are_all_invalid() {
            self.warn(
                SECRETS,
                "has no entry but INVALID, so the key allows services without a secret only",
            );
        }
        for (index, restriction) in grant.restrict.iter().enumerate() {
            if let Some(member) = empty_member(restriction) {
                let path = format!("{RESTRICT}[{index}].{member}");
                return self.warn(&path, "allows none, so the key allows nothing");
            }
        }
        let Ok((restrictions, services)) = Restrictions::parse(&grant.restrict) else {
            return;
        };
        if restrictions.contradict() {
            self.warn(
                RESTRICT,
                "has entries that allow nothing together: the key must keep to all of them",
            );
        } else if !services.is_empty() && !self.can_call_any(&services, grant) {
            self.warn(
                RESTRICT,
                "allows only services that the key cannot call: serviceSecrets has no secret for \
                 them, or they are none of this server",
            );
        }
    }

    /// Returns whether the key can call any service that it is restricted to.
    fn can_call_any(&self, services: &ServiceRestrictions, grant: &Grant) -> bool {
        let can_call = |id: &ServiceId| services.may_allow(id) && self.can_call(id);
        let lists = grant
            .restrict
            .iter()
            .filter_map(|list| list.services.as_ref());
        let mut listed = lists
            .flatten()
            .filter_map(|text| ServiceId::parse(text.as_str()).ok());
        // Behind a service of this server, at another one, any service may be.
        let is_own = |entry: &ServiceSecret| entry.service_id.starts_with(OWN_TASK);
        grant.service_secrets.iter().any(is_own)
            || self.known.iter().any(|known| can_call(&known.id))
            || self.entries.ids().any(|id| can_call(&id))
            || listed.any(|id| can_call(&id))
    }

    fn can_call(&self, id: &ServiceId) -> bool {
        let has_secret = || {
            let kind = self.entries.kind_for(id);
            kind.is_some_and(|kind| kind >= SecretKind::CallersOwn)
        };
        self.is_served(id)
            && (secret_need(self.providers, id) == SecretNeed::Optional || has_secret())
    }
}

/// Returns the member of a restriction that shuts everything out.
fn empty_member(restriction: &Restriction) -> Option<&'static str> {
    let Restriction {
        services,
        operations,
        clients,
        origins,
        max_body_bytes,
        ..
    } = restriction;
    let lists = [
        ("services", services),
        ("operations", operations),
        ("clients", clients),
        ("origins", origins),
    ];
    for (name, list) in lists {
        if list.as_ref().is_some_and(Vec::is_empty) {
            return Some(name);
        }
    }
    (*max_body_bytes == Some(0)).then_some("maxBodyBytes")
}
