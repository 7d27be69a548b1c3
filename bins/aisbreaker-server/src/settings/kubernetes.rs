//! Variables that Kubernetes adds to a container for each service in its namespace.

use std::{collections::BTreeMap, ffi::OsString};

/// Returns whether a variable is one of the links to a service, such as `AISBREAKER_SERVICE_HOST` and
/// `AISBREAKER_PORT_3000_TCP_ADDR` for a service called `aisbreaker`.
///
/// They look like settings but are set automatically.
pub(super) fn is_service_link(name: &str, environment: &BTreeMap<String, OsString>) -> bool {
    if !environment.contains_key("KUBERNETES_SERVICE_HOST") {
        return false;
    }
    let is_link_of = |service: &str| match name.strip_prefix(service) {
        Some(rest) => {
            rest == "_PORT"
                || rest.starts_with("_PORT_")
                || rest == "_SERVICE_HOST"
                || rest == "_SERVICE_PORT"
                || rest.starts_with("_SERVICE_PORT_")
        }
        None => false,
    };
    environment
        .keys()
        .filter_map(|variable| variable.strip_suffix("_SERVICE_HOST"))
        .any(is_link_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_of_services_in_a_cluster_are_known() {
        let cluster = [
            "KUBERNETES_SERVICE_HOST",
            "AISBREAKER_SERVICE_HOST",
            "AISBREAKER_METRICS_SERVICE_HOST",
        ];
        let environment = |names: &[&str]| {
            let pairs = names
                .iter()
                .map(|name| ((*name).to_owned(), OsString::new()));
            pairs.collect::<BTreeMap<_, _>>()
        };
        for (name, expected) in [
            ("AISBREAKER_SERVICE_HOST", true),
            ("AISBREAKER_SERVICE_PORT_HTTP", true),
            ("AISBREAKER_PORT", true),
            ("AISBREAKER_PORT_3000_TCP_ADDR", true),
            ("AISBREAKER_METRICS_PORT_9090_TCP", true),
            ("AISBREAKER_PUBLIC_HOST", false),
            ("AISBREAKER_PORTS", false),
            ("AISBREAKER_OTHER_PORT", false),
        ] {
            let known = is_service_link(name, &environment(&cluster));
            assert_eq!(known, expected, "{name}");
            assert!(
                !is_service_link(name, &environment(&cluster[1..])),
                "{name}"
            );
        }
    }
}
