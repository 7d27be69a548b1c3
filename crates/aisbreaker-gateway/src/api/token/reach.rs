//! What a key can reach under its restrictions.

use aisbreaker_api::ServicePattern;
use aisbreaker_token::{Restriction, ServiceSecret, delegation::GrantPart};
use secrecy::ExposeSecret as _;

/// The task of this server's own services, behind which others are called.
const OWN_TASK: &str = "aisbreaker:";

/// What a key can reach: a service that every list of its restrictions allows.
#[derive(Debug)]
pub(crate) struct Reach {
    /// Of each restriction to services, what it allows.
    lists: Vec<Vec<ServicePattern>>,
    /// Whether a restriction shuts everything out.
    is_empty: bool,
}

impl Reach {
    pub(crate) fn new(restrictions: &[Restriction]) -> Self {
        let mut lists = Vec::new();
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
                lists.push(patterns.filter_map(Result::ok).collect());
            }
        }
        Self { lists, is_empty }
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
        let pattern = match ServicePattern::parse("") {
            Ok(every_service) if narrower(&pattern, &own).is_some() => every_service,
            Ok(_) | Err(_) => pattern,
        };
        let mut met = vec![pattern];
        for list in &self.lists {
            met = narrow(&met, list);
        }
        !self.is_empty && !met.is_empty()
    }
}

/// Returns patterns that match what both lists match.
fn narrow(list: &[ServicePattern], other: &[ServicePattern]) -> Vec<ServicePattern> {
    let mut narrowed: Vec<ServicePattern> = Vec::new();
    for one in list {
        for other in other {
            if let Some(pattern) = narrower(one, other)
                && !narrowed.contains(pattern)
            {
                narrowed.push(pattern.clone());
            }
        }
    }
    narrowed
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
