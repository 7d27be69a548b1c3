//! What a key can reach under its restrictions.

use aisbreaker_api::ServicePattern;
use aisbreaker_token::{Restriction, ServiceSecret, delegation::GrantPart};
use secrecy::ExposeSecret as _;

/// The task of this server's own services, behind which others are called.
pub(super) const OWN_TASK: &str = "aisbreaker:";

/// What a key can reach: a service that every list of its restrictions allows.
#[derive(Debug)]
pub(crate) struct Reach {
    /// What all restrictions to services allow together, none of which another one covers. Computed
    /// once, since a key has many entries, and whoever made it chose how many restrictions.
    allowed: Vec<ServicePattern>,
}

impl Reach {
    pub(crate) fn new(restrictions: &[Restriction]) -> Self {
        let mut allowed: Vec<_> = ServicePattern::parse("").into_iter().collect();
        let mut is_empty = false;
        for restriction in restrictions {
            let Restriction {
                services,
                operations,
                clients,
                origins,
                ..
            } = restriction;
            for list in [operations, clients, origins] {
                is_empty |= list.as_ref().is_some_and(Vec::is_empty);
            }
            if let Some(services) = services {
                // What is no pattern allows nothing.
                let patterns = services.iter().map(|text| ServicePattern::parse(&**text));
                let list = without_covered(patterns.filter_map(Result::ok).collect());
                allowed = narrow(&allowed, &list);
            }
        }
        if is_empty {
            allowed.clear();
        }
        Self { allowed }
    }

    /// Returns whether a key can use this part of its grant.
    ///
    /// Entries without a secret are in every key: they keep the entries behind them from the
    /// services that they match.
    pub(crate) fn includes(&self, part: GrantPart<'_>) -> bool {
        match part {
            GrantPart::Secret(entry) => !has_secret(entry) || self.meets(&entry.service_id),
            GrantPart::Fallback(id) | GrantPart::AliasTarget(id) => self.meets(id),
        }
    }

    /// Returns whether a service that this pattern matches may be called.
    ///
    /// This server's own services are judged by those that they call.
    pub(crate) fn meets(&self, pattern: &str) -> bool {
        let (Ok(pattern), Ok(own)) = (
            ServicePattern::parse(pattern),
            ServicePattern::parse(OWN_TASK),
        ) else {
            return false;
        };
        if narrower(&pattern, &own).is_some() {
            return !self.allowed.is_empty();
        }
        let meets = |allowed: &ServicePattern| narrower(&pattern, allowed).is_some();
        self.allowed.iter().any(meets)
    }
}

/// Returns the patterns that no other one of them covers.
fn without_covered(mut list: Vec<ServicePattern>) -> Vec<ServicePattern> {
    list.sort_by_key(ServicePattern::segment_count);
    let mut kept: Vec<ServicePattern> = Vec::with_capacity(list.len());
    for pattern in list {
        if !kept.iter().any(|known| known.covers(&pattern)) {
            kept.push(pattern);
        }
    }
    kept
}

/// Returns patterns that match what both lists match: no more than both have together.
fn narrow(list: &[ServicePattern], other: &[ServicePattern]) -> Vec<ServicePattern> {
    let mut narrowed: Vec<ServicePattern> = Vec::new();
    for one in list {
        narrowed.extend(
            other
                .iter()
                .filter_map(|other| narrower(one, other))
                .cloned(),
        );
    }
    without_covered(narrowed)
}

/// Returns whether an entry has a secret of its own, and not the caller's, none, or a bar.
fn has_secret(entry: &ServiceSecret) -> bool {
    !matches!(
        entry.auth_secret.expose_secret(),
        "" | "INVALID" | "{{secret}}"
    )
}

/// Returns the pattern that matches what both of these match; `None` if that is nothing.
fn narrower<'a>(one: &'a ServicePattern, other: &'a ServicePattern) -> Option<&'a ServicePattern> {
    if one.covers(other) {
        Some(other)
    } else if other.covers(one) {
        Some(one)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(lists: &[Vec<String>]) -> Reach {
        let restrictions = lists.iter().map(|list| {
            let mut restriction = Restriction::default();
            restriction.services = Some(list.clone());
            restriction
        });
        Reach::new(&Vec::from_iter(restrictions))
    }

    /// Whoever made a key chose how many restrictions it has, and what is in them.
    #[test]
    fn restrictions_stay_as_few_as_they_are_together() {
        let names = |list: usize| (0..63).map(move |name| format!("chat:l{list}-{name}"));
        let with_all = |list| Vec::from_iter(names(list).chain([String::new()]));
        let all: Vec<_> = (0..32).map(with_all).collect();
        assert_eq!(reach(&all).allowed.len(), 1);

        let nested = |list: usize| {
            let engines = names(0).map(move |name| name + &"/m".repeat(list));
            engines.collect::<Vec<_>>()
        };
        let nested: Vec<_> = (0..8).map(nested).collect();
        assert_eq!(reach(&nested).allowed.len(), 63);
        assert!(reach(&nested).meets("chat:l0-1"));
        assert!(!reach(&nested).meets("chat:l1-1"));
    }
}
