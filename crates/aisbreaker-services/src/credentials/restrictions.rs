//! Which services a key is restricted to.

use aisbreaker_api::{ServiceId, ServicePattern};

/// The services that a key is restricted to: lists of patterns, each of which must allow a service.
///
/// Ids are compared as they are written, on whole segments. Another name of the same provider is
/// another id.
#[derive(Clone, Debug, Default)]
pub struct ServiceRestrictions(Vec<Vec<ServicePattern>>);

/// What restrictions allow of a service.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(
    clippy::exhaustive_enums,
    reason = "code that calls a service must decide each case"
)]
pub enum Allowance {
    /// Nothing.
    Refused,
    /// The engine that the id names, and no other.
    Engine,
    /// Every engine.
    Service,
}

impl ServiceRestrictions {
    /// Creates restrictions: of each list, one pattern must match. An empty list allows nothing.
    #[must_use]
    pub fn new(lists: Vec<Vec<ServicePattern>>) -> Self {
        Self(lists)
    }

    /// Returns whether there is no restriction.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns what is allowed of the service with this id, engine included.
    #[must_use]
    pub fn allowance(&self, id: &ServiceId) -> Allowance {
        let of_lists = self.0.iter().map(|list| allowance(list, id));
        of_lists.min().unwrap_or(Allowance::Service)
    }

    /// Returns whether each list allows every engine of the service with this id, or names the whole
    /// of this one.
    pub(crate) fn name_whole(&self, id: &ServiceId) -> bool {
        let names_whole = |pattern: &ServicePattern| {
            pattern.matches(id)
                && (!names_engine(pattern)
                    || ServicePattern::parse(id.as_str()).is_ok_and(|whole| whole.covers(pattern)))
        };
        self.0.iter().all(|list| list.iter().any(names_whole))
    }

    /// Returns whether an engine of the service with this id may be allowed.
    #[must_use]
    pub fn may_allow(&self, id: &ServiceId) -> bool {
        let overlaps = |pattern: &ServicePattern| {
            if pattern.matches(id) {
                return true;
            }
            match (
                ServicePattern::parse(id.as_str()),
                ServiceId::parse(pattern.as_str()),
            ) {
                (Ok(service), Ok(engine)) => service.matches(&engine),
                (Ok(_) | Err(_), _) => false,
            }
        };
        self.0.iter().all(|list| list.iter().any(overlaps))
    }
}

fn allowance(list: &[ServicePattern], id: &ServiceId) -> Allowance {
    let mut allowance = Allowance::Refused;
    for pattern in list.iter().filter(|pattern| pattern.matches(id)) {
        if !names_engine(pattern) {
            return Allowance::Service;
        }
        if !has_ambiguous_engine(id) {
            allowance = Allowance::Engine;
        }
    }
    allowance
}

fn names_engine(pattern: &ServicePattern) -> bool {
    pattern.segment_count() > 2
}

/// Returns whether the engine has a segment that leads to another one in the path of a URL.
fn has_ambiguous_engine(id: &ServiceId) -> bool {
    let mut segments = id.engine().unwrap_or_default().split('/');
    segments.any(|segment| matches!(segment, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn restrictions(lists: &[&[&str]]) -> ServiceRestrictions {
        let parse = |list: &&[&str]| {
            let patterns = list.iter().map(|text| ServicePattern::parse(*text));
            patterns.collect::<Result<Vec<_>, _>>().unwrap()
        };
        ServiceRestrictions::new(lists.iter().map(parse).collect())
    }

    fn id(text: &str) -> ServiceId {
        ServiceId::parse(text).unwrap()
    }

    #[test]
    fn every_list_must_allow_a_service() {
        use Allowance::{Engine, Refused, Service};
        let both: &[&[&str]] = &[&["chat:a", "chat:b/m"], &["chat:"]];
        let rows: [(&[&[&str]], &str, Allowance); 17] = [
            (&[], "chat:a/m", Service),
            (&[&[]], "chat:a/m", Refused),
            (&[&["chat:a"], &[]], "chat:a/m", Refused),
            (both, "chat:a", Service),
            (both, "chat:a/m", Service),
            (both, "chat:b", Refused),
            (both, "chat:b/m", Engine),
            (both, "chat:b/m/", Engine),
            (both, "chat:b/m/x", Engine),
            (both, "chat:b/m/../n", Refused),
            (both, "chat:b/m//n", Refused),
            (both, "chat:b//m", Refused),
            (both, "chat:b/mm", Refused),
            (both, "chat:B/m", Refused),
            (both, "text-to-image:a/m", Refused),
            (&[&["chat:b"], &["chat:b/m"]], "chat:b/m", Engine),
            (&[&[""]], "chat:b/m", Service),
        ];
        for (lists, text, expected) in rows {
            let allowance = restrictions(lists).allowance(&id(text));
            assert_eq!(allowance, expected, "{lists:?} {text}");
        }
    }

    #[test]
    fn a_part_of_an_engine_does_not_name_the_whole() {
        let rows: [(&[&[&str]], bool); 6] = [
            (&[], true),
            (&[&["chat:r"]], true),
            (&[&["chat:r/o"]], false),
            (&[&["chat:r/o/n"]], false),
            (&[&["chat:r/o/n:v"]], true),
            (&[&["chat:"], &["chat:r/o"]], false),
        ];
        for (lists, expected) in rows {
            let named = restrictions(lists).name_whole(&id("chat:r/o/n:v"));
            assert_eq!(named, expected, "{lists:?}");
        }
    }

    #[test]
    fn a_service_of_which_an_engine_may_be_allowed_is_found() {
        let rows: [(&[&[&str]], bool); 7] = [
            (&[], true),
            (&[&[]], false),
            (&[&["chat:a"]], true),
            (&[&["chat:a/m"]], true),
            (&[&["chat:"], &["chat:a/m"]], true),
            (&[&["chat:a"], &["chat:b"]], false),
            (&[&["chat:aa/m"]], false),
        ];
        for (lists, expected) in rows {
            let found = restrictions(lists).may_allow(&id("chat:a"));
            assert_eq!(found, expected, "{lists:?}");
        }
    }

    proptest! {
        #[test]
        fn one_more_list_never_allows_more(
            lists in proptest::collection::vec(
                proptest::collection::vec("(chat:?)?[ab]?(/[mn]){0,2}", 0..4), 0..4),
            text in "chat:[ab](/[mn.]{1,2}){0,3}",
        ) {
            let lists: Vec<Vec<&str>> = lists
                .iter()
                .map(|list| list.iter().map(String::as_str).collect())
                .collect();
            let lists: Vec<&[&str]> = lists.iter().map(Vec::as_slice).collect();
            let mut last = Allowance::Service;
            for count in 0..=lists.len() {
                let allowance = restrictions(&lists[..count]).allowance(&id(&text));
                prop_assert!(allowance <= last);
                last = allowance;
            }
        }
    }
}
